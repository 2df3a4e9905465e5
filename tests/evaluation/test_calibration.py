from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import log_loss

from fer_bench.evaluation import calibration as cal


def sample(n=500, k=6, seed=0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, k)) * 2
    truth = np.array([rng.choice(k, p=row) for row in softmax(logits * 0.5, axis=1)])
    return logits, truth


def test_agrees_with_scikit_learn_and_torchmetrics():
    torch = pytest.importorskip("torch")
    from torchmetrics.functional.classification import multiclass_calibration_error

    logits, truth = sample()
    log_p = cal.log_probabilities(logits)
    p = np.exp(log_p)
    assert p == pytest.approx(softmax(logits, axis=1))
    assert cal.negative_log_likelihood(log_p, truth) == pytest.approx(log_loss(truth, p, labels=range(6)))
    assert cal.brier(p, truth) == pytest.approx(((p - np.eye(6)[truth]) ** 2).sum(1).mean())
    confidence, right = p.max(1), (p.argmax(1) == truth).astype(float)
    ours = cal.calibration_error(confidence, right, cal.equal_width(confidence))
    theirs = multiclass_calibration_error(torch.tensor(p), torch.tensor(truth), 6, n_bins=cal.BINS, norm="l1")
    assert ours == pytest.approx(float(theirs), abs=1e-6)


def test_classwise_error_is_the_mean_of_the_binary_errors():
    logits, truth = sample(k=4, seed=1)
    p = softmax(logits, axis=1)
    single = [
        cal.calibration_error(p[:, c], (truth == c).astype(float), cal.equal_width(p[:, c])) for c in range(4)
    ]
    assert cal.classwise_error(p, truth) == pytest.approx(np.mean(single))


def test_equal_mass_bins_hold_equal_numbers_whatever_the_order():
    confidence = np.random.default_rng(0).random(300)
    found = cal.equal_mass(confidence)
    assert (np.bincount(found) == 20).all()
    order = np.random.default_rng(1).permutation(300)
    assert (cal.equal_mass(confidence[order]) == found[order]).all()


def test_all_equal_logits_are_one_bin():
    truth = np.array([0, 1, 2, 0])
    p = np.exp(cal.log_probabilities(np.zeros((4, 3))))
    confidence, right = p[:, 0], (truth == 0).astype(float)
    for bins in (cal.equal_width(confidence), cal.equal_mass(confidence)):
        assert cal.calibration_error(confidence, right, bins) == pytest.approx(1 / 2 - 1 / 3)
    assert cal.reliability(confidence, right, cal.equal_width(confidence)) == [(4, pytest.approx(1 / 3), 0.5)]
    assert cal.negative_log_likelihood(np.log(p), truth) == pytest.approx(np.log(3))


def test_surely_wrong_is_the_worst_and_surely_right_is_perfect():
    logits = np.array([[800.0, -800.0], [800.0, -800.0]])
    log_p = cal.log_probabilities(logits)
    p = np.exp(log_p)
    wrong, right = np.array([1, 1]), np.array([0, 0])
    assert cal.brier(p, wrong) == 2
    assert cal.brier(p, right) == 0
    assert np.isfinite(cal.negative_log_likelihood(log_p, wrong))
    assert cal.calibration_error(p[:, 0], np.zeros(2), cal.equal_width(p[:, 0])) == 1


def test_the_curve_holds_every_row_once():
    logits, truth = sample()
    p = softmax(logits, axis=1)
    right = (p.argmax(1) == truth).astype(float)
    curve = cal.reliability(p.max(1), right, cal.equal_width(p.max(1)))
    assert sum(n for n, _, _ in curve) == 500
    assert sum(n * hits for n, _, hits in curve) == pytest.approx(right.sum())
