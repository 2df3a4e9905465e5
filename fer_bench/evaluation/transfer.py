"""How a model does on its own dataset and on others: scores, generalisation and retention.

A model trained on a source is scored on a target over the *pair label set* (classes that both know and that
the target has, without contempt and other), its logits restricted to it. A method's estimate averages
several models: over folds first, then over seeds. Different models' answers on the same rows are never
pooled.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import pandas as pd

from fer_bench.emotions import Emotion, pair_label_set
from fer_bench.errors import DataError
from fer_bench.evaluation import metrics
from fer_bench.evaluation.metrics import Floats
from fer_bench.evaluation.statistics import (
    MIN_UNITS,
    Answers,
    Interval,
    all_units,
    bootstrap,
    count_by_unit,
    interval,
    seed_of,
)
from fer_bench.runs.predictions import Predictions
from fer_bench.runs.record import Score, Selection

SMALL_CLASS = 5
"""Scored classes with fewer rows are flagged."""
MIN_IN_DOMAIN = 0.1
"""Retention is given only where the in-domain score is surely above this: a ratio to nothing says nothing."""


def answers(predictions: Predictions, label_set: Sequence[str], *, restricted: bool = True) -> Answers:
    """Return a model's answers on the rows whose label is in a label set.

    Args:
        predictions: Stored predictions.
        label_set: Scored classes; classes that the model does not know are left out.
        restricted: Whether only scored classes may be answered.
    """
    frame, classes = predictions.frame, predictions.meta.classes
    scored = tuple(name for name in classes if name in set(label_set))
    labelled = frame["label"].notna().to_numpy()
    rows = frame["label"].isin(scored).to_numpy()
    logits = predictions.logits[rows]
    if restricted:
        logits = np.where([name in scored for name in classes], logits, -np.inf)
    units = frame["unit"].to_numpy(object)
    return Answers(
        truth=metrics.class_codes(frame["label"][rows], classes),
        answer=logits.argmax(axis=1).astype(np.int64),
        units=units[rows],
        all_units=np.unique(units[labelled]),
        labelled=int(labelled.sum()),
        classes=classes,
        scored_classes=scored,
    )


def transfer_score(uar: float, k: int) -> float | None:
    """Return chance-corrected UAR, (uar - 1/k) / (1 - 1/k), or None for fewer than two classes.

    Args:
        uar: Unweighted average recall in [0, 1].
        k: Number of classes that it averages.
    """
    return (uar - 1 / k) / (1 - 1 / k) if k > 1 else None


def score_predictions(
    predictions: Predictions,
    *,
    source_label_set: Sequence[Emotion | str],
    target: str,
    target_emotions: Sequence[Emotion | str],
    in_domain: bool,
) -> Score:
    """Score one checkpoint on one target.

    Args:
        predictions: Its predictions on the target.
        source_label_set: Label set of the protocol it was trained under.
        target: Dataset name.
        target_emotions: Emotions that rows of the target can have.
        in_domain: Whether the target is the source: the whole label set is scored then.

    Raises:
        DataError: No row of the target can be scored.
    """
    present = sorted(set(predictions.frame["label"].dropna()))
    label_set = tuple(Emotion(e) for e in source_label_set)
    if not in_domain:
        label_set = pair_label_set(label_set, target_emotions, present)
    best = answers(predictions, label_set)
    if not len(best.truth):
        raise DataError(
            f"no row of {target} has a class that the model of {predictions.meta.source} knows",
            value=", ".join(present) or "no label",
        )
    free = answers(predictions, label_set, restricted=False)
    k_all = len(best.classes)
    matrix = metrics.count_pairs(best.truth, best.answer, k_all)
    rows = dict(zip(best.classes, metrics.support(matrix), strict=True))
    uar, k = float(metrics.uar(matrix)), int(metrics.present_classes(matrix))
    return Score(
        target=target,
        selection=cast(Selection, predictions.meta.selection),
        label_set=tuple(e.value for e in label_set),
        n=len(best.truth),
        k=k,
        kept_share=len(best.truth) / best.labelled,
        accuracy=float(metrics.accuracy(matrix)),
        uar=uar,
        macro_f1=float(metrics.macro_f1(matrix)),
        transfer=transfer_score(uar, k),
        unrestricted_uar=float(metrics.uar(metrics.count_pairs(free.truth, free.answer, k_all))),
        small_classes=tuple(e.value for e in label_set if rows.get(e.value, 0) < SMALL_CLASS),
    )


@dataclass(frozen=True)
class Value:
    """A number with its uncertainty.

    Attributes:
        value: The estimate.
        interval: 95 % interval, None with fewer than ten units.
        draws: Resampled values [B], None without interval.
    """

    value: float
    interval: Interval | None
    draws: Floats | None = field(default=None, compare=False, repr=False)


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
    """

    values: Mapping[str, Value]
    n: int
    k: int
    units: int
    kept_share: float
    label_set: tuple[str, ...]


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
    units = all_units(answered)
    counts = count_by_unit(answered)
    totals = counts.total()
    point = {name: float((metric(totals) * share).sum()) for name, metric in metrics.METRICS.items()}
    drawn = bootstrap(counts, share, seed_of(target, units)) if counts.scored_units >= MIN_UNITS else {}
    values = {
        name: Value(value, interval(drawn[name]) if drawn else None, drawn.get(name))
        for name, value in point.items()
        if math.isfinite(value)
    }
    return Estimate(
        values=values,
        n=max(len(one.truth) for one in answered),
        k=int(metrics.present_classes(totals).max()),
        units=counts.scored_units,
        kept_share=len(answered[0].truth) / answered[0].labelled,
        label_set=answered[0].scored_classes,
    )


