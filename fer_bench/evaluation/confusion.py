"""Scores of confusion matrices, vectorised over any number of leading axes.

A confusion matrix has one row per true class and one column per answer. A class is *present* when it has at
least one row. Averages of recall are over the present classes, as in scikit-learn's
`balanced_accuracy_score`. Macro-F1 is over the classes that are present or answered, as in scikit-learn's
`f1_score(average="macro")` and torchmetrics' `MulticlassF1Score`: a class that is answered and absent counts
as 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def class_codes(names: Sequence[str] | pd.Series, classes: Sequence[str]) -> NDArray[np.int64]:
    """Return the position of each name in the ordered classes, -1 where it is missing or not among them.

    Args:
        names: Class names [N], missing values allowed.
        classes: Ordered classes, K names.
    """
    return pd.Index(list(classes)).get_indexer(pd.Index(names)).astype(np.int64)


def count_pairs(truth: NDArray[np.int64], answer: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """Return the confusion matrix [k, k] of class positions in [0, k)."""
    return np.bincount(truth * k + answer, minlength=k * k).reshape(k, k)


def _ratio(part: ArrayLike, whole: ArrayLike) -> Floats:
    """Divide, giving NaN where the divisor is 0."""
    above, below = np.broadcast_arrays(np.asarray(part, np.float64), np.asarray(whole, np.float64))
    quotient: Floats = np.divide(above, below, out=np.full(below.shape, np.nan), where=below > 0)
    return quotient


def _mean_defined(per_class: Floats) -> Floats:
    """Return the mean over the classes [..., K] that are not NaN; NaN where all are."""
    return _ratio(np.nansum(per_class, axis=-1), np.isfinite(per_class).sum(-1))


def _hits(confusions: ArrayLike) -> Floats:
    hits: Floats = np.diagonal(np.asarray(confusions, np.float64), axis1=-2, axis2=-1)
    return hits


def support(confusions: ArrayLike) -> Floats:
    """Return the rows of each class, [..., K]."""
    rows: Floats = np.asarray(confusions, np.float64).sum(-1)
    return rows


def recalls(confusions: ArrayLike) -> Floats:
    """Return each class's share of rows answered right, [..., K]; NaN for absent classes."""
    return _ratio(_hits(confusions), support(confusions))


def precisions(confusions: ArrayLike) -> Floats:
    """Return the share of each class's answers that are right, [..., K]; NaN for classes never answered."""
    return _ratio(_hits(confusions), np.asarray(confusions, np.float64).sum(-2))


def f1s(confusions: ArrayLike) -> Floats:
    """Return each class's F1, [..., K]: 0 without a right answer, NaN without rows and answers."""
    return _ratio(2 * _hits(confusions), support(confusions) + np.asarray(confusions, np.float64).sum(-2))


def accuracy(confusions: ArrayLike) -> Floats:
    """Return the share of rows answered right (weighted average recall), [...]; NaN without rows."""
    return _ratio(_hits(confusions).sum(-1), support(confusions).sum(-1))


def uar(confusions: ArrayLike) -> Floats:
    """Return the unweighted average recall over the present classes, [...]; NaN without rows."""
    return _mean_defined(recalls(confusions))


def macro_f1(confusions: ArrayLike) -> Floats:
    """Return the unweighted mean F1 over the classes with a row or an answer, [...]; NaN without rows."""
    return _mean_defined(f1s(confusions))


def present_classes(confusions: ArrayLike) -> NDArray[np.int64]:
    """Return the number of present classes, [...]."""
    count: NDArray[np.int64] = (support(confusions) > 0).sum(-1)
    return count


def transfer(confusions: ArrayLike) -> Floats:
    """Return chance-corrected UAR, (UAR - 1/k) / (1 - 1/k) with k present classes, [...].

    0 is what guessing gives, 1 is perfect, negative is worse than guessing; NaN with fewer than two classes.
    """
    k = present_classes(confusions)
    chance = _ratio(1.0, k)
    return _ratio(uar(confusions) - chance, 1.0 - chance)


def mcc(confusions: ArrayLike) -> Floats:
    """Return the multi-class Matthews correlation coefficient, [...]; NaN without rows.

    Gorodkin 2004. It is 0 where all rows are of one class or got one answer, as in scikit-learn.
    """
    counts = np.asarray(confusions, np.float64)
    rows, given = support(counts), counts.sum(-2)
    total = rows.sum(-1)
    above = _hits(counts).sum(-1) * total - (rows * given).sum(-1)
    below = np.sqrt((total**2 - (given**2).sum(-1)) * (total**2 - (rows**2).sum(-1)))
    return np.where(total > 0, np.nan_to_num(_ratio(above, below)), np.nan)
