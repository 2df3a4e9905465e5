"""FER2013: 35,887 grey 48x48 faces inside one csv file, with the split of the Kaggle competition."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fer_bench.data.card import (
    Card,
    ExpectedCount,
    NativeClass,
    Official,
    Protocol,
    Quirk,
    SplitName,
    TreeEntry,
)
from fer_bench.data.dataset import FaceDataset, Image
from fer_bench.data.textfile import numbered_lines
from fer_bench.emotions import LABEL_SETS, Emotion
from fer_bench.errors import DataError

_LISTING = "counted in the file listing of RecepTahirGunlu/Duygu-Tanima"
_REMAINDER = "split total less the six other classes; agrees with the class counts of MMAFEDB"
_CSV_NAMES = ("fer2013.csv", "icml_face_data.csv")
_COLUMNS = ("emotion", "pixels", "Usage")
_USAGES: dict[str, SplitName] = {"Training": "train", "PublicTest": "val", "PrivateTest": "test"}
_SIDE = 48
_DISGUST = 1
_HINT = "compare with the official format: fer-bench data describe fer2013"

_COUNTS: dict[SplitName, tuple[int, ...]] = {
    "train": (3995, 436, 4097, 7215, 4830, 3171, 4965),
    "val": (467, 56, 496, 895, 653, 415, 607),
    "test": (491, 55, 528, 879, 594, 416, 626),
}

CARD = Card(
    name="fer2013",
    title="FER2013",
    setting="wild",
    citation=(
        "Goodfellow et al. (2013), Challenges in Representation Learning: A Report on Three Machine Learning "
        "Contests, arXiv:1307.0414"
    ),
    licence="Kaggle competition terms; the pictures come from the web without clear rights.",
    obtain=(
        "Kaggle: challenges-in-representation-learning-facial-expression-recognition-challenge "
        "(icml_face_data.csv, or fer2013.csv in its archive)"
    ),
    classes=(
        NativeClass(code="0", name="Angry", emotion=Emotion.ANGER),
        NativeClass(code="1", name="Disgust", emotion=Emotion.DISGUST),
        NativeClass(code="2", name="Fear", emotion=Emotion.FEAR),
        NativeClass(code="3", name="Happy", emotion=Emotion.HAPPINESS),
        NativeClass(code="4", name="Sad", emotion=Emotion.SADNESS),
        NativeClass(code="5", name="Surprise", emotion=Emotion.SURPRISE),
        NativeClass(code="6", name="Neutral", emotion=Emotion.NEUTRAL),
    ),
    tree=(
        TreeEntry(
            path="fer2013.csv", what="columns emotion, pixels (2,304 greys), Usage; or icml_face_data.csv"
        ),
    ),
    protocols=(
        Protocol(
            name="official",
            label_set=LABEL_SETS["7"],
            split=Official(test="test", validation="official"),
            note="Training trains, PublicTest validates, PrivateTest tests",
        ),
    ),
    default_protocol="official",
    quick_protocol="official",
    counts=tuple(
        ExpectedCount(
            split=split,
            code=None if code is None else str(code),
            unit="images",
            n=n,
            trust="inferred" if code == _DISGUST else "code",
            source=_REMAINDER if code == _DISGUST else _LISTING,
        )
        for split, numbers in _COUNTS.items()
        for code, n in (*enumerate(numbers), (None, sum(numbers)))
    ),
    quirks=(
        Quirk(
            text="The pixels stand in the csv itself: a row's picture is its number in the file, from 0.",
            trust="code",
            source="many loaders",
        ),
        Quirk(
            text=(
                "icml_face_data.csv has another column order and blanks before the names; names are stripped."
            ),
            trust="code",
            source="public loader",
        ),
        Quirk(
            text=(
                "288 PrivateTest pictures are pixel-identical to a Training picture (15 with another "
                "label), 279 "
                "PublicTest pictures too, and 44 pictures are in both test parts; the official split "
                "keeps them."
            ),
            trust="code",
            source="measured on the lossless pixels of microsoft/FERPlus",
        ),
        Quirk(
            text="Blank pictures and pictures without a face occur; FERPlus marks them as not a face.",
            trust="code",
            source="microsoft/FERPlus: fer2013new.csv",
        ),
        Quirk(
            text=(
                "FERPlus is the same pictures with new labels, MMAFEDB contains them: never counted as "
                "cross-dataset."
            ),
            trust="code",
            source="microsoft/FERPlus; class counts of MMAFEDB",
        ),
    ),
    unit="image",
    shares_pixels_with=("ferplus", "mmafedb"),
)


class _Table(NamedTuple):
    """The csv in memory: class codes, official splits and greys [N, 2304]."""

    codes: list[str]
    splits: list[SplitName]
    pixels: NDArray[np.uint8]


class FER2013(FaceDataset):
    """FER2013 as its csv file; pictures are decoded from the table, which is read once per instance."""

    card = CARD

    @classmethod
    def folder_names(cls) -> tuple[str, ...]:
        """Return further folder names under which people keep this dataset."""
        return (
            "fer-2013",
            "fer_2013",
            "challenges-in-representation-learning-facial-expression-recognition-challenge",
        )

    @classmethod
    def locate(cls, folder: Path) -> Path | None:
        """Return the folder if it holds the csv under either name."""
        return folder if any((folder / name).is_file() for name in _CSV_NAMES) else None

    @cached_property
    def _csv(self) -> str:
        name = next(name for name in _CSV_NAMES if (self.base / name).is_file())
        if not (self.base / name).resolve().is_relative_to(self.base.resolve()):
            raise DataError("the path leaves the dataset root", file=self.base / name)
        return name

    @cached_property
    def _table(self) -> _Table:
        return _read_csv(self.base / self._csv)

    def rows(self) -> Iterable[Mapping[str, Any]]:
        """Yield one row per data row of the csv.

        Raises:
            DataError: A malformed row.
        """
        for number, (code, split) in enumerate(zip(self._table.codes, self._table.splits, strict=True)):
            yield {
                "sample_id": f"{number:05d}",
                "path": self._csv,
                "frame": number,
                "native_label": code,
                "label": self.card.emotion_of(code),
                "split": split,
            }

    def load(self, path: str, frames: Sequence[int]) -> list[Image]:
        """Return pictures of the csv.

        Args:
            path: Name of the csv in `base`.
            frames: Data row numbers from 0.

        Returns:
            One RGB uint8 array [48, 48, 3] per wanted row; the grey is replicated.

        Raises:
            DataError: Another file, or a row that the csv does not have.
        """
        if path != self._csv:
            raise DataError("the pictures of fer2013 are in its csv", file=self.base / path)
        pixels = self._table.pixels
        outside = [frame for frame in frames if not 0 <= frame < len(pixels)]
        if outside:
            raise DataError(f"the csv has {len(pixels)} data rows", file=self.base / path, value=outside[0])
        return [np.repeat(pixels[frame].reshape(_SIDE, _SIDE, 1), 3, axis=2) for frame in frames]


def _read_csv(file: Path) -> _Table:
    lines = numbered_lines(file)
    columns = _header(next(lines)[1], file)
    codes: list[str] = []
    splits: list[SplitName] = []
    pixels: list[bytes] = []
    for number, line in lines:
        fields = next(csv.reader([line])) if '"' in line else line.split(",")
        if len(fields) != len(columns):
            raise DataError(
                f"a row has the fields {', '.join(columns)}",
                file=file,
                line=number,
                value=f"{len(fields)} fields",
                hint=_HINT,
            )
        code, greys, usage = (fields[columns.index(name)].strip() for name in _COLUMNS)
        if len(code) != 1 or code not in "0123456":
            raise DataError(
                "the emotion is not one of 0 to 6", file=file, line=number, value=code, hint=_HINT
            )
        if usage not in _USAGES:
            raise DataError(
                f"the usage is not one of {', '.join(_USAGES)}",
                file=file,
                line=number,
                value=usage,
                hint=_HINT,
            )
        codes.append(code)
        splits.append(_USAGES[usage])
        pixels.append(_greys(greys, file, number))
    if not codes:
        raise DataError("the csv has a header and no row", file=file, hint=_HINT)
    table = np.frombuffer(b"".join(pixels), np.uint8).reshape(len(codes), _SIDE * _SIDE)
    return _Table(codes, splits, table)


def _header(line: str, file: Path) -> list[str]:
    columns = [name.strip() for name in next(csv.reader([line]))]
    if sorted(columns) != sorted(_COLUMNS):
        raise DataError(
            f"the header does not name the columns {', '.join(_COLUMNS)}",
            file=file,
            line=1,
            value=line[:80],
            hint=_HINT,
        )
    return columns


def _greys(text: str, file: Path, number: int) -> bytes:
    """Return the greys of one picture."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", DeprecationWarning)  # how numpy reports what is no number
            values = np.fromstring(text, np.int64, sep=" ")
    except (ValueError, DeprecationWarning):
        values = None
    if values is None or ((values < 0) | (values > 255)).any():
        wrong = next((word for word in text.split() if not (word.isdigit() and int(word) <= 255)), text[:20])
        raise DataError(
            "a pixel is not an integer from 0 to 255", file=file, line=number, value=wrong, hint=_HINT
        )
    if values.size != _SIDE * _SIDE:
        raise DataError(
            f"a picture has {_SIDE * _SIDE} pixels",
            file=file,
            line=number,
            value=f"{values.size} pixels",
            hint=_HINT,
        )
    return values.astype(np.uint8).tobytes()
