"""Scores of named subsets of test rows, from the predictions on all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fer_bench.emotions import Emotion
from fer_bench.evaluation.scoring import score_classes
from fer_bench.evaluation.stored import read_scored, stored_index
from fer_bench.results.predictions import Predictions
from fer_bench.results.record import Record, SubsetScore
from fer_bench.results.store import Store
from fer_bench.results.subsets import Subset, subsets_of


def of_subset(predictions: Predictions, subset: Subset) -> Predictions:
    """Return the predictions on the rows of a subset."""
    frame = predictions.frame
    return replace(predictions, frame=frame[frame["sample_id"].isin(subset.rows)].reset_index(drop=True))


def has_scored_rows(predictions: Predictions, label_set: Sequence[str]) -> bool:
    """Return whether a row has a label that is scored; a fold may test no row of a subset."""
    return bool(predictions.frame["label"].isin(label_set).any())


def score_subsets(store: Store, record: Record) -> tuple[SubsetScore, ...]:
    """Score a finished run on the store's subsets of its targets, over the classes of the whole target.

    Args:
        store: The run store.
        record: The run, with the scores of its targets.

    Returns:
        One score per target and subset of which the run has tested a row, by name.

    Raises:
        StoreError: Predictions or a subset are damaged.
    """
    found = []
    for whole in record.scores:
        subsets = subsets_of(store.root, whole.target) if whole.selection == record.headline else ()
        if not subsets:
            continue
        predictions = read_scored(store, record, whole.target, whole.selection)
        index = stored_index(store.root, predictions.meta.fingerprint)
        label_set = tuple(Emotion(name) for name in whole.label_set)
        for subset in subsets:
            part = of_subset(predictions, subset)
            if has_scored_rows(part, whole.label_set):
                score = score_classes(part, label_set, index=index)
                facts = {"name": subset.name, "hash": subset.hash, "listed": len(subset.rows)}
                found.append(SubsetScore(**facts, tested=len(part.frame), score=score))
    return tuple(sorted(found, key=lambda one: (one.score.target, one.name)))
