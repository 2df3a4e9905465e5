"""Intervals from resamples of whole units, corrected where units are few.

Quantiles of resampled scores are too near each other with few units, so they are taken further out
(`Spread`). Where a class has next to no units, or nothing varies, resamples say nothing at all: Wilson
limits of the recalls are combined instead. `benchmarks/coverage.py` measures both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, stdtrit

from fer_bench.evaluation.contributions import Contributions
from fer_bench.evaluation.metrics import Floats
from fer_bench.evaluation.statistics import LEVEL, Interval, interval

PRIOR_UNITS = 2.0
"""Weight, in units, of a smoothed binomial in each class's variance: a few lucky units are no certainty."""
FEW_UNITS = 5
"""With fewer units of a class, resamples hardly move its recall; its Wilson limits are taken instead."""
MIN_TAIL = 0.001
"""Beyond this share of the resamples an end of an interval would rest on a single draw."""


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


@dataclass(frozen=True)
class _Classes:
    """What the units say about each class that has a row.

    Attributes:
        recall: Share answered right, averaged over models [k].
        units: Units that hold the class [k].
        own: Sampling variance of its term in the score [k].
        drawn: The same, drawn to that of a smoothed binomial [k].
    """

    recall: Floats
    units: Floats
    own: Floats
    drawn: Floats

    @property
    def corrected(self) -> Floats:
        """Variances without the bias of few units."""
        found: Floats = self.drawn * self.units / np.maximum(self.units - 1, 0.5)
        return found

    def freedom(self, most: float) -> float:
        """Return the degrees of freedom of the sum of the variances (Welch and Satterthwaite)."""
        below = float((self.drawn**2 / np.maximum(self.units - 1, 1)).sum())
        found = float(self.drawn.sum()) ** 2 / below if below > 0 else most
        return max(1.0, min(found, most))


def _by_class(given: Contributions, deviation: Floats, prior: float) -> _Classes:
    seen = given.holds.any(0)
    n = given.holds[:, seen].sum(0).astype(np.float64)
    weight = 1.0 / seen.sum()  # a class's term in the score is its recall times this
    recall = np.clip(given.expected[:, seen].sum(0) / weight, 0, 1)
    own = (deviation[:, seen] ** 2).sum(0)
    smooth = _smooth(recall, n)
    binomial = smooth * (1 - smooth) / n * weight**2
    return _Classes(recall, n, own, np.maximum(own, (n * own + prior * binomial) / (n + prior)))


def _smooth(recall: Floats, units: Floats) -> Floats:
    smoothed: Floats = (recall * units + 0.5) / (units + 1)
    return smoothed


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
    found = _by_class(given, deviation, PRIOR_UNITS if given.holds.shape[1] > 1 else 0.0)
    between = float((found.corrected - found.own).sum())
    widened = max(variance + between, variance * count / max(count - 1, 1))
    return Spread(variance * scale**2, widened * scale**2, found.freedom(count - 1.0))


def needs_wilson(given: Contributions) -> bool:
    """Return whether resamples say too little: a class with few units, or hardly a unit that differs.

    Where all rows count as one class, as in accuracy, it is few units with a wrong, or with a right answer.
    """
    held = given.holds.sum(0)
    if len(held) == 1:
        possible = given.expected[:, 0] / max(float(given.expected.sum()), 1e-12)
        wrong = (possible - given.parts[:, 0] > 1e-12).sum()
        return bool(min(wrong, (given.parts[:, 0] > 0).sum()) < FEW_UNITS)
    deviation = (given.parts - given.expected).sum(1)
    return bool((held[held > 0] < FEW_UNITS).any() or np.abs(deviation).max() < 1e-12)


