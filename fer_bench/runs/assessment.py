"""The one way from a model's answers to what a store keeps of them: for runs and for outside models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fer_bench.data.index import stack_au
from fer_bench.data.packs.pack import Pack
from fer_bench.data.protocols import units_of
from fer_bench.data.reading.dataset import FaceDataset
from fer_bench.evaluation.scoring import score_predictions
from fer_bench.results.predictions import Predictions, PredictionsMeta, predictions_frame
from fer_bench.results.record import Score, Selection, TargetData
from fer_bench.results.store import kept_attributes

REPACKAGED = "repackaged: "
"""How the note of a reader begins that reads a public copy in another layout than the official one."""


@dataclass(frozen=True)
class Evaluation:
    """What one checkpoint did on one target.

    Attributes:
        predictions: Its predictions, with their metadata.
        data: The data that they were made on.
        score: Its score; None for validation rows, which only choose the checkpoint.
    """

    predictions: Predictions
    data: TargetData
    score: Score | None


def answers_frame(
    dataset: FaceDataset,
    rows: NDArray[np.int64],
    classes: Sequence[str],
    logits: NDArray[np.float32],
    va: NDArray[np.float32] | None = None,
    au: NDArray[np.float32] | None = None,
) -> pd.DataFrame:
    """Return predictions in the columns of `fer_bench.results.predictions`.

    Args:
        dataset: The target.
        rows: Index positions [N].
        classes: Ordered classes, C names.
        logits: [N, C].
        va: Valence and arousal [N, 2].
        au: Action-unit logits [N, 12].
    """
    index = dataset.index.iloc[rows]
    labels = index["label"].astype(object).where(index["label"].notna(), None)
    return predictions_frame(
        sample_ids=index["sample_id"].tolist(),
        units=units_of(index, dataset.card),
        labels=labels.tolist(),
        classes=classes,
        logits=logits,
        va=va,
        va_true=index[["valence", "arousal"]].to_numpy(np.float64),
        au=au,
        au_true=stack_au(index),
    )


def assess(
    frame: pd.DataFrame,
    dataset: FaceDataset,
    pack: Pack,
    rows: NDArray[np.int64],
    *,
    key: str,
    method: str,
    trained_on: str,
    target: str,
    protocol: str,
    selection: Selection,
    checkpoint: str,
    classes: tuple[str, ...],
) -> Evaluation:
    """Describe and score predictions on rows of an opened dataset.

    Args:
        frame: The predictions, from `answers_frame`.
        dataset: The dataset whose rows these are.
        pack: The crops they were made from.
        rows: Index positions.
        key: Run key.
        method: Name of the method or outside model.
        trained_on: Dataset or union that it was trained on, or `outside`.
        target: Name of the target; `val` for the validation rows of what it was trained on.
        protocol: Protocol whose rows these are.
        selection: Which checkpoint this is.
        checkpoint: Hash of its weights.
        classes: Ordered classes of the model.

    Raises:
        DataError: No row of the target can be scored.
    """
    data = TargetData(
        fingerprint=pack.fingerprint,
        pixels=pack.pixel_hash,
        recipe=pack.recipe.text,
        card_version=dataset.card.version,
        protocol=protocol,
        faces_weak=round(pack.weak_share(rows), 4),
        faces_missed=round(pack.missed_share(rows), 4),
        damaged=int(pack.damaged[rows].sum()),
        copy_note=next((note for note in dataset.notes if note.startswith(REPACKAGED)), ""),
    )
    meta = PredictionsMeta(
        key=key,
        method=method,
        source=trained_on,
        target=target,
        selection=selection,
        checkpoint=checkpoint,
        card_version=data.card_version,
        fingerprint=data.fingerprint,
        pixels=data.pixels,
        recipe=data.recipe,
        classes=classes,
    )
    predictions = Predictions(frame, meta)
    if target == "val":
        return Evaluation(predictions, data, None)
    index = kept_attributes(dataset.index)
    score = score_predictions(predictions, target_emotions=dataset.card.emotions, index=index)
    return Evaluation(predictions, data, score)
