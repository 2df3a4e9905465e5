"""AffectNet's older layout: two csv lists that say where faces are in whole pictures."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fer_bench.data.card import Card, SplitName
from fer_bench.data.reading.dependencies import note_read
from fer_bench.data.reading.folders import Listing, list_folder, refuse_leaving, refuse_missing
from fer_bench.data.reading.problems import raise_or_collect
from fer_bench.data.reading.textfile import numbered_lines
from fer_bench.errors import DataError

MISSING = -2.0
"""Valence or arousal that the annotators did not give."""

_LISTS: dict[SplitName, str] = {"val": "validation.csv", "train": "training.csv"}
_LIST_FOLDERS = ("Manually_Annotated_file_lists", "Manually_Annotated/Manually_Annotated_file_lists", "")
_PICTURES = (
    "Manually_Annotated/Manually_Annotated_Images",
    "Manually_Annotated_Images",
    "Manually_Annotated/Manually_Annotated_Images/Manually_Annotated_Images",
)
_COLUMNS = (
    "subDirectory_filePath",
    "face_x",
    "face_y",
    "face_width",
    "face_height",
    "facial_landmarks",
    "expression",
    "valence",
    "arousal",
)
_NOTHING = ("", "null", "nan", "none")
_SHORT = 5
"""A field of that many characters is longer than any of these."""
_HINT = "compare with the official format: fer-bench data describe affectnet7"

Box = tuple[float, float, float, float]


class Places(NamedTuple):
    """Where the older layout stands in a folder: the folder of the lists, and that of the pictures."""

    lists: Path
    pictures: Path


class _Line(NamedTuple):
    """What one usable line says."""

    number: int
    path: str
    box: Box
    landmarks: NDArray[np.float32] | None
    code: str
    valence: float
    arousal: float


def find_lists(folder: Path) -> Places | None:
    """Return where the older layout stands in a folder, None when lists or pictures are not there."""
    for place in (*_LIST_FOLDERS, *_PICTURES):
        note_read(folder / place)
    lists = next(
        (folder / p for p in _LIST_FOLDERS if all((folder / p / n).is_file() for n in _LISTS.values())), None
    )
    pictures = next((folder / p for p in reversed(_PICTURES) if (folder / p).is_dir()), None)
    return None if lists is None or pictures is None else Places(lists, pictures)


def list_rows(base: Path, card: Card, notes: list[str]) -> Iterator[Mapping[str, Any]]:
    """Yield one index row per usable line of both lists.

    Args:
        base: The dataset's base folder.
        card: AffectNet's card, for its classes.
        notes: Gets one sentence for everything that was left out.

    Raises:
        DataError: A malformed line, or listed pictures that are not on disk.
    """
    places = find_lists(base)
    if places is None:
        raise DataError("the lists of AffectNet are gone", file=base, hint=_HINT)
    notes.append("The csv lists are read: faces are cut out of whole pictures with the listed box.")
    inner = places.pictures.relative_to(base).as_posix()
    known: dict[str, Listing] = {}
    tested: set[str] = set()
    for split, name in _LISTS.items():
        file = places.lists / name
        times: dict[str, int] = {}
        seen: set[tuple[object, ...]] = set()
        missing: list[tuple[int, str]] = []
        twice = shared = 0
        for line in _read_list(file, card, notes):
            if split == "val":
                tested.add(line.path)
            elif line.path in tested:
                shared += 1
                continue
            face = (line.path, line.box, line.code, line.valence, line.arousal)
            if face in seen:
                twice += 1
                continue
            seen.add(face)
            times[line.path] = times.get(line.path, 0) + 1
            if not _is_there(line, places.pictures, base, known, file):
                missing.append((line.number, line.path))
                continue
            again = times[line.path]
            yield {
                "sample_id": f"{split}/{line.path}" if again == 1 else f"{split}/{line.path}#{again}",
                "path": f"{inner}/{line.path}",
                "box": line.box,
                "landmarks": line.landmarks,
                "native_label": line.code,
                "label": card.emotion_of(line.code),
                "valence": line.valence,
                "arousal": line.arousal,
                "split": split,
                "group": line.path,
            }
        refuse_missing(missing, file=file, folder=places.pictures, dataset=card.name)
        if twice:
            notes.append(f"{twice} lines of {name} repeat another one and are left out.")
        if shared:
            notes.append(f"{shared} lines of {name} show pictures of the validation list and are left out.")


def _is_there(line: _Line, pictures: Path, base: Path, known: dict[str, Listing], file: Path) -> bool:
    """Return whether a listed picture is on disk, listing each folder once."""
    inner, _, name = line.path.rpartition("/")
    if inner not in known:
        if not (pictures / inner).is_dir():
            note_read(pictures / inner)
            return False
        known[inner] = list_folder(pictures / inner, base)
    return known[inner].has(name, file=file, line=line.number)


def _read_list(file: Path, card: Card, notes: list[str]) -> Iterator[_Line]:
    """Yield the usable lines of a list, noting how many are not."""
    order: Sequence[int] = range(len(_COLUMNS))
    width = len(_COLUMNS)
    emotions = {native.code: native.emotion for native in card.classes}
    faceless = empty = 0
    for number, text in numbered_lines(file):
        fields = next(csv.reader([text])) if '"' in text else text.split(",")
        if number == 1:
            if {field.strip().casefold() for field in fields} & {column.casefold() for column in _COLUMNS}:
                order, width = _order(fields, file), len(fields)
                continue
            notes.append(f"{file.name} has no header line; its first line is read as data.")
        try:
            if len(fields) != width:
                raise _wrong(f"a line has {width} fields", file, number, f"{len(fields)} fields")
            path, x, y, w, h, points, code, valence, arousal = (fields[i].strip() for i in order)
            refuse_leaving(path, file=file, line=number)
            if not path:
                raise _wrong("a line names no picture", file, number, text[:80])
            if code not in emotions:
                raise _wrong(f"the expression is not one of 0 to {len(emotions) - 1}", file, number, code)
            affect = _affect(valence, file, number), _affect(arousal, file, number)
            if emotions[code] is None and (math.isnan(affect[0]) or math.isnan(affect[1])):
                empty += 1
                continue
            box = _box((x, y, w, h), file, number)
            if box is None:
                faceless += 1
                continue
            parsed = _Line(number, path, box, _landmarks(points, file, number), code, *affect)
        except DataError as error:
            raise_or_collect(error)
            continue
        yield parsed
    if empty:
        notes.append(f"{empty} lines of {file.name} have neither an emotion nor valence and arousal.")
    if faceless:
        notes.append(f"{faceless} lines of {file.name} have no valid face box and are left out.")


def _order(header: list[str], file: Path) -> list[int]:
    names = [name.strip().casefold() for name in header]
    absent = [column for column in _COLUMNS if column.casefold() not in names]
    if absent:
        raise _wrong(f"the header lacks the columns {', '.join(absent)}", file, 1, ",".join(header)[:80])
    return [names.index(column.casefold()) for column in _COLUMNS]


def _box(fields: tuple[str, ...], file: Path, number: int) -> Box | None:
    """Return x0, y0, x1, y1 in pixels from x, y, width and height; None where they are void."""
    try:
        x, y, width, height = map(float, fields)
    except ValueError:
        if any(field.casefold() in _NOTHING for field in fields):
            return None
        raise _wrong("the face box is four numbers, or NULL", file, number, ",".join(fields)) from None
    box = (x, y, x + width, y + height)
    is_void = not all(map(math.isfinite, box)) or min(x, y) < 0 or width <= 0 or height <= 0
    return None if is_void else box


def _affect(field: str, file: Path, number: int) -> float:
    """Return valence or arousal in [-1, 1], NaN where it is missing."""
    try:
        value = float(field)
    except ValueError:
        if field.casefold() in _NOTHING:
            return math.nan
        raise _wrong("valence or arousal is no number", file, number, field) from None
    if value == MISSING or math.isnan(value):
        return math.nan
    if not -1 <= value <= 1:
        raise _wrong("valence and arousal lie in [-1, 1], or are -2", file, number, field)
    return value


def _landmarks(field: str, file: Path, number: int) -> NDArray[np.float32] | None:
    """Return 68 landmarks [68, 2] in pixels of the picture, None where the list has none."""
    if len(field) < _SHORT and field.casefold() in _NOTHING:
        return None
    try:
        points = np.array(list(map(float, field.split(";"))), np.float32)
    except ValueError:
        raise _wrong("a landmark is not a number", file, number, field[:40]) from None
    if points.size != 136 or not np.isfinite(points).all():
        raise _wrong("there are not 136 finite landmark coordinates", file, number, points.size)
    return points.reshape(68, 2)


def _wrong(problem: str, file: Path, number: int, value: object) -> DataError:
    return DataError(problem, file=file, line=number, value=value, hint=_HINT)
