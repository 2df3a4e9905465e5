"""The losses, weights and thresholds of ssmfar, each against a hand computation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional as F

from fer_bench.methods.ssmfar import losses
from tests.methods.ssmfar.small import NAN

LOG2, LOG3, LOG4 = math.log(2), math.log(3), math.log(4)


def test_class_weights_are_the_authors_list():
    counts = (23_976, 4_555, 3_168, 3_122, 18_135, 7_609, 5_228, 24_852)
    expected = [3.7807, 19.9001, 28.6127, 29.0343, 4.9983, 11.9129, 17.3384, 3.6474]
    assert losses.class_weights(counts).tolist() == pytest.approx(expected, abs=5e-5)
    labels = np.repeat(np.arange(8), counts)
    balanced = compute_class_weight("balanced", classes=np.arange(8), y=labels)  # N / (8 n_k)
    assert losses.class_weights(counts).tolist() == pytest.approx((8 * balanced).tolist())
    assert losses.class_weights((3, 0, 1)).tolist() == pytest.approx([4 / 3, 0, 4])


def test_weights_of_action_units_are_the_authors_list():
    positive = (18_713, 8_745, 20_342, 30_605, 41_337, 38_286, 26_783, 2_460, 2_980, 5_003, 70_584, 10_756)
    expected = [2.7605, 5.9071, 2.5395, 1.6879, 1.2497, 1.3493, 1.9288, 20.9992, 17.3349, 10.3254, 0.7319]
    found = losses.au_weights(tuple((103_316 - p, p) for p in positive)).tolist()
    assert found == pytest.approx([*expected, 4.8027], abs=5e-5)
    assert losses.au_weights(((5, 0),)).tolist() == [1]


def test_labelled_loss_by_hand():
    logits = torch.tensor([[0.0, LOG3], [5.0, 1.0], [0.0, 0.0]])
    label = torch.tensor([1, -1, 0])
    # Mean over two rows, not over the weights 4 and 10.
    expected = (10 * math.log(4 / 3) + 4 * LOG2) / 2
    assert losses.labelled_loss(logits, label, torch.tensor([4.0, 10.0])).item() == pytest.approx(expected)
    assert losses.labelled_loss(logits, torch.full((3,), -1), torch.ones(2)).item() == 0


def test_pseudo_labels_are_believed_from_the_threshold_of_their_class_on():
    logits = torch.tensor([[LOG4, 0.0], [0.0, LOG4], [LOG4, 0.0], [0.0, 0.0]])  # 0.8, 0.8, 0.8, 0.5
    unlabelled = torch.tensor([True, True, False, True])
    answer, believed = losses.pseudo_labels(logits, torch.tensor([0.79, 0.81]), unlabelled)
    assert answer[:3].tolist() == [0, 1, 0]
    assert believed.tolist() == [True, False, False, False]


def test_unlabelled_loss_by_hand():
    strong = torch.tensor([[0.0, LOG3], [0.0, 0.0], [3.0, 0.0]])
    unlabelled, believed = torch.tensor([True, True, False]), torch.tensor([True, False, False])
    found = losses.unlabelled_loss(
        strong, torch.tensor([1, 0, 0]), believed, unlabelled, torch.tensor([2.0, 6.0])
    )
    assert found.item() == pytest.approx(6 * math.log(4 / 3) / 2)  # over both unlabelled rows


def test_consistency_loss_by_hand():
    weak, strong = torch.tensor([[LOG3, 0.0], [9.0, 0.0]]), torch.tensor([[0.0, LOG3], [0.0, 9.0]])
    # p = (3/4, 1/4), q = (1/4, 3/4): KL each way is 3/4 log2 3 - 1/4 log2 3 = log2(3) / 2.
    found = losses.consistency_loss(weak, strong, torch.tensor([True, False]))
    assert found.item() == pytest.approx(math.log2(3))
    p, q = weak.softmax(1), strong.softmax(1)
    torch_way = (F.kl_div(q.log(), p, reduction="none") + F.kl_div(p.log(), q, reduction="none")).sum(
        1
    ) / LOG2
    both = losses.consistency_loss(weak, strong, torch.tensor([True, True]))
    torch.testing.assert_close(both, torch_way.mean())
    assert losses.consistency_loss(weak, strong, torch.zeros(2, dtype=torch.bool)).item() == 0


def test_consistency_reaches_both_views_and_pseudo_labels_none():
    weak, strong = torch.randn(4, 3, requires_grad=True), torch.randn(4, 3, requires_grad=True)
    losses.consistency_loss(weak, strong, torch.ones(4, dtype=torch.bool)).backward()
    assert weak.grad.abs().sum() > 0
    assert strong.grad.abs().sum() > 0
    assert not losses.pseudo_labels(weak, torch.zeros(3), torch.ones(4, dtype=torch.bool))[0].requires_grad


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ("unlabelled_nonconfident", [False, False, True, False, True]),
        ("all", [True] * 5),
        # Of the unlabelled rows 1, 2, 4 the first is believed; these flags fall on 0, 1, 2; 3, 4 count.
        ("repo", [False, True, True, True, True]),
    ],
)
def test_consistency_rows(scope, expected):
    unlabelled = torch.tensor([False, True, True, False, True])
    believed = torch.tensor([False, True, False, False, False])
    assert losses.consistency_rows(unlabelled, believed, scope).tolist() == expected


def test_expression_loss_by_hand():
    parts = [torch.tensor(v) for v in (2.0, 4.0, 8.0)]
    assert losses.expression_loss(*parts, torch.tensor([False, True])).item() == 0.5 * (2 + 4) + 0.5 * 8
    assert losses.expression_loss(*parts, torch.tensor([False, False])).item() == 2


def test_action_unit_loss_by_hand():
    logits = torch.zeros(2, 12)
    logits[0, 0] = LOG3
    truth = torch.full((2, 12), -1)
    truth[0, 0], truth[0, 1], truth[1, 0] = 1, 0, 0
    positive = torch.full((12,), 5.0)
    expected = (5 * math.log(4 / 3) + LOG2 + LOG2) / 3
    assert losses.action_unit_loss(logits, truth, positive).item() == pytest.approx(expected)
    assert losses.action_unit_loss(logits, torch.full((2, 12), -1), positive).item() == 0


def test_affect_loss_by_hand():
    predicted = torch.tensor([[1.0, 0.0], [3.0, 0.5], [7.0, 7.0], [5.0, 1.0]])
    truth = torch.tensor([[1.0, 0.0], [2.0, 0.5], [NAN, 0.3], [3.0, 1.0]])
    # Valence 1, 3, 5 of 1, 2, 3: sample variances 4 and 1, covariance 2, means 3 and 2. Arousal is perfect.
    ccc = 2 * 2 / (4 + 1 + 1)
    assert losses.affect_loss(predicted, truth).item() == pytest.approx((1 - ccc) / 2, abs=1e-6)


@pytest.mark.parametrize("known", [0, 1])
def test_affect_loss_of_fewer_than_two_rows_is_zero_with_a_finite_gradient(known):
    predicted = torch.randn(4, 2, requires_grad=True)
    truth = torch.full((4, 2), NAN)
    truth[:known] = 0.5
    loss = losses.affect_loss(predicted, truth)
    loss.backward()
    assert loss.item() == 0
    assert predicted.grad.abs().sum() == 0


@pytest.mark.parametrize("epoch", [1, 2, 3, 4, 50])
def test_thresholds_by_hand(epoch):
    factor = {1: 0.709, 2: 0.854, 3: 0.924, 4: 0.953, 50: 0.97}[epoch]
    found = losses.adaptive_thresholds(torch.tensor([3.0, 1.9, 0.0]), torch.tensor([3.0, 2.0, 0.0]), epoch)
    expected = [max(0.8, factor), max(0.8, factor * 0.95), 0.8]
    assert found.tolist() == pytest.approx(expected, abs=1e-3)
