"""Intervals: from the variance over units and seeds, with Student's quantile for few of either.

No resampling is involved, so intervals have no Monte Carlo error and are the same on every machine. Recalls
near 0 or 1 get Wilson limits, so that an interval is never narrower than its rows allow.
`benchmarks/coverage.py` measures how often intervals hold the truth, also beside a two-level bootstrap.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_bench.evaluation.components import MIN_UNITS, Combined, Spread, mean_of
from fer_bench.evaluation.confusion import Floats
from fer_bench.evaluation.contributions import Classes, Recalls, influence, recalls
from fer_bench.evaluation.statistics import Answers, Interval, Units


@dataclass(frozen=True)
class Value:
    """A number with its uncertainty.

    Attributes:
        value: The estimate.
        interval: 95 % interval over test units and, with several seeds, over seeds; None where units are too
            few for one.
        combined: What it is the sum of.
    """

    value: float
    interval: Interval | None
    combined: Combined | None = field(default=None, compare=False, repr=False)

    @property
    def seed_sd(self) -> float | None:
        """Return the standard deviation (ddof 1) over seeds, None where it is unknown."""
        return None if self.combined is None else self.combined.seed_sd


@dataclass(frozen=True)
class Sample:
    """The answers that the scores of one source's models on one target are computed from.

    Attributes:
        answered: Answers of R >= 1 models.
        seeds: Seed of each model [R].
        units: Their units.
        target: Dataset tested on.
        training: Names what was trained.
        condition: What two scores must share to be compared, besides rows and labels.
    """

    answered: Sequence[Answers]
    seeds: Sequence[int]
    units: Units
    target: str
    training: str
    condition: str = ""

    @property
    def place(self) -> tuple[str, str, str]:
        """Return what names a component."""
        return self.target, self.training, self.condition

    @cached_property
    def by_class(self) -> Recalls:
        """Return what units and seeds add to UAR."""
        return recalls(self.answered, self.seeds, self.units)

    @cached_property
    def by_rows(self) -> Recalls:
        """Return what units and seeds add to accuracy."""
        return recalls(self.answered, self.seeds, self.units, by_class=False)


IntervalRule = Callable[[Sample, Callable[[NDArray[Any]], NDArray[Any]]], Value]
"""How a score of confusion matrices gets its value and interval, averaged over folds and seeds."""


def of_recalls(sample: Sample, function: Callable[[NDArray[Any]], NDArray[Any]]) -> Value:
    """Combine limits of each class's recall (UAR)."""
    return _from_limits(sample.by_class, sample)


def of_rows(sample: Sample, function: Callable[[NDArray[Any]], NDArray[Any]]) -> Value:
    """Take limits of the share of right rows (accuracy)."""
    return _from_limits(sample.by_rows, sample)


def chance_corrected(sample: Sample, function: Callable[[NDArray[Any]], NDArray[Any]]) -> Value:
    """Combine limits of each class's recall, moved and stretched as transfer is."""
    chance = 1 / len(sample.by_class.classes.recall)
    return _from_limits(sample.by_class, sample, scale=1 / (1 - chance), shift=-chance / (1 - chance))


def of_counts(sample: Sample, function: Callable[[NDArray[Any]], NDArray[Any]]) -> Value:
    """Take the score as linear around the observed counts: for any smooth score, within any bounds."""
    found = influence(sample.answered, sample.seeds, function, sample.by_class, sample.units)
    return symmetric(Combined((found.component(*sample.place),)))


def of_share(sample: Sample, function: Callable[[NDArray[Any]], NDArray[Any]]) -> Value:
    """Like `of_counts`, with Wilson's limits, for scores in [0, 1]."""
    found = of_counts(sample, function)
    if found.interval is None or found.combined is None:
        return found
    spread, classes = found.combined.spread, sample.by_class.classes
    most = len(classes.most) ** 2 / float((1 / classes.most).sum())
    smooth = (found.value * most + 0.5) / (most + 1)
    variance = max(spread.variance - float(classes.unseen.sum()), smooth * (1 - smooth) / most)
    low, high = _wilson(np.array(found.value), np.array(smooth * (1 - smooth) / variance), spread)
    return Value(found.value, Interval(float(low), float(high)), found.combined)


