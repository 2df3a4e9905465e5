"""Predictions on corrupted test rows: one parquet per run, target and corruption, in the run's folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from fer_bench.errors import StoreError
from fer_bench.files import write_atomic
from fer_bench.results.predictions import Predictions, PredictionsMeta, validate_predictions
from fer_bench.results.store import RunDir
from fer_bench.schema import Frozen

SCHEMA_VERSION: Literal[1] = 1
FOLDER = "robustness"
"""Folder of these files in the folder of a run."""
_METADATA_KEY = b"fer_bench_corrupted"


class CorruptedMeta(Frozen):
    """What predictions on corrupted rows belong to; a file with any other value is stale.

    Attributes:
        schema_version: Version of the layout.
        corruption: Name of the corruption.
        version: Version of the rules by which rows are corrupted.
        constants: Constant of each strength, weakest first.
        points: Where eyes, nose tip and corners of the mouth were taken to be, as shares of the crop; None
            where the corruption does not depend on it.
        predictions: Run, weights and data, as for predictions on the same rows uncorrupted.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    corruption: str
    version: int
    constants: tuple[float, ...]
    points: tuple[tuple[float, float], ...] | None = None
    predictions: PredictionsMeta


@dataclass(frozen=True)
class Corrupted:
    """Predictions of one checkpoint on one target under one corruption.

    Attributes:
        meta: What they belong to.
        by_strength: Predictions per strength, from 1.
    """

    meta: CorruptedMeta
    by_strength: Mapping[int, Predictions]


def corrupted_file(run: RunDir, target: str, corruption: str) -> Path:
    """Return the path of the predictions on a target under a corruption."""
    return run.path / FOLDER / f"{target}@{corruption}.parquet"


def corrupted_files(run: RunDir, target: str) -> list[Path]:
    """Return the files of a run on a target, by name of the corruption."""
    return sorted((run.path / FOLDER).glob(f"{target}@*.parquet"))


def write_corrupted(path: Path, corrupted: Corrupted) -> None:
    """Write predictions on corrupted rows atomically; the same predictions give the same bytes.

    Raises:
        StoreError: The predictions break their contract.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    parts = []
    for strength, predictions in sorted(corrupted.by_strength.items()):
        validate_predictions(predictions, path)
        parts.append(predictions.frame.assign(strength=strength).astype({"strength": "int8"}))
    table = pa.Table.from_pandas(pd.concat(parts, ignore_index=True), preserve_index=False)
    table = table.replace_schema_metadata({_METADATA_KEY: corrupted.meta.model_dump_json().encode()})
    write_atomic(path, lambda temporary: pq.write_table(table, temporary, compression="zstd"))


def read_meta(path: Path) -> CorruptedMeta | None:
    """Return what a file belongs to, None where it is absent, damaged or of another layout."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        raw = pq.read_schema(path).metadata or {}
        return CorruptedMeta.model_validate_json(raw[_METADATA_KEY])
    except (OSError, KeyError, ValueError, pa.ArrowException):
        return None


def read_corrupted(path: Path) -> Corrupted:
    """Read and validate predictions on corrupted rows.

    Raises:
        StoreError: The file is absent, damaged or breaks the contract, or a strength is missing.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    meta = read_meta(path)
    if meta is None:
        raise StoreError("not a readable file of predictions on corrupted rows", file=path)
    try:
        frame = pq.read_table(path).to_pandas()
    except (OSError, pa.ArrowException) as error:
        raise StoreError(f"not a readable parquet file: {error}", file=path) from None
    if "strength" not in frame.columns:
        raise StoreError("predictions on corrupted rows lack a column", file=path, value="strength")
    wanted = range(1, len(meta.constants) + 1)
    found = {
        int(strength): Predictions(part.drop(columns="strength").reset_index(drop=True), meta.predictions)
        for strength, part in frame.groupby("strength")
    }
    if sorted(found) != [*wanted]:
        raise StoreError("predictions on corrupted rows lack a strength", file=path, value=sorted(found))
    for predictions in found.values():
        validate_predictions(predictions, path)
    return Corrupted(meta, found)
