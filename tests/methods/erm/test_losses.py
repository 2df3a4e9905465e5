"""The loss of erm against sums written out by hand and torch's own."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from fer_bench.methods.base import classification_loss
from fer_bench.methods.erm.losses import Mix, cross_entropy, draw_mix, targets

LABEL = torch.tensor([0, 2, -1])


def test_targets_by_hand():
    soft = torch.tensor([[0.0, 0.0, 0.0], [0.5, 0.0, 0.5], [1.0, 0.0, 0.0]])
    expected = [[0.8 + 0.2 / 3, 0.2 / 3, 0.2 / 3], [0.4 + 0.2 / 3, 0.2 / 3, 0.4 + 0.2 / 3], [0.0, 0.0, 0.0]]
    torch.testing.assert_close(targets(LABEL, 3, soft, 0.2), torch.tensor(expected))


def test_cross_entropy_by_hand():
    logits = torch.tensor([[1.0, 3.0], [1.0, 1.0], [7.0, 1.0]]).log()
    wanted = torch.tensor([[0.25, 0.75], [1.0, 0.0], [0.0, 0.0]])
    first = -(0.25 * math.log(1 / 4) + 0.75 * math.log(3 / 4))
    assert cross_entropy(logits, wanted).item() == pytest.approx((first + math.log(2)) / 2)
    assert cross_entropy(logits, torch.zeros(3, 2)).item() == 0


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_without_mixing_it_is_torchs_and_the_suites(smoothing):
    torch.manual_seed(0)
    logits, label = torch.randn(6, 4), torch.tensor([0, 1, -1, 3, 3, 2])
    found = cross_entropy(logits, targets(label, 4, smoothing=smoothing))
    torch.testing.assert_close(
        found, F.cross_entropy(logits, label, ignore_index=-1, label_smoothing=smoothing)
    )
    if not smoothing:
        torch.testing.assert_close(found, classification_loss(logits, label))


def test_a_mix_by_hand():
    mix = Mix(torch.tensor([1, 0]), torch.tensor([0.75, 1.0]))
    torch.testing.assert_close(
        mix.apply(torch.tensor([[[4.0]], [[8.0]]])), torch.tensor([[[0.75 * 4 + 0.25 * 8]], [[8.0]]])
    )
    wanted = mix.apply(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    torch.testing.assert_close(wanted, torch.tensor([[0.75, 0.25], [0.0, 1.0]]))


def test_rows_without_a_label_are_left_out_of_mixing():
    torch.manual_seed(1)
    label = torch.tensor([0, -1, 2, 1, -1, 2, 0, 1])
    mixed = 0
    for _ in range(20):
        mix = draw_mix(0.4, label)
        whole = (label < 0) | (label[mix.partner] < 0)
        assert (mix.share[whole] == 1).all()
        assert len(set(mix.share[~whole].tolist())) <= 1  # one share per batch
        assert sorted(mix.partner.tolist()) == list(range(8))
        assert ((mix.apply(targets(label, 3)) > 0).any(dim=1) == (label >= 0)).all()
        mixed += int((mix.share[~whole] < 1).any())
    assert mixed > 10


def test_shares_follow_the_beta_distribution():
    torch.manual_seed(2)
    shares = torch.stack([draw_mix(0.2, torch.zeros(2, dtype=torch.long)).share[0] for _ in range(2000)])
    assert shares.mean().item() == pytest.approx(0.5, abs=0.04)
    assert shares.var().item() == pytest.approx(1 / (4 * (2 * 0.2 + 1)), abs=0.02)
