"""Predictions on disk: one parquet per run, target and selection, from which every score is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from fer_bench.emotions import ACTION_UNITS, Emotion
from fer_bench.errors import StoreError
from fer_bench.files import write_atomic
from fer_bench.results.record import Selection
from fer_bench.schema import Frozen

SCHEMA_VERSION: Literal[1] = 1
_METADATA_KEY = b"fer_bench"
_TEXT = ("sample_id", "unit", "label")


class PredictionsMeta(Frozen):
    """What predictions belong to; stored in the parquet's own metadata.

    Attributes:
        schema_version: Version of the column layout.
        key: Run key.
        method: Method name.
        source: Dataset trained on.
        target: Dataset tested on, or `val` for the source's validation rows.
        selection: Which checkpoint.
        checkpoint: SHA-256 of its weights.
        card_version: Version of the target's card.
        fingerprint: Hash of the target's index.
        pixels: Hash of the target's packed pictures.
        recipe: Crop recipe, as text.
        classes: Ordered classes of the model.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    key: str
    method: str
    source: str
    target: str
    selection: Selection
    checkpoint: str
    card_version: int
    fingerprint: str
    pixels: str
    recipe: str
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Predictions:
    """Predictions of one checkpoint on one target.

    Attributes:
        frame: Columns `sample_id`, `unit`, `label` (canonical name or missing), `logit_<class>` float32 for
            every class of the model; where the model has them `valence`, `arousal`, `au_<n>` (logits) with
            the truths `valence_true`, `arousal_true`, `au_<n>_true`.
        meta: What they belong to.
    """

    frame: pd.DataFrame
    meta: PredictionsMeta

    @property
    def logits(self) -> NDArray[np.float32]:
        """Logits [N, C] in the order of `meta.classes`."""
        return self.frame[[f"logit_{name}" for name in self.meta.classes]].to_numpy(np.float32)


def predictions_frame(
    *,
    sample_ids: Sequence[str],
    units: Sequence[str],
    labels: Sequence[str | None],
    classes: Sequence[str],
    logits: NDArray[np.float32],
    va: NDArray[np.float32] | None = None,
    va_true: NDArray[np.float64] | None = None,
    au: NDArray[np.float32] | None = None,
    au_true: NDArray[np.int8] | None = None,
) -> pd.DataFrame:
    """Return the columns of `Predictions.frame`.

    Args:
        sample_ids: Ids [N].
        units: What varies as a whole: the subject, video or image of each row, [N].
        labels: Canonical emotions or None, [N].
        classes: Ordered classes, C names.
        logits: [N, C].
        va: Predicted valence and arousal [N, 2].
        va_true: Their truths [N, 2], NaN = missing.
        au: Action-unit logits [N, 12].
        au_true: Their truths [N, 12], -1 = missing.
    """
    columns: dict[str, Any] = {
        "sample_id": pd.Series(list(sample_ids), dtype="str"),
        "unit": pd.Series(list(units), dtype="str"),
        "label": pd.Series(list(labels), dtype="str"),
    }
    columns |= {f"logit_{name}": logits[:, i].astype(np.float32) for i, name in enumerate(classes)}
    if va is not None and va_true is not None:
        for i, name in enumerate(("valence", "arousal")):
            columns[name] = va[:, i].astype(np.float32)
            columns[f"{name}_true"] = va_true[:, i].astype(np.float32)
    if au is not None and au_true is not None:
        for i, number in enumerate(ACTION_UNITS):
            columns[f"au_{number}"] = au[:, i].astype(np.float32)
            columns[f"au_{number}_true"] = au_true[:, i].astype(np.int8)
    return pd.DataFrame(columns)


def write_predictions(path: Path, predictions: Predictions) -> None:
    """Write predictions atomically after validating them; the same predictions give the same bytes.

    Raises:
        StoreError: The frame breaks the contract.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    validate_predictions(predictions, path)
    table = pa.Table.from_pandas(predictions.frame, preserve_index=False)
    table = table.replace_schema_metadata({_METADATA_KEY: predictions.meta.model_dump_json().encode()})
    write_atomic(path, lambda temporary: pq.write_table(table, temporary, compression="zstd"))


def read_predictions(path: Path) -> Predictions:
    """Read and validate predictions.

    Raises:
        StoreError: The file is absent, not parquet, lacks its metadata or breaks the contract.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq
    from pydantic import ValidationError

    try:
        table = pq.read_table(path)
    except FileNotFoundError:
        raise StoreError("the predictions do not exist", file=path) from None
    except (OSError, pa.ArrowException) as error:
        raise StoreError(f"not a readable parquet file: {error}", file=path) from None
    raw = (table.schema.metadata or {}).get(_METADATA_KEY)
    if raw is None:
        raise StoreError("the parquet lacks the metadata `fer_bench`", file=path)
    try:
        meta = PredictionsMeta.model_validate_json(raw)
    except ValidationError as error:
        raise StoreError(f"invalid predictions metadata: {error.errors()[0]['msg']}", file=path) from None
    predictions = Predictions(table.to_pandas(), meta)
    validate_predictions(predictions, path)
    return predictions


