"""Intervals from resamples of whole units, corrected where units are few.

With few units the quantiles of resampled scores are too close together, so they are taken further out
(`Spread`). Where a class has next to no units, or no unit varies, resamples are useless: Wilson limits of the
recalls are combined instead. `benchmarks/coverage.py` measures how well both do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy.special import ndtr, stdtrit

from fer_bench.evaluation.confusion import Floats
from fer_bench.evaluation.contributions import Contributions
from fer_bench.evaluation.statistics import LEVEL, Interval, interval

PRIOR_UNITS = 2.0
"""Weight, in units, of a smoothed binomial in each class's variance: a few lucky units prove nothing."""
FEW_UNITS = 5
"""With fewer units of a class, resamples hardly move its recall, and Wilson limits are used instead."""
MIN_TAIL = 0.001
"""Beyond this share of the resamples an end of an interval would rest on a single draw."""


@dataclass(frozen=True)
class Spread:
    """The uncertainty of a score, with what the bootstrap misses.

    Resampled values of a mean over n units vary too little by a factor (n - 1) / n, and their quantiles are
    normal ones instead of Student's. Both effects matter per class where a class has few units.

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
    """Recall and its variance for each class that has a row.

    Attributes:
        recall: Share answered right, averaged over models [k].
        units: Units that hold the class [k].
        own: Sampling variance of its term in the score [k].
        shrunk: The same, shrunk to that of a smoothed binomial [k].
    """

    recall: Floats
    units: Floats
    own: Floats
    shrunk: Floats

    @property
    def corrected(self) -> Floats:
        """Variances without the bias of few units."""
        found: Floats = self.shrunk * self.units / np.maximum(self.units - 1, 0.5)
        return found

    def freedom(self, most: float) -> float:
        """Return the degrees of freedom of the sum of the variances (Welch and Satterthwaite)."""
        below = float((self.shrunk**2 / np.maximum(self.units - 1, 1)).sum())
        found = float(self.shrunk.sum()) ** 2 / below if below > 0 else most
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
    """Return the uncertainty of the sum of the contributions.

    The variance is that of the linearised score over units. Each class's part of it is multiplied by
    n / (n - 1) with its n units and shrunk, with the weight of two units, to that of a smoothed binomial
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
    """Return whether resamples are useless: a class has few units, or hardly any unit differs.

    Where all rows count as one class, as in accuracy: few units have a wrong answer, or few have a right one.
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


@dataclass(frozen=True)
class Value:
    """A number with its uncertainty.

    Attributes:
        value: The estimate.
        interval: 95 % interval, None where units are too few for one.
        draws: Resampled values [B], None without interval.
        resampled: Whether the interval lies between quantiles of the draws, not at Wilson limits.
        spread: Its uncertainty, None where unknown.
    """

    value: float
    interval: Interval | None
    draws: Floats | None = field(default=None, compare=False, repr=False)
    resampled: bool = True
    spread: Spread | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class UnitSample:
    """The units that a set of scores was computed from.

    Attributes:
        uar: The UAR of all of them.
        by_class: What each unit adds to it.
        by_rows: What each unit adds to accuracy.
    """

    uar: float
    by_class: Contributions
    by_rows: Contributions

    @cached_property
    def spread(self) -> Spread:
        """Return the uncertainty of UAR."""
        return spread(self.by_class)

    @cached_property
    def wilson(self) -> Interval | None:
        """Return Wilson limits of UAR where its resamples are useless, else None."""
        return wilson_interval(self.by_class) if needs_wilson(self.by_class) else None

    @property
    def classes(self) -> int:
        """Return the number of classes that some unit holds."""
        return int(self.by_class.holds.any(0).sum())


IntervalRule = Callable[[float, Floats, UnitSample], Value]
"""How a score gets its interval, from its value, its resampled values [B] and the units behind it."""


def resamples_only(value: float, draws: Floats, sample: UnitSample) -> Value:
    """Take quantiles of the resamples, as far out as those of UAR; no interval where they are useless."""
    if sample.wilson is not None:
        return Value(value, None)
    return Value(value, interval(draws, sample.spread.tail()), draws, True, sample.spread)


def recalls_interval(value: float, draws: Floats, sample: UnitSample) -> Value:
    """Take quantiles of resampled UAR, or Wilson limits of the recalls."""
    if sample.wilson is None:
        return resamples_only(value, draws, sample)
    return Value(value, sample.wilson, draws, False, sample.spread)


def rows_interval(value: float, draws: Floats, sample: UnitSample) -> Value:
    """Take quantiles of resampled accuracy, or Wilson limits of the share of right rows."""
    own = spread(sample.by_rows)
    if needs_wilson(sample.by_rows):
        return Value(value, wilson_interval(sample.by_rows), draws, False, own)
    return Value(value, interval(draws, own.tail()), draws, True, own)


def at_least_recalls(value: float, draws: Floats, sample: UnitSample) -> Value:
    """Take quantiles of a resampled score in [0, 1], at least as far out as Wilson limits of UAR."""
    plain = interval(draws, sample.spread.tail())
    if sample.wilson is None:
        return Value(value, plain, draws, True, sample.spread)
    below, above = sample.uar - sample.wilson.low, sample.wilson.high - sample.uar
    ends = Interval(max(0.0, min(plain.low, value - below)), min(1.0, max(plain.high, value + above)))
    return Value(value, ends, draws, False, sample.spread)


def chance_corrected(value: float, draws: Floats, sample: UnitSample) -> Value:
    """Take quantiles of resampled transfer, or Wilson limits of UAR moved and stretched with it."""
    scale = 1 - 1 / sample.classes if sample.classes > 1 else 1.0
    own = spread(sample.by_class, 1 / scale)
    if sample.wilson is None:
        return Value(value, interval(draws, own.tail()), draws, True, own)
    below, above = sample.uar - sample.wilson.low, sample.wilson.high - sample.uar
    # around the value itself: models may differ in the number of classes, so it does not follow from UAR
    return Value(value, Interval(value - below / scale, value + above / scale), draws, False, own)
