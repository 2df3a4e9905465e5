"""The loss of resemotenet."""

from __future__ import annotations

import math

import pytest
import torch

from fer_bench.methods.resemotenet.losses import classification_loss


def test_loss_by_hand():
    logits = torch.tensor([[0.0, math.log(3.0)], [9.0, 9.0], [0.0, 0.0]])
    loss = classification_loss(logits, torch.tensor([1, -1, 0]))
    assert loss.item() == pytest.approx((math.log(4 / 3) + math.log(2)) / 2)
    assert classification_loss(logits, torch.full((3,), -1)).item() == 0
