"""Reading stored predictions, checked against their record and the kept index of the target."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fer_bench.errors import StoreError
from fer_bench.results.predictions import Predictions, refuse_rows
from fer_bench.results.record import Record, Selection
from fer_bench.results.store import Store


def read_scored(store: Store, record: Record, target: str, selection: Selection) -> Predictions:
    """Read predictions and make sure that they belong to the record.

    Args:
        store: Where they are.
        record: The run.
        target: Dataset tested on.
        selection: Which checkpoint.

    Raises:
        StoreError: They are absent, damaged or of another run, checkpoint or version of the data, or their
            rows differ from those that were scored or from the kept index.
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
    if data is None:
        raise StoreError("the record does not name the data of these predictions", file=file)
    for name in ("fingerprint", "pixels", "recipe", "card_version"):
        if name == "card_version" and selection != record.headline:
            continue  # a new card makes only the headline's predictions stale
        found, wanted = getattr(meta, name), getattr(data, name)
        if found != wanted:
            raise StoreError(
                f"predictions on another version of the data: the record's {name} is {wanted}",
                file=file,
                value=found,
            )
    score = record.score(target, selection)
    if score is not None and score.rows and score.rows != rows_hash(predictions.frame):
        raise StoreError(
            "rows, units or labels differ from those that the record's score was computed from",
            file=file,
            value=f"{len(predictions.frame)} rows",
        )
    index = stored_index(store.root, meta.fingerprint)
    if index is not None:
        check_against(predictions.frame, index, file)
    return predictions


def rows_hash(frame: pd.DataFrame) -> str:
    """Return a hash of the rows and truths of predictions, independent of row order and answers.

    Args:
        frame: Columns of `Predictions.frame`.
    """
    order = np.argsort(frame["sample_id"].to_numpy(str), kind="stable")
    digest = hashlib.sha256()
    for name in ("sample_id", "unit", "label"):
        digest.update("\x1f".join(frame[name].fillna("").to_numpy(object)[order]).encode())
        digest.update(b"\x1e")
    for name in sorted(c for c in frame.columns if c.endswith("_true")):
        values = np.nan_to_num(frame[name].to_numpy(np.float64)[order], nan=9.0)  # all NaN are one
        digest.update(name.encode() + values.tobytes())
    return digest.hexdigest()[:16]


def stored_index(root: Path, fingerprint: str) -> pd.DataFrame | None:
    """Return the kept attributes of a target's rows, None where there are none.

    Raises:
        StoreError: The file is damaged.
    """
    path = root / "indexes" / f"{fingerprint}.parquet"
    return _read_index(path, path.stat().st_mtime_ns) if path.exists() else None


@lru_cache(maxsize=16)
def _read_index(path: Path, written: int) -> pd.DataFrame:
    try:
        index = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise StoreError(f"not a readable parquet file: {error}", file=path) from None
    if "sample_id" not in index.columns or index["sample_id"].duplicated().any():
        raise StoreError("the stored index lacks sample ids or repeats one", file=path)
    return index.set_index("sample_id", drop=False)


def check_against(frame: pd.DataFrame, index: pd.DataFrame, file: Path) -> None:
    """Check that the rows of predictions are in a kept index, with its labels and units.

    Args:
        frame: Columns of `Predictions.frame`.
        index: From `stored_index`.
        file: For messages.

    Raises:
        StoreError: A row is not in the index, or its label or unit differs; with the row.
    """
    ids = frame["sample_id"]
    place = index.index.get_indexer(pd.Index(ids))
    refuse_rows(frame, "sample_id", place < 0, "is not in the kept index", file)
    if "label" in index.columns:
        known = index["label"].to_numpy(object)[place]
        differ = _differ(frame["label"].to_numpy(object), known)
        refuse_rows(frame, "label", differ, "is not the index's", file)
    given = frame["unit"].to_numpy(object)
    named = [name for name in ("subject", "group") if name in index.columns]
    differs = [_differ(given, index[name].to_numpy(object)[place]) for name in named]
    if differs and all(one.any() for one in differs):  # the card says which of the two is the unit
        fewest = min(differs, key=lambda one: int(one.sum()))
        refuse_rows(frame, "unit", fewest, "is neither the index's subject nor its group", file)


def _differ(one: NDArray[np.object_], other: NDArray[np.object_]) -> NDArray[np.bool_]:
    absent, missing = pd.isna(one), pd.isna(other)
    found: NDArray[np.bool_] = np.where(absent | missing, absent != missing, one != other).astype(bool)
    return found
