"""The index: one row per usable face, through which the rest of the package sees a dataset.

Columns, in order:

| column | type | meaning |
| --- | --- | --- |
| `sample_id` | str | stable and unique in the dataset |
| `path` | str | POSIX path relative to the dataset's base folder |
| `frame` | int | video frame from 0, or -1 for a picture |
| `box` | tuple of 4 floats or None | x0, y0, x1, y1 in pixels of the decoded picture |
| `landmarks` | float32 array [n, 2] or None | x, y in pixels of the decoded picture |
| `native_label` | str or None | the licensor's code |
| `label` | str or None | canonical emotion, None without a label or if it is dropped |
| `valence`, `arousal` | float | in [-1, 1], NaN = missing |
| `au` | int8 array [12] | 0/1 in the order of `ACTION_UNITS`, -1 = missing |
| `subject`, `sequence` | str or None | who, and which recording |
| `is_neutral_frame` | bool | a sequence's first frame that serves as its neutral face |
| `reference_id` | str or None | sample_id of this subject's neutral frame in the sequence |
| `split` | str | official split: train, val, test or none |
| `group` | str | what must never be split |
| `variant` | str | recording condition or view (`VL/Strong`, `frontal`), empty if there is only one |
| `gender`, `race`, `age` | str or None | as far as the dataset has them |
| `votes` | float32 array [9] or None | how many people named each emotion, in the order of `Emotion` |
"""

from __future__ import annotations

import gc
import hashlib
import json
import math
from array import array
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from fer_bench.emotions import ACTION_UNITS, Emotion
from fer_bench.errors import DataError

DEFAULTS: dict[str, Any] = {
    "sample_id": None,
    "path": None,
    "frame": -1,
    "box": None,
    "landmarks": None,
    "native_label": None,
    "label": None,
    "valence": float("nan"),
    "arousal": float("nan"),
    "au": None,
    "subject": None,
    "sequence": None,
    "is_neutral_frame": False,
    "reference_id": None,
    "split": "none",
    "group": None,
    "variant": "",
    "gender": None,
    "race": None,
    "age": None,
    "votes": None,
}
COLUMNS: tuple[str, ...] = tuple(DEFAULTS)
_PERSON = ("gender", "race", "age")
_FINGERPRINTED = (
    "sample_id",
    "native_label",
    "label",
    "subject",
    "sequence",
    "reference_id",
    "split",
    "group",
    "variant",
)
_TEXT = ("path", *_FINGERPRINTED, *_PERSON)
_FLOATS = ("valence", "arousal")
_PIECE = 1 << 16
"""Rows after which texts are packed: two million paths as Python strings would take a gigabyte."""
NO_AU: NDArray[np.int8] = np.full(len(ACTION_UNITS), -1, np.int8)
NO_AU.flags.writeable = False  # rows without action units share it


class NoRowsError(DataError):
    """A dataset without any usable row."""


