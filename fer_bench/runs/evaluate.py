"""From a checkpoint to predictions: every row once, on one device or several."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from fer_bench.data.index import stack_au
from fer_bench.data.loading.datamodule import EVAL_BATCH, evaluation_batches
from fer_bench.data.packs.pack import Pack
from fer_bench.data.protocols import units_of
from fer_bench.data.reading.dataset import FaceDataset
from fer_bench.methods.base import Method
from fer_bench.results.predictions import predictions_frame
from fer_bench.runs.distributed import Group, Place, Predict

Share = dict[int, tuple[NDArray[np.float32], NDArray[np.float32] | None, NDArray[np.float32] | None]]


def choose_float32(device: str, tf32: bool) -> None:
    """Say how a GPU computes products of float32 numbers, which PyTorch rounds to TF32 unless told not to."""
    if device == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32


def predict(
    method: Method,
    dataset: FaceDataset,
    pack: Pack,
    rows: NDArray[np.int64],
    *,
    device: str,
    group: Group | None = None,
    tick: Callable[[], None] | None = None,
    checkpoint: Path | None = None,
) -> pd.DataFrame:
    """Return predictions in the columns of `fer_bench.results.predictions`, one row per wanted index row.

    With several processes each predicts every so-manieth batch. Batches are the same as in one process, so
    that the numbers are too, and no row is padded or repeated.

    Args:
        method: A trained method.
        dataset: The target.
        pack: Its crops at the size of the method's input.
        rows: Index positions.
        device: `cpu` or `cuda`.
        group: The run's processes, when there are several; this one leads.
        tick: Called after every batch of this process.
        checkpoint: Where the others find the method's weights.
    """
    if group is None:
        shares = [predict_share(method, dataset, pack, rows, device=device, tick=tick)]
    else:
        assert checkpoint is not None
        group.tell(Predict(checkpoint, dataset.card.name, rows))
        mine = predict_share(method, dataset, pack, rows, device=device, place=group.place, tick=tick)
        shares = group.gather(mine) or []
    batches = {number: batch for share in shares for number, batch in share.items()}
    parts = [batches[number] for number in sorted(batches)]
    logits, va, au = (
        None if parts[0][at] is None else np.concatenate([part[at] for part in parts]) for at in range(3)
    )
    assert logits is not None
    index = dataset.index.iloc[rows]
    labels = index["label"].astype(object).where(index["label"].notna(), None)
    return predictions_frame(
        sample_ids=index["sample_id"].tolist(),
        units=units_of(index, dataset.card),
        labels=labels.tolist(),
        classes=method.task.classes,
        logits=logits,
        va=va,
        va_true=index[["valence", "arousal"]].to_numpy(np.float64),
        au=au,
        au_true=stack_au(index),
    )


def predict_share(
    method: Method,
    dataset: FaceDataset,
    pack: Pack,
    rows: NDArray[np.int64],
    *,
    device: str,
    place: Place | None = None,
    tick: Callable[[], None] | None = None,
) -> Share:
    """Return logits, valence-arousal and action-unit logits of this process's batches, by batch number.

    Args:
        method: A trained method.
        dataset: The target.
        pack: Its crops at the size of the method's input.
        rows: Index positions, of all processes together.
        device: `cpu` or `cuda`.
        place: Which process this is; None predicts everything.
        tick: Called after every batch.
    """
    rank, world = (0, 1) if place is None else (place.rank, place.world)
    where = torch.device(device, place.local_rank) if place and device == "cuda" else torch.device(device)
    method = method.to(where).eval()
    spec, classes = method.input_spec(method.settings), method.task.classes
    mine = range(rank, -(-len(rows) // EVAL_BATCH), world)
    # Only the very last batch may be short, so that these rows fall into the same batches again.
    wanted = np.concatenate([rows[:0], *(rows[n * EVAL_BATCH : (n + 1) * EVAL_BATCH] for n in mine)])
    method.use_pack(pack, wanted)
    share: Share = {}
    with torch.inference_mode():
        batches = evaluation_batches(pack, dataset, classes, wanted, spec, where)
        for number, batch in zip(mine, batches, strict=True):
            prediction = method.predict_batch(batch)
            share[number] = (
                _array(prediction.logits),
                None if prediction.va is None else _array(prediction.va),
                None if prediction.au is None else _array(prediction.au),
            )
            if tick is not None:
                tick()
    return share


def _array(values: Tensor) -> NDArray[np.float32]:
    numbers: NDArray[np.float32] = values.float().cpu().numpy()
    return numbers
