"""Valence and arousal, action units, and the sum by which the ABAW challenge ranks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fer_bench.evaluation.confusion import Floats


def concordance(predicted: Floats, true: Floats) -> float | None:
    """Return the concordance correlation coefficient with population moments, in [-1, 1].

    2 cov / (var + var + squared difference of means) (Lin 1989); None where both sides are one constant.

    Args:
        predicted: [N], N >= 1.
        true: [N].
    """
    covariance = ((predicted - predicted.mean()) * (true - true.mean())).mean()
    below = predicted.var() + true.var() + (predicted.mean() - true.mean()) ** 2
    return float(2 * covariance / below) if below > 0 else None


def pearson(predicted: Floats, true: Floats) -> float | None:
    """Return Pearson's correlation, None where a side is constant."""
    if np.ptp(predicted) == 0 or np.ptp(true) == 0:
        return None
    return float(np.corrcoef(predicted, true)[0, 1])


def rmse(predicted: Floats, true: Floats) -> float:
    """Return the root of the mean squared difference."""
    return float(np.sqrt(((predicted - true) ** 2).mean()))


def sign_agreement(predicted: Floats, true: Floats) -> float:
    """Return the share of rows whose sign is right, zero counting as a sign (SAGR)."""
    return float((np.sign(predicted) == np.sign(true)).mean())


def binary_f1(answered: NDArray[np.bool_], true: NDArray[np.bool_]) -> float | None:
    """Return F1 of the positive class, None where no row is positive and none was called so.

    Args:
        answered: Which rows were called positive [N].
        true: Which rows are positive [N].
    """
    said = int(answered.sum() + true.sum())
    return 2 * int((answered & true).sum()) / said if said else None


def average_precision(scores: Floats, true: NDArray[np.bool_]) -> float | None:
    """Return the area under the precision-recall steps, None without a positive row."""
    if not true.any():
        return None
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(true, scores))


def mean_of(values: list[float | None]) -> float | None:
    """Return the mean of the values that exist, None when none does."""
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known else None
