"""Subsets are scored from the predictions on the whole, as scikit-learn scores those rows."""

import numpy as np
import pytest
from sklearn.metrics import recall_score

from fer_bench.evaluation.rescore import rescore
from fer_bench.evaluation.subsets import score_subsets
from fer_bench.results.subsets import Subset, add_subset
from tests.leaderboard.conftest import add, store

__all__ = ["add", "store"]


def name_rows(store, target, name, count, step):
    rows = tuple(f"{target}-{i:04d}" for i in range(0, count, step))
    add_subset(store.root, Subset(dataset=target, name=name, rows=rows))
    return rows


def by_place(record):
    return {(one.score.target, one.name): one for one in record.subsets}


def test_a_subset_is_scored_over_the_classes_of_the_whole(store, add):
    record = add("gcn", "rafdb", targets=("rafdb", "expw"), rows=200)
    rows = name_rows(store, "rafdb", "occlusion", 200, 3)
    name_rows(store, "expw", "pose-45", 120, 7)
    found = {(one.score.target, one.name): one for one in score_subsets(store, record)}
    assert set(found) == {("rafdb", "occlusion"), ("expw", "pose-45")}
    one = found["rafdb", "occlusion"]
    predictions = store.predictions(record, "rafdb")
    frame = predictions.frame.set_index("sample_id").loc[list(rows)]
    best = np.array(record.classes)[frame.filter(like="logit_").to_numpy().argmax(1)]
    assert one.score.uar == pytest.approx(recall_score(frame["label"], best, average="macro"))
    assert (one.listed, one.tested, one.score.n) == (67, 67, 67)
    assert one.score.label_set == record.score("rafdb").label_set
    assert one.score.rows != record.score("rafdb").rows


def test_a_store_is_rescored_when_a_subset_comes_or_goes_and_only_then(store, add):
    keys = [add("gcn", "rafdb", targets=("rafdb",)).key, add("gcn", "expw", targets=("expw",)).key]
    assert rescore(store).count("scored") == 2
    assert rescore(store).unchanged == 2
    name_rows(store, "rafdb", "occlusion", 100, 2)
    again = rescore(store)
    assert (again.count("scored"), again.unchanged) == (1, 1)
    first, second = (store.find(key).read_record() for key in keys)
    assert (set(by_place(first)), second.subsets) == ({("rafdb", "occlusion")}, ())
    assert rescore(store).unchanged == 2
    (store.root / "subsets" / "rafdb" / "occlusion.json").unlink()
    assert rescore(store).count("scored") == 1
    assert store.find(keys[0]).read_record().subsets == ()


def test_a_fold_scores_what_it_tests_and_nothing_where_it_tests_no_row(store, add):
    folds = [add("gcn", "oulu", fold=fold, targets=()) for fold in (1, 2, 3, 4)]
    name_rows(store, "oulu", "first", 24, 1)  # the rows of three persons: folds 1 to 3
    found = [score_subsets(store, record) for record in folds]
    assert [[(one.tested, one.listed) for one in each] for each in found] == [[(8, 24)]] * 3 + [[]]
