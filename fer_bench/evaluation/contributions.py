"""What each unit adds to an average score: the basis of pair tests and of the small-sample correction.

UAR is a sum over rows: a row answered right adds 1 / (k n_c) with k present classes and n_c rows of its
class. Accuracy is the same with all rows in one class. So the score of any exchange of units between two
methods is a sum of per-unit terms, and no confusion matrix has to be counted again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit

from fer_bench.evaluation.metrics import Floats
from fer_bench.evaluation.statistics import LEVEL, Answers, Units, find_units

PRIOR_UNITS = 2.0
"""Weight, in units, of a smoothed binomial in each class's variance: a few lucky units are no certainty."""
MIN_TAIL = 0.001
"""Beyond this share of the resamples an end of an interval would rest on a single draw."""


@dataclass(frozen=True)
class Contributions:
    """What the units add to the average score of one or several models on a target.

    Attributes:
        units: Units with a scored row, sorted [U].
        parts: Their terms per class [U, K]; all of them sum to the score.
        expected: Terms they would have if they were as good as the average unit [U, K].
        holds: Whether a unit has a row of a class [U, K].
        rows: Hash of the scored rows and their labels, per model with its share: scores with other rows are
            not comparable.
    """

    units: NDArray[np.object_]
    parts: Floats
    expected: Floats
    holds: NDArray[np.bool_]
    rows: str


@dataclass(frozen=True)
class Spread:
    """How uncertain a score is beyond what the bootstrap shows.

    Resampled values of a mean over n units vary too little by a factor (n - 1) / n, and their quantiles are
    normal where Student's are due. With few units of a class both matter per class.

    Attributes:
        variance: Sampling variance as the bootstrap sees it.
        widened: The same, corrected per class.
        freedom: Degrees of freedom of its estimate.
    """

    variance: float
    widened: float
    freedom: float

    def tail(self, level: float = LEVEL) -> float:
        """Return the share of resamples to cut off at each end, less than (1 - level) / 2."""
        if self.variance <= 0:
            return (1 - level) / 2
        wide = stdtrit(self.freedom, (1 + level) / 2) * np.sqrt(self.widened / self.variance)
        return max(float(ndtr(-wide)), MIN_TAIL)


def contributions(
    answered: Sequence[Answers], share: Floats, units: Units | None = None, *, by_class: bool = True
) -> Contributions:
    """Return what each unit adds to UAR (or to accuracy), averaged over models.

    Args:
        answered: Answers of R >= 1 models, each with a scored row.
        share: Share of each model in the average [R].
        units: From `find_units`, found here by default.
        by_class: UAR; otherwise all rows count as one class, which gives accuracy.
    """
    units = units or find_units(answered)
    k = len(answered[0].classes) if by_class else 1
    cells = len(units.names) * k
    parts, expected, holds = np.zeros(cells), np.zeros(cells), np.zeros(cells, bool)
    for model, weight, unit in zip(answered, share, units.of_rows, strict=True):
        truth = model.truth if by_class else np.zeros_like(model.truth)
        right = model.truth == model.answer
        rows = np.bincount(truth, minlength=k)
        recall = np.bincount(truth, weights=right, minlength=k) / np.maximum(rows, 1)
        value = (weight / (np.count_nonzero(rows) * np.maximum(rows, 1)))[truth]
        cell = unit * k + truth
        parts += np.bincount(cell, weights=value * right, minlength=cells)
        expected += np.bincount(cell, weights=value * recall[truth], minlength=cells)
        holds[cell] = True
    scored = holds.reshape(-1, k).any(1)
    return Contributions(
        units=units.names[scored],
        parts=parts.reshape(-1, k)[scored],
        expected=expected.reshape(-1, k)[scored],
        holds=holds.reshape(-1, k)[scored],
        rows=_rows(answered, share) if by_class else "",
    )


def _rows(answered: Sequence[Answers], share: Floats) -> str:
    shares: dict[str, float] = {}
    for model, weight in zip(answered, share, strict=True):
        order = np.argsort(model.samples.astype(str), kind="stable")
        names = np.asarray(model.classes, object)[model.truth[order]]
        text = "\n".join(f"{s}\x1f{name}" for s, name in zip(model.samples[order], names, strict=True))
        digest = hashlib.sha256(text.encode()).hexdigest()
        shares[digest] = shares.get(digest, 0.0) + float(weight)
    text = ";".join(f"{digest} {weight:.9f}" for digest, weight in sorted(shares.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def spread(given: Contributions, scale: float = 1.0) -> Spread:
    """Return how uncertain the sum of the contributions is.

    The variance is that of the linearised score over units. Each class's part of it is multiplied by
    n / (n - 1) with its n units and drawn, with the weight of two units, to that of a smoothed binomial
    (r n + 1/2) / (n + 1), unless all rows are one class as in accuracy. Degrees of freedom combine over
    classes after Welch and Satterthwaite and are at most those of all units.

    Args:
        given: From `contributions`.
        scale: Factor between this score and the one wanted, such as 1 / (1 - 1/k).
    """
    count = len(given.units)
    deviation = given.parts - given.expected
    variance = float((deviation.sum(1) ** 2).sum())
    has = given.holds.sum(0)
    seen = has > 0
    n = has[seen].astype(np.float64)
    ceiling = given.expected[:, seen].sum(0)  # a class's term in the score: its recall over k
    weight = 1.0 / seen.sum()
    recall = np.clip(ceiling / weight, 0, 1)
    smooth = (recall * n + 0.5) / (n + 1)
    own = (deviation[:, seen] ** 2).sum(0)
    prior = PRIOR_UNITS if len(has) > 1 else 0.0
    binomial = smooth * (1 - smooth) / n * weight**2
    drawn = np.maximum(own, (n * own + prior * binomial) / (n + prior))
    bigger = drawn * n / np.maximum(n - 1, 0.5)
    widened = max(variance + float((bigger - own).sum()), variance * count / max(count - 1, 1))
    below = float((drawn**2 / np.maximum(n - 1, 1)).sum())
    freedom = float(drawn.sum()) ** 2 / below if below > 0 else count - 1.0
    return Spread(variance * scale**2, widened * scale**2, max(1.0, min(freedom, count - 1.0)))


def mean_spread(parts: Sequence[Spread]) -> Spread:
    """Return the spread of the mean of independent scores (Welch and Satterthwaite)."""
    widened = sum(p.widened for p in parts)
    below = sum(p.widened**2 / p.freedom for p in parts)
    freedom = widened**2 / below if below > 0 else min(p.freedom for p in parts)
    return Spread(sum(p.variance for p in parts) / len(parts) ** 2, widened / len(parts) ** 2, freedom)
