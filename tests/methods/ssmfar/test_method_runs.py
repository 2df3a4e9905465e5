"""ssmfar through whole runs: thresholds in the history, rows without expression label in train and test."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fer_bench.methods.weights import shipped
from fer_bench.results.store import Store
from fer_bench.runs.execute import execute
from fer_bench.workspace.sources import find_roots
from fer_bench.workspace.workspace import Workspace
from tests.plans import plan_one


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    from fer_bench.synthetic import layouts

    root = tmp_path_factory.mktemp("tiny")
    layouts.write("affwild2", root, size="tiny")
    return Workspace(find_roots(str(root)))


@pytest.fixture(scope="module")
def run(workspace, tmp_path_factory):
    planned = plan_one(
        workspace,
        method="ssmfar",
        dataset="affwild2",
        protocol="abaw4",
        fold=1,
        seed=0,
        profile="quick",
        overrides=("method.size=32", "train.batch_size=16"),
        max_epochs=2,
        targets="none",
    )
    store = Store(tmp_path_factory.mktemp("runs"))
    return store, execute(planned, store, workspace)


def test_record_and_history(run):
    store, record = run
    assert record.status == "done", record.error
    assert record.adapted is None
    assert record.rows["unlabelled"] > 0
    assert record.key_fields["weights"] == {"backbone": shipped("clip-tiny-neutral").sha256}
    assert any("without expression words" in text for text in record.warnings)
    history = pd.read_csv(store.run_dir("ssmfar", "affwild2", record.key).path / "metrics.csv")
    thresholds = history[[f"threshold/{name}" for name in record.classes]]
    assert thresholds.notna().all().all()
    assert ((thresholds >= 0.8 - 1e-6) & (thresholds <= 0.97)).all().all()


def test_frames_without_an_expression_are_tested_on_the_other_tasks(run, workspace):
    store, record = run
    dataset = workspace.source("affwild2").dataset
    frame = store.predictions(record, "affwild2").frame
    official = dataset.index["split"] == "val"
    assert len(frame) == official.sum()
    assert frame["label"].isna().any()
    assert frame["label"].notna().sum() == record.rows["test"] == record.score("affwild2").n
    assert frame["valence"].between(-1, 1).all()
    score = record.score("affwild2")
    parts = score.breakdown
    known = np.isfinite(dataset.index["valence"][official]).sum()
    assert parts.va["valence"].n == known > 0
    if frame["label"].nunique() == len(record.classes):  # a unit that nobody shows or names counts as 0
        whole = parts.va_ccc + score.metrics["macro_f1"] + parts.au_f1
        assert parts.abaw == pytest.approx(whole)
    else:
        assert parts.abaw is None


def test_the_epoch_that_the_abaw_sum_chooses_is_tested_too(run):
    store, record = run
    folder = store.run_dir("ssmfar", "affwild2", record.key).path
    history = pd.read_csv(folder / "metrics.csv")
    chosen = record.selection["val_abaw"]
    assert chosen.epoch == int(history["val/abaw"].idxmax())
    assert chosen.val_abaw == pytest.approx(history["val/abaw"].max())
    assert chosen.val_uar == pytest.approx(history["val/uar"][chosen.epoch])
    assert {s.selection for s in record.scores} == {"val", "last", "val_abaw"}
    assert len(store.predictions(record, "affwild2", "val_abaw").frame) == len(
        store.predictions(record, "affwild2").frame
    )
    assert sorted(p.name for p in (folder / "checkpoints").iterdir()) == ["val.pt"]
