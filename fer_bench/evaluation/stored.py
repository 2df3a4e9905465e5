"""Stored predictions, checked against the record that speaks of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from fer_bench.emotions import ACTION_UNITS
from fer_bench.errors import StoreError
from fer_bench.runs.predictions import Predictions
from fer_bench.runs.record import Record, Selection
from fer_bench.runs.store import Store


def read_scored(store: Store, record: Record, target: str, selection: Selection) -> Predictions:
    """Read predictions and make sure that they are the ones the record speaks of.

    Args:
        store: Where they are.
        record: The run.
        target: Dataset tested on.
        selection: Which checkpoint.

    Raises:
        StoreError: They are absent, damaged or of another run, checkpoint or version of the data.
    """
    predictions = store.predictions(record, target, selection)
    meta = predictions.meta
    file = store.run_dir(record.method, record.dataset, record.key).predictions_file(target, selection)
    chosen = record.selection.get(selection)
    for name, found, wanted in (
        ("run", meta.key, record.key),
        ("target", meta.target, target),
        ("selection", meta.selection, selection),
        ("checkpoint", meta.checkpoint, chosen.checkpoint if chosen else meta.checkpoint),
        ("list of classes", meta.classes, record.classes),
    ):
        if found != wanted:
            raise StoreError(f"predictions of another {name}", file=file, value=found)
    data = record.targets.get(target)
    if data is not None and data.fingerprint != meta.fingerprint:
        raise StoreError("predictions on another version of the data", file=file, value=meta.fingerprint)
    check_types(predictions.frame, file)
    return predictions


def check_types(frame: pd.DataFrame, file: Path) -> None:
    """Check what the contract of predictions says of columns beyond the logits.

    Args:
        frame: Columns of `Predictions.frame`.
        file: For messages.

    Raises:
        StoreError: A column lacks its partner, has another type or holds an impossible value; with the row.
    """
    for name in ("sample_id", "unit", "label"):
        values = frame[name]
        if values.notna().any() and not pd.api.types.is_string_dtype(values.dropna()):
            raise StoreError(f"{name} is not text", file=file, value=str(values.dtype))
    for name in ("valence", "arousal"):
        if _has_pair(frame, name, file):
            _refuse(frame, name, ~_finite(frame, name, file), "is not finite", file)
            true = _numbers(frame, f"{name}_true", file)
            _refuse(frame, f"{name}_true", np.abs(np.nan_to_num(true)) > 1, "is outside [-1, 1]", file)
    for number in ACTION_UNITS:
        name = f"au_{number}"
        if _has_pair(frame, name, file):
            _refuse(frame, name, ~_finite(frame, name, file), "is not finite", file)
            true = _numbers(frame, f"{name}_true", file)
            _refuse(frame, f"{name}_true", ~np.isin(true, (-1, 0, 1)), "is not -1, 0 or 1", file)


def _has_pair(frame: pd.DataFrame, name: str, file: Path) -> bool:
    has, has_true = name in frame.columns, f"{name}_true" in frame.columns
    if has != has_true:
        raise StoreError("predictions lack a column", file=file, value=f"{name}_true" if has else name)
    return has


def _numbers(frame: pd.DataFrame, name: str, file: Path) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    if not pd.api.types.is_numeric_dtype(frame[name]):
        raise StoreError(f"{name} is not a number", file=file, value=str(frame[name].dtype))
    return frame[name].to_numpy(np.float64)


def _finite(frame: pd.DataFrame, name: str, file: Path) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.isfinite(_numbers(frame, name, file))


def _refuse(
    frame: pd.DataFrame, name: str, bad: np.ndarray[tuple[int], np.dtype[np.bool_]], why: str, file: Path
) -> None:
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise StoreError(f"{name} {why}", file=file, line=row + 1, value=frame[name].iloc[row].item())