def build_index(rows: Iterable[Mapping[str, Any]], dataset: str) -> pd.DataFrame:
    """Return a validated index of the given rows, in the order of `sample_id`.

    Missing keys get the column's default; `group` defaults to the sample itself.

    Args:
        rows: Mappings with any of the columns, at least `sample_id` and `path`.
        dataset: Name for messages.

    Raises:
        NoRowsError: There is no row.
        DataError: An unknown column, or an invalid value.
    """
    columns: dict[str, Any] = {name: _column(name) for name in DEFAULTS}
    fillers = [(name, default, columns[name].append) for name, default in DEFAULTS.items()]
    group, sample = columns["group"], columns["sample_id"]
    with _collector_paused():
        for row in rows:  # straight into columns: half a million mappings would take a gigabyte
            if not row.keys() <= DEFAULTS.keys():
                raise DataError(f"unknown index column in {dataset}", value=min(row.keys() - DEFAULTS.keys()))
            for name, default, append in fillers:
                append(row.get(name, default))
            if group.loose[-1] is None:
                group.loose[-1] = sample.loose[-1]
            if len(sample.loose) == _PIECE:
                for name in _TEXT:
                    columns[name].pack()
    texts = {name: columns.pop(name).packed() for name in _TEXT}
    pa.default_memory_pool().release_unused()  # the pieces take as much again
    count = len(texts["sample_id"])
    if not count:
        raise NoRowsError(f"{dataset} has no usable row", hint=f"fer-bench data verify --dataset {dataset}")
    order = pa.compute.sort_indices(texts["sample_id"]).to_numpy()  # UTF-8 sorts as its code points do
    is_sorted = bool((order == np.arange(count, dtype=order.dtype)).all())
    frame = pd.DataFrame(index=range(count))
    for name in COLUMNS:
        if name in _TEXT:
            given = texts.pop(name)
            frame[name] = text_series(given if is_sorted else given.take(pa.array(order)))
            continue
        given = columns.pop(name)
        if name == "frame":
            frame[name] = np.asarray(given, np.int64)[order]
        elif name == "is_neutral_frame":
            frame[name] = np.asarray(given, bool)[order]
        elif name in _FLOATS:
            frame[name] = np.asarray(given, np.float64)[order]
        elif name == "au":
            values = given.values()
            frame[name] = pd.Series(values if is_sorted else [values[i] for i in order], dtype=object)
            needs_casting = bool(given.others)
        else:
            frame[name] = pd.Series([given[i] for i in order], dtype=object)
    validate_index(frame, dataset)
    if needs_casting:  # after they are checked: int8 hides fractions
        whole = [a if a is NO_AU else b for a, b in zip(frame["au"], stack_au(frame), strict=True)]
        frame["au"] = pd.Series(whole, dtype=object)
    return frame


class _Texts:
    """A growing column of texts; packed texts take no more memory than their characters."""

    def __init__(self) -> None:
        self.loose: list[Any] = []
        self.pieces: list[pa.Array] = []
        self.append = self.loose.append

    def pack(self) -> None:
        """Pack the texts appended since the last time."""
        try:
            piece = pa.array(self.loose, pa.large_string(), from_pandas=True)
        except pa.ArrowTypeError:  # a reader may give numbers
            texts = [None if pd.isna(value) else str(value) for value in self.loose]
            piece = pa.array(texts, pa.large_string())
        self.pieces.append(piece)
        self.loose.clear()

    def packed(self) -> pa.Array:
        """Return the whole column and forget it."""
        if self.loose:
            self.pack()
        whole = pa.chunked_array(self.pieces, pa.large_string()).combine_chunks()
        self.pieces = []
        return whole


class _Floats(array):  # type: ignore[type-arg]
    """A growing column of numbers; None is missing."""

    def append(self, value: Any) -> None:
        """Append one number."""
        super().append(math.nan if value is None else value)


class _Units:
    """A growing column of action units; arrays of int8 [12] are stored in one block of bytes."""

    def __init__(self) -> None:
        self.block = bytearray()
        self.in_block = array("b")
        self.others: dict[int, Any] = {}

    def append(self, value: Any) -> None:
        """Append the units of one row, or None."""
        is_plain = isinstance(value, np.ndarray) and value.dtype == np.int8 and value.shape == NO_AU.shape
        if is_plain:
            self.block += value.tobytes()
        elif value is not None:
            self.others[len(self.in_block)] = np.asarray(value)
        self.in_block.append(is_plain)

    def values(self) -> list[NDArray[Any]]:
        """Return the units of every row, as views into the block if possible."""
        views = iter(np.frombuffer(self.block, np.int8).reshape(-1, len(NO_AU)))
        return [
            next(views) if is_plain else self.others.get(row, NO_AU)
            for row, is_plain in enumerate(self.in_block)
        ]


def _column(name: str) -> Any:
    """Return an empty column of the type that takes the fewest bytes per row."""
    if name in _TEXT:
        return _Texts()
    if name in _FLOATS:
        return _Floats("d")
    if name == "au":
        return _Units()
    return array("q") if name == "frame" else []