def wilson_interval(given: Contributions, level: float = LEVEL) -> Interval:
    """Return an interval of the score from Wilson limits of each class's recall.

    Each class gets Wilson limits (1927) with Student's quantile and the number of independent answers that
    its variance amounts to; distances to the limits are combined as by Zou and Donner (2008, "MOVER"):
    the interval keeps the skew of recalls near 0 or 1 and is defined for a single unit. Where answers of
    one unit agree across classes, the distances are stretched to the variance of the whole score.

    Args:
        given: From `contributions`.
        level: Wanted coverage.
    """
    deviation = given.parts - given.expected
    found = _by_class(given, deviation, PRIOR_UNITS)
    k, r = len(found.recall), found.recall
    smooth = _smooth(r, found.units)
    n = smooth * (1 - smooth) / (found.corrected * k**2)
    z = float(stdtrit(found.freedom(len(given.units) - 1.0), (1 + level) / 2))
    centre, half = (r + z**2 / (2 * n)), z * np.sqrt(r * (1 - r) / n + z**2 / (4 * n**2))
    low, high = (centre - half) / (1 + z**2 / n), (centre + half) / (1 + z**2 / n)
    whole, parts = float((deviation.sum(1) ** 2).sum()), float(found.own.sum())
    stretch = max(1.0, whole / parts) if parts > 0 else 1.0
    below, above = (np.sqrt(stretch * ((d / k) ** 2).sum()) for d in (r - low, high - r))
    score = float(given.parts.sum())
    return Interval(max(0.0, score - float(below)), min(1.0, score + float(above)))


def mean_spread(parts: Sequence[Spread]) -> Spread:
    """Return the spread of the mean of independent scores (Welch and Satterthwaite)."""
    widened = sum(p.widened for p in parts)
    below = sum(p.widened**2 / p.freedom for p in parts)
    freedom = widened**2 / below if below > 0 else min(p.freedom for p in parts)
    return Spread(sum(p.variance for p in parts) / len(parts) ** 2, widened / len(parts) ** 2, freedom)


def score_spreads(by_class: Contributions, by_rows: Contributions) -> dict[str, Spread]:
    """Return the spread of every score; that of macro-F1 is taken to be UAR's.

    Args:
        by_class: Contributions to UAR.
        by_rows: Contributions to accuracy.
    """
    k = int(by_class.holds.any(0).sum())
    plain = spread(by_class)
    chance = spread(by_class, 1 / (1 - 1 / k)) if k > 1 else plain
    return {"uar": plain, "macro_f1": plain, "transfer": chance, "accuracy": spread(by_rows)}


def score_intervals(
    values: Mapping[str, float],
    drawn: Mapping[str, Floats],
    by_class: Contributions,
    by_rows: Contributions,
) -> tuple[dict[str, Interval], frozenset[str]]:
    """Return the interval of every score: quantiles of its resamples, or Wilson limits where units are few.

    The transfer score moves with UAR. Macro-F1 has no limits of its own: where resamples say too little it
    takes the wider of theirs and of UAR's distances.

    Args:
        values: Scores by name, as in `metrics.METRICS`.
        drawn: Their resampled values [B].
        by_class: Contributions to UAR.
        by_rows: Contributions to accuracy.

    Returns:
        Intervals by name, and the names of those that are not from resamples alone.
    """
    wilson: set[str] = set()
    spreads = score_spreads(by_class, by_rows)
    found = {name: interval(drawn[name], spreads[name].tail()) for name in values}
    if "accuracy" in values and needs_wilson(by_rows):
        found["accuracy"] = wilson_interval(by_rows)
        wilson.add("accuracy")
    if needs_wilson(by_class):
        uar = wilson_interval(by_class)
        below, above = values["uar"] - uar.low, uar.high - values["uar"]
        found["uar"] = uar
        wilson |= {"uar", "macro_f1", "transfer"}
        f1 = values["macro_f1"]
        plain = found["macro_f1"]
        found["macro_f1"] = Interval(
            max(0.0, min(plain.low, f1 - below)), min(1.0, max(plain.high, f1 + above))
        )
        if "transfer" in values:
            scale = 1 - 1 / int(by_class.holds.any(0).sum())
            moved = values["transfer"]  # not from UAR: models may have seen other numbers of classes
            found["transfer"] = Interval(moved - below / scale, moved + above / scale)
    return found, frozenset(wilson)
