"""Calibration against a hand computation, scipy, and logits whose miscalibration is known."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import log_softmax, logit

from fer_bench.errors import DataError
from fer_bench.evaluation.recalibration import (
    cross_fit,
    fit,
    mean_of_rows,
    recalibrate,
    shares_by_em,
    shares_of_labels,
    unit_folds,
)

CLASSES = ("happiness", "anger", "fear")
SOURCE = np.array([0.5, 0.3, 0.2])


def simulated(n, seed=0, *, sharpness=1.0, target=SOURCE, spread=1.5):
    """Return logits of the exact posterior under the source's shares, made too sharp, and true classes.

    Class c has a feature that is normal about the c-th unit vector, so that the posterior is known.
    """
    rng = np.random.default_rng(seed)
    truth = rng.choice(len(target), n, p=target)
    feature = np.eye(len(target))[truth] + rng.normal(0, 1 / spread, (n, len(target)))
    return sharpness * (feature * spread**2 + np.log(SOURCE)), truth.astype(np.int64)


def test_the_temperature_of_two_answers_is_computed_by_hand():
    """Rows whose logits differ by 4 and that are right three times in four: softmax must answer 3/4."""
    logits = np.array([[4.0, 0.0]] * 40)
    truth = np.array([0] * 30 + [1] * 10)
    assert fit(logits, truth).temperature == pytest.approx(4 / logit(0.75), rel=1e-3)


def test_em_solves_two_classes_as_by_hand():
    """Half the rows surely of one class, half of the other: shares are a half whatever training had."""
    log_p = np.log(np.array([[1 - 1e-12, 1e-12]] * 10 + [[1e-12, 1 - 1e-12]] * 10))
    assert shares_by_em(log_p, np.array([0.9, 0.1])) == pytest.approx([0.5, 0.5], abs=1e-6)


def test_em_is_the_maximum_of_the_likelihood():
    logits, _ = simulated(400, target=np.array([0.2, 0.2, 0.6]))
    log_p = log_softmax(logits, axis=1)
    found = shares_by_em(log_p, SOURCE)

    def likelihood(shares):
        return np.log((np.exp(log_p) * shares / SOURCE).sum(1)).mean()

    rng = np.random.default_rng(1)
    best = likelihood(found)
    for _ in range(200):
        other = np.abs(found + rng.normal(0, 0.02, 3))
        assert likelihood(other / other.sum()) <= best + 1e-9


def test_labels_are_counted_once_more_than_they_come():
    assert shares_of_labels(np.array([0, 0, 0]), 3) == pytest.approx([4 / 6, 1 / 6, 1 / 6])


@pytest.mark.parametrize("sharpness", [3.0, 0.4])
def test_a_known_sharpness_is_found_and_cures_the_calibration_error(make, sharpness):
    logits, truth = simulated(4000, sharpness=sharpness)
    assert fit(logits, truth).temperature == pytest.approx(sharpness, rel=0.08)
    found = recalibrate(predictions(make, logits, truth), CLASSES)
    ece, nll = found.metrics["ece"], found.metrics["nll"]
    assert ece.before.value > 0.08
    assert ece.after.value < 0.025
    assert nll.difference.interval.high < 0
    assert found.metrics["uar"].difference.value == 0  # one temperature changes no answer


@pytest.mark.parametrize("rule", ["em", "labels"])
def test_other_shares_are_found_and_raise_accuracy(make, rule):
    target = np.array([0.05, 0.15, 0.8])
    logits, truth = simulated(4000, sharpness=2.0, target=target)
    found = recalibrate(
        predictions(make, logits, truth), CLASSES, rule=rule, source=dict(zip(CLASSES, SOURCE, strict=True))
    )
    assert list(found.target.values()) == pytest.approx(target, abs=0.03)
    assert found.calibrator.temperature == pytest.approx(2.0, rel=0.1)
    assert found.metrics["accuracy"].difference.interval.low > 0
    alone = recalibrate(predictions(make, logits, truth), CLASSES)
    assert found.metrics["nll"].after.value < alone.metrics["nll"].after.value


def test_after_is_of_rows_that_were_not_fitted_on(make):
    logits, truth = simulated(60)
    units = [f"u{i // 3}" for i in range(60)]
    fold = unit_folds(units, truth)
    log_p, fitted = cross_fit(logits, truth, fold)
    for one, calibrator in enumerate(fitted):
        here = fold == one
        again = fit(logits[~here], truth[~here])
        assert again == calibrator
        assert log_p[here] == pytest.approx(again.log_probabilities(logits[here]))
    labels = [CLASSES[i] for i in truth]
    found = recalibrate(make(CLASSES, labels, logits.astype(np.float32), units, target="folder"), CLASSES)
    assert found.probabilities == pytest.approx(np.exp(log_p), abs=1e-4)


@pytest.mark.parametrize(("people", "known"), [(9, False), (10, True)])
def test_nothing_has_an_interval_with_fewer_than_ten_units(make, people, known):
    logits, truth = simulated(120)
    units = [f"u{i % people}" for i in range(120)]
    found = recalibrate(
        make(CLASSES, [CLASSES[i] for i in truth], logits.astype(np.float32), units, target="folder"), CLASSES
    )
    assert found.metrics["uar"].difference.value == 0
    for name, each in found.metrics.items():
        assert (each.difference.interval is not None) == known, name
        assert (each.after.interval is not None) == known, name


def test_labels_without_meaning_teach_nothing(make):
    """Cross-fitted, a calibration of noise cannot look better than equal probabilities."""
    rng = np.random.default_rng(3)
    logits, truth = rng.normal(0, 3, (300, 3)), rng.integers(0, 3, 300)
    found = recalibrate(predictions(make, logits, truth), CLASSES, rule="labels")
    assert found.metrics["nll"].after.value > np.log(3) - 0.02


def test_units_are_in_one_fold_whole_and_folds_have_all_classes():
    units = [f"u{i % 40}" for i in range(400)]
    truth = np.array([i % 40 % 4 for i in range(400)])
    fold = unit_folds(units, truth)
    assert all(len(set(fold[np.array(units) == unit])) == 1 for unit in set(units))
    assert [sorted(set(truth[fold == one])) for one in range(5)] == [[0, 1, 2, 3]] * 5
    shuffled = np.random.default_rng(0).permutation(400)
    again = unit_folds(np.array(units)[shuffled].tolist(), truth[shuffled])
    assert (again == fold[shuffled]).all()
    with pytest.raises(DataError, match="at least two units"):
        unit_folds(["a", "a"], np.array([0, 1]))


def test_classes_that_are_not_scored_keep_their_odds_against_the_others(make):
    logits, truth = simulated(500)
    found = recalibrate(
        predictions(make, logits, truth),
        ("anger", "happiness"),
        rule="labels",
        source=dict(zip(CLASSES, SOURCE, strict=True)),
    )
    assert found.classes == ("happiness", "anger")
    assert found.calibrator.offsets[2] == 0
    before = np.array([found.source["happiness"], found.source["anger"]])
    assert (before * np.exp(found.calibrator.offsets[:2])).sum() == pytest.approx(1)


def test_the_mean_of_pictures_has_students_interval():
    values = np.random.default_rng(0).exponential(1, 50)
    found = mean_of_rows(values, np.array([f"s{i}" for i in range(50)], object))
    low, high = stats.t.interval(0.95, 49, values.mean(), stats.sem(values))
    assert (found.interval.low, found.interval.high) == pytest.approx((low, high), rel=0.01)


def test_the_mean_over_people_counts_people():
    rng = np.random.default_rng(0)
    held = []
    for _ in range(300):
        values = np.repeat(rng.normal(0, 1, 20), 10) + rng.normal(0, 0.3, 200)
        found = mean_of_rows(values, np.array([f"p{i // 10}" for i in range(200)], object))
        held.append(found.interval.low <= 0 <= found.interval.high)
    assert 0.91 <= np.mean(held) <= 0.985


def test_no_row_to_calibrate_on_is_an_error(make):
    logits, truth = simulated(20)
    with pytest.raises(DataError, match="nothing to calibrate on"):
        recalibrate(predictions(make, logits, truth), ("sadness",))


def predictions(make, logits, truth):
    return make(CLASSES, [CLASSES[i] for i in truth], logits, target="folder")