def symmetric(combined: Combined, value: float | None = None) -> Value:
    """Return a sum with Student's interval.

    Args:
        combined: The sum.
        value: What it is the uncertainty of, the sum itself by default.
    """
    value = combined.value if value is None else value
    if combined.fewest_units < MIN_UNITS:
        return Value(value, None, combined)
    half = combined.spread.half_width()
    return Value(value, Interval(value - half, value + half), combined)


def _from_limits(given: Recalls, sample: Sample, scale: float = 1.0, shift: float = 0.0) -> Value:
    part = given.component(*sample.place, scale=scale, shift=shift)
    combined = Combined((part,))
    value = combined.value
    if len(given.units) < MIN_UNITS:
        return Value(value, None, combined)
    spread = Combined((given.component(*sample.place),)).spread
    low, high = _limits(given.classes, float(given.scores.mean()), spread)
    return Value(value, Interval(low * scale + shift, high * scale + shift), combined)


def _limits(classes: Classes, score: float, spread: Spread) -> tuple[float, float]:
    """Return limits of a mean of recalls, from Wilson limits of each (1927).

    Each class gets as many independent answers as its variance amounts to, at most those that its rows can
    give. Distances to the limits are combined as by Zou and Donner (2008), which keeps the skew of recalls
    near 0 or 1; they are stretched to the variance of the whole score where answers of one unit agree across
    classes, and the variance over seeds is added.
    """
    recall, k = classes.recall, len(classes.recall)
    smooth = (recall * classes.most + 0.5) / (classes.most + 1)
    with np.errstate(divide="ignore"):
        answers = np.minimum(smooth * (1 - smooth) / (classes.own * k**2), classes.most)
    low, high = _wilson(recall, answers, spread)
    own = float(classes.own.sum())
    observed = spread.units - float(classes.unseen.sum())
    stretch = max(1.0, observed / own) if own > 0 else 1.0
    seeds = spread.quantile() ** 2 * spread.seeds
    below, above = (
        np.sqrt(stretch * float(((d / k) ** 2).sum()) + seeds) for d in (recall - low, high - recall)
    )
    return max(0.0, score - float(below)), min(1.0, score + float(above))


def _wilson(share: Floats, answers: Floats, spread: Spread) -> tuple[Floats, Floats]:
    """Return Wilson limits of shares, with Student's quantile."""
    z = spread.quantile()
    centre, half = (
        share + z**2 / (2 * answers),
        z * np.sqrt(share * (1 - share) / answers + z**2 / (4 * answers**2)),
    )
    low: Floats = np.clip((centre - half) / (1 + z**2 / answers), 0, share)
    high: Floats = np.clip((centre + half) / (1 + z**2 / answers), share, 1)
    return low, high


def average(values: Sequence[Value]) -> Value:
    """Average scores on several targets, or of several sources; shared units and seeds stay shared."""
    parts = [v.combined for v in values if v.combined is not None]
    if len(parts) < len(values):
        return Value(float(np.mean([v.value for v in values])), None)
    found = symmetric(mean_of(parts), float(np.mean([v.value for v in values])))
    if found.interval is None:
        return found
    ends = Interval(found.interval.low, min(1.0, found.interval.high))
    return Value(found.value, ends, found.combined)


def difference(first: Value, second: Value) -> Value | None:
    """Return the difference of the scores of two methods on the same units, None where one is unknown."""
    if first.combined is None or second.combined is None:
        return None
    return symmetric(first.combined.minus(second.combined), first.value - second.value)


def change(first: Value, second: Value) -> Value | None:
    """Return the difference of two scores of the same models on the same units, None where one is unknown."""
    if first.combined is None or second.combined is None:
        return None
    parts = first.combined.parts + second.combined.times(-1.0).parts
    return symmetric(Combined(parts), first.value - second.value)


def ratio(above: Value, below: Value) -> Value | None:
    """Return the ratio of two scores of the same models, by the delta method; None where one is unknown.

    Args:
        above: A score.
        below: Another, surely above 0.
    """
    if above.combined is None or below.combined is None:
        return None
    found = above.value / below.value
    rest = above.combined.times(1 / below.value).parts + below.combined.times(-found / below.value).parts
    return symmetric(Combined(rest), found)
