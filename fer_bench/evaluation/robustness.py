"""How much of a score corruptions cost: relative drops, with intervals paired by unit and training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fer_bench.evaluation.intervals import Sample, Value, average, ratio
from fer_bench.evaluation.metrics import RANKING, registry
from fer_bench.evaluation.statistics import Answers, Interval, find_units

Models = Mapping[int, Answers]
"""Answers of a method's models, folds pooled, by seed."""


@dataclass(frozen=True)
class Drop:
    """What one corruption, or the mean of several, costs.

    Attributes:
        uar: UAR on corrupted rows, averaged over what is summed up here.
        relative: The share of the UAR on the rows as they are that is lost, below 0 where some is won; None
            where its uncertainty cannot be computed.
        by_strength: UAR per strength, weakest first.
    """

    uar: Value
    relative: Value | None
    by_strength: tuple[Value, ...]


def ranking_value(models: Models, target: str, training: str) -> Value:
    """Return the UAR of a method's models with its interval.

    Args:
        models: Their answers on the same rows.
        target: Dataset tested on.
        training: Names what was trained.
    """
    answered = list(models.values())
    metric = registry()[RANKING]
    return metric.interval(
        Sample(answered, tuple(models), find_units(answered), target, training), metric.function
    )


def drop_of(clean: Value, corrupted: Sequence[Value]) -> Drop:
    """Return what corruption costs, the mean over its strengths.

    Test units and trainings are those of the clean score, so what they have in common with it cancels.

    Args:
        clean: UAR on the rows as they are.
        corrupted: UAR per strength, from `ranking_value` with the same target and training.
    """
    mean = average(corrupted)
    return Drop(mean, _relative(mean, clean), tuple(corrupted))


def mean_drop(clean: Value, drops: Sequence[Drop]) -> Drop:
    """Return the mean over several corruptions, each with equal weight.

    Args:
        clean: UAR on the rows as they are.
        drops: From `drop_of`, with the same number of strengths.
    """
    mean = average([one.uar for one in drops])
    strengths = zip(*(one.by_strength for one in drops), strict=True)
    return Drop(mean, _relative(mean, clean), tuple(average(values) for values in strengths))


def _relative(corrupted: Value, clean: Value) -> Value | None:
    kept = ratio(corrupted, clean) if clean.value > 0 else None
    if kept is None:
        return None
    ends = None
    if kept.interval is not None:
        ends = Interval(1 - kept.interval.high, 1 - kept.interval.low)
    return Value(1 - kept.value, ends)
