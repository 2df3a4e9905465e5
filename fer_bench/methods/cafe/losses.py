"""The losses of CAFE, as in the authors' code (ours_CAFE.py), for any number of classes and channels."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from fer_bench.methods.base import classification_loss

Normalisation = Literal["code", "paper"]
DROPPED = 10 / 73
"""Share of a group's channels that the separation loss sets to zero (authors' code: 10 of 73)."""


def group_size(channels: int, classes: int) -> int:
    """Return how many channels represent each class; the remainder at the end represents none."""
    return channels // classes


def group_maxima(feature: Tensor, classes: int) -> Tensor:
    """Return the maximum of each class's group of neighbouring channels [B, C].

    Args:
        feature: [B, D], D at least C.
        classes: Number of classes C; group g belongs to class g.
    """
    size = group_size(feature.shape[1], classes)
    return feature[:, : classes * size].reshape(len(feature), classes, size).max(dim=2).values


def draw_kept(channels: int, classes: int, device: torch.device, dropped: float = DROPPED) -> Tensor:
    """Return which channels a batch keeps, the same for all its rows: float [D] of zeros and ones.

    In each group round(dropped x size) channels are zero, chosen uniformly. Channels outside the groups are
    kept. Drawing uses torch's generator of the device and does not wait for it.

    Args:
        channels: D.
        classes: C.
        device: Where to draw.
        dropped: Share of a group.
    """
    size = group_size(channels, classes)
    order = torch.rand(classes, size, device=device).argsort(dim=1)
    kept = torch.ones(channels, device=device)
    groups = kept[: classes * size].view(classes, size)
    groups.scatter_(1, order[:, : round(dropped * size)], 0.0)
    return kept


def separation_loss(
    feature: Tensor, label: Tensor, classes: int, kept: Tensor, soft_label: Tensor | None = None
) -> Tensor:
    """Return the cross-entropy of the group maxima after channels were dropped (l_sep).

    A dropped channel is 0 and still takes part in the maximum.

    Args:
        feature: Masked features [B, D].
        label: int64 [B], -1 = missing.
        classes: C.
        kept: [D], see `draw_kept`.
        soft_label: [B, C], distributions over the classes, see `classification_loss`.
    """
    return classification_loss(group_maxima(feature * kept, classes), label, soft_label)


def diversity_loss(feature: Tensor, classes: int, normalisation: Normalisation = "code") -> Tensor:
    """Return 1 minus the normalised group maxima (l_div), which rewards a high channel in every group.

    Args:
        feature: Masked features [B, D], no channel dropped.
        classes: C.
        normalisation: `code`: the mean over rows and groups, divided by the size of a group. `paper`: the sum
            over groups, divided by that size, which is C times as large.
    """
    maxima = group_maxima(feature, classes)
    mean = maxima.mean() if normalisation == "code" else maxima.sum(dim=1).mean()
    return 1 - mean / group_size(feature.shape[1], classes)
