"""Estimates: the scores of a method's models on one target, averaged, with intervals over units and seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fer_bench.evaluation import confusion, metrics
from fer_bench.evaluation.intervals import Sample, Value
from fer_bench.evaluation.statistics import Answers, find_units
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
    """

    values: Mapping[str, Value]
    n: int
    k: int
    units: int
    kept_share: float
    label_set: tuple[str, ...]
    small_classes: tuple[str, ...] = ()

    @property
    def by_seed(self) -> dict[str, dict[int, float]]:
        """Return each score per seed, folds averaged."""
        return {name: v.combined.by_seed() for name, v in self.values.items() if v.combined is not None}

    def seed_sd(self, name: str) -> float | None:
        """Return the standard deviation (ddof 1) of a score over the seeds, None for a single seed."""
        return self.values[name].seed_sd if name in self.values else None


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


def estimate(
    answered: Sequence[Answers],
    target: str,
    *,
    seeds: Sequence[int] | None = None,
    training: str = "",
    condition: str = "",
) -> Estimate:
    """Average several models on one target, with intervals over its units and their seeds.

    Args:
        answered: Answers of R >= 1 models with the same classes, each with at least one scored row.
        target: Dataset name.
        seeds: Seed of each model [R]; models of one seed are its folds and averaged first. Each is a seed of
            its own by default.
        training: Names what was trained: scores of the same models on other targets share it.
        condition: What two scores must share to be compared, besides rows and labels.
    """
    seeds = range(len(answered)) if seeds is None else seeds
    sample = Sample(answered, tuple(seeds), find_units(answered), target, training, condition)
    matrices = [confusion.count_pairs(one.truth, one.answer, len(one.classes)) for one in answered]
    totals = np.stack(matrices)
    values = {
        name: metric.interval(sample, metric.function)
        for name, metric in metrics.estimated().items()
        if np.isfinite(metric.function(totals)).all()
    }
    largest = max(answered, key=lambda one: len(one.truth))
    rows = np.bincount(largest.truth, minlength=len(largest.classes))
    return Estimate(
        values=values,
        n=max(len(one.truth) for one in answered),
        k=int(confusion.present_classes(totals).max()),
        units=len(sample.by_class.units),
        kept_share=len(answered[0].truth) / answered[0].labelled,
        label_set=answered[0].scored_classes,
        small_classes=tuple(
            name
            for name, count in zip(largest.classes, rows, strict=True)
            if name in largest.scored_classes and count < SMALL_CLASS
        ),
    )