def text_series(texts: pa.Array) -> pd.Series[str]:
    """Return Arrow texts as a column of the index; missing texts are NaN."""
    kind: Any = pd.StringDtype("pyarrow", na_value=np.nan)
    return pd.Series(kind.__from_arrow__(texts))


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Pause the garbage collector, which would traverse the growing rows again and again in vain."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def validate_index(index: pd.DataFrame, dataset: str) -> None:
    """Check an index against the table above.

    Raises:
        DataError: Naming the first offending sample and value.
    """

    def refuse(problem: str, bad: NDArray[np.bool_], column: str) -> None:
        if bad.any():
            at = int(np.flatnonzero(bad)[0])
            found = index[column].iloc[at]
            raise DataError(
                f"{dataset}: {problem} in sample {index['sample_id'].iloc[at]!r}",
                file=str(index["path"].iloc[at]),
                value=found.tolist() if isinstance(found, np.ndarray | np.generic) else found,
                hint=f"fer-bench data verify --dataset {dataset}",
            )

    def column(name: str) -> NDArray[Any]:
        return index[name].to_numpy()

    missing = [c for c in COLUMNS if c not in index.columns]
    if missing:
        raise DataError(f"{dataset}: the index lacks the column", value=missing[0])
    for name in ("sample_id", "path", "group"):
        refuse(f"no {name}", (index[name].isna() | (index[name] == "")).to_numpy(), name)
    if not _ascend(index["sample_id"]):
        refuse("repeated sample_id", index["sample_id"].duplicated().to_numpy(), "sample_id")
    refuse("the path leaves the dataset root", _leave_root(index["path"]), "path")
    names = {e.value for e in Emotion}
    refuse("unknown label", ~(index["label"].isna() | index["label"].isin(list(names))).to_numpy(), "label")
    for name in ("valence", "arousal"):
        values = column(name).astype(float)
        refuse(f"{name} outside [-1, 1]", np.asarray(np.abs(np.nan_to_num(values)) > 1), name)
    refuse("frame below -1", np.asarray(index["frame"].to_numpy(np.int64) < -1, bool), "frame")
    coded = np.flatnonzero([units is not NO_AU for units in index["au"]])
    if len(coded):
        given = index["au"].iloc[coded]
        wrong = np.zeros(len(index), bool)
        wrong[coded] = [np.shape(units) != (len(ACTION_UNITS),) for units in given]
        refuse(f"action units that are not {len(ACTION_UNITS)}", wrong, "au")
        values = np.stack(given.to_list())  # not yet int8, which would hide a fraction
        wrong[coded] = ~((values == 0) | (values == 1) | (values == -1)).all(axis=1)
        refuse("action unit not in (-1, 0, 1)", wrong, "au")
    boxes = np.fromiter((_is_wrong_box(box) for box in index["box"]), bool, len(index))
    refuse("box without area", boxes, "box")
    refuse("landmarks that are not finite [n, 2]", _wrong_landmarks(index["landmarks"].tolist()), "landmarks")
    counts = np.fromiter((_are_wrong_votes(votes) for votes in index["votes"]), bool, len(index))
    refuse(f"votes that are not {len(Emotion)} finite numbers from 0", counts, "votes")
    refuse("unknown split", ~index["split"].isin(["train", "val", "test", "none"]).to_numpy(), "split")
    has = index["reference_id"].notna().to_numpy()
    if has.any():
        partner = _places(index["sample_id"], index["reference_id"][has])
        dangling = np.zeros(len(index), bool)
        dangling[has] = partner < 0
        refuse("reference_id is not a sample", dangling, "reference_id")
        for name in ("subject", "sequence", "group"):
            values = column(name)
            own, other = values[has], values[partner]
            strange = np.zeros(len(index), bool)
            strange[has] = (own != other) & ~(pd.isna(own) & pd.isna(other))
            refuse(f"reference_id of another {name}", strange, "reference_id")


def _is_wrong_box(box: Any) -> bool:
    if box is None:
        return False
    return len(box) != 4 or not all(map(math.isfinite, box)) or not (box[2] > box[0] and box[3] > box[1])


