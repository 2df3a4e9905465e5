"""Predictions on disk: one parquet per run, target and selection, from which every score is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fer_bench.emotions import ACTION_UNITS, Emotion
from fer_bench.errors import StoreError
from fer_bench.files import write_atomic
from fer_bench.results.record import Selection
from fer_bench.schema import Frozen

SCHEMA_VERSION: Literal[1] = 1
_METADATA_KEY = b"fer_bench"


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
            the truths
            `valence_true`, `arousal_true`, `au_<n>_true`.
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
        units: What the bootstrap resamples, [N].
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
        StoreError: The file is absent, no parquet, lacks its metadata or breaks the contract.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq
    from pydantic import ValidationError

    try:
        table = pq.read_table(path)
    except FileNotFoundError:
        raise StoreError("there are no predictions", file=path) from None
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

    Raises:
        StoreError: Naming the file, the first offending row and value: fewer than two classes, a class that
            is no emotion or named twice, a column that is absent, misplaced or of another type, or a value
            that is missing, repeated or not finite.
    """
    frame, classes = predictions.frame, predictions.meta.classes
    _check_classes(classes, path)
    wanted = ["sample_id", "unit", "label", *(f"logit_{name}" for name in classes)]
    for column in wanted:
        if column not in frame.columns:
            raise StoreError("predictions lack a column", file=path, value=column)
    logit_columns = [c for c in frame.columns if c.startswith("logit_")]
    if logit_columns != wanted[3:]:
        raise StoreError(
            "logit columns differ from the classes in order or number", file=path, value=logit_columns
        )
    for column in wanted[:3]:
        _check_text(frame[column], path)
    for column in logit_columns:
        if frame[column].dtype != np.float32:
            raise StoreError(f"{column} is not float32", file=path, value=str(frame[column].dtype))
    if frame.empty:
        raise StoreError("predictions have no row", file=path)

    def refuse(problem: str, bad: NDArray[np.bool_], column: str) -> None:
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise StoreError(problem, file=path, line=row + 1, value=frame[column].iloc[row])

    refuse("row without sample_id", frame["sample_id"].isna().to_numpy(), "sample_id")
    refuse("repeated sample_id", frame["sample_id"].duplicated().to_numpy(), "sample_id")
    refuse("row without unit", frame["unit"].isna().to_numpy(), "unit")
    known = frame["label"].isna() | frame["label"].isin([e.value for e in Emotion])
    refuse("unknown label", ~known.to_numpy(), "label")
    for column in logit_columns:
        refuse(f"{column} is not finite", ~np.isfinite(frame[column].to_numpy()), column)


def _check_classes(classes: Sequence[str], path: Path) -> None:
    for name in classes:
        if name not in {e.value for e in Emotion}:
            raise StoreError(
                "a class is no emotion", file=path, value=name, hint=", ".join(e.value for e in Emotion)
            )
    if len(set(classes)) < len(classes):
        raise StoreError("a class is named twice", file=path, value=", ".join(classes))
    if len(classes) < 2:
        raise StoreError("a model needs at least two classes", file=path, value=", ".join(classes) or "none")


def _check_text(values: pd.Series, path: Path) -> None:
    """Refuse a column that is no plain text: codes of a dictionary may be read in another order."""
    if not isinstance(values.dtype, pd.StringDtype):
        known = values.dropna()
        if values.dtype != np.object_ or not known.map(lambda value: isinstance(value, str)).all():
            raise StoreError(f"{values.name} is not text", file=path, value=str(values.dtype))
