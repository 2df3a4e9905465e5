"""From a checkpoint to predictions: every row once, on one device."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from fer_bench.data.card import Card
from fer_bench.data.datamodule import evaluation_batches
from fer_bench.data.dataset import FaceDataset
from fer_bench.data.index import stack_au
from fer_bench.data.pack import Pack
from fer_bench.methods.base import Method
from fer_bench.runs.predictions import predictions_frame


def predict(
    method: Method, dataset: FaceDataset, pack: Pack, rows: NDArray[np.int64], *, device: str
) -> pd.DataFrame:
    """Return predictions in the columns of `fer_bench.runs.predictions`, one row per wanted index row.

    Args:
        method: A trained method.
        dataset: The target.
        pack: Its crops at the size of the method's input.
        rows: Index positions.
        device: `cpu` or `cuda`.
    """
    spec = method.input_spec(method.settings)
    place = torch.device(device)
    method = method.to(place).eval()
    logits, va, au = [], [], []
    with torch.inference_mode():
        for batch in evaluation_batches(pack, dataset, method.task.classes, rows, spec, place):
            prediction = method(batch["image"])
            logits.append(prediction.logits.float().cpu())
            if prediction.va is not None:
                va.append(prediction.va.float().cpu())
            if prediction.au is not None:
                au.append(prediction.au.float().cpu())
    index = dataset.index.iloc[rows]
    labels = index["label"].astype(object).where(index["label"].notna(), None)
    return predictions_frame(
        sample_ids=index["sample_id"].tolist(),
        units=units_of(index, dataset.card),
        labels=labels.tolist(),
        classes=method.task.classes,
        logits=torch.cat(logits).numpy(),
        va=torch.cat(va).numpy() if va else None,
        va_true=index[["valence", "arousal"]].to_numpy(np.float64),
        au=torch.cat(au).numpy() if au else None,
        au_true=stack_au(index),
    )


def units_of(index: pd.DataFrame, card: Card) -> list[str]:
    """Return what the bootstrap resamples: subjects in the lab, else groups (videos, photos or images)."""
    return index["subject" if card.unit == "subject" else "group"].tolist()
