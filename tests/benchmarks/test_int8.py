"""What 8 bits cost each method: runs are chosen strictly, and the page shows the numbers beside it."""

import csv
import io
from pathlib import Path

import pandas as pd
import pytest

from fer_bench.errors import StoreError
from fer_bench.inference.model_card import Int8Report
from tests.leaderboard.conftest import add, store

__all__ = ["add", "store"]
DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def script(load_benchmark):
    return load_benchmark("int8")


def report(change=(-0.0125, (-0.03, 0.005))):
    return Int8Report(
        calibration_rows=256,
        validation_rows=90,
        size=(4 * 2**20, 2**20),
        accuracy=(0.5, 0.5),
        accuracy_change=(0.0, None),
        uar=(0.5, 0.4875),
        uar_change=change,
        same_answer=0.9,
        latency={1: 1.5, 32: 0.75},
        processor="a processor, one thread",
    )


def test_each_method_needs_one_run(script, store, add):
    for method in script.METHODS:
        add(method, "rafdb", seed=0)
        add(method, "rafdb", seed=1)
        add(method, "oulu", seed=0)
    found = script.chosen(store.records(), "rafdb", 0)
    assert [(r.method, r.dataset, r.seed) for r in found] == [(m, "rafdb", 0) for m in script.METHODS]
    with pytest.raises(StoreError, match="0 runs of gcn on rafdb with seed 7"):
        script.chosen(store.records(), "rafdb", 7)


def test_rows_are_written_by_hand(script, store, add):
    found = [(add("gcn", "rafdb"), report()), (add("erm", "rafdb"), report((-0.0125, None)))]
    text = script.section(found)
    assert text.startswith("**SYNTHETIC DATA**")
    assert "| gcn | 4.00 | 1.00 | 1.50 | 0.75 | 50.0 | -1.2 [-3.0, +0.5] | 90.0 |" in text
    assert "| erm | 4.00 | 1.00 | 1.50 | 0.75 | 50.0 | -1.2 | 90.0 |" in text
    one, two = csv.DictReader(io.StringIO(script.numbers(found)))
    assert (one["change_low"], one["change_high"]) == ("-0.0300", "0.0050")
    assert (two["change_low"], two["bytes_int8"]) == ("", "1048576")


def test_the_page_shows_the_numbers_of_the_file(script):
    page = (DOCS / "export.md").read_text(encoding="utf-8")
    section = page.partition("<!-- int8 -->")[2].partition("<!-- /int8 -->")[0]
    numbers = pd.read_csv(DOCS / "int8.csv")
    assert tuple(numbers["method"]) == script.METHODS
    assert ("SYNTHETIC" in section) == (set(numbers["data_kind"]) == {"synthetic"})
    for row in numbers.itertuples():
        line = next(line for line in section.splitlines() if line.startswith(f"| {row.method} |"))
        cells = line.strip("| ").split(" | ")
        shown = [float(cell.split()[0]) for cell in cells[1:]]
        wanted = [row.bytes_float32 / 2**20, row.bytes_int8 / 2**20, row.time_batch_1, row.time_batch_32]
        wanted += [100 * row.uar_float32, 100 * row.change, 100 * row.same_answer]
        assert shown == pytest.approx(wanted, abs=0.06)
