"""Class-balanced sampling: equal shares, no row twice before all came once, nothing from outside."""

from __future__ import annotations

import numpy as np
import pytest

from fer_bench.methods.erm.sampling import balanced_rows

ROWS = np.arange(100, 160)
LABELS = np.repeat([0, 1, 2, -1], [40, 12, 3, 5])
ALONE = np.zeros(60, np.int64)


def draw(count: int, member=ALONE, seed: int = 0) -> np.ndarray:
    return balanced_rows(ROWS, LABELS, member, count, np.random.default_rng(seed))


@pytest.mark.parametrize("count", [1, 2, 10, 31, 60, 300])
def test_classes_come_equally_often(count):
    found = draw(count)
    assert len(found) == count
    times = np.array([np.sum(LABELS[found - 100] == c) for c in range(3)])
    assert times.sum() == count
    assert times.max() - times.min() <= 1


def test_a_class_begins_anew_when_all_its_rows_came():
    found = draw(90)
    of_class = found[LABELS[found - 100] == 2]
    rows, times = np.unique(of_class, return_counts=True)
    assert rows.tolist() == [152, 153, 154]
    assert times.tolist() == [10, 10, 10]
    large = found[LABELS[found - 100] == 0]
    assert len(np.unique(large)) == len(large) == 30


def test_members_come_equally_often_and_classes_within_them():
    member = np.repeat([0, 1], [10, 50])  # the first has ten rows of class 0 alone
    found = draw(60, member) - 100
    assert np.bincount(member[found]).tolist() == [30, 30]
    assert np.bincount(LABELS[found[member[found] == 1]]).tolist() == [10, 10, 10]


def test_an_epoch_depends_on_its_generator_alone():
    assert np.array_equal(draw(50, seed=3), draw(50, seed=3))
    assert not np.array_equal(draw(50, seed=3), draw(50, seed=4))
