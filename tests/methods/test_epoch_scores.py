"""Scores counted over batches, against scikit-learn and the scores computed from stored predictions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, f1_score

from fer_bench.evaluation.affect import abaw_sum, binary_f1, concordance
from fer_bench.methods.epoch_scores import AffectScore, EpochScores, abaw_f1, uar_of_confusion


def rows(seed: int, count: int = 90):
    rng = np.random.default_rng(seed)
    va = rng.uniform(-1, 1, (count, 2)).astype(np.float32)
    truth = np.clip(0.5 * va + rng.normal(0, 0.3, va.shape), -1, 1).astype(np.float32)
    truth[rng.random(count) < 0.3] = np.nan
    truth[rng.random(count) < 0.1, 0] = np.nan
    logits = rng.normal(0, 1, (count, 12)).astype(np.float32)
    units = rng.integers(-1, 2, (count, 12))
    return va, logits, truth, units


def expected(va, logits, truth, units):
    known = np.isfinite(truth).all(axis=1)
    ccc = [concordance(va[known, i].astype(float), truth[known, i].astype(float)) for i in range(2)]
    f1 = [binary_f1(logits[units[:, i] >= 0, i] > 0, units[units[:, i] >= 0, i] == 1) for i in range(12)]
    return abaw_sum(ccc, [0.0] * 8, f1)


@pytest.mark.parametrize("seed", range(3))
def test_batches_add_up_to_the_stored_scores(seed):
    data = rows(seed)
    metric = AffectScore()
    for part in np.array_split(np.arange(90), 7):
        metric.update(*(torch.from_numpy(values[part]) for values in data))
    assert float(metric.compute()) == pytest.approx(expected(*data), abs=1e-6)


def test_what_is_undefined_counts_as_nothing():
    va, logits, truth, units = (torch.from_numpy(values) for values in rows(0))
    metric = AffectScore()
    metric.update(va, logits, torch.full_like(truth, torch.nan), torch.full_like(units, -1))
    assert float(metric.compute()) == 0
    metric.reset()
    metric.update(torch.zeros_like(va), -logits.abs(), torch.zeros_like(truth), torch.zeros_like(units))
    assert float(metric.compute()) == 0


@pytest.mark.parametrize("answered", [8, 7, 6])
def test_the_expressions_of_the_abaw_sum_are_always_divided_by_eight(answered):
    rng = np.random.default_rng(1)
    true, answer = rng.integers(0, 6, 60), rng.integers(0, answered, 60)
    scores = EpochScores(8, with_affect=True)
    scores.start(1, torch.device("cpu"))
    for part in np.array_split(np.arange(60), 4):
        scores.update(0, torch.eye(8)[torch.from_numpy(answer[part])], torch.from_numpy(true[part]))
    wanted = f1_score(true, answer, labels=range(8), average="macro", zero_division=0)
    assert float(scores.compute()["abaw"]) == pytest.approx(wanted)
    assert float(abaw_f1(torch.zeros(8, 8))) == 0


@pytest.mark.parametrize("absent", [(), (0,), (1, 2)])
@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_uar_is_scikit_learns_balanced_accuracy(absent):
    generator = torch.Generator().manual_seed(1)
    true, predicted = torch.randint(0, 4, (2, 300), generator=generator)
    for label in absent:  # never true, still predicted
        true[true == label] = 3
    counts = torch.zeros(4, 4).index_put((true, predicted), torch.tensor(1.0), accumulate=True)
    assert uar_of_confusion(counts).item() == pytest.approx(balanced_accuracy_score(true, predicted))


def test_uar_without_labelled_rows_is_zero():
    assert uar_of_confusion(torch.zeros(3, 3)).item() == 0


def test_loaders_are_kept_apart_and_an_epoch_forgets_the_last():
    label = torch.tensor([0, 1, 0, 1])
    right, wrong = torch.eye(2)[label], torch.eye(2)[1 - label]
    scores = EpochScores(2, with_affect=False)
    for _ in range(2):
        scores.start(2, torch.device("cpu"))
        scores.update(0, right, label)
        scores.update(1, wrong[:1], label[:1])
        assert {name: float(value) for name, value in scores.compute().items()} == {
            "uar": 0.5,
            "accuracy": 0.8,
        }
    scores.start(1, torch.device("cpu"))
    scores.update(0, right, label)
    assert float(scores.compute()["uar"]) == 1
    assert not scores.state_dict()
