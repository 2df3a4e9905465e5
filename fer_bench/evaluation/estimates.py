"""Estimates: the scores of a method's models on one target, averaged, with intervals over its units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from fer_bench.evaluation import confusion, metrics
from fer_bench.evaluation.confusion import Floats
from fer_bench.evaluation.contributions import contributions
from fer_bench.evaluation.intervals import Spread, Value, mean_spread
from fer_bench.evaluation.pairs import Comparable
from fer_bench.evaluation.statistics import (
    LEVEL,
    MIN_UNITS,
    Answers,
    Interval,
    bootstrap,
    count_by_unit,
    find_units,
    interval,
    mean_and_sd,
    seed_of,
)
from fer_bench.results.predictions import Predictions


def answers(predictions: Predictions, label_set: Sequence[str]) -> Answers:
    """Return a model's answers on the rows whose label is in a label set, restricted to these classes.

    Args:
        predictions: Stored predictions.
        label_set: Scored classes; classes that the model does not know are left out.
    """
    frame, classes = predictions.frame, predictions.meta.classes
    scored = tuple(name for name in classes if name in set(label_set))
    labelled = frame["label"].notna().to_numpy()
    rows = frame["label"].isin(scored).to_numpy()
    logits = predictions.logits[rows]
    logits = np.where([name in scored for name in classes], logits, -np.inf)
    units = frame["unit"].to_numpy(object)
    return Answers(
        truth=confusion.class_codes(frame["label"][rows], classes),
        answer=logits.argmax(axis=1).astype(np.int64),
        units=units[rows],
        samples=frame["sample_id"].to_numpy(object)[rows],
        all_units=np.unique(units[labelled]),
        labelled=int(labelled.sum()),
        classes=classes,
        scored_classes=scored,
    )


SMALL_CLASS = 5
"""Scored classes with fewer rows are flagged."""


@dataclass(frozen=True)
class Estimate:
    """The scores of a cell's models on one target, averaged.

    Attributes:
        values: Each metric that is shown somewhere, by name; undefined ones (transfer of a single class)
            are absent.
        n: Scored rows; the largest number where models differ.
        k: Scored classes with at least one row.
        units: Units with a scored row.
        kept_share: Scored rows divided by labelled rows.
        label_set: Scored classes.
        small_classes: Those with fewer than five rows.
        by_seed: Each score per seed, folds averaged.
        sums: `uar` and, where defined, `transfer` as sums over units.
    """

    values: Mapping[str, Value]
    n: int
    k: int
    units: int
    kept_share: float
    label_set: tuple[str, ...]
    small_classes: tuple[str, ...] = ()
    by_seed: Mapping[str, Mapping[int, float]] = field(default_factory=dict, compare=False, repr=False)
    sums: Mapping[str, Comparable] = field(default_factory=dict, compare=False, repr=False)

    def seed_sd(self, name: str) -> float | None:
        """Return the standard deviation (ddof 1) of a score over the seeds, None for a single seed."""
        values = list(self.by_seed.get(name, {}).values())
        return mean_and_sd(values)[1] if values else None


def uar_of_answers(given: Answers) -> float:
    """Return the UAR of a model's answers."""
    return float(confusion.uar(confusion.count_pairs(given.truth, given.answer, len(given.classes))))


def unrestricted(predictions: Predictions, given: Answers) -> Answers:
    """Return a model's answers on the same rows when it may answer any of its classes.

    Args:
        predictions: Stored predictions.
        given: What `answers` found in them.
    """
    rows = predictions.frame["label"].isin(given.scored_classes).to_numpy()
    return replace(given, answer=predictions.logits[rows].argmax(axis=1).astype(np.int64))


def seed_shares(seeds: Sequence[int]) -> Floats:
    """Return each model's share in "mean over folds, then over seeds", [R], summing to 1.

    Args:
        seeds: Seed of each model; models of one seed are its folds.
    """
    counts = pd.Series(seeds).map(pd.Series(seeds).value_counts()).to_numpy(np.float64)
    shares: Floats = 1.0 / (len(set(seeds)) * counts)
    return shares


