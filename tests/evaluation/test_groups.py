from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, recall_score

from fer_bench.evaluation.groups import MIN_CLASS_ROWS, MIN_ROWS, attributes_of, group_scores


def score(values, truth, answer, k=3):
    return group_scores(pd.Series(values, dtype="str"), np.asarray(truth), np.asarray(answer), "xyz"[:k])


def compared(found):
    return [name for name, group in found.groups.items() if group.uar is not None]


def test_groups_agree_with_scikit_learn_over_the_classes_they_share():
    rng = np.random.default_rng(0)
    values = rng.choice(["female", "male"], 200)
    truth, answer = rng.integers(3, size=200), rng.integers(3, size=200)
    truth[(values == "male") & (truth == 2)] = 0  # nobody of one group has class 2
    found = score(values, truth, answer)
    assert found.classes == ("x", "y")
    for name, group in found.groups.items():
        rows = values == name
        recall = recall_score(truth[rows], answer[rows], labels=[0, 1], average=None)
        assert group.uar == pytest.approx(recall.mean())
        assert group.accuracy == pytest.approx(accuracy_score(truth[rows], answer[rows]))
        assert (group.n, group.k) == (rows.sum(), 3 if name == "female" else 2)
    low, high = (found.groups[name].uar for name in (found.lowest, found.highest))
    assert (found.compared, found.gap) == (2, high - low)
    assert low <= high


def test_small_groups_are_listed_and_not_compared():
    values = ["a"] * MIN_ROWS + ["b"] * MIN_ROWS + ["c"] * (MIN_ROWS - 1)
    truth = [0, 1] * MIN_ROWS + [0] * (MIN_ROWS - 1)
    found = score(values, truth, truth)
    assert [g.n for g in found.groups.values()] == [MIN_ROWS, MIN_ROWS, MIN_ROWS - 1]
    assert compared(found) == ["a", "b"]


def test_missing_values_are_counted_and_a_single_group_is_none():
    found = score(["a", None, "b", ""], [0, 0, 1, 1], [0, 0, 1, 1])
    assert found.missing == 2
    assert list(found.groups) == ["a", "b"]
    assert score(["a", "a", None], [0, 1, 1], [0, 1, 1]) is None


def test_groups_without_a_common_class_have_no_gap():
    truth = [0] * 20 + [1] * 20
    found = score(["a"] * 20 + ["b"] * 20, truth, truth)
    assert found.classes == ()
    assert (found.compared, found.gap) == (0, None)
    assert [g.accuracy for g in found.groups.values()] == [1, 1]


def test_classes_with_few_rows_in_a_group_are_no_basis_of_a_gap():
    rows = {"a": (20, 20, 20), "b": (20, 20, MIN_CLASS_ROWS - 1), "c": (20, 1, 1)}
    values = [g for g, counts in rows.items() for n in counts for _ in range(n)]
    truth = [c for counts in rows.values() for c, n in enumerate(counts) for _ in range(n)]
    found = score(values, truth, truth)
    assert found.classes == ("x", "y")  # the third class has too few rows in b, c leaves one class only
    assert compared(found) == ["a", "b"]
    assert found.groups["c"].uar is None


def test_rows_of_several_seeds_are_counted_once():
    values, truth = ["a"] * 8 + ["b"] * 8, [0, 1] * 8
    assert score(values, truth, truth).compared == 0
    twice = score(values * 2, truth * 2, truth * 2)
    assert [g.n for g in twice.groups.values()] == [16, 16]
    once = group_scores(pd.Series(values * 2), np.array(truth * 2), np.array(truth * 2), "xyz", repeats=2)
    assert [g.n for g in once.groups.values()] == [8, 8]
    assert once.compared == 0


def test_pose_camera_and_illumination_are_groups_of_their_own():
    rows = pd.DataFrame({"variant": ["VL/Strong", "NIR/Dark"], "gender": [None, None]})
    found = attributes_of(rows, "oulu")
    assert {name: values.tolist() for name, values in found.items()} == {
        "camera": ["VL", "NIR"],
        "illumination": ["Strong", "Dark"],
    }
    assert set(attributes_of(rows.assign(variant="HL"), "kdef")) == {"pose"}
    assert set(attributes_of(rows, "fer2013")) == {"variant"}
