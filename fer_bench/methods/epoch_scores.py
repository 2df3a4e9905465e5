"""Scores of the validation or test rows of an epoch, counted over batches and processes."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.classification import MulticlassConfusionMatrix

from fer_bench.emotions import ACTION_UNITS


class EpochScores(nn.Module):
    """UAR and accuracy and, where wanted, the sum by which the ABAW challenge ranks.

    Args:
        classes: Number of classes C.
        with_affect: Whether the sum is wanted.
    """

    def __init__(self, classes: int, *, with_affect: bool) -> None:
        super().__init__()
        self.classes = classes
        self.confusions = nn.ModuleList([self._confusion()])
        self.affect = AffectScore() if with_affect else None

    def start(self, loaders: int, device: torch.device) -> None:
        """Forget the last epoch.

        Args:
            loaders: Loaders to come; a union of datasets has one per member, and their rows are kept apart.
            device: Where the rows will be.
        """
        with torch.inference_mode(False):  # else `Trainer.validate` leaves counts that `fit` may not change
            missing = range(len(self.confusions), loaders)
            self.confusions = self.confusions[:loaders].extend(self._confusion().to(device) for _ in missing)
            for metric in (*self.confusions, self.affect):
                if metric is not None:
                    cast(Metric, metric).reset()

    def _confusion(self) -> Metric:
        return MulticlassConfusionMatrix(self.classes, ignore_index=-1)

    def update(self, loader: int, logits: Tensor, label: Tensor) -> None:
        """Count a batch.

        Args:
            loader: Which loader it came from.
            logits: [B, C].
            label: int64 [B], -1 = missing.
        """
        cast(Metric, self.confusions[loader]).update(logits.argmax(dim=1), label)

    def compute(self) -> dict[str, Tensor]:
        """Return `uar`, `accuracy` and, where wanted, `abaw`.

        UAR is over the classes present; with several loaders it is the mean of theirs.
        """
        each = torch.stack([cast(Metric, confusion).compute().double() for confusion in self.confusions])
        counts = each.sum(dim=0)
        scores = {
            "uar": torch.stack([uar_of_confusion(one) for one in each]).mean(),
            "accuracy": counts.diagonal().sum() / counts.sum().clamp(min=1),
        }
        if self.affect is not None:
            scores["abaw"] = abaw_f1(counts) + self.affect.compute()
        return scores


class AffectScore(Metric):
    """Mean CCC of valence and arousal plus mean F1 of the action units, over the rows that have them.

    CCC has population moments and F1 is of the positive class at a probability of 0.5, as in the challenge
    (ABAW4, multi-task learning). Only sums are kept, so that several processes get the scores that one would.
    An undefined part (a constant, or a unit that neither a row nor a prediction shows) counts as 0.
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
        predicted, shown = (au > 0) & (true_au >= 0), true_au == 1
        self.hits += torch.stack(
            [(predicted & shown).sum(dim=0), predicted.sum(dim=0) + shown.sum(dim=0)], dim=-1
        )

    def compute(self) -> Tensor:
        """Return the sum of the two parts, in [-1, 2]."""
        n = self.moments[:, 0].clamp(min=1)
        p, t, pp, tt, pt = (self.moments[:, i] / n for i in range(1, 6))
        below = (pp - p * p) + (tt - t * t) + (p - t) ** 2
        ccc = torch.where(below > 0, 2 * (pt - p * t) / below.clamp(min=torch.finfo(below.dtype).tiny), 0.0)
        f1 = 2 * self.hits[:, 0].double() / self.hits[:, 1].clamp(min=1)
        return ccc.mean() + f1.mean()


def uar_of_confusion(counts: Tensor) -> Tensor:
    """Return the unweighted average recall over classes with at least one true row.

    Args:
        counts: [C, C], true class by predicted class.

    Returns:
        Scalar in [0, 1]; 0 where no row is labelled.
    """
    rows = counts.sum(dim=1)
    present = rows > 0
    return (counts.diagonal() / rows)[present].mean() if bool(present.any()) else counts.new_zeros(())


def abaw_f1(counts: Tensor) -> Tensor:
    """Return the expression part of the ABAW sum: the mean F1 over all classes, absent ones counting as 0.

    The challenge always divides by its eight expressions, where macro-F1 leaves out those with neither a row
    nor an answer.

    Args:
        counts: [C, C], true class by predicted class.

    Returns:
        Scalar in [0, 1].
    """
    asked = counts.sum(dim=1) + counts.sum(dim=0)
    return (2 * counts.diagonal() / asked.clamp(min=1)).mean()
