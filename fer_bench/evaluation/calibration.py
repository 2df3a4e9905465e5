"""Calibration: whether a model that is 80 % sure is right in 80 % of cases."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fer_bench.evaluation.confusion import Floats

BINS = 15
"""Bins of the expected calibration errors, as in Guo et al. 2017."""


def log_probabilities(logits: NDArray[np.float32] | Floats) -> Floats:
    """Return the logarithm of the softmax over the last axis, in double precision.

    Args:
        logits: [N, K].
    """
    from scipy.special import log_softmax  # takes longer to import than all of numpy

    result: Floats = log_softmax(np.asarray(logits, np.float64), axis=-1)
    return result


def negative_log_likelihood(log_p: Floats, truth: NDArray[np.int64]) -> float:
    """Return the mean of -ln p(true class), in nats.

    Args:
        log_p: Log-probabilities [N, K], N >= 1.
        truth: Positions of the true classes [N].
    """
    return float(-log_p[np.arange(len(truth)), truth].mean())


def brier(probabilities: Floats, truth: NDArray[np.int64]) -> float:
    """Return the mean over rows of the squared distance to the one-hot truth, in [0, 2] (Brier 1950).

    Args:
        probabilities: [N, K], N >= 1.
        truth: Positions of the true classes [N].
    """
    distance = (probabilities**2).sum(1) - 2 * probabilities[np.arange(len(truth)), truth] + 1
    return float(distance.mean())


def equal_width(confidence: Floats, bins: int = BINS) -> NDArray[np.int64]:
    """Return the bin [N] of each confidence in [0, 1] among bins of equal width."""
    return np.minimum((confidence * bins).astype(np.int64), bins - 1)


def equal_mass(confidence: Floats, bins: int = BINS) -> NDArray[np.int64]:
    """Return the bin [N] of each confidence among bins that hold about as many rows each.

    Equal confidences share a bin, so the order of rows does not matter.
    """
    edges = np.quantile(confidence, np.linspace(0, 1, bins + 1)[1:-1])
    return np.searchsorted(edges, confidence, side="right").astype(np.int64)


def calibration_error(confidence: Floats, right: Floats, bin_of: NDArray[np.int64]) -> float:
    """Return the mean gap between confidence and share right, bins weighted by their rows, in [0, 1].

    Args:
        confidence: Stated probabilities [N], N >= 1.
        right: 1 where the stated event happened, else 0, [N].
        bin_of: Bin of each row [N].
    """
    gap = np.bincount(bin_of, weights=confidence - right)
    return float(np.abs(gap).sum() / len(confidence))


def classwise_error(probabilities: Floats, truth: NDArray[np.int64], bins: int = BINS) -> float:
    """Return the calibration error of each class's probability, averaged over classes.

    Every class counts the same, and every row counts for every class, not only for its answer (Nixon et
    al. 2019).

    Args:
        probabilities: [N, K], N >= 1.
        truth: Positions of the true classes [N].
        bins: Number of bins of equal width.
    """
    count = probabilities.shape[1]
    happened = truth[:, None] == np.arange(count)
    cell = equal_width(probabilities, bins) + bins * np.arange(count)
    gap = np.bincount(cell.ravel(), weights=(probabilities - happened).ravel())
    return float(np.abs(gap).sum() / probabilities.size)


def reliability(
    confidence: Floats, right: Floats, bin_of: NDArray[np.int64]
) -> list[tuple[int, float, float]]:
    """Return the reliability curve: rows, mean confidence and share right of every bin that holds a row."""
    rows = np.bincount(bin_of)
    sure = np.bincount(bin_of, weights=confidence)
    hits = np.bincount(bin_of, weights=right)
    return [(int(n), float(sure[b] / n), float(hits[b] / n)) for b, n in enumerate(rows) if n]
