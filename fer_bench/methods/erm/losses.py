"""The loss of erm: cross-entropy against hard, soft, smoothed or mixed labels."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from fer_bench.methods.shared_step import of_first_process, step_mean

__all__ = ["Mix", "cross_entropy", "draw_mix", "targets"]


class Mix(NamedTuple):
    """How the rows of a batch are mixed with each other.

    Attributes:
        partner: int64 [B], the row that each row is mixed with.
        share: float32 [B], how much of a row is itself, in [0, 1].
    """

    partner: Tensor
    share: Tensor

    def apply(self, values: Tensor) -> Tensor:
        """Return the mixed values [B, ...]."""
        share = self.share.view(-1, *[1] * (values.dim() - 1)).to(values.dtype)
        return share * values + (1 - share) * values[self.partner]


def draw_mix(alpha: float, label: Tensor) -> Mix:
    """Draw partners and one share per step, as Zhang et al. (arXiv:1710.09412, section 2) do.

    A row without a label, or whose partner has none, is not mixed. Where several processes share a step,
    partners are rows of the same process.

    Args:
        alpha: Parameter of the symmetric beta distribution, above 0.
        label: int64 [B], -1 = missing.
    """
    concentration = torch.full((), alpha, device=label.device)
    share = of_first_process(
        torch.distributions.Beta(concentration, concentration, validate_args=False).sample()
    )
    partner = torch.randperm(len(label), device=label.device)
    known = label >= 0
    return Mix(partner, torch.where(known & known[partner], share, 1.0))


def targets(label: Tensor, classes: int, soft_label: Tensor | None = None, smoothing: float = 0.0) -> Tensor:
    """Return what each row should be answered, float32 [B, C]; zero for rows without a label.

    Args:
        label: int64 [B], -1 = missing.
        classes: Number of classes C.
        soft_label: float [B, C], distributions that replace the label where they are not zero.
        smoothing: Share of each row that is spread evenly over all classes (Szegedy et al.,
            arXiv:1512.00567).
    """
    known = (label >= 0)[:, None]
    wanted = F.one_hot(label.clamp(min=0), classes).float()
    if soft_label is not None:
        wanted = torch.where((soft_label > 0).any(dim=1, keepdim=True), soft_label.float(), wanted)
    return torch.where(known, (1 - smoothing) * wanted + smoothing / classes, 0.0)


def cross_entropy(logits: Tensor, wanted: Tensor) -> Tensor:
    """Return the mean cross-entropy over the rows of the step that have a target; 0 without any.

    Args:
        logits: [B, C].
        wanted: float [B, C], see `targets`.
    """
    each = -(wanted * F.log_softmax(logits.float(), dim=1)).sum(dim=1)
    return step_mean(each, (wanted > 0).any(dim=1))
