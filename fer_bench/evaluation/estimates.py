"""Estimates: how the models of one method do on one target, averaged, with intervals over its units."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from fer_bench.evaluation import metrics
from fer_bench.evaluation.contributions import Spread, contributions, mean_spread, spread
from fer_bench.evaluation.metrics import Floats
from fer_bench.evaluation.pairs import UnitTerms
from fer_bench.evaluation.statistics import (
    MIN_UNITS,
    Answers,
    Interval,
    bootstrap,
    count_by_unit,
    find_units,
    interval,
    seed_of,
)
from fer_bench.runs.predictions import Predictions


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
        truth=metrics.class_codes(frame["label"][rows], classes),
        answer=logits.argmax(axis=1).astype(np.int64),
        units=units[rows],
        samples=frame["sample_id"].to_numpy(object)[rows],
        all_units=np.unique(units[labelled]),
        labelled=int(labelled.sum()),
        classes=classes,
        scored_classes=scored,
    )


@dataclass(frozen=True)
class Value:
    """A number with its uncertainty.

    Attributes:
        value: The estimate.
        interval: 95 % interval, None with fewer than ten units.
        draws: Resampled values [B], None without interval.
        spread: How uncertain it is, None where unknown.
    """

    value: float
    interval: Interval | None
    draws: Floats | None = field(default=None, compare=False, repr=False)
    spread: Spread | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Estimate:
    """How the models of one cell do on one target, on average.

    Attributes:
        values: `uar`, `accuracy`, `macro_f1` and `transfer` (absent for a single class).
        n: Scored rows; the largest number where models differ.
        k: Scored classes with at least one row.
        units: Units with a scored row.
        kept_share: Scored rows divided by labelled rows.
        label_set: Scored classes.
        terms: What each unit adds to the UAR.
    """

    values: Mapping[str, Value]
    n: int
    k: int
    units: int
    kept_share: float
    label_set: tuple[str, ...]
    terms: UnitTerms | None = field(default=None, compare=False, repr=False)


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


def estimate(answered: Sequence[Answers], share: Floats, target: str) -> Estimate:
    """Average several models on one target, with intervals over its units.

    Args:
        answered: Answers of R >= 1 models with the same classes, each with at least one scored row.
        share: Share of each model in the average, [R].
        target: Dataset name, part of the seed of the resamples.
    """
    units = find_units(answered)
    counts = count_by_unit(answered, units)
    totals = counts.total()
    k = int(metrics.present_classes(totals).max())
    point = {name: float((metric(totals) * share).sum()) for name, metric in metrics.METRICS.items()}
    by_class = contributions(answered, share, units)
    values = {name: Value(value, None) for name, value in point.items() if math.isfinite(value)}
    if counts.scored_units >= MIN_UNITS:
        seed = seed_of(target, units.names)
        drawn = bootstrap(counts, share, seed)
        plain = spread(by_class)
        spreads = {
            "uar": plain,
            "macro_f1": plain,
            "transfer": spread(by_class, 1 / (1 - 1 / k)) if k > 1 else plain,
            "accuracy": spread(contributions(answered, share, units, by_class=False)),
        }
        values = {
            name: Value(one.value, interval(drawn[name], spreads[name].tail()), drawn[name], spreads[name])
            for name, one in values.items()
        }
    return Estimate(
        values=values,
        n=max(len(one.truth) for one in answered),
        k=k,
        units=counts.scored_units,
        kept_share=len(answered[0].truth) / answered[0].labelled,
        label_set=answered[0].scored_classes,
        terms=UnitTerms(target, by_class.units, by_class.parts.sum(1), by_class.rows, k),
    )


def average(values: Sequence[Value]) -> Value:
    """Average estimates on different targets; resamples are averaged draw by draw.

    Estimates on the same target share their resamples, so their dependence is kept; different targets are
    independent.
    """
    mean = float(np.mean([v.value for v in values]))
    draws = [v.draws for v in values if v.draws is not None]
    spreads = [v.spread for v in values if v.spread is not None]
    if len(draws) < len(values):
        return Value(mean, None)
    together: Floats = np.mean(draws, axis=0)
    if len(spreads) < len(values):
        return Value(mean, interval(together), together)
    joint = mean_spread(spreads)
    return Value(mean, interval(together, joint.tail()), together, joint)
