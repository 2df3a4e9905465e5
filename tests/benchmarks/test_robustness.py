"""The page of robustness says what the code does, and its tables are made of the numbers beside it."""

from pathlib import Path

import pandas as pd
import pytest

from fer_bench.data.crops.corruptions import CORRUPTIONS, VERSION
from fer_bench.leaderboard.robustness import measured
from tests.leaderboard.conftest import add, store
from tests.leaderboard.test_robustness import corrupt_run

__all__ = ["add", "store"]
DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def script(load_benchmark):
    return load_benchmark("robustness")


@pytest.fixture(scope="module")
def page():
    return (DOCS / "robustness.md").read_text(encoding="utf-8")


def test_the_page_has_the_constants_of_today(script, page):
    assert f"<!-- constants -->\n\n{script.constants()}\n\n<!-- /constants -->" in page


def test_the_tables_show_the_numbers_of_the_file(page):
    numbers = pd.read_csv(DOCS / "robustness.csv")
    assert set(numbers["version"]) == {VERSION}
    for row in numbers.itertuples():
        title = "**mean of all**" if row.corruption == "mean" else CORRUPTIONS[row.corruption].title
        section = page.partition(f"### {row.dataset}: ")[2].partition("###")[0]
        header = next(line for line in section.splitlines() if line.startswith("| corruption |"))
        line = next(line for line in section.splitlines() if line.startswith(f"| {title} |"))
        cells = dict(zip(header.strip("| ").split(" | "), line.strip("| ").split(" | "), strict=True))
        shown = float(cells[row.method].split()[0])
        assert shown == pytest.approx(100 * row.drop, abs=0.06)


def test_costs_and_numbers_are_those_of_the_store(script, store, add):
    corrupt_run(store, add("gcn", "rafdb"))
    corrupt_run(store, add("cafe", "rafdb"), loss=0.5)
    found = script.read(store, ["rafdb", "oulu"])
    assert [label for label, _ in found["rafdb"]] == ["cafe", "gcn"]
    text = script.costs(found)
    assert "### rafdb: 400 rows, 1 runs per method, profile quick, **synthetic data**" in text
    (own,), _ = measured(store, [r for r in store.records() if r.method == "gcn"])
    assert f"{100 * own.mean.relative.value:.1f} [" in text
    lines = script.numbers(found).splitlines()
    assert len(lines) == 1 + 2 * (1 + len(CORRUPTIONS))
