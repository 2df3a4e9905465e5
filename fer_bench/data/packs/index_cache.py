"""Indexes of large datasets, kept in the cache as a parquet file per dataset and folder.

A kept index is valid while everything that its reader read has the same size and times (see
`data.reading.dependencies`), and while the code of the reader and the card's version are the same. Otherwise
the index is read again and replaces the kept one.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from fer_bench.data.index import COLUMNS, NO_AU, text_series
from fer_bench.data.reading.dependencies import recording, stamp
from fer_bench.data.reading.missing import any_excused
from fer_bench.data.reading.notes import Note
from fer_bench.data.reading.problems import any_collected
from fer_bench.errors import StoreError
from fer_bench.files import cache_root, canonical, short_hash, write_atomic
from fer_bench.provenance import code_hash

if TYPE_CHECKING:
    from fer_bench.data.reading.dataset import FaceDataset

FOLDER = "indexes"
SETTLED = 2.0
"""Seconds before reading in which no file may have changed. Clocks of file systems are coarse, so that a
change right after reading could go unnoticed."""
_FACTS = b"fer-bench"
_PIECE = 1 << 15
_BYTES: dict[str, tuple[type[Any], tuple[int, ...]]] = {
    "box": (np.float64, (4,)),
    "landmarks": (np.float32, (-1, 2)),
    "au": (np.int8, (-1,)),
    "votes": (np.float32, (-1,)),
}
"""Columns of small arrays, stored as bytes."""


def keep_index(dataset: FaceDataset) -> None:
    """Let a dataset take its index from the cache, if its reader says that it is worth keeping."""
    if dataset.keeps_index:
        dataset.make_index = partial(kept_index, dataset)


def kept_index(dataset: FaceDataset) -> pd.DataFrame:
    """Return a dataset's index: the kept one if it is still valid, else a new one, which is then kept.

    The reader's notes are kept with it. If the cache cannot be written, nothing is kept.
    """
    file = file_of(dataset)
    index = _read(file, dataset)
    if index is not None:
        return index
    began = time.time()
    with recording() as reads:
        index = dataset.read_index()
    if any_collected() or any_excused():  # a run must find these problems itself
        return index
    stamps = {path: (kind, *stamp(path, kind)) for path, kind in reads.items()}
    if all(changed < (began - SETTLED) * 1e9 for _, _, changed in stamps.values()):
        facts = {
            "dataset": dataset.card.name,
            "base": str(dataset.base.absolute()),
            "code": code_of(type(dataset)),
            "card_version": dataset.card.version,
            "rows": len(index),
            "notes": [[n.text, *n.names] if isinstance(n, Note) else n for n in dataset.notes],
            "warnings": dataset.warnings,
            "reads": {path: [kind, text] for path, (kind, text, _) in stamps.items()},
        }
        with contextlib.suppress(StoreError):  # in a full or read-only cache nothing is kept
            write_atomic(file, lambda temporary: _write(temporary, index, facts))
    return index


def file_of(dataset: FaceDataset) -> Path:
    """Return the file for the index of a dataset in its folder."""
    kind = type(dataset)
    facts = [str(dataset.base.absolute()), kind.__module__, kind.__qualname__]
    place = short_hash([*facts, "links"] if dataset.follow_links else facts, 12)
    return cache_root() / FOLDER / f"{dataset.card.name}-{place}.parquet"


@cache
def code_of(kind: type[FaceDataset]) -> str:
    """Return the hash of the code that makes an index: the reader's module and everything it needs."""
    return code_hash([kind.__module__, __name__])


def read_facts(file: Path) -> dict[str, Any]:
    """Return the facts stored with a kept index.

    Raises:
        ValueError: It is damaged.
    """
    try:
        found = json.loads((parquet.read_schema(file).metadata or {})[_FACTS])
    except (OSError, KeyError, pa.ArrowException) as error:
        raise ValueError(str(error)) from None
    if not isinstance(found, dict):
        raise ValueError("it has no facts")
    return found


