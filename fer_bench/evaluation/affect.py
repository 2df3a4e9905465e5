"""Valence and arousal, action units, and the sum by which the ABAW challenge ranks."""

from __future__ import annotations

from collections.abc import Sequence

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


def mean_of(values: Sequence[float | None]) -> float | None:
    """Return the mean of the values that exist, None when none does."""
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known else None


def mean_or_zeros(values: Sequence[float | None]) -> float:
    """Return the mean of at least one value, undefined ones counting as 0.

    So do scikit-learn and torchmetrics in the macro average over labels of which a row may have several.
    """
    return float(np.mean([0.0 if v is None else v for v in values]))


def abaw_sum(
    concordances: Sequence[float | None], expressions: Sequence[float | None], units: Sequence[float | None]
) -> float:
    """Return the score of the ABAW multi-task challenge, in [-1, 3].

    Mean concordance of valence and arousal, plus the sum of the expressions' F1 divided by eight, plus that
    of the action units' divided by twelve (P_MTL, Kollias 2022, arXiv:2207.01138). The divisors are fixed:
    what is undefined counts as 0, such as the F1 of a unit that no row shows and no answer names.

    Args:
        concordances: Of valence and of arousal.
        expressions: F1 of each of the eight expressions.
        units: F1 of each of the twelve action units.
    """
    return mean_or_zeros(concordances) + mean_or_zeros(expressions) + mean_or_zeros(units)
