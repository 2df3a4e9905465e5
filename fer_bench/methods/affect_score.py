"""The ABAW sum of the validation rows of an epoch, counted over batches and processes."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric

from fer_bench.emotions import ACTION_UNITS


class AffectScore(Metric):
    """Mean CCC of valence and arousal plus mean F1 of the action units, over the rows that have them.

    CCC has population moments and F1 is of the positive class at a probability of 0.5, as in the challenge
    (ABAW4, multi-task learning). Sums alone are kept, so that processes agree on what single ones would say.
    An undefined part (a constant, or a unit that no row shows and no answer names) counts as 0.
    """

    full_state_update = False
    moments: Tensor
    hits: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("moments", torch.zeros(2, 6, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("hits", torch.zeros(len(ACTION_UNITS), 2, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, va: Tensor, au: Tensor, true_va: Tensor, true_au: Tensor) -> None:
        """Count a batch.

        Args:
            va: Predicted valence and arousal [B, 2].
            au: Logits of the units [B, 12].
            true_va: [B, 2], NaN = missing; a row counts where both are known.
            true_au: [B, 12], 0 or 1, -1 = missing.
        """
        known = torch.isfinite(true_va).all(dim=1, keepdim=True)
        p = torch.where(known, va, 0.0).double()
        t = torch.where(known, true_va, 0.0).double()
        parts = (known.double().expand_as(p), p, t, p * p, t * t, p * t)
        self.moments += torch.stack(parts, dim=-1).sum(dim=0)
        said, there = (au > 0) & (true_au >= 0), true_au == 1
        self.hits += torch.stack([(said & there).sum(dim=0), said.sum(dim=0) + there.sum(dim=0)], dim=-1)

    def compute(self) -> Tensor:
        """Return the two parts' sum, in [-1, 2]."""
        n = self.moments[:, 0].clamp(min=1)
        p, t, pp, tt, pt = (self.moments[:, i] / n for i in range(1, 6))
        below = (pp - p * p) + (tt - t * t) + (p - t) ** 2
        ccc = torch.where(below > 0, 2 * (pt - p * t) / below.clamp(min=torch.finfo(below.dtype).tiny), 0.0)
        f1 = 2 * self.hits[:, 0].double() / self.hits[:, 1].clamp(min=1)
        return ccc.mean() + f1.mean()
