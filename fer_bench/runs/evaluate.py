"""From a checkpoint to predictions: every row once, on one device or several."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from fer_bench.data.loading.datamodule import EVAL_BATCH, evaluation_batches
from fer_bench.data.packs.pack import Pack
from fer_bench.data.reading.dataset import FaceDataset
from fer_bench.methods.base import Method
from fer_bench.results.record import Selection
from fer_bench.runs.assessment import Evaluation, answers_frame, assess
from fer_bench.runs.distributed import Group, Place, Predict
from fer_bench.runs.spent import SpentClock
from fer_bench.workspace.sources import Source

Share = dict[int, tuple[NDArray[np.float32], NDArray[np.float32] | None, NDArray[np.float32] | None]]


def predict_and_score(
    method: Method,
    source: Source,
    pack: Pack,
    rows: NDArray[np.int64],
    *,
    key: str,
    trained_on: str,
    target: str,
    protocol: str,
    selection: Selection,
    checkpoint: str,
    device: str,
    group: Group | None = None,
    on_batch: Callable[[], None] | None = None,
    weights: Path | None = None,
    known: pd.DataFrame | None = None,
    clock: SpentClock | None = None,
) -> Evaluation:
    """Predict rows of an opened dataset and score the predictions.

    Args:
        method: A trained method.
        source: The dataset whose rows these are.
        pack: Its crops at the size of the method's input.
        rows: Index positions, see `evaluation_rows`.
        key: Run key, for the metadata.
        trained_on: Dataset or union that the method was trained on.
        target: Name of the target; `val` for the validation rows of what it was trained on.
        protocol: Protocol whose rows these are.
        selection: Which checkpoint this is.
        checkpoint: Hash of its weights.
        device: See `predict`.
        group: See `predict`.
        on_batch: See `predict`.
        weights: See `predict`.
        known: What the same weights predicted for these rows before; None predicts.
        clock: Counts CPU time.
    """
    dataset, clock = source.dataset, clock or SpentClock()
    frame = known
    if frame is None:
        frame = predict(
            method, dataset, pack, rows, device=device, group=group, on_batch=on_batch, weights=weights
        )
    clock.lap("predict")
    found = assess(
        frame,
        dataset,
        pack,
        rows,
        key=key,
        method=method.name,
        trained_on=trained_on,
        target=target,
        protocol=protocol,
        selection=selection,
        checkpoint=checkpoint,
        classes=method.task.classes,
    )
    clock.lap("score")
    return found


def predict(
    method: Method,
    dataset: FaceDataset,
    pack: Pack,
    rows: NDArray[np.int64],
    *,
    device: str,
    group: Group | None = None,
    on_batch: Callable[[], None] | None = None,
    weights: Path | None = None,
) -> pd.DataFrame:
    """Return predictions in the columns of `fer_bench.results.predictions`, one row per wanted index row.

    Several processes share the batches. Batches are the same as in one process, so that the numbers are too,
    and no row is padded or repeated.

    Args:
        method: A trained method.
        dataset: The target.
        pack: Its crops at the size of the method's input.
        rows: Index positions.
        device: `cpu` or `cuda`.
        group: The run's processes, when there are several; this one leads.
        on_batch: Called after every batch of this process.
        weights: File from which the other processes load the method.
    """
    if group is None:
        shares = [predict_share(method, dataset, pack, rows, device=device, on_batch=on_batch)]
    else:
        assert weights is not None
        group.send(Predict(weights, dataset.card.name, rows))
        mine = predict_share(method, dataset, pack, rows, device=device, place=group.place, on_batch=on_batch)
        shares = group.gather(mine) or []
    batches = {number: batch for share in shares for number, batch in share.items()}
    parts = [batches[number] for number in sorted(batches)]
    logits, va, au = (
        None if parts[0][at] is None else np.concatenate([part[at] for part in parts]) for at in range(3)
    )
    assert logits is not None
    return answers_frame(dataset, rows, method.task.classes, logits, va, au)


def predict_share(
    method: Method,
    dataset: FaceDataset,
    pack: Pack,
    rows: NDArray[np.int64],
    *,
    device: str,
    place: Place | None = None,
    on_batch: Callable[[], None] | None = None,
) -> Share:
    """Return logits, valence-arousal and action-unit logits of this process's batches, by batch number.

    Args:
        method: A trained method.
        dataset: The target.
        pack: Its crops at the size of the method's input.
        rows: Index positions, of all processes together.
        device: `cpu` or `cuda`.
        place: Which process this is; None predicts everything.
        on_batch: Called after every batch.
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
        enrolled = method.settings.enrolled
        batches = evaluation_batches(pack, dataset, classes, wanted, spec, where, enrolled=enrolled)
        for number, batch in zip(mine, batches, strict=True):
            prediction = method.predict_batch(batch)
            share[number] = (
                _array(prediction.logits),
                None if prediction.va is None else _array(prediction.va),
                None if prediction.au is None else _array(prediction.au),
            )
            if on_batch is not None:
                on_batch()
    return share


def _array(values: Tensor) -> NDArray[np.float32]:
    numbers: NDArray[np.float32] = values.float().cpu().numpy()
    return numbers
