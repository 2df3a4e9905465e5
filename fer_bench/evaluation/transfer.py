"""How a model does on its own dataset and on others: scores, generalisation and retention.

A model trained on a source is scored on a target over the *pair label set* (classes that both know and that
the target has, without contempt and other), its logits restricted to it. A method's estimate averages
several models: over folds first, then over seeds. Different models' answers on the same rows are never
pooled.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fer_bench import datasets
from fer_bench.datasets import members_of
from fer_bench.emotions import Emotion, pair_label_set
from fer_bench.errors import DataError
from fer_bench.evaluation import metrics
from fer_bench.evaluation.estimates import SMALL_CLASS, Value, answers, average, unrestricted
from fer_bench.evaluation.scoring import describe
from fer_bench.evaluation.stored import rows_hash
from fer_bench.results.predictions import Predictions
from fer_bench.results.record import Score

MIN_IN_DOMAIN = 0.1
"""Retention is given only where the in-domain score is surely above this: a ratio to nothing says nothing."""


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
    index: pd.DataFrame | None = None,
) -> Score:
    """Score one checkpoint on one target.

    Args:
        predictions: Its predictions on the target.
        source_label_set: Label set of the protocol it was trained under.
        target: Dataset name.
        target_emotions: Emotions that rows of the target can have.
        in_domain: Whether the target is the source: the whole label set is scored then.
        index: What is known about the target's rows, for scores per group and against votes.

    Raises:
        DataError: No row of the target can be scored.
    """
    present = sorted(set(predictions.frame["label"].dropna()))
    label_set = tuple(Emotion(e) for e in source_label_set)
    if not in_domain:
        label_set = pair_label_set(label_set, target_emotions, present)
    return score_on(predictions, label_set, target=target, in_domain=in_domain, index=index)


def score_on(
    predictions: Predictions,
    label_set: Sequence[Emotion],
    *,
    target: str,
    in_domain: bool,
    index: pd.DataFrame | None = None,
) -> Score:
    """Score one checkpoint on one target over given classes.

    Args:
        predictions: Its predictions on the target.
        label_set: Scored classes.
        target: Dataset name.
        in_domain: Whether the target is the source.
        index: What is known about the target's rows.

    Raises:
        DataError: No row of the target can be scored.
    """
    best = answers(predictions, label_set)
    if not len(best.truth):
        present = sorted(set(predictions.frame["label"].dropna()))
        raise DataError(
            f"no row of {target} has a class that the model of {predictions.meta.source} knows",
            value=", ".join(present) or "no label",
        )
    free = unrestricted(predictions, best)
    k_all = len(best.classes)
    matrix = metrics.count_pairs(best.truth, best.answer, k_all)
    rows = dict(zip(best.classes, metrics.support(matrix), strict=True))
    uar, k = float(metrics.uar(matrix)), int(metrics.present_classes(matrix))
    return Score(
        target=target,
        selection=predictions.meta.selection,
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
        rows=rows_hash(predictions.frame),
        details=describe(predictions, best, target=target, in_domain=in_domain, index=index),
    )


def never_cross(names: Iterable[str]) -> frozenset[frozenset[str]]:
    """Return the pairs of datasets that hold the same pictures and are never counted as cross-dataset.

    Args:
        names: Dataset names; those that this installation does not know have no card to say so.
    """
    asked = set(names)
    return frozenset(
        frozenset((name, other))
        for name in datasets.names()  # a card names its copies, but not every copy names it
        for other in datasets.get(name).card.shares_pixels_with
        if name in asked or other in asked
    )


def counted_targets(
    source: str, named: Sequence[str], excluded: frozenset[frozenset[str]] = frozenset()
) -> tuple[str, ...]:
    """Return the targets over which a source's generalisation is averaged.

    Args:
        source: Dataset or union trained on.
        named: The named target list.
        excluded: Pairs that are never counted, from `never_cross`.
    """
    own = members_of(source)
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