def estimate(answered: Sequence[Answers], target: str, *, seeds: Sequence[int] | None = None) -> Estimate:
    """Average several models on one target, with intervals over its units.

    Args:
        answered: Answers of R >= 1 models with the same classes, each with at least one scored row.
        target: Dataset name, part of the seed of the resamples.
        seeds: Seed of each model [R]; models of one seed are its folds and averaged first. Each is a seed of
            its own by default.
    """
    seeds = range(len(answered)) if seeds is None else seeds
    share = seed_shares(seeds)
    units = find_units(answered)
    counts = count_by_unit(answered, units)
    totals = counts.total()
    k = int(confusion.present_classes(totals).max())
    by_model = {name: metric.function(totals) for name, metric in metrics.estimated().items()}
    by_model = {name: found for name, found in by_model.items() if np.isfinite(found).all()}
    point = {name: float((found * share).sum()) for name, found in by_model.items()}
    values = {name: Value(value, None) for name, value in point.items()}
    of_seed = np.asarray(seeds)
    by_class = contributions(answered, share, units)
    names = np.array([f"{target}\x1f{unit}" for unit in by_class.units], object)
    sums = {"uar": Comparable(point["uar"], names, by_class.parts.sum(1), by_class.rows)}
    if "transfer" in point:
        sums["transfer"] = sums["uar"].corrected(point["transfer"], k)
    largest = max(answered, key=lambda one: len(one.truth))
    rows = np.bincount(largest.truth, minlength=len(largest.classes))
    if counts.scored_units >= MIN_UNITS:
        functions = {name: metrics.registry()[name].function for name in point}
        drawn = bootstrap(counts, share, seed_of(target, units.names), functions)
        by_rows = contributions(answered, share, units, by_class=False)
        values = metrics.with_intervals(point, drawn, by_class, by_rows)
    return Estimate(
        values=values,
        n=max(len(one.truth) for one in answered),
        k=k,
        units=counts.scored_units,
        kept_share=len(answered[0].truth) / answered[0].labelled,
        label_set=answered[0].scored_classes,
        small_classes=tuple(
            name
            for name, count in zip(largest.classes, rows, strict=True)
            if name in largest.scored_classes and count < SMALL_CLASS
        ),
        by_seed={
            name: {int(seed): float(found[of_seed == seed].mean()) for seed in np.unique(of_seed)}
            for name, found in by_model.items()
        },
        sums=sums,
    )


def average(values: Sequence[Value]) -> Value:
    """Average estimates on different targets; resamples are averaged draw by draw.

    Estimates on the same target share their resamples, so their dependence is kept; different targets are
    independent. Where an interval is not made from resamples, distances to the ends are combined (Zou and
    Donner 2008), stretched by how much more the resamples of the mean vary than independent ones would.
    """
    mean = float(np.mean([v.value for v in values]))
    draws = [v.draws for v in values if v.draws is not None]
    spreads = [v.spread for v in values if v.spread is not None]
    if len(draws) < len(values):
        return Value(mean, None)
    together: Floats = np.mean(draws, axis=0)
    joint = mean_spread(spreads) if len(spreads) == len(values) else None
    if all(v.resampled for v in values):
        return Value(mean, interval(together, _tail(joint)), together, True, joint)
    alone = sum(float(np.nanvar(d)) for d in draws) / len(values) ** 2
    stretch = max(1.0, float(np.nanvar(together)) / alone) if alone > 0 else 1.0
    below, above = (np.sqrt(stretch * (d**2).sum()) / len(values) for d in _distances(values))
    return Value(mean, Interval(mean - float(below), mean + float(above)), together, False, joint)


def difference_interval(first: Value, second: Value) -> Interval | None:
    """Return the interval of a difference of scores on the same units, from their common resamples.

    Where an interval is not made from resamples, distances to the ends are combined with the correlation of
    the resamples (Zou and Donner 2008).

    Args:
        first: A score.
        second: Another method's.

    Returns:
        None where one has no interval.
    """
    if first.draws is None or second.draws is None:
        return None
    if first.resampled and second.resampled:
        tail = min(_tail(v.spread) for v in (first, second))
        return interval(first.draws - second.draws, tail)
    below, above = _distances((first, second))
    known = np.isfinite(first.draws) & np.isfinite(second.draws)
    varies = all(v.draws is not None and np.ptp(v.draws[known]) > 0 for v in (first, second))
    alike = float(np.corrcoef(first.draws[known], second.draws[known])[0, 1]) if varies else 0.0
    down = below[0] ** 2 + above[1] ** 2 - 2 * alike * below[0] * above[1]
    up = above[0] ** 2 + below[1] ** 2 - 2 * alike * above[0] * below[1]
    difference = first.value - second.value
    return Interval(difference - float(np.sqrt(max(down, 0))), difference + float(np.sqrt(max(up, 0))))


def _tail(spread: Spread | None) -> float:
    return (1 - LEVEL) / 2 if spread is None else spread.tail()


def _distances(values: Sequence[Value]) -> tuple[Floats, Floats]:
    """Return how far the ends of the intervals are below and above the values."""
    ends = [(v.value - v.interval.low, v.interval.high - v.value) for v in values if v.interval is not None]
    below, above = np.array(ends, np.float64).T
    return below, above
