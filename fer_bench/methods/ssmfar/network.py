"""The network of SS-MFAR: a residual backbone, a unit-length feature and one small head per task."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fer_bench.emotions import ACTION_UNITS
from fer_bench.methods.backbones import Backbone, build_backbone

HIDDEN = 16
"""Hidden units of every head (authors' code)."""


class Outputs(NamedTuple):
    """What the network returns.

    Attributes:
        expression: Logits [B, C].
        va: Valence and arousal [B, 2], not limited to [-1, 1]; None without that head.
        au: Logits [B, 12]; None without that head.
    """

    expression: Tensor
    va: Tensor | None
    au: Tensor | None


class SSMFARNetwork(nn.Module):
    """SS-MFAR as in the authors' code (models/backbone.py).

    With ResNet-18, 8 classes and all heads: 11,176,512 + 115,286 parameters.

    Args:
        classes: Number of classes C.
        backbone: Which residual network.
        dropout: Dropout on the pooled feature.
        scale: Length of the feature that the heads read.
        with_va: Whether there is a head for valence and arousal.
        with_au: Whether there are heads for the action units.
    """

    def __init__(
        self,
        classes: int,
        *,
        backbone: Backbone,
        dropout: float = 0.5,
        scale: float = 1.0,
        with_va: bool,
        with_au: bool,
    ) -> None:
        super().__init__()
        self.backbone, width = build_backbone(backbone)
        self.dropout, self.scale = nn.Dropout(dropout), scale
        self.expression = _head(width, classes)
        self.va = _head(width, 2) if with_va else None
        self.au = ActionUnitHeads(width) if with_au else None

    def forward(self, image: Tensor) -> Outputs:
        """Return the outputs of normalised images [B, 3, H, W]."""
        feature = self.scale * F.normalize(self.dropout(self.backbone(image)).float(), dim=1)
        return Outputs(
            self.expression(feature),
            self.va(feature) if self.va is not None else None,
            self.au(feature) if self.au is not None else None,
        )


class ActionUnitHeads(nn.Module):
    """Twelve branches of 16 hidden units; each logit is the product of a branch and a row of one matrix.

    The branches are one linear layer of 12 x 16 units, which computes them in one multiplication.

    Args:
        width: Size D of the feature.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        units = len(ACTION_UNITS)
        self.branches = nn.Linear(width, units * HIDDEN)
        self.weight = nn.Parameter(torch.empty(units, HIDDEN))
        self.bias = nn.Parameter(torch.empty(units))
        bound = 1 / math.sqrt(HIDDEN)  # as torch initialises a linear layer of 16 inputs
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, feature: Tensor) -> Tensor:
        """Return logits [B, 12] of features [B, D]."""
        hidden: Tensor = torch.relu(self.branches(feature)).view(-1, *self.weight.shape)
        return (hidden * self.weight).sum(dim=2) + self.bias


def _head(width: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, outputs))
