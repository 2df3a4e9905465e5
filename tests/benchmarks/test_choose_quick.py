"""The tuning budget: equal for all methods, read from stored runs, and what it chose is the quick profile."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch

from fer_bench.errors import StoreError
from fer_bench.methods import BUILT_IN
from fer_bench.results.store import Store
from fer_bench.runs.execute import execute
from fer_bench.runs.resolve import resolve_settings
from fer_bench.workspace.sources import find_roots
from fer_bench.workspace.workspace import Workspace

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def choose(load_benchmark):
    return load_benchmark("choose_quick")


def test_every_method_may_try_as_much(choose):
    for method in BUILT_IN:
        found = choose.candidates(method)
        assert len({candidate.name for candidate in found}) == len(found) == 5
        resolved = [resolve_settings(method, "quick", candidate.settings) for candidate in found]
        assert len({str(pair) for pair in resolved}) == 5, method
        for settings, train in resolved:
            assert (train.max_epochs, train.epoch_rows) == (choose.EPOCHS, choose.ROWS)
            assert settings.lr > 0


def test_a_candidate_names_all_that_any_candidate_varies(choose):
    for method in BUILT_IN:
        names = {tuple(text.partition("=")[0] for text in c.settings) for c in choose.candidates(method)}
        assert len(names) == 1, method


@pytest.fixture
def small(choose, tiny_root, tmp_path, monkeypatch):
    """A search of two candidates of erm on one dataset with two seeds, and its store."""
    torch.set_num_threads(1)
    first, second, *_ = choose.candidates("erm")
    shorter = [
        type(each)(each.name, ("train.max_epochs=1", "method.width=2", *each.settings[1:]))
        for each in (first, second)
    ]
    monkeypatch.setattr(choose, "BUILT_IN", ["erm"])
    monkeypatch.setattr(choose, "DATASETS", ("rafdb",))
    monkeypatch.setattr(choose, "POPULATION", "benchmark")
    monkeypatch.setattr(choose, "candidates", lambda method: shorter)
    workspace, store = Workspace(find_roots(str(tiny_root))), Store(tmp_path / "runs")
    for seed in choose.SEEDS:
        for candidate in shorter:
            execute(choose.plan(workspace, "erm", candidate.settings, "rafdb", seed), store, workspace)
    return store


def test_table_and_page_come_from_stored_runs(choose, small, tmp_path):
    trials = choose.read_trials(small)
    assert [(t.candidate, t.seed) for t in trials] == [
        (name, seed) for name in ("reference", "a third of the rate") for seed in choose.SEEDS
    ]
    for trial in trials:
        record = small.run_dir("erm", "rafdb", trial.key).read_record()
        assert trial.val_uar == record.selection["val"].val_uar
        assert f"method.lr={record.settings['method']['lr']:.3g}" in trial.settings
    choose.main(["--runs-dir", str(small.root), "--out", str(tmp_path / "docs"), "--table"])
    table = pd.read_csv(tmp_path / "docs" / choose.TABLE)
    assert len(table) == 4
    text = (tmp_path / "docs" / choose.PAGE).read_text()
    assert f"{100 * choose.means(table, 'erm').max():.1f}**" in text
    assert choose.page(table) == text


def test_an_absent_run_is_named_with_the_command_that_trains_it(choose, small):
    (folder,) = [
        small.run_dir("erm", "rafdb", trial.key).path
        for trial in choose.read_trials(small)
        if (trial.candidate, trial.seed) == ("a third of the rate", 1)
    ]
    (folder / "record.json").unlink()
    with pytest.raises(StoreError, match="no finished run of erm, a third of the rate, on rafdb") as caught:
        choose.read_trials(small)
    assert caught.value.value == "seed 1"
    assert "choose_quick.py" in str(caught.value.hint)


def test_the_highest_mean_is_chosen_and_the_earlier_one_on_ties(choose):
    scores = {"reference": (0.5, 0.7), "second": (0.6, 0.7), "third": (0.7, 0.6), "fourth": (0.9, 0.1)}
    table = pd.DataFrame(
        [
            {"method": "erm", "candidate": name, "dataset": "rafdb", "seed": seed, "val_uar": value}
            for name, values in scores.items()
            for seed, value in enumerate(values)
        ]
    )
    assert choose.best(table, "erm") == "second"
    # Half the squared difference of two is their variance.
    expected = ((0.2**2 + 0.1**2 + 0.1**2 + 0.8**2) / 2 / 4) ** 0.5
    assert choose.noise(table) == pytest.approx(expected)


@pytest.fixture
def stored(choose):
    return pd.read_csv(DOCS / choose.TABLE)


def test_the_page_of_the_docs_is_made_from_its_table(choose, stored):
    assert choose.page(stored) == (DOCS / choose.PAGE).read_text(encoding="utf-8")


def test_every_candidate_was_trained_as_often(choose, stored):
    wanted = {(m, c.name, " ".join(c.settings)) for m in BUILT_IN for c in choose.candidates(m)}
    assert set(zip(stored["method"], stored["candidate"], stored["settings"], strict=True)) == wanted
    often = stored.groupby(["method", "candidate", "dataset"])["seed"].agg(set)
    assert len(often) == len(wanted) * len(choose.DATASETS)
    assert all(seeds == often.iloc[0] for seeds in often)


@pytest.mark.parametrize("method", BUILT_IN)
def test_the_quick_profile_is_what_was_chosen(choose, stored, method):
    (chosen,) = [c for c in choose.candidates(method) if c.name == choose.best(stored, method)]
    assert resolve_settings(method, "quick", chosen.settings) == resolve_settings(method, "quick")
