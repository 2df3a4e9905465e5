from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr
from sklearn.metrics import average_precision_score, f1_score

from fer_bench.evaluation import affect

rng = np.random.default_rng(0)
TRUE = rng.uniform(-1, 1, 200)
PREDICTED = 0.5 * TRUE + rng.normal(0, 0.3, 200) + 0.1


def test_correlations_agree_with_scipy_and_torchmetrics():
    from torchmetrics.functional import concordance_corrcoef

    r = pearsonr(PREDICTED, TRUE).statistic
    assert affect.pearson(PREDICTED, TRUE) == pytest.approx(r)
    by_parts = 2 * r * PREDICTED.std() * TRUE.std()
    by_parts /= PREDICTED.var() + TRUE.var() + (PREDICTED.mean() - TRUE.mean()) ** 2
    assert affect.concordance(PREDICTED, TRUE) == pytest.approx(by_parts)
    theirs = float(concordance_corrcoef(torch.tensor(PREDICTED), torch.tensor(TRUE)))
    assert affect.concordance(PREDICTED, TRUE) == pytest.approx(theirs, abs=0.01)  # sample moments there


def test_undefined_correlations_are_none_and_a_constant_answer_has_concordance_zero():
    flat = np.full(5, 0.3)
    assert affect.concordance(flat, flat) is None
    assert affect.pearson(flat, TRUE[:5]) is None
    assert affect.concordance(flat, TRUE[:5]) == pytest.approx(0)
    assert affect.concordance(TRUE, TRUE) == pytest.approx(1)
    assert affect.concordance(-TRUE, TRUE - TRUE.mean() * 2) < 0


def test_errors_and_signs_by_hand():
    assert affect.rmse(np.array([0.0, 1.0]), np.array([0.0, 0.0])) == pytest.approx(np.sqrt(0.5))
    given, true = np.array([0.2, -0.1, 0.3, 0.0]), np.array([0.9, 0.1, 0.0, 0.0])
    assert affect.sign_agreement(given, true) == 0.5


def test_action_units_agree_with_scikit_learn():
    true = rng.random(200) < 0.3
    scores = rng.normal(size=200) + true
    assert affect.binary_f1(scores > 0, true) == pytest.approx(f1_score(true, scores > 0))
    assert affect.average_precision(scores, true) == pytest.approx(average_precision_score(true, scores))


def test_a_unit_that_nobody_shows_has_no_score_but_false_alarms_count():
    nobody = np.zeros(4, bool)
    assert affect.binary_f1(nobody, nobody) is None
    assert affect.binary_f1(~nobody, nobody) == 0
    assert affect.average_precision(np.zeros(4), nobody) is None
    assert affect.mean_of([None, 0.5, None]) == 0.5
    assert affect.mean_of([None]) is None


def test_the_mean_over_action_units_is_that_of_scikit_learn_and_torchmetrics():
    from torchmetrics.functional.classification import multilabel_f1_score

    true, scores = rng.random((50, 5)) < 0.3, rng.normal(size=(50, 5))
    true[:, 1], scores[:, 1] = False, -1.0  # neither shown nor answered
    true[:, 2] = False  # answered and never shown
    mine = affect.mean_or_zeros([affect.binary_f1(s > 0, t) for s, t in zip(scores.T, true.T, strict=True)])
    assert mine == pytest.approx(f1_score(true, scores > 0, average="macro", zero_division=0))
    theirs = multilabel_f1_score(torch.tensor(scores > 0).int(), torch.tensor(true).int(), num_labels=5)
    assert mine == pytest.approx(float(theirs))


def test_the_sum_of_the_challenge_has_fixed_divisors():
    f1, units = [0.5, None, *[0.0] * 6], [1.0, None, *[0.25] * 10]
    assert affect.abaw_sum([0.4, 0.2], f1, units) == pytest.approx(0.3 + 0.5 / 8 + 3.5 / 12)
    assert affect.abaw_sum([None, 0.2], [1.0] * 8, [1.0] * 12) == pytest.approx(2.1)
