"""The losses, weights and thresholds of SS-MFAR, each a function of tensors.

All are computed in float32 over a whole batch, without waiting for the device; a loss without any row is 0,
with a gradient of 0.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

ConsistencyScope = Literal["unlabelled_nonconfident", "all", "repo"]
FLOOR = 0.8
"""Lowest threshold, and every class's before the first update."""
CEILING = 0.97
EPSILON = 1e-8


def class_weights(counts: tuple[int, ...]) -> Tensor:
    """Return N / n_k per class, and 0 for a class without rows; float32 [C].

    Args:
        counts: Labelled training rows n_k of each class; N is their sum.
    """
    total = sum(counts)
    return torch.tensor([total / n if n else 0.0 for n in counts])


def au_weights(counts: tuple[tuple[int, int], ...]) -> Tensor:
    """Return the weight of positives, (negative + positive) / (2 positive), per unit; float32 [12].

    A unit that no training row shows has the weight 1, which has no effect.

    Args:
        counts: (negative, positive) training rows of each unit.
    """
    return torch.tensor([(n + p) / (2 * p) if p else 1.0 for n, p in counts])


def weighted_cross_entropy(logits: Tensor, label: Tensor, weights: Tensor, counts: Tensor) -> Tensor:
    """Return the class-weighted cross-entropy of each row [B]; 0 for rows that do not count.

    Args:
        logits: [B, C].
        label: int64 [B]; any value for rows that do not count.
        weights: [C].
        counts: bool [B], rows that count.
    """
    safe = torch.where(counts, label, 0)
    each = F.cross_entropy(logits.float(), safe, reduction="none") * weights[safe]
    return torch.where(counts, each, 0.0)


def labelled_loss(logits: Tensor, label: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted cross-entropy averaged over labelled rows, not divided by their weights (L_lab).

    Args:
        logits: Of the weak view [B, C].
        label: int64 [B], -1 = missing.
        weights: [C].
    """
    known = label >= 0
    return weighted_cross_entropy(logits, label, weights, known).sum() / known.sum().clamp(min=1)


def pseudo_labels(logits: Tensor, thresholds: Tensor, unlabelled: Tensor) -> tuple[Tensor, Tensor]:
    """Return the most likely class of each row, and which rows are confident enough to learn from.

    Args:
        logits: Of the weak view [B, C]; no gradient flows into them.
        thresholds: Of each class [C], in [0, 1].
        unlabelled: bool [B].

    Returns:
        int64 [B], and bool [B]: unlabelled rows whose probability reaches the threshold of their class.
    """
    sure, answer = logits.detach().float().softmax(dim=1).max(dim=1)
    return answer, unlabelled & (sure >= thresholds[answer])


def unlabelled_loss(
    logits: Tensor, answer: Tensor, believed: Tensor, unlabelled: Tensor, weights: Tensor
) -> Tensor:
    """Return the weighted cross-entropy against believed pseudo-labels, averaged over unlabelled rows (L_us).

    Args:
        logits: Of the strong view [B, C].
        answer: Pseudo-labels, int64 [B].
        believed: bool [B].
        unlabelled: bool [B].
        weights: [C].
    """
    each = weighted_cross_entropy(logits, answer, weights, believed)
    return each.sum() / unlabelled.sum().clamp(min=1)


def consistency_rows(unlabelled: Tensor, believed: Tensor, scope: ConsistencyScope) -> Tensor:
    """Return which rows the consistency loss counts, bool [B].

    Args:
        unlabelled: bool [B].
        believed: bool [B], false for labelled rows.
        scope: `unlabelled_nonconfident`: unlabelled rows whose pseudo-label is not believed. `all`: every
            row. `repo`: as the released code indexes them. There the flag of the i-th unlabelled row decides
            about the i-th row of the batch, and all rows from the number of unlabelled ones on count.
    """
    if scope == "all":
        return torch.ones_like(unlabelled)
    if scope == "repo":
        unlabelled_first = torch.argsort((~unlabelled).to(torch.int8), stable=True)
        return ~believed[unlabelled_first]
    return unlabelled & ~believed


def consistency_loss(weak: Tensor, strong: Tensor, counts: Tensor) -> Tensor:
    """Return KL(p|q) + KL(q|p) in bits between the two views' probabilities, averaged over rows (L_con).

    Args:
        weak: Logits [B, C].
        strong: Logits [B, C].
        counts: bool [B], rows that count.
    """
    p, q = weak.float().log_softmax(dim=1), strong.float().log_softmax(dim=1)
    both = ((p.exp() - q.exp()) * (p - q)).sum(dim=1) / math.log(2)
    return torch.where(counts, both, 0.0).sum() / counts.sum().clamp(min=1)


def expression_loss(
    supervised: Tensor, unsupervised: Tensor, consistency: Tensor, unlabelled: Tensor
) -> Tensor:
    """Return 0.5 (L_lab + L_us) + 0.5 L_con, or L_lab where no row of the batch is unlabelled (L_EXPR).

    Args:
        supervised: L_lab.
        unsupervised: L_us.
        consistency: L_con.
        unlabelled: bool [B].
    """
    whole = 0.5 * (supervised + unsupervised) + 0.5 * consistency
    return torch.where(unlabelled.any(), whole, supervised)


def action_unit_loss(logits: Tensor, truth: Tensor, positive: Tensor) -> Tensor:
    """Return the binary cross-entropy with weighted positives, averaged over known entries (L_AU).

    Args:
        logits: [B, 12].
        truth: int64 [B, 12], 0 or 1, -1 = missing.
        positive: Weight of positives per unit [12].
    """
    known = truth >= 0
    each = F.binary_cross_entropy_with_logits(
        logits.float(), truth.clamp(min=0).float(), pos_weight=positive, reduction="none"
    )
    return torch.where(known, each, 0.0).sum() / known.sum().clamp(min=1)


def affect_loss(predicted: Tensor, truth: Tensor) -> Tensor:
    """Return the mean over valence and arousal of 1 - CCC of the batch's known rows (L_VA).

    The concordance correlation has variances of a sample (divided by n - 1) and 1e-8 added to its
    denominator; it needs two rows, so that the loss of fewer is 0.

    Args:
        predicted: [B, 2].
        truth: [B, 2], NaN = missing; a row counts when both are known.
    """
    known = truth.isfinite().all(dim=1, keepdim=True)
    count = known.sum()
    x, y = torch.where(known, predicted.float(), 0.0), torch.where(known, truth.float(), 0.0)
    mean_x, mean_y = x.sum(dim=0) / count.clamp(min=1), y.sum(dim=0) / count.clamp(min=1)
    x, y = torch.where(known, x - mean_x, 0.0), torch.where(known, y - mean_y, 0.0)
    below = (count - 1).clamp(min=1)
    variances = (x.square().sum(dim=0) + y.square().sum(dim=0)) / below
    concordance = 2 * (x * y).sum(dim=0) / below / (variances + (mean_x - mean_y).square() + EPSILON)
    return torch.where(count > 1, (1 - concordance).mean(), 0.0 * predicted.float().sum())


def adaptive_thresholds(confidence: Tensor, right: Tensor, epoch: int) -> Tensor:
    """Return max(0.8, 0.97 m / (1 + e^-epoch)) per class, m being its mean confidence; 0.8 without rows.

    Args:
        confidence: Sum of the highest probability over correctly classified labelled training rows [C].
        right: Number of those rows [C].
        epoch: Epochs done, from 1.
    """
    mean = confidence / right.clamp(min=1)
    return (CEILING * mean / (1 + math.exp(-epoch))).clamp(min=FLOOR)
