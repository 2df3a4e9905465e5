"""The curve against hand computations and scikit-learn; thresholds keep their word in simulations."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import precision_recall_curve

from fer_bench.errors import UsageError
from fer_bench.evaluation.selective import (
    area,
    find_threshold,
    p_value_by_unit,
    risk_coverage,
    upper_bound,
)


def draw(rng, n, units=None):
    """Return top probabilities, whether answers are wrong, and units; of units, people differ."""
    count = n if units is None else units
    unit = np.arange(n) % count
    confidence = rng.beta(4, 1.5, n)
    odds = np.log((1 - confidence) / confidence)
    if units is not None:
        odds = odds + rng.normal(0, 0.8, count)[unit]
    return confidence, rng.random(n) < 1 / (1 + np.exp(-odds)), [f"u{i}" for i in unit]


def test_the_curve_of_four_rows_by_hand():
    curve = risk_coverage(np.array([0.9, 0.8, 0.8, 0.5]), np.array([0, 1, 0, 1], bool), list("abcd"))
    assert curve.coverage == pytest.approx([0.25, 0.75, 1.0])
    assert curve.risk == pytest.approx([0, 1 / 3, 0.5])
    # The error of the surest 1, 2, 3, 4 rows; of the two of equal probability half an error comes first.
    assert curve.aurc == pytest.approx((0 + 0.5 / 2 + 1 / 3 + 2 / 4) / 4)
    assert curve.ideal == pytest.approx((0 + 0 + 1 / 3 + 2 / 4) / 4)
    assert (curve.error, curve.aurc_interval) == (0.5, None)


def test_the_area_does_not_depend_on_the_order_of_rows():
    rng = np.random.default_rng(0)
    confidence, wrong, _ = draw(rng, 200)
    confidence = confidence.round(1)
    order = rng.permutation(200)
    assert area(confidence, wrong) == pytest.approx(area(confidence[order], wrong[order]))


def test_risk_is_one_minus_scikit_learns_precision():
    rng = np.random.default_rng(1)
    confidence, wrong, units = draw(rng, 300)
    curve = risk_coverage(confidence, wrong, units)
    precision, _, thresholds = precision_recall_curve(~wrong, confidence)
    found = dict(zip(thresholds, precision, strict=False))
    assert curve.risk == pytest.approx([1 - found[t] for t in curve.thresholds])


def test_the_interval_of_the_area_holds_the_true_area():
    rng = np.random.default_rng(2)
    truth = area(*draw(rng, 200_000)[:2])
    ends = [risk_coverage(*draw(rng, 300)).aurc_interval for _ in range(150)]
    assert 0.88 <= np.mean([end.low <= truth <= end.high for end in ends]) <= 0.995


def test_the_bound_is_clopper_and_pearsons():
    exact = stats.binomtest(7, 90).proportion_ci(0.9, method="exact")  # two-sided 90 % has 95 % on each side
    assert upper_bound(7, 90) == pytest.approx(exact.high)
    assert upper_bound(5, 5) == 1


@pytest.mark.parametrize(("n", "units", "wanted"), [(400, None, 0.15), (2000, 200, 0.2)])
def test_a_threshold_is_worse_than_it_says_less_often_than_it_says(n, units, wanted):
    rng = np.random.default_rng(4)
    many = draw(rng, 400_000, None if units is None else 40_000)
    found = [find_threshold(*draw(rng, n, units), wanted) for _ in range(100)]
    chosen = [one.probability for one in found if one.probability is not None]
    assert len(chosen) > 20  # it does find thresholds
    risks = {p: many[1][many[0] >= p].mean() for p in set(chosen)}
    assert np.mean([risks[p] > wanted for p in chosen]) <= 0.05
    assert all(one.error <= wanted for one in found if one.error is not None)


def test_bets_on_people_do_not_reject_a_true_hypothesis():
    """At the very edge: people whose rows are all right or all wrong, wrong as often as wanted."""
    rng = np.random.default_rng(5)
    code = np.repeat(np.arange(60), 5)
    ones, order = np.ones(300, bool), np.arange(60)
    found = [
        p_value_by_unit(ones, np.repeat(rng.random(60) < 0.2, 5), code, 0.2, 0.05, order) for _ in range(500)
    ]
    assert np.mean(np.array(found) <= 0.05) <= 0.06
    naive = stats.binom.cdf([5 * 60 * 0.2 * 0.8], 300, 0.2)  # rows taken for independent would reject
    assert naive < 0.05


def test_few_or_bad_answers_have_no_threshold_and_all_right_ones_the_loosest():
    sure = np.full(20, 0.9)
    none = find_threshold(sure, np.zeros(20, bool), [str(i) for i in range(20)], 0.05)
    assert none.probability is None
    assert "no threshold surely keeps" in none.statement
    many = [str(i) for i in range(400)]
    good = find_threshold(np.full(400, 0.9), np.zeros(400, bool), many, 0.05)
    assert (good.probability, good.coverage, good.error) == (0.0, 1.0, 0.0)
    assert good.bound == pytest.approx(1 - 0.05 ** (1 / 400))
    assert "with 95% confidence at most 5%" in good.statement


@pytest.mark.parametrize(("wanted", "level"), [(0.0, 0.95), (1.0, 0.95), (0.1, 95.0)])
def test_shares_are_between_0_and_1(wanted, level):
    with pytest.raises(UsageError, match="share between 0 and 1"):
        find_threshold(np.ones(3), np.zeros(3, bool), list("abc"), wanted, level)