def validate_predictions(predictions: Predictions, path: Path) -> None:
    """Check predictions against the contract.

    Args:
        predictions: The predictions.
        path: For messages.

    Raises:
        StoreError: Naming the file, the first offending row and value: fewer than two classes, a class that
            is not an emotion or is named twice, a column that is absent, misplaced or of another type, or a
            value that is missing, repeated, not finite or impossible.
    """
    frame, classes = predictions.frame, predictions.meta.classes
    _check_classes(classes, path)
    logits = [f"logit_{name}" for name in classes]
    for column in (*_TEXT, *logits):
        if column not in frame.columns:
            raise StoreError("predictions lack a column", file=path, value=column)
    present = [column for column in frame.columns if column.startswith("logit_")]
    if present != logits:
        raise StoreError("logit columns differ from the classes in order or number", file=path, value=present)
    if frame.empty:
        raise StoreError("predictions have no row", file=path)
    for column in _TEXT:
        _check_text(frame[column], path)
    for column in ("sample_id", "unit"):
        refuse_rows(frame, column, frame[column].isna(), "is missing", path)
    refuse_rows(frame, "sample_id", frame["sample_id"].duplicated(), "is repeated", path)
    known = frame["label"].isna() | frame["label"].isin([e.value for e in Emotion])
    refuse_rows(frame, "label", ~known, "is not an emotion", path)
    for column in logits:
        _check_finite(frame, column, path)
    _check_affect(frame, path)


def _check_classes(classes: Sequence[str], path: Path) -> None:
    emotions = [e.value for e in Emotion]
    for name in classes:
        if name not in emotions:
            raise StoreError("a class is not an emotion", file=path, value=name, hint=", ".join(emotions))
    if len(set(classes)) < len(classes):
        raise StoreError("a class is named twice", file=path, value=", ".join(classes))
    if len(classes) < 2:
        raise StoreError("a model needs at least two classes", file=path, value=", ".join(classes) or "none")


def _check_text(values: pd.Series, path: Path) -> None:
    """Refuse a column that is not plain text: codes of a dictionary may be read in another order."""
    if not isinstance(values.dtype, pd.StringDtype):
        known = values.dropna()
        if values.dtype != np.object_ or not known.map(lambda value: isinstance(value, str)).all():
            raise StoreError(f"{values.name} is not text", file=path, value=str(values.dtype))


def _check_affect(frame: pd.DataFrame, path: Path) -> None:
    """Check valence, arousal and action units: all columns or none, their types and values."""
    for names in (("valence", "arousal"), tuple(f"au_{number}" for number in ACTION_UNITS)):
        wanted = [column for name in names for column in (name, f"{name}_true")]
        found = [column for column in wanted if column in frame.columns]
        if not found:
            continue
        if len(found) < len(wanted):
            absent = next(column for column in wanted if column not in frame.columns)
            raise StoreError(f"predictions lack a column beside {found[0]}", file=path, value=absent)
        for name in names:
            _check_finite(frame, name, path)
            if name.startswith("au_"):
                truth = _typed(frame, f"{name}_true", np.int8, path)
                refuse_rows(frame, f"{name}_true", ~np.isin(truth, (-1, 0, 1)), "is not -1, 0 or 1", path)
            else:
                truth = _typed(frame, f"{name}_true", np.float32, path)
                outside = ~(np.isnan(truth) | (np.abs(truth) <= 1))
                refuse_rows(frame, f"{name}_true", outside, "is outside [-1, 1]", path)


def _check_finite(frame: pd.DataFrame, name: str, path: Path) -> None:
    refuse_rows(frame, name, ~np.isfinite(_typed(frame, name, np.float32, path)), "is not finite", path)


def _typed(frame: pd.DataFrame, name: str, kind: type, path: Path) -> NDArray[Any]:
    if frame[name].dtype != kind:
        raise StoreError(f"{name} is not {np.dtype(kind).name}", file=path, value=str(frame[name].dtype))
    return frame[name].to_numpy()


def refuse_rows(frame: pd.DataFrame, name: str, bad: ArrayLike, why: str, path: Path) -> None:
    """Raise an error that names the first bad row of a column and its value, if there is one.

    Args:
        frame: Predictions.
        name: The column.
        bad: Which rows are bad [N].
        why: What is wrong with these rows.
        path: For the message.

    Raises:
        StoreError: A row is bad.
    """
    rows = np.flatnonzero(bad)
    if len(rows):
        value = frame[name].iloc[rows[0]]
        value = value.item() if isinstance(value, np.generic) else value
        raise StoreError(f"{name} {why}", file=path, line=int(rows[0]) + 1, value=value)