def outdated(facts: dict[str, Any], kind: type[FaceDataset]) -> str | None:
    """Return why a kept index is not valid any more, None if it is.

    Args:
        facts: The facts stored with it.
        kind: The dataset's reader.
    """
    if facts.get("code") != code_of(kind) or facts.get("card_version") != kind.card.version:
        return "the reader has changed since"
    for path, (how, text) in facts.get("reads", {}).items():
        if stamp(path, how)[0] != text:
            return f"this has changed since: {path}"
    return None


def _read(file: Path, dataset: FaceDataset) -> pd.DataFrame | None:
    """Return a kept index that is complete and valid, None without one."""
    if not file.is_file():
        return None
    try:
        facts = read_facts(file)
        if outdated(facts, type(dataset)) is not None:
            return None
        # Checksums of pages: a flipped bit must not become a label.
        with parquet.ParquetFile(file, page_checksum_verification=True) as stored:
            if tuple(stored.schema_arrow.names) != COLUMNS or stored.metadata.num_rows != facts["rows"]:
                return None
            frame = pd.DataFrame(index=range(facts["rows"]))
            for name in COLUMNS:
                frame[name] = _column(name, stored)
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):
        return None  # damaged, or of another version: it is read again
    with contextlib.suppress(OSError):
        os.utime(file)  # time of last use; a read-only cache does not need it
    dataset.notes = [n if isinstance(n, str) else Note(n[0], n[1:]) for n in facts["notes"]]
    dataset.warnings = [str(warning) for warning in facts["warnings"]]
    return frame


def _column(name: str, stored: parquet.ParquetFile) -> Any:
    """Return one column; columns are read one by one, so that only one is in memory twice."""
    if name not in _BYTES:
        found = stored.read([name]).column(0)
        return text_series(found) if pa.types.is_large_string(found.type) else found.to_numpy()
    kind, shape = _BYTES[name]
    values: list[Any] = []
    for batch in stored.iter_batches(_PIECE, columns=[name]):
        bytes_of = batch.column(0)
        ends = np.frombuffer(bytes_of.buffers()[1], np.int32)[bytes_of.offset :]
        content = bytes_of.buffers()[2]
        raw = np.frombuffer(content, np.uint8) if content is not None else np.zeros(0, np.uint8)
        for at, there in enumerate(bytes_of.is_valid().to_pylist()):
            if not there:
                values.append(NO_AU if name == "au" else None)
                continue
            value = raw[ends[at] : ends[at + 1]].view(kind).reshape(shape)
            values.append(tuple(value.tolist()) if name == "box" else value)
    return pd.Series(values, dtype=object)


def _write(file: Path, index: pd.DataFrame, facts: dict[str, Any]) -> None:
    fields = []
    for name in COLUMNS:
        if name in _BYTES:
            fields.append(pa.field(name, pa.binary()))
        elif pd.api.types.is_string_dtype(index[name].dtype):
            fields.append(pa.field(name, pa.large_string()))
        else:
            fields.append(pa.field(name, pa.from_numpy_dtype(index[name].dtype)))
    schema = pa.schema(fields, metadata={_FACTS: canonical(facts).encode()})
    with parquet.ParquetWriter(file, schema, compression="zstd", write_page_checksum=True) as writer:
        for start in range(0, len(index), _PIECE):
            piece = index.iloc[start : start + _PIECE]
            arrays = [_array(piece[field.name], field) for field in fields]
            writer.write_batch(pa.record_batch(arrays, schema=schema))


def _array(values: pd.Series[Any], field: pa.Field) -> pa.Array:
    if field.name not in _BYTES:
        is_text = pa.types.is_large_string(field.type)
        plain = values.astype(object).where(values.notna(), None) if is_text else values.to_numpy()
        return pa.array(plain, field.type)  # not from_pandas, which makes NaN missing
    kind = _BYTES[field.name][0]
    return pa.array(
        [
            None if value is None or value is NO_AU else np.ascontiguousarray(value, kind).tobytes()
            for value in values
        ],
        field.type,
    )
