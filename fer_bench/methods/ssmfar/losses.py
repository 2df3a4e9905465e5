"""The losses, weights and thresholds of SS-MFAR, each a function of tensors.

All are computed in float32 over the rows of a whole step, also where processes share it, and without waiting
for the device; a loss without any row is 0, with a gradient of 0.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from fer_bench.methods.shared_step import step_mean, step_sum

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
    return step_mean(weighted_cross_entropy(logits, label, weights, known), known)


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
    return step_mean(weighted_cross_entropy(logits, answer, weights, believed), unlabelled)


def consistency_rows(unlabelled: Tensor, believed: Tensor, scope: ConsistencyScope) -> Tensor:
    """Return which rows the consistency loss counts, bool [B].

    Args:
        unlabelled: bool [B].
        believed: bool [B], false for labelled rows.
        scope: `unlabelled_nonconfident`: unlabelled rows whose pseudo-label is not believed. `all`: every
            row. `repo`: as the released code indexes them. There the flag of the i-th unlabelled row decides
            about the i-th row of the batch, and all rows from the number of unlabelled ones on count; where
            processes share a step, of each one's own rows.
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
    return step_mean(both, counts)


def expression_loss(
    supervised: Tensor, unsupervised: Tensor, consistency: Tensor, unlabelled: Tensor
) -> Tensor:
    """Return 0.5 (L_lab + L_us) + 0.5 L_con, or L_lab where no row of the step is unlabelled (L_EXPR).

    Args:
        supervised: L_lab.
        unsupervised: L_us.
        consistency: L_con.
        unlabelled: bool [B].
    """
    whole = 0.5 * (supervised + unsupervised) + 0.5 * consistency
    return torch.where(step_sum(unlabelled.sum(), len(unlabelled)) > 0, whole, supervised)


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
    return step_mean(each, known)


def affect_loss(predicted: Tensor, truth: Tensor) -> Tensor:
    """Return the mean over valence and arousal of 1 - CCC of the known rows of the step (L_VA).

    The concordance correlation has variances of a sample (divided by n - 1) and 1e-8 added to its
    denominator; it needs two rows, so that the loss of fewer is 0.

    Args:
        predicted: [B, 2].
        truth: [B, 2], NaN = missing; a row counts when both are known.
    """
    known, rows = truth.isfinite().all(dim=1, keepdim=True), len(truth)
    x, y = torch.where(known, predicted.float(), 0.0), torch.where(known, truth.float(), 0.0)
    count = step_sum(known.sum(), rows)
    mean_x, mean_y = step_sum(torch.stack([x.sum(dim=0), y.sum(dim=0)]), rows) / count.clamp(min=1)
    # Deviations sum to zero over the step, so that the means in them add nothing to the gradient.
    x, y = torch.where(known, x - mean_x.detach(), 0.0), torch.where(known, y - mean_y, 0.0)
    products = torch.stack([x.square().sum(dim=0) + y.square().sum(dim=0), (x * y).sum(dim=0)])
    spread, shared = step_sum(products, rows) / (count - 1).clamp(min=1)
    concordance = 2 * shared / (spread + (mean_x - mean_y).square() + EPSILON)
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