def _wrong_landmarks(landmarks: list[Any]) -> NDArray[np.bool_]:
    """Return which rows have landmarks that are not finite [n, 2], bool [N]."""
    wrong = np.fromiter((_have_wrong_shape(points) for points in landmarks), bool, len(landmarks))
    sound = [at for at, points in enumerate(landmarks) if points is not None and not wrong[at]]
    if sound and not np.isfinite(np.concatenate([landmarks[at] for at in sound])).all():
        wrong[[at for at in sound if not np.isfinite(landmarks[at]).all()]] = True
    return wrong


def _have_wrong_shape(points: Any) -> bool:
    if points is None:
        return False
    shape = points.shape if isinstance(points, np.ndarray) else np.shape(points)
    return len(shape) != 2 or shape[0] == 0 or shape[1] != 2


def _are_wrong_votes(votes: Any) -> bool:
    if votes is None:
        return False
    return np.shape(votes) != (len(Emotion),) or not np.isfinite(votes).all() or bool(np.min(votes) < 0)


def _places(known: pd.Series[str], wanted: pd.Series[str]) -> NDArray[np.int64]:
    """Return the position of each wanted text among the known ones, -1 for unknown texts."""
    found = pa.compute.index_in(pa.array(wanted), value_set=pa.array(known))
    return np.asarray(pa.compute.fill_null(found, -1).to_numpy(zero_copy_only=False), np.int64)


def _ascend(texts: pd.Series[str]) -> bool:
    """Return whether every text is greater than the one before: a cheap proof that none repeats."""
    column = pa.array(texts)
    each = pa.compute.less(column.slice(0, max(0, len(column) - 1)), column.slice(1))
    return bool(pa.compute.all(each, skip_nulls=False, min_count=0).as_py())


def _leave_root(paths: pd.Series[str]) -> NDArray[np.bool_]:
    """Return which paths are absolute, leave their folder or are not POSIX paths."""
    strange = paths.str.startswith("/") | paths.str.contains("\\", regex=False)
    found = strange.to_numpy(bool).copy()
    for at in np.flatnonzero(paths.str.contains("..", regex=False)):
        found[at] |= ".." in paths.iloc[at].split("/")
    return found


def stack_au(index: pd.DataFrame) -> NDArray[np.int8]:
    """Return the action units of all rows as int8 [N, 12], -1 = missing."""
    return np.stack(index["au"].to_list()).astype(np.int8, copy=False)


def stack_votes(index: pd.DataFrame) -> NDArray[np.float32]:
    """Return the votes of all rows as float32 [N, 9] in the order of `Emotion`, zeros without votes."""
    none = np.zeros(len(Emotion), np.float32)
    return np.stack([none if votes is None else votes for votes in index["votes"]]).astype(
        np.float32, copy=False
    )


def fingerprint(index: pd.DataFrame) -> str:
    """Return a hash of the rows, labels, faces and splits in an index (16 hex digits).

    Paths are left out, so that moving a dataset or its files changes nothing; so are gender, race and age,
    which have no influence on a run.
    """
    digest = hashlib.sha256()
    for name in _FINGERPRINTED:
        digest.update(f"{name}\n[".encode())
        for start in range(0, len(index), _PIECE):  # the text of one JSON list, never in memory as a whole
            piece = index[name].iloc[start : start + _PIECE]
            values = piece.astype(object).where(piece.notna(), None).tolist()
            digest.update(f"{', ' * (start > 0)}{json.dumps(values)[1:-1]}".encode())
        digest.update(b"]\n")
    digest.update(np.ascontiguousarray(index["frame"].to_numpy(np.int64)).tobytes())
    for name in ("valence", "arousal"):
        digest.update(np.ascontiguousarray(index[name].to_numpy(np.float64)).tobytes())
    digest.update(index["is_neutral_frame"].to_numpy(bool).tobytes())
    digest.update(stack_au(index).tobytes())
    for box, landmarks in zip(index["box"], index["landmarks"], strict=True):
        points = 0 if landmarks is None else len(landmarks)
        digest.update(f"{box is not None:d}{points};".encode())
        digest.update(b"" if box is None else np.asarray(box, np.float64).tobytes())
        digest.update(b"" if landmarks is None else np.asarray(landmarks, np.float32).tobytes())
    if index["votes"].notna().any():
        digest.update(stack_votes(index).tobytes())
    return digest.hexdigest()[:16]
