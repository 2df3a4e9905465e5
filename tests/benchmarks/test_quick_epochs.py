"""Fewer epochs than `quick` has: the same settings otherwise, and a page that comes from its tables."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from fer_bench.errors import StoreError
from fer_bench.methods import BUILT_IN
from fer_bench.runs.resolve import resolve_settings

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def epochs(load_benchmark):
    return load_benchmark("quick_epochs")


@pytest.fixture(scope="module")
def stored(epochs):
    return pd.read_csv(DOCS / epochs.TABLE), pd.read_csv(DOCS / epochs.choose_quick.TABLE)


@pytest.mark.parametrize("method", BUILT_IN)
def test_only_the_epochs_differ_from_quick(epochs, stored, method):
    settings, train = resolve_settings(method, "quick")
    for number, each in zip(
        epochs.FEWER, epochs.shorter(method, epochs.best(stored[1], method)), strict=True
    ):
        assert each.name == f"{number} epochs"
        expected = settings, train.model_copy(update={"max_epochs": number})
        assert resolve_settings(method, "quick", each.settings) == expected


def test_the_page_of_the_docs_is_made_from_its_tables(epochs, stored):
    assert epochs.page(*stored) == (DOCS / epochs.PAGE).read_text(encoding="utf-8")


def test_tables_of_other_faces_are_refused(epochs, stored):
    with pytest.raises(StoreError, match="different versions"):
        epochs.page(stored[0].assign(generator_version=3), stored[1])


def test_every_number_of_epochs_was_trained_as_often(epochs, stored):
    often = stored[0].groupby(["method", "candidate"]).size()
    assert set(often.index) == {(m, f"{number} epochs") for m in BUILT_IN for number in epochs.FEWER}
    assert set(often) == {len(epochs.DATASETS) * len(epochs.SEEDS)}


def test_an_absent_run_is_named_with_the_command_that_trains_it(epochs, tmp_path):
    with pytest.raises(StoreError, match="no finished run of cafe, 8 epochs, on oulu") as caught:
        epochs.main(["--runs-dir", str(tmp_path), "--out", str(tmp_path), "--table"])
    assert "benchmarks/quick_epochs.py" in str(caught.value.hint)


def test_what_every_epoch_has_shrinks_with_them(epochs):
    measured = {
        "figures": {"CPU-seconds": {"erm": {"start": 1, "train": 5, "validate": 2, "save": 1, "score": 1}}}
    }
    assert epochs.share_of_time(measured, 24) == 1
    assert epochs.share_of_time(measured, 12) == pytest.approx(0.6)
