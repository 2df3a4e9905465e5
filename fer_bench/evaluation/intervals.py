"""Intervals: from the variance over units and seeds, with Student's quantile for few of either.

No resampling is involved, so intervals have no Monte Carlo error and are the same on every machine. Recalls
get the limits of a binomial share, so that an interval is never narrower than its rows allow.
`benchmarks/coverage.py` measures how often intervals hold the truth, also beside a two-level bootstrap.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_bench.evaluation.components import MIN_UNITS, TINY, Combined, Spread, mean_of
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
    def ends(self) -> tuple[float, float]:
        """Return the ends of the interval, twice the number itself where there is none."""
        return (self.value, self.value) if self.interval is None else (self.interval.low, self.interval.high)

    @property
    def plain(self) -> dict[str, float | None]:
        """Return the number and its ends as plain values, for a JSON document."""
        low, high = (None, None) if self.interval is None else (self.interval.low, self.interval.high)
        return {"value": self.value, "low": low, "high": high}

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


SPARSE = 8
"""Power of the distance from 1/2 (0 to 1) that says how far errors are few enough to count them together."""
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
    """Like `of_counts`, with the limits of a share, for scores in [0, 1]."""
    found = of_counts(sample, function)
    if found.interval is None or found.combined is None:
        return found
    spread, classes = found.combined.spread, sample.by_class.classes
    ends = _of_whole(found.value, classes, spread, _observed(classes, spread) + spread.seeds)
    return Value(found.value, Interval(*ends), found.combined)


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
    """Return limits of a mean of recalls, from the limits of each.

    Each class gets as many independent answers as its variance amounts to, at most those that its rows can
    give. Distances to the limits are combined as by Zou and Donner (2008), which keeps the skew of recalls
    near 0 or 1; they are stretched to the variance of the whole score where answers of one unit agree across
    classes, and the variance over seeds is added. Where errors are so few that most classes have none, that
    rule is too narrow on the side of the end, and the limit of all answers taken together comes in its place.
    """
    recall, k = classes.recall, len(classes.recall)
    smooth = (recall * classes.most + 0.5) / (classes.most + 1)
    with np.errstate(divide="ignore"):
        answers = np.minimum(smooth * (1 - smooth) / (classes.own * k**2), classes.most)
    low, high = _of_shares(recall, answers, spread.quantile())
    own, observed = float(classes.own.sum()), _observed(classes, spread)
    stretch = max(1.0, observed / own) if own > 0 else 1.0
    below, above = (stretch * float(((d / k) ** 2).sum()) for d in (recall - low, high - recall))
    least, most = _of_whole(score, classes, spread, observed)
    few = abs(2 * score - 1) ** SPARSE
    if score > 0.5:
        above += few * max(0.0, (most - score) ** 2 - above)
    else:
        below += few * max(0.0, (score - least) ** 2 - below)
    seeds = spread.quantile() ** 2 * spread.seeds
    return max(0.0, score - float(np.sqrt(below + seeds))), min(1.0, score + float(np.sqrt(above + seeds)))


def _of_whole(score: float, classes: Classes, spread: Spread, variance: float) -> tuple[float, float]:
    """Return limits of a score in [0, 1] as if it were one share, of as many answers as it varies like."""
    most = len(classes.most) ** 2 / float((1 / classes.most).sum())
    smooth = (score * most + 0.5) / (most + 1)
    least = smooth * (1 - smooth) / most
    answers = np.array(smooth * (1 - smooth) / max(variance, least))
    low, high = _of_shares(np.array(score), answers, spread.quantile())
    return float(low), float(high)


def _observed(classes: Classes, spread: Spread) -> float:
    """Return the variance over units that the units themselves show."""
    return spread.units - float(classes.unseen.sum())


def _of_shares(share: Floats, answers: Floats, z: float) -> tuple[Floats, Floats]:
    """Return limits of shares: Wilson's (1927), and Clopper and Pearson's (1934) towards the nearer end.

    Wilson's are right on average, and the nearer end is too near: 9 right of 10 answers make a share of .99
    look impossible. The nearer a share is to 0 or 1, the more that end is Clopper and Pearson's.

    Args:
        share: Shares [...].
        answers: Independent answers of each, not always a whole number [...].
        z: Quantile of the two-sided interval.
    """
    from scipy.special import betaincinv, ndtr  # takes longer to import than all of numpy

    centre, half = (
        share + z**2 / (2 * answers),
        z * np.sqrt(share * (1 - share) / answers + z**2 / (4 * answers**2)),
    )
    low, high = (centre - half) / (1 + z**2 / answers), (centre + half) / (1 + z**2 / answers)
    right, wrong, outside = share * answers, (1 - share) * answers, ndtr(-z)
    exact_low = betaincinv(np.maximum(right, TINY), wrong + 1, outside)
    exact_high = betaincinv(right + 1, np.maximum(wrong, TINY), 1 - outside)
    near = 2 * share - 1
    low += np.maximum(-near, 0) * (exact_low - low)
    high += np.maximum(near, 0) * (exact_high - high)
    ends: tuple[Floats, Floats] = np.clip(low, 0, share), np.clip(high, share, 1)
    return ends


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
