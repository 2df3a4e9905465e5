"""A cell's score on the test rows of its own dataset: folds pooled, seeds averaged, groups compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fer_bench.errors import StoreError
from fer_bench.evaluation import confusion
from fer_bench.evaluation.estimates import Estimate, answers, estimate, uar_of_answers
from fer_bench.evaluation.groups import SUBJECT, attributes_of, group_scores
from fer_bench.evaluation.intervals import Sample, Value, average, change, of_recalls
from fer_bench.evaluation.statistics import Answers, find_units, mean_and_sd
from fer_bench.evaluation.stored import stored_index
from fer_bench.results.predictions import Predictions
from fer_bench.results.record import Record
from fer_bench.results.scores import Groups
from fer_bench.results.store import Store


@dataclass(frozen=True)
class Gap:
    """The widest gap between groups of rows in-domain, folds pooled and seeds averaged.

    Attributes:
        attribute: What groups them.
        groups: The groups.
        size: Difference of the highest and the lowest UAR.
        value: The same with its interval, which does not know that the widest of several gaps was taken; None
            where a group has too few units.
    """

    attribute: str
    groups: Groups
    size: float
    value: Value | None = None


@dataclass(frozen=True)
class InDomain:
    """A cell's score on the test rows of its own dataset.

    Attributes:
        estimate: Folds pooled (each row is predicted once), seeds averaged.
        fold_mean: Mean UAR over the folds, each averaged over its seeds; None for a single fold.
        fold_sd: Standard deviation (ddof 1) over the folds.
        gap: Widest gap between groups, single people left out; None where no groups can be compared.
    """

    estimate: Estimate
    fold_mean: float | None
    fold_sd: float | None
    gap: Gap | None


def pool(own: Sequence[tuple[Record, Predictions]], label_set: Sequence[str]) -> dict[int, Answers]:
    """Return the answers of each seed with its folds pooled.

    Raises:
        StoreError: Two folds of a seed test the same row.
    """
    return _pooled(own, [answers(p, label_set) for _, p in own])


def _pooled(own: Sequence[tuple[Record, Predictions]], answered: Sequence[Answers]) -> dict[int, Answers]:
    """Return the answers of each seed with its folds pooled, from those of each run."""
    pooled: dict[int, Answers] = {}
    for seed in sorted({r.seed for r, _ in own}):
        ids = np.concatenate([p.frame["sample_id"].to_numpy(object) for r, p in own if r.seed == seed])
        if len(np.unique(ids)) < len(ids):
            raise StoreError("two folds test the same row, so they cannot be pooled")
        given = [one for (r, _), one in zip(own, answered, strict=True) if r.seed == seed]
        pooled[seed] = replace(
            given[0],
            truth=np.concatenate([g.truth for g in given]),
            answer=np.concatenate([g.answer for g in given]),
            units=np.concatenate([g.units for g in given]),
            samples=np.concatenate([g.samples for g in given]),
            labelled=sum(g.labelled for g in given),
        )
    return pooled


def score_in_domain(store: Store, own: Sequence[tuple[Record, Predictions]], training: str = "") -> InDomain:
    """Score the runs of a cell on the test rows of their own dataset.

    Args:
        store: Where the index of the rows is kept.
        own: Runs with their predictions.
        training: Names what was trained.

    Raises:
        StoreError: Two folds of a seed test the same row.
    """
    first = own[0][0]
    answered = [answers(p, first.classes) for _, p in own]
    pooled = _pooled(own, answered)
    given = list(pooled.values())
    folds = sorted({r.fold for r, _ in own})
    uar = [(r.fold, uar_of_answers(one)) for (r, _), one in zip(own, answered, strict=True)]
    by_fold = [float(np.mean([value for fold, value in uar if fold == one])) for one in folds]
    fold_mean, fold_sd = mean_and_sd(by_fold) if len(folds) > 1 else (None, None)
    index = stored_index(store.root, own[0][1].meta.fingerprint)
    return InDomain(
        estimate=estimate(given, first.dataset, seeds=list(pooled), training=training),
        fold_mean=fold_mean,
        fold_sd=fold_sd,
        gap=None if index is None else _widest_gap(index, given, list(pooled), first.dataset),
    )


def _widest_gap(index: pd.DataFrame, given: Sequence[Answers], seeds: Sequence[int], own: str) -> Gap | None:
    """Return the widest gap between groups of pooled rows, single people left out.

    Args:
        index: The rows' attributes.
        given: Answers of each seed.
        seeds: The seeds.
        own: The dataset.
    """
    places = index.index.get_indexer(pd.Index(np.concatenate([g.samples for g in given])))
    rows = index.iloc[places].reset_index(drop=True)
    truth = np.concatenate([g.truth for g in given])
    answer = np.concatenate([g.answer for g in given])
    gaps = []
    for attribute, values in attributes_of(rows, own).items():
        if attribute == SUBJECT:
            continue
        found = group_scores(values, truth, answer, given[0].classes, repeats=len(given))
        if found is not None and found.gap is not None:
            gaps.append((Gap(attribute, found, found.gap), values))
    if not gaps:
        return None
    gap, values = max(gaps, key=lambda one: (one[0].size, one[0].attribute))
    parts = np.split(values.to_numpy(object), np.cumsum([len(g.truth) for g in given])[:-1])
    ends = (
        _of_group(gap, name, parts, given, seeds, own) for name in (gap.groups.highest, gap.groups.lowest)
    )
    high, low = (None if one is None or one.interval is None else one for one in ends)
    return replace(gap, value=None if high is None or low is None else change(high, low))


def _of_group(
    gap: Gap,
    name: str | None,
    values: Sequence[NDArray[np.object_]],
    given: Sequence[Answers],
    seeds: Sequence[int],
    own: str,
) -> Value | None:
    """Return the UAR of a group over the classes of its gap, with an interval over units and seeds."""
    codes = [given[0].classes.index(one) for one in gap.groups.classes]
    kept = [(part == name) & np.isin(one.truth, codes) for part, one in zip(values, given, strict=True)]
    answered = [
        replace(g, truth=g.truth[k], answer=g.answer[k], units=g.units[k], samples=g.samples[k])
        for g, k in zip(given, kept, strict=True)
    ]
    if not all(len(one.truth) for one in answered):
        return None
    return of_recalls(Sample(answered, tuple(seeds), find_units(answered), own, ""), confusion.uar)


def score_on_label_sets(
    own: Sequence[tuple[Record, Predictions]], label_sets: Sequence[tuple[str, ...]], training: str = ""
) -> Value | None:
    """Return the mean over label sets of the in-domain chance-corrected UAR, from the same stored logits.

    Args:
        own: Runs with their predictions.
        label_sets: Scored classes, one per target.
        training: Names what was trained.
    """
    by_set: dict[tuple[str, ...], Value] = {}
    for label_set in dict.fromkeys(label_sets):
        pooled = pool(own, label_set)
        given = list(pooled.values())
        if not all(len(one.truth) for one in given):
            return None
        values = estimate(given, own[0][0].dataset, seeds=list(pooled), training=training).values
        if "transfer" not in values:
            return None
        by_set[label_set] = values["transfer"]
    means = list(by_set.values()) if len(by_set) == 1 else [by_set[one] for one in label_sets]
    return average(means) if means else None
