"""Compare two files of predictions, for drift. Imports no torch."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import softmax

from fer_bench.errors import DataError, StoreError
from fer_bench.evaluation.drift import Drift, Observed, compare
from fer_bench.inference.table import BOX, FEATURE, PROBABILITY, read_table, shares_of
from fer_bench.results.predictions import read_predictions

NUMBERS = {"detector_score": "detector score", "valence": "valence", "arousal": "arousal"}
"""Columns that are compared, and what they are called."""
OF_MODEL = ("model", "weights", "temperature", "offsets")
OF_CALL = ("faces", "every")
"""What a call of predict says that two files should share."""


@dataclass(frozen=True)
class Side:
    """One file of predictions.

    Attributes:
        file: The file.
        observed: What is in it.
        kind: What a unit is, in words.
        call: Which model and options made it, empty where that is unknown.
    """

    file: Path
    observed: Observed
    kind: str
    call: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Monitored:
    """What two files of predictions differ in.

    Attributes:
        old: What was predicted when the model was tested.
        new: What is predicted now.
        drift: The comparison.
        notes: What a reader of it should know.
        seconds: Time per stage: `read old`, `read new`, `compare`.
    """

    old: Side
    new: Side
    drift: Drift
    notes: tuple[str, ...]
    seconds: dict[str, float]

    def document(self) -> dict[str, Any]:
        """Return it as a JSON document."""
        found = self.drift
        return {
            "drift": found.drifted,
            "alarms": [one.name for one in found.alarms],
            "alpha": found.alpha,
            "least_effect": found.least,
            "units": {"kind": self.new.kind, "old": self.old.observed.count, "new": self.new.observed.count},
            "faces": {"old": len(self.old.observed.units), "new": len(self.new.observed.units)},
            "class_shares": {name: {"old": a, "new": b} for name, (a, b) in found.shares.items()},
            "comparisons": [asdict(one) for one in found.findings],
            "notes": list(self.notes),
            "seconds": {name: round(taken, 4) for name, taken in self.seconds.items()},
        }


def monitor(
    old: Path, new: Path, *, alpha: float = 0.05, least: float = 0.0, block: float | None = None
) -> Monitored:
    """Compare two files of predictions.

    Args:
        old: What was predicted when the model was tested.
        new: What is predicted now.
        alpha: Chance of a false alarm over all tests together.
        least: Effects below this do not count.
        block: Seconds of a video that count as a unit; None counts whole files.

    Raises:
        UsageError: A file with another ending than those of predictions.
        DataError: A file is absent, damaged or holds no face, or the two cannot be compared.
    """
    seconds: dict[str, float] = {}
    with _timed(seconds, "read old"):
        first = read_side(old, block)
    with _timed(seconds, "read new"):
        second = read_side(new, block)
    with _timed(seconds, "compare"):
        found = compare(first.observed, second.observed, alpha=alpha, least=least)
    return Monitored(first, second, found, tuple(_notes(first, second, block)), seconds)


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    seconds[stage] = time.perf_counter() - started


def read_side(file: Path, block: float | None = None) -> Side:
    """Read predictions: a table that `predict` wrote, or predictions of a run store.

    Args:
        file: The file.
        block: Seconds of a video that count as a unit.

    Raises:
        UsageError: Another ending than those of predictions.
        DataError: The file is absent, damaged or holds no face.
    """
    if file.suffix == ".parquet" and _is_of_store(file):
        return _of_store(file)
    table = read_table(file)
    classes = tuple(name.removeprefix(PROBABILITY) for name in table.columns if name.startswith(PROBABILITY))
    if len(classes) < 2:
        raise DataError("the table has no class probabilities", file=file, value=", ".join(table.columns))
    units = table["file"].to_numpy(str)
    if block is not None and "time" in table:
        piece = np.floor(table["time"].fillna(0).to_numpy(np.float64) / block).astype(int)
        units = np.array([f"{unit}#{at}" for unit, at in zip(units, piece, strict=True)])
    has_face = table["predicted"].notna().to_numpy()
    if not has_face.any():
        raise DataError("the table holds no face", file=file)
    p = shares_of(table, classes)[has_face]
    bad = np.flatnonzero(~(np.isfinite(p).all(1) & (p >= 0).all(1) & (np.abs(p.sum(1) - 1) < 0.01)))
    if len(bad):
        line = int(np.flatnonzero(has_face)[bad[0]]) + 1
        raise DataError("the probabilities of a row do not sum to one", file=file, line=line)
    faces = table[has_face]
    names = units[has_face]
    return Side(
        file=file,
        observed=Observed(
            classes=classes,
            units=names,
            probabilities=p,
            values=_numbers(faces),
            features=_features(faces),
            faceless=frozenset({*units[~has_face].tolist()} - {*names.tolist()}),
        ),
        kind="files" if block is None else f"pieces of {block:g} s",
        call=_call_of(file),
    )


def _is_of_store(file: Path) -> bool:
    import pyarrow.parquet as pq

    try:
        return "sample_id" in pq.read_schema(file).names
    except Exception:  # whatever is wrong with the file, reading it as a table says so
        return False


def _of_store(file: Path) -> Side:
    try:
        found = read_predictions(file)
    except StoreError as error:
        raise DataError(error.message, file=file, line=error.line, value=error.value) from None
    frame, meta = found.frame, found.meta
    values = {
        name: frame[name].to_numpy(np.float64) for name in ("valence", "arousal") if name in frame.columns
    }
    observed = Observed(
        classes=meta.classes,
        units=frame["unit"].to_numpy(str),
        probabilities=softmax(found.logits.astype(np.float64), axis=1),
        values=values,
    )
    return Side(file, observed, "people, videos or pictures", {"weights": meta.checkpoint})


def _numbers(faces: pd.DataFrame) -> dict[str, NDArray[np.float64]]:
    """Return the further numbers of each face."""
    found = {
        title: faces[name].to_numpy(np.float64)
        for name, title in NUMBERS.items()
        if name in faces and faces[name].notna().any()
    }
    if set(BOX) <= set(faces.columns):
        x0, y0, x1, y1 = (faces[name].to_numpy(np.float64) for name in BOX)
        with np.errstate(invalid="ignore"):
            side = np.sqrt(np.maximum(x1 - x0, 0) * np.maximum(y1 - y0, 0))
        if np.isfinite(side).any():
            found["side of the face, pixels"] = side
    return found


def _features(faces: pd.DataFrame) -> NDArray[np.float64] | None:
    names = [name for name in faces.columns if name.startswith(FEATURE)]
    if not names:
        return None
    values = faces[names].to_numpy(np.float64)
    return values if np.isfinite(values).all() else None


def _call_of(file: Path) -> dict[str, Any]:
    """Return which model and options made a table, from the file beside it; empty without one."""
    try:
        found = json.loads(file.with_name(f"{file.name}.call.json").read_text(encoding="utf-8"))["call"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


def _notes(old: Side, new: Side, block: float | None) -> Iterator[str]:
    both = set(old.call) & set(new.call)
    changed = [name for name in OF_MODEL if name in both and old.call[name] != new.call[name]]
    if changed:
        yield f"the model is a different one ({', '.join(changed)}), so it may be what differs"
    for name in OF_CALL:
        if name in both and old.call[name] != new.call[name]:
            yield f"{name} was {old.call[name]} and is {new.call[name]}, which may explain a difference"
    if common := len({*old.observed.units.tolist()} & {*new.observed.units.tolist()}):
        yield f"{common} {new.kind} have the same name on both sides; if they are the same, nothing is new"
    if block is not None:
        yield "pieces of one video count as independent, though poses and moods can outlast them"
