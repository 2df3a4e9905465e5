from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from fer_bench.evaluation.contributions import Contributions
from fer_bench.evaluation.estimates import average, difference_interval, estimate
from fer_bench.evaluation.intervals import FEW_UNITS, Value, needs_wilson, wilson_interval
from fer_bench.evaluation.statistics import Answers, Interval


def pictures(right, rows):
    """Return the contributions of single pictures: `right[c]` of `rows[c]` of each class."""
    k = len(rows)
    label = np.repeat(np.arange(k), rows)
    hit = np.concatenate([np.arange(n) < r for r, n in zip(right, rows, strict=True)])
    holds = label[:, None] == np.arange(k)
    weight = 1 / (k * np.array(rows))
    recall = np.array(right) / np.array(rows)
    units = np.arange(len(label)).astype(object)
    return Contributions(units, holds * hit[:, None] * weight, holds * recall * weight, holds, "")


def test_few_units_of_a_class_or_no_variation_need_wilson():
    assert needs_wilson(pictures([3, 8], [FEW_UNITS - 1, 20]))
    assert not needs_wilson(pictures([3, 8], [FEW_UNITS, 20]))
    assert needs_wilson(pictures([20, 20], [20, 20]))


def test_accuracy_needs_wilson_with_few_wrong_or_few_right_answers():
    assert needs_wilson(pictures([96], [100]))
    assert needs_wilson(pictures([4], [100]))
    assert not needs_wilson(pictures([95], [100]))
    assert needs_wilson(pictures([0], [100]))


def test_one_class_is_near_the_known_wilson_interval():
    for right, rows in ((180, 200), (100, 200), (199, 200)):
        known = binomtest(right, rows).proportion_ci(method="wilson")
        found = wilson_interval(pictures([right], [rows]))
        assert (found.low, found.high) == pytest.approx((known.low, known.high), abs=0.01)


def test_all_right_is_no_certainty():
    found = wilson_interval(pictures([3, 20], [3, 20]))
    assert found.high == pytest.approx(1)
    assert 0.3 < found.low < 0.95
    more = wilson_interval(pictures([30, 200], [30, 200]))
    assert more.low > found.low


def test_more_units_give_shorter_intervals_around_the_score():
    widths = []
    for n in (2, 4, 8, 16):
        found = wilson_interval(pictures([n // 2, 15], [n, 20]))
        assert found.low < (0.5 + 0.75) / 2 < found.high
        widths.append(found.high - found.low)
    assert widths == sorted(widths, reverse=True)


def value(centre, half, rng, *, resampled):
    draws = rng.normal(centre, half / 1.96, 4000)
    return Value(centre, Interval(centre - half, centre + half), draws, resampled)


def test_means_and_differences_agree_whichever_way_intervals_are_combined():
    rng = np.random.default_rng(0)
    one, other = (value(c, 0.1, rng, resampled=True) for c in (0.4, 0.6))
    wilson = [Value(v.value, v.interval, v.draws, False) for v in (one, other)]
    for first, second in ((average([one, other]), average(wilson)),):
        assert second.value == pytest.approx(0.5)
        assert (second.interval.low, second.interval.high) == pytest.approx(
            (first.interval.low, first.interval.high), abs=0.01
        )
    by_draws, combined = difference_interval(one, other), difference_interval(*wilson)
    assert (combined.low, combined.high) == pytest.approx((by_draws.low, by_draws.high), abs=0.015)


def test_dependent_parts_give_a_wider_mean_and_a_shorter_difference():
    rng = np.random.default_rng(0)
    one = value(0.5, 0.1, rng, resampled=False)
    same = average([one, one])
    assert (same.interval.low, same.interval.high) == pytest.approx((0.4, 0.6), abs=1e-6)
    none = difference_interval(one, one)
    assert (none.low, none.high) == pytest.approx((0, 0), abs=1e-6)


def at_chance(classes, rows=28):
    """Return answers right for one row in as many as there are classes, four rows of each of seven."""
    names = ("a", "b", "c", "d", "e", "f", "g")
    all_units = np.array([f"u{i:02d}" for i in range(rows)], object)
    label = np.arange(rows) % 7
    kept = label < classes
    truth, units = label[kept], all_units[kept]
    answer = np.random.default_rng(classes).permutation(truth)
    return Answers(truth, answer, units, units, all_units, rows, names, names[:classes])


def test_models_scored_on_other_numbers_of_classes_keep_their_mean_inside():
    given = at_chance(7), at_chance(3)
    found = estimate(given, "x").values
    mixed, uar = found["transfer"], found["uar"]
    assert not mixed.resampled
    assert mixed.interval.low < mixed.value < mixed.interval.high
    low, high = ((end - 1 / 7) / (6 / 7) for end in (uar.interval.low, uar.interval.high))
    assert not low < mixed.value < high  # what chance among seven alone would say
    apart = average([estimate([one], "x").values["transfer"] for one in given])
    assert apart.value == pytest.approx(mixed.value)
    assert apart.interval.low < apart.value < apart.interval.high
