"""Folds are compared together: every row once, by the model of its fold."""

import pandas as pd
import pytest

from fer_bench.results.predictions import read_predictions
from fer_bench.results.store import Store
from fer_bench.runs.before import pool_folds
from fer_bench.runs.execute import execute


@pytest.fixture(scope="module")
def folds(plan, workspace, tmp_path_factory):
    """Two folds that start from the same checkpoint, with their store."""
    store = Store(tmp_path_factory.mktemp("folds"))
    source = plan(dataset="rafdb", protocol=None, targets="none", max_epochs=1)
    assert execute(source, store, workspace).status == "done"
    file = str(source.folder(store).checkpoints / "val.pt")
    plans = [plan(overrides=(), targets="none", max_epochs=1, fold=fold, init=file) for fold in (1, 2)]
    return store, [execute(planned, store, workspace) for planned in plans], plans


def test_the_pool_is_of_the_rows_of_all_folds(folds):
    store, records, plans = folds
    (pooled,) = pool_folds(store, records)
    parts = [one for record in records for one in record.start]
    assert pooled.n == sum(part.n for part in parts)
    assert pooled.units == sum(part.units for part in parts)
    frames = [read_predictions(p.folder(store).predictions_file("oulu", "val")) for p in plans]
    classes = frames[0].meta.classes
    whole = pd.concat([one.frame for one in frames])
    answered = whole[[f"logit_{name}" for name in classes]].to_numpy().argmax(1)
    right = [classes[at] == label for at, label in zip(answered, whole["label"], strict=True)]
    assert pooled.changes["accuracy"].after == pytest.approx(sum(right) / len(right))


def test_one_fold_and_runs_without_a_start_have_no_pool(folds):
    store, records, _ = folds
    assert pool_folds(store, records[:1]) == []
    assert pool_folds(store, [record.model_copy(update={"start": ()}) for record in records]) == []