def average(values: Sequence[Value]) -> Value:
    """Average estimates on different targets; resamples are averaged draw by draw.

    Estimates on the same target share their resamples, so their dependence is kept; different targets are
    independent.
    """
    mean = float(np.mean([v.value for v in values]))
    draws = [v.draws for v in values if v.draws is not None]
    if len(draws) < len(values):
        return Value(mean, None)
    together: Floats = np.mean(draws, axis=0)
    return Value(mean, interval(together), together)


def never_cross(names: Iterable[str]) -> frozenset[frozenset[str]]:
    """Return the pairs of datasets that hold the same pictures and are never counted as cross-dataset.

    Args:
        names: Dataset names; those that this installation does not know have no card to say so.
    """
    from fer_bench import datasets

    known = set(datasets.names())
    return frozenset(
        frozenset((name, other))
        for name in names
        if name in known
        for other in datasets.get(name).card.shares_pixels_with
    )


def members(source: str) -> tuple[str, ...]:
    """Return the datasets of a source: itself, or those of a union `a+b`."""
    return tuple(source.split("+"))


def counted_targets(
    source: str, named: Sequence[str], excluded: frozenset[frozenset[str]] = frozenset()
) -> tuple[str, ...]:
    """Return the targets over which a source's generalisation is averaged.

    Args:
        source: Dataset or union trained on.
        named: The named target list.
        excluded: Pairs that are never counted, from `never_cross`.
    """
    own = members(source)
    return tuple(t for t in named if t not in own and not any(frozenset((m, t)) in excluded for m in own))


@dataclass(frozen=True)
class Generalisation:
    """Mean transfer of one source over the named target list.

    Attributes:
        mean: The mean over the targets that were scored, None when none was.
        scored: How many were.
        wanted: How many the list names for this source.
        in_domain: Mean over the same targets of the in-domain chance-corrected UAR on each pair's label
            set, None when it cannot be computed.
    """

    mean: Value | None
    scored: int
    wanted: int
    in_domain: Value | None = None

    @property
    def complete(self) -> bool:
        """Whether every target of the list was scored; only then it is compared."""
        return self.mean is not None and self.scored == self.wanted


def generalisation(
    transfers: Mapping[str, Value], wanted: Sequence[str], in_domain: Value | None = None
) -> Generalisation:
    """Return the mean transfer over the wanted targets.

    Args:
        transfers: Transfer score per target.
        wanted: From `counted_targets`.
        in_domain: Mean in-domain score on the same pairs' label sets.
    """
    found = [transfers[t] for t in wanted if t in transfers]
    return Generalisation(average(found) if found else None, len(found), len(wanted), in_domain)


def retention(parts: Sequence[Generalisation]) -> float | None:
    """Return how much of the in-domain score survives elsewhere: mean transfer over mean in-domain score.

    For several sources it is the ratio of the means over them. None when an in-domain score is unknown or
    the mean of the lower ends of their intervals is below 0.1.

    Args:
        parts: The source's generalisation, or those of a method's sources.
    """
    above = [p.mean.value for p in parts if p.mean is not None]
    below = [p.in_domain.value for p in parts if p.in_domain is not None]
    lows = [
        p.in_domain.interval.low
        for p in parts
        if p.in_domain is not None and p.in_domain.interval is not None
    ]
    if not parts or not len(above) == len(below) == len(lows) == len(parts) or np.mean(lows) < MIN_IN_DOMAIN:
        return None
    return float(np.mean(above) / np.mean(below))
