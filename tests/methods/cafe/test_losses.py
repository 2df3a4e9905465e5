"""The losses of cafe against sums by hand and against pooling as the authors' code does it."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from fer_bench.methods.cafe import losses

CPU = torch.device("cpu")
LOG3 = math.log(3)


def test_group_maxima_by_hand():
    feature = torch.tensor(
        [[1.0, 2, -3, -1, 9], [0, -5, 4, 4, 9]]
    )  # two groups of two; the 9s belong to none
    assert losses.group_maxima(feature, 2).tolist() == [[2, -1], [0, 4]]


@pytest.mark.parametrize(("channels", "classes"), [(512, 7), (512, 8), (512, 6), (192, 7)])
def test_group_maxima_is_the_authors_pooling(channels, classes):
    feature = torch.randn(5, channels)
    size = channels // classes
    pooled = F.max_pool1d(feature[:, None], kernel_size=size, stride=size)[:, 0, :classes]
    torch.testing.assert_close(losses.group_maxima(feature, classes), pooled)


@pytest.mark.parametrize(
    ("channels", "classes", "size", "zeros"),
    [(512, 7, 73, 10), (512, 8, 64, 9), (512, 6, 85, 12), (192, 7, 27, 4), (8, 7, 1, 0)],
)
def test_the_same_number_of_channels_is_dropped_in_every_group(channels, classes, size, zeros):
    assert losses.group_size(channels, classes) == size
    kept = losses.draw_kept(channels, classes, CPU)
    assert set(kept.tolist()) <= {0.0, 1.0}
    assert (kept[: classes * size].view(classes, size) == 0).sum(dim=1).tolist() == [zeros] * classes
    assert kept[classes * size :].eq(1).all()


def test_draws_come_from_the_generator_and_are_uniform():
    torch.manual_seed(3)
    first, second = losses.draw_kept(512, 7, CPU), losses.draw_kept(512, 7, CPU)
    assert not torch.equal(first, second)
    torch.manual_seed(3)
    assert torch.equal(losses.draw_kept(512, 7, CPU), first)
    share = 1 - torch.stack([losses.draw_kept(14, 2, CPU, 2 / 7) for _ in range(3000)]).mean(dim=0)
    # 3000 draws with p = 2/7 have a standard deviation of 0.008.
    assert share.tolist() == pytest.approx([2 / 7] * 14, abs=0.05)


def test_separation_loss_by_hand():
    feature = torch.tensor([[LOG3, 5.0, 0.0, -1.0], [7.0, 7.0, 7.0, 7.0]])
    kept = torch.tensor([1.0, 0.0, 1.0, 1.0])
    # The 5 is dropped: maxima log 3 and 0, so that class 1 has probability 1/4.
    found = losses.separation_loss(feature, torch.tensor([1, -1]), 2, kept)
    assert found.item() == pytest.approx(math.log(4))


def test_dropped_channels_take_part_in_the_maximum_as_zeros():
    feature = torch.tensor([[-1.0, -2.0, -3.0, -4.0]])
    kept = torch.tensor([1.0, 0.0, 1.0, 1.0])
    found = losses.separation_loss(feature, torch.tensor([0]), 2, kept)
    assert found.item() == pytest.approx(math.log(1 + math.exp(-3)))  # maxima 0 and -3


def test_diversity_loss_by_hand():
    feature = torch.tensor([[1.0, 0, 2, 0, 50], [3, 0, 6, 5, 50]])
    assert losses.diversity_loss(feature, 2).item() == pytest.approx(1 - (1 + 2 + 3 + 6) / 4 / 2)
    assert losses.diversity_loss(feature, 2, "paper").item() == pytest.approx(1 - (3 + 9) / 2 / 2)


@pytest.mark.parametrize("classes", [6, 7, 8])
def test_both_normalisations_differ_by_the_number_of_classes(classes):
    feature = torch.randn(4, 512)
    code, paper = (losses.diversity_loss(feature, classes, way) for way in ("code", "paper"))
    torch.testing.assert_close(1 - paper, classes * (1 - code))


def test_gradients_reach_the_maximum_only():
    feature = torch.tensor([[1.0, 2.0, 4.0, 3.0]], requires_grad=True)
    losses.diversity_loss(feature, 2).backward()
    assert feature.grad.tolist() == [[0, -0.25, -0.25, 0]]
