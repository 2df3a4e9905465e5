"""The one way from predictions to a score: of our own runs, of submissions and of stored runs.

A model trained on a source is scored on a target over the *pair label set* (classes that both know and that
the target has, without contempt and other), its logits restricted to it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from fer_bench.datasets import members_of
from fer_bench.emotions import Emotion, pair_label_set
from fer_bench.errors import DataError
from fer_bench.evaluation import confusion, metrics
from fer_bench.evaluation.breakdown import break_down
from fer_bench.evaluation.estimates import SMALL_CLASS, answers, uar_of_answers, unrestricted
from fer_bench.evaluation.statistics import Answers
from fer_bench.evaluation.stored import rows_hash
from fer_bench.results.predictions import Predictions
from fer_bench.results.record import Score


def score_predictions(
    predictions: Predictions,
    *,
    target_emotions: Sequence[Emotion | str],
    index: pd.DataFrame | None = None,
) -> Score:
    """Score one checkpoint on one target.

    On its own dataset, or a member of its union, all classes of the model are scored; elsewhere those that
    both sides know.

    Args:
        predictions: Its predictions on the target.
        target_emotions: Emotions that rows of the target can have.
        index: Kept attributes of the target's rows, for scores per group and against votes.

    Raises:
        DataError: No row of the target can be scored.
    """
    meta = predictions.meta
    label_set = tuple(Emotion(name) for name in meta.classes)
    if meta.target not in members_of(meta.source):
        present = sorted(set(predictions.frame["label"].dropna()))
        label_set = pair_label_set(label_set, target_emotions, present)
    return score_classes(predictions, label_set, index=index)


def outdated_metrics(given: Answers, score: Score) -> set[str]:
    """Return the metrics that a score does not hold as answers give them under today's rules.

    Args:
        given: The answers on the scored rows.
        score: A record's.
    """
    matrix = confusion.count_pairs(given.truth, given.answer, len(given.classes))
    today = {name: metric.of(matrix) for name, metric in metrics.registry().items()}
    return {name for name, value in today.items() if not _same(value, score.metrics.get(name))}


def _same(one: float | None, other: float | None) -> bool:
    return one == other if one is None or other is None else math.isclose(one, other, abs_tol=1e-6)


def score_classes(
    predictions: Predictions, label_set: Sequence[Emotion], *, index: pd.DataFrame | None = None
) -> Score:
    """Score one checkpoint on one target over given classes.

    Args:
        predictions: Its predictions on the target.
        label_set: Scored classes.
        index: Kept attributes of the target's rows.

    Raises:
        DataError: No row of the target can be scored.
    """
    meta = predictions.meta
    best = answers(predictions, label_set)
    if not len(best.truth):
        present = sorted(set(predictions.frame["label"].dropna()))
        raise DataError(
            f"no row of {meta.target} has a class that the model of {meta.source} knows",
            value=", ".join(present) or "no label",
        )
    matrix = confusion.count_pairs(best.truth, best.answer, len(best.classes))
    rows = dict(zip(best.classes, confusion.support(matrix), strict=True))
    return Score(
        target=meta.target,
        selection=meta.selection,
        label_set=tuple(e.value for e in label_set),
        n=len(best.truth),
        k=int(confusion.present_classes(matrix)),
        kept_share=len(best.truth) / best.labelled,
        metrics={name: metric.of(matrix) for name, metric in metrics.registry().items()},
        unrestricted_uar=uar_of_answers(unrestricted(predictions, best)),
        small_classes=tuple(e.value for e in label_set if rows.get(e.value, 0) < SMALL_CLASS),
        rows=rows_hash(predictions.frame),
        breakdown=break_down(
            predictions, best, in_domain=meta.target in members_of(meta.source), index=index
        ),
    )
