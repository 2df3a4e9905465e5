"""The csv of FER2013, which holds the pixels of its pictures and of FERPlus's."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fer_bench.data.card import SplitName
from fer_bench.data.reading.dataset import FaceDataset
from fer_bench.data.reading.dependencies import note_read
from fer_bench.data.reading.parsing import csv_fields, parse_line
from fer_bench.data.reading.pictures import Image, read_picture
from fer_bench.data.reading.problems import raise_or_collect
from fer_bench.data.reading.textfile import numbered_lines
from fer_bench.errors import DataError

USAGES: dict[str, SplitName] = {"Training": "train", "PublicTest": "val", "PrivateTest": "test"}
"""Official split of each value of the column Usage."""
_NAMES = ("fer2013.csv", "icml_face_data.csv")
_COLUMNS = ("emotion", "pixels", "Usage")
_SIDE = 48


class _Row(NamedTuple):
    """One row: class code, official split and greys [2304]."""

    code: str
    split: SplitName
    greys: bytes


_MALFORMED = _Row("", "none", bytes(_SIDE * _SIDE))


class Table(NamedTuple):
    """The csv in memory: class codes, official splits and greys [N, 2304]."""

    codes: list[str]
    splits: list[SplitName]
    pixels: NDArray[np.uint8]


class CsvPictures(FaceDataset):
    """Pictures that are rows of the csv, or files where `base` has no csv; the csv is read once."""

    keeps_index = True

    @cached_property
    def csv_name(self) -> str | None:
        """Name of the csv in `base`, None without one.

        Raises:
            DataError: It is a link that leaves the dataset root.
        """
        name = csv_of(self.base)
        if name is not None and not (self.base / name).resolve().is_relative_to(self.base.resolve()):
            raise DataError("the path leaves the dataset root", file=self.base / name)
        return name

    @cached_property
    def table(self) -> Table:
        """The csv in memory, see `read_csv`."""
        return read_csv(self.base / str(self.csv_name))

    def load(self, path: str, frames: Sequence[int]) -> list[Image]:
        """Return pictures of the csv, or decode a picture file.

        Args:
            path: Name of the csv in `base`, or of a picture.
            frames: Data row numbers of the csv from 0; `[-1]` for a picture.

        Returns:
            One RGB uint8 array per wanted row, [48, 48, 3] from the csv; the grey is replicated.

        Raises:
            DataError: A row that the csv does not have, or a picture that cannot be decoded.
        """
        if path != self.csv_name:
            return super().load(path, frames)
        pixels = self.table.pixels
        outside = [frame for frame in frames if not 0 <= frame < len(pixels)]
        if outside:
            problem = f"the csv has {len(pixels)} data rows"
            raise DataError(problem, file=self.base / path, value=outside[0])
        return [np.repeat(pixels[frame].reshape(_SIDE, _SIDE, 1), 3, axis=2) for frame in frames]

    def repeated_tests(self, pictures: Sequence[tuple[str, int]], splits: Sequence[str]) -> NDArray[np.bool_]:
        """Return which test rows have the pixels of a training or validation row.

        Args:
            pictures: Path and frame of every row.
            splits: Split of every row.

        Returns:
            Booleans [N].
        """
        note_read(self.base)
        for name in (name for name in _NAMES if (self.base / name).exists()):
            note_read(self.base / name)  # it may have been read before the index
        digests = [self._digest(path, frame) for path, frame in pictures]
        others = {digest for digest, split in zip(digests, splits, strict=True) if split != "test"}
        pairs = zip(digests, splits, strict=True)
        return np.array([split == "test" and digest in others for digest, split in pairs], bool)

    def _digest(self, path: str, frame: int) -> bytes:
        """Return a hash of a picture's pixels; a broken one, which `data verify` reports, equals no other."""
        if frame >= 0:
            return hashlib.sha256(self.table.pixels[frame]).digest()
        note_read((self.base / path).parent, contents=True)
        try:
            return hashlib.sha256(read_picture(self.base / path).tobytes()).digest()
        except DataError:
            return path.encode("utf-8", "surrogateescape")


def csv_of(folder: Path) -> str | None:
    """Return the name of the csv that a folder holds, None without one."""
    return next((name for name in _NAMES if (folder / name).is_file()), None)


def read_csv(file: Path) -> Table:
    """Read `fer2013.csv` or `icml_face_data.csv`.

    Where a check collects the problems, a malformed row keeps its place, with an empty code and no split:
    rows are known by their number.

    Raises:
        DataError: A malformed header or row, or no row.
    """
    lines = numbered_lines(file)
    header = next(lines)[1]
    columns = csv_fields(header)
    if sorted(columns) != sorted(_COLUMNS):
        problem = f"the header does not name the columns {', '.join(_COLUMNS)}"
        raise DataError(problem, file=file, line=1, value=header[:80])

    def parse(text: str) -> _Row:
        fields = csv_fields(text)
        if len(fields) != len(columns):
            raise DataError(f"a row has the fields {', '.join(columns)}", value=f"{len(fields)} fields")
        code, greys, usage = (fields[columns.index(name)] for name in _COLUMNS)
        if len(code) != 1 or code not in "0123456":
            raise DataError("the emotion is not one of 0 to 6", value=code)
        if usage not in USAGES:
            raise DataError(f"the usage is not one of {', '.join(USAGES)}", value=usage)
        return _Row(code, USAGES[usage], _parse_greys(greys))

    rows: list[_Row] = []
    for line, text in lines:
        try:
            rows.append(parse_line(parse, text, file=file, line=line))
        except DataError as error:
            raise_or_collect(error)
            rows.append(_MALFORMED)
    if all(row is _MALFORMED for row in rows):
        raise DataError("the csv has a header and no row", file=file)
    pixels = np.frombuffer(b"".join(row.greys for row in rows), np.uint8)
    return Table([r.code for r in rows], [r.split for r in rows], pixels.reshape(len(rows), _SIDE * _SIDE))


def _parse_greys(text: str) -> bytes:
    """Return the greys of one picture."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", DeprecationWarning)  # how numpy reports what is not a number
            values = np.fromstring(text, np.int64, sep=" ")
    except (ValueError, DeprecationWarning):
        values = None
    if values is None or ((values < 0) | (values > 255)).any():
        wrong = next((word for word in text.split() if not (word.isdigit() and int(word) <= 255)), text[:20])
        raise DataError("a pixel is not an integer from 0 to 255", value=wrong)
    if values.size != _SIDE * _SIDE:
        raise DataError(f"a picture has {_SIDE * _SIDE} pixels", value=f"{values.size} pixels")
    return values.astype(np.uint8).tobytes()
