"""AffectNet's older layout: two csv lists of labelled face boxes in whole pictures."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fer_bench.data.card import Card, SplitName
from fer_bench.data.reading.dependencies import note_read
from fer_bench.data.reading.folders import Listing, list_folder, listed_path
from fer_bench.data.reading.missing import refuse_missing
from fer_bench.data.reading.notes import counted
from fer_bench.data.reading.parsing import csv_fields, parse_affect, parse_points, parsed_lines, split_header
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
_LOWER = tuple(column.casefold() for column in _COLUMNS)
_NOTHING = ("", "null", "nan", "none")

Box = tuple[float, float, float, float]


class Places(NamedTuple):
    """The folder of the lists and that of the pictures."""

    lists: Path
    pictures: Path


class _Face(NamedTuple):
    """The face and the labels of one usable line."""

    path: str
    box: Box
    landmarks: NDArray[np.float32] | None
    code: str
    valence: float
    arousal: float


def find_lists(folder: Path) -> Places | None:
    """Return where the older layout is in a folder, None where the lists or the pictures are missing."""
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
        notes: Gets a sentence per kind of line that is left out.

    Raises:
        DataError: A malformed line, or listed pictures that are not on disk.
    """
    places = find_lists(base)
    if places is None:
        raise DataError("the lists of AffectNet are gone", file=base)
    notes.append("The csv lists are read: faces are cut out of whole pictures with the listed box.")
    inner = places.pictures.relative_to(base).as_posix()
    pictures = _Pictures(places.pictures, base)
    tested: set[str] = set()
    for split, name in _LISTS.items():
        file = places.lists / name
        times: Counter[str] = Counter()
        seen: set[tuple[object, ...]] = set()
        missing: list[tuple[int, str]] = []
        left_out: Counter[str] = Counter()
        header, lines = split_header(file, lambda line: bool({*csv_fields(line.casefold())} & {*_LOWER}))
        if header is None:
            notes.append(f"{name} has no header line; its first line is read as data.")
        parser = _Parser(header, file, card, left_out)
        for line, face in parsed_lines(lines, parser.face, file=file):
            if split == "val":
                tested.add(face.path)
            elif face.path in tested:
                left_out["show pictures of the validation list and are left out"] += 1
                continue
            same = (face.path, face.box, face.code, face.valence, face.arousal)
            if same in seen:
                left_out["repeat another one and are left out"] += 1
                continue
            seen.add(same)
            times[face.path] += 1
            path = pictures.find(face.path, file, line)
            if path is None:
                missing.append((line, face.path))
                continue
            again = "" if times[face.path] == 1 else f"#{times[face.path]}"
            yield {
                "sample_id": f"{split}/{face.path}{again}",
                "path": f"{inner}/{path}",
                "box": face.box,
                "landmarks": face.landmarks,
                "native_label": face.code,
                "label": card.emotion_of(face.code),
                "valence": face.valence,
                "arousal": face.arousal,
                "split": split,
                "group": face.path,
            }
        refuse_missing(missing, file=file, folder=places.pictures, dataset=card.name)
        notes += [f"{count} lines of {name} {what}." for what, count in left_out.items()]
        notes += counted({f"lines of {name} have no valid face box and are left out": parser.boxless})


class _Pictures:
    """The pictures on disk; each folder is listed once."""

    def __init__(self, folder: Path, base: Path) -> None:
        self._folder, self._base = folder, base
        self._listings: dict[str, Listing | None] = {}

    def find(self, path: str, file: Path, line: int) -> str | None:
        """Return the path of a listed picture, None if it is absent; list and line are for the message."""
        inner, _, name = path.rpartition("/")
        if inner not in self._listings:
            folder = self._folder / inner
            note_read(folder)
            self._listings[inner] = list_folder(folder, self._base) if folder.is_dir() else None
        listing = self._listings[inner]
        found = None if listing is None else listing.picture(name, file=file, line=line)
        return None if found is None else path.removesuffix(name) + found


class _Parser:
    """Parse the lines of one list.

    Args:
        header: The line that names the columns; None for the official order.
        file: The list.
        card: AffectNet's card.
        left_out: Counts the lines without a label or a face.

    Raises:
        DataError: The header lacks a column.
    """

    def __init__(self, header: str | None, file: Path, card: Card, left_out: Counter[str]) -> None:
        names: Sequence[str] = _LOWER if header is None else csv_fields(header.casefold())
        absent = [column for column in _COLUMNS if column.casefold() not in names]
        if absent:
            problem = f"the header lacks the columns {', '.join(absent)}"
            raise DataError(problem, file=file, line=1, value=str(header)[:80])
        self._order = [names.index(column) for column in _LOWER]
        self._width = len(names)
        self._emotions = {native.code: native.emotion for native in card.classes}
        self._left_out = left_out
        self.boxless: list[str] = []
        """Pictures of the lines without a valid face box."""

    def face(self, line: str) -> _Face | None:
        """Return the face of a line, None where it has no label or no valid box."""
        fields = csv_fields(line)
        if len(fields) != self._width:
            raise DataError(f"a line has {self._width} fields", value=f"{len(fields)} fields")
        path, x, y, w, h, points, code, *affect = (fields[i] for i in self._order)
        path = listed_path(path)
        if not path:
            raise DataError("a line names no picture", value=line[:80])
        if code not in self._emotions:
            raise DataError(f"the expression is not one of 0 to {len(self._emotions) - 1}", value=code)
        valence, arousal = (
            math.nan if _is_void(field) else parse_affect(field, missing=MISSING) for field in affect
        )
        if self._emotions[code] is None and (math.isnan(valence) or math.isnan(arousal)):
            self._left_out["have neither an emotion nor valence and arousal"] += 1
            return None
        box = _parse_box((x, y, w, h))
        if box is None:
            self.boxless.append(path)
            return None
        landmarks = None if _is_void(points) else parse_points(points.split(";"), 68)
        return _Face(path, box, landmarks, code, valence, arousal)


def _is_void(field: str) -> bool:
    return len(field) <= 4 and field.casefold() in _NOTHING


def _parse_box(fields: tuple[str, ...]) -> Box | None:
    """Return x0, y0, x1, y1 in pixels from x, y, width and height; None where they are void."""
    try:
        x, y, width, height = map(float, fields)
    except ValueError:
        if any(_is_void(field) for field in fields):
            return None
        raise DataError("the face box is four numbers, or NULL", value=",".join(fields)) from None
    box = (x, y, x + width, y + height)
    is_void = not all(map(math.isfinite, box)) or min(x, y) < 0 or width <= 0 or height <= 0
    return None if is_void else box
