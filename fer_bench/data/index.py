"""The index: one row per usable face, the only view the rest of the package has of a dataset.

Columns, in order:

| column | type | meaning |
| --- | --- | --- |
| `sample_id` | str | stable and unique in the dataset |
| `path` | str | POSIX path relative to the dataset's base folder |
| `frame` | int | video frame from 0, or -1 for a picture |
| `box` | tuple of 4 floats or None | x0, y0, x1, y1 in pixels of the decoded picture |
| `landmarks` | float32 array [n, 2] or None | x, y in pixels of the decoded picture |
| `native_label` | str or None | the licensor's code |
| `label` | str or None | canonical emotion, None where the row has none or it is dropped |
| `valence`, `arousal` | float | in [-1, 1], NaN = missing |
| `au` | int8 array [12] | 0/1 in the order of `ACTION_UNITS`, -1 = missing |
| `subject`, `sequence` | str or None | who, and which recording |
| `is_neutral_frame` | bool | a sequence's first frame that serves as its neutral face |
| `reference_id` | str or None | sample_id of this subject's neutral frame in the sequence |
| `split` | str | official split: train, val, test or none |
| `group` | str | what must never be split |
| `variant` | str | recording condition or view (`VL/Strong`, `frontal`), empty where there is one only |
| `gender`, `race`, `age` | str or None | as far as the dataset has them |
| `votes` | float32 array [9] or None | how many people named each emotion, in the order of `Emotion` |
"""

from __future__ import annotations

import gc
import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
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
NO_AU: NDArray[np.int8] = np.full(len(ACTION_UNITS), -1, np.int8)
NO_AU.flags.writeable = False  # the rows without action units share it


def build_index(rows: Iterable[Mapping[str, Any]], dataset: str) -> pd.DataFrame:
    """Return a validated index of the given rows, in the order of `sample_id`.

    Missing keys take the column's default; `group` defaults to the sample itself.

    Args:
        rows: Mappings with any of the columns, at least `sample_id` and `path`.
        dataset: Name for messages.

    Raises:
        DataError: No row, an unknown column, or a value that breaks the contract.
    """
    data: dict[str, list[Any]] = {name: [] for name in DEFAULTS}
    columns = [(name, default, data[name].append) for name, default in DEFAULTS.items()]
    with _collector_paused():
        for row in rows:  # columns at once: half a million mappings would take a gigabyte
            if not row.keys() <= DEFAULTS.keys():
                raise DataError(f"unknown index column in {dataset}", value=min(row.keys() - DEFAULTS.keys()))
            for name, default, append in columns:
                append(row.get(name, default))
    count = len(data["sample_id"])
    if not count:
        raise DataError(f"{dataset} has no usable row", hint=f"fer-bench data verify --dataset {dataset}")
    data["au"] = [NO_AU if a is None else np.asarray(a) for a in data["au"]]
    data["group"] = [g if g is not None else s for g, s in zip(data["group"], data["sample_id"], strict=True)]
    order = sorted(range(count), key=lambda i: str(data["sample_id"][i]))
    frame = pd.DataFrame(index=range(count))
    for name in COLUMNS:
        given = data.pop(name)
        values = [given[i] for i in order]
        if name in _TEXT:
            frame[name] = pd.Series(values, dtype="str")
        elif name in ("box", "landmarks", "au", "votes"):
            frame[name] = pd.Series(values, dtype=object)
        elif name == "frame":
            frame[name] = np.asarray(values, np.int64)
        elif name == "is_neutral_frame":
            frame[name] = np.asarray(values, bool)
        else:
            frame[name] = np.asarray(values, np.float64)
    validate_index(frame, dataset)
    if any(units is not NO_AU for units in frame["au"]):
        frame["au"] = pd.Series(list(stack_au(frame)), dtype=object)  # checked first: int8 hides fractions
    return frame


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Pause the collector of reference cycles: it would walk the growing rows over and over for nothing."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def validate_index(index: pd.DataFrame, dataset: str) -> None:
    """Check an index against the contract of this module.

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
    refuse("repeated sample_id", index["sample_id"].duplicated().to_numpy(), "sample_id")
    outside = np.fromiter((_leaves_root(p) for p in index["path"]), bool, len(index))
    refuse("the path leaves the dataset root", outside, "path")
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
        wrong[coded] = ~np.isin(values, (-1, 0, 1)).all(axis=1)
        refuse("action unit not in (-1, 0, 1)", wrong, "au")
    boxes = np.fromiter((_is_wrong_box(box) for box in index["box"]), bool, len(index))
    refuse("box without area", boxes, "box")
    refuse("landmarks that are not finite [n, 2]", _wrong_landmarks(index["landmarks"].tolist()), "landmarks")
    counts = np.fromiter((_are_wrong_votes(votes) for votes in index["votes"]), bool, len(index))
    refuse(f"votes that are not {len(Emotion)} finite numbers from 0", counts, "votes")
    refuse("unknown split", ~index["split"].isin(["train", "val", "test", "none"]).to_numpy(), "split")
    dangling = index["reference_id"].notna() & ~index["reference_id"].isin(index["sample_id"])
    refuse("reference_id names no sample", dangling.to_numpy(), "reference_id")
    has = index["reference_id"].notna()
    if has.any():
        partner = index.set_index("sample_id").loc[index["reference_id"][has]]
        for name in ("subject", "sequence", "group"):
            own, other = column(name)[has.to_numpy()], partner[name].to_numpy()
            strange = np.zeros(len(index), bool)
            strange[has.to_numpy()] = (own != other) & ~(pd.isna(own) & pd.isna(other))
            refuse(f"reference_id of another {name}", strange, "reference_id")


def _is_wrong_box(box: Any) -> bool:
    if box is None:
        return False
    return len(box) != 4 or not all(map(math.isfinite, box)) or not (box[2] > box[0] and box[3] > box[1])


def _wrong_landmarks(landmarks: list[Any]) -> NDArray[np.bool_]:
    """Return which rows have landmarks that are not finite [n, 2]; the numbers are looked at all at once."""
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


def _leaves_root(path: str) -> bool:
    return path.startswith("/") or "\\" in path or (".." in path and ".." in path.split("/"))


def stack_au(index: pd.DataFrame) -> NDArray[np.int8]:
    """Return the action units of all rows as int8 [N, 12], -1 = missing."""
    return np.stack(index["au"].to_list()).astype(np.int8, copy=False)


def stack_votes(index: pd.DataFrame) -> NDArray[np.float32]:
    """Return the votes of all rows as float32 [N, 9] in the order of `Emotion`, zeros where none are."""
    none = np.zeros(len(Emotion), np.float32)
    return np.stack([none if votes is None else votes for votes in index["votes"]]).astype(
        np.float32, copy=False
    )


def fingerprint(index: pd.DataFrame) -> str:
    """Return a hash of what the index says about rows, labels, faces and splits (16 hex digits).

    Paths do not take part, so that moving or re-nesting a dataset changes nothing; neither do gender, race
    and age, which decide no row.
    """
    digest = hashlib.sha256()
    for name in _FINGERPRINTED:
        values = index[name].astype(object).where(index[name].notna(), None).tolist()
        digest.update(f"{name}\n{json.dumps(values)}\n".encode())
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
