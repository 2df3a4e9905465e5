"""FER2013: 35,887 grey 48x48 faces in one csv file or in class folders, with the competition's split."""

from __future__ import annotations

import csv
import hashlib
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from fer_bench.data.reading.dataset import FaceDataset
from fer_bench.data.reading.folders import list_folder
from fer_bench.data.reading.pictures import Image, read_picture
from fer_bench.data.reading.problems import raise_or_collect
from fer_bench.data.reading.sequences import some_files, subfolders
from fer_bench.data.reading.textfile import numbered_lines
from fer_bench.emotions import LABEL_SETS, Emotion
from fer_bench.errors import DataError

_LISTING = "counted in the file listing of RecepTahirGunlu/Duygu-Tanima"
_REMAINDER = "split total less the six other classes; agrees with the class counts of MMAFEDB"
_CSV_NAMES = ("fer2013.csv", "icml_face_data.csv")
_COLUMNS = ("emotion", "pixels", "Usage")
_USAGES: dict[str, SplitName] = {"Training": "train", "PublicTest": "val", "PrivateTest": "test"}
_CLASS_FOLDERS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
_PART_FOLDERS = ("train", "test")
_PICTURE = re.compile(rf"({'|'.join(_USAGES)})_\d+\.(?:jpg|jpeg|png)", re.IGNORECASE)
_SIDE = 48
DISTINCT, REPEATED = "distinct", "repeated"
"""Variants of a row: `repeated` is a test picture that stands, pixel for pixel, in another part as well."""
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
        "Goodfellow et al. (2013), Challenges in Representation Learning: A Report on Three Machine "
        "Learning Contests, arXiv:1307.0414"
    ),
    licence="Kaggle competition terms; the pictures come from the web without clear rights.",
    obtain=(
        "Kaggle: challenges-in-representation-learning-facial-expression-recognition-challenge "
        "(icml_face_data.csv, or fer2013.csv in its archive)"
    ),
    classes=(
        NativeClass("0", "Angry", Emotion.ANGER),
        NativeClass("1", "Disgust", Emotion.DISGUST),
        NativeClass("2", "Fear", Emotion.FEAR),
        NativeClass("3", "Happy", Emotion.HAPPINESS),
        NativeClass("4", "Sad", Emotion.SADNESS),
        NativeClass("5", "Surprise", Emotion.SURPRISE),
        NativeClass("6", "Neutral", Emotion.NEUTRAL),
    ),
    tree=(
        TreeEntry("fer2013.csv", "columns emotion, pixels (2,304 greys), Usage; or icml_face_data.csv"),
        TreeEntry(
            "{train,test}/<angry>/<PublicTest>_<number>.jpg",
            "the same pictures in class folders, read where there is no csv",
            required=False,
        ),
    ),
    protocols=(
        Protocol(
            name="official",
            label_set=LABEL_SETS["7"],
            split=Official(test="test", validation="official"),
            note="Training trains, PublicTest validates, PrivateTest tests",
        ),
        Protocol(
            name="dedup",
            label_set=LABEL_SETS["7"],
            split=Official(test="test", validation="official"),
            variants=(DISTINCT,),
            note="the same without PrivateTest pictures that stand in another part as well",
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
            "The pixels stand in the csv itself: a row's picture is its number in the file, from 0.",
            "code",
            "many loaders",
        ),
        Quirk(
            "icml_face_data.csv has another column order and blanks before the names; names are stripped.",
            "code",
            "public loader",
        ),
        Quirk(
            "288 PrivateTest pictures are pixel-identical to a Training picture (15 with another label), "
            "279 PublicTest pictures too, and 44 pictures are in both test parts; the official split keeps "
            "them, `dedup` leaves the repeated PrivateTest pictures out. Which ones is decided from the "
            "pixels.",
            "code",
            "measured on the lossless pixels of microsoft/FERPlus",
        ),
        Quirk(
            "In the class folders, test holds PublicTest and PrivateTest merged (7,178 pictures); the "
            "beginning of each name undoes the merge, and a name without one is refused.",
            "code",
            "file names in RecepTahirGunlu/Duygu-Tanima",
        ),
        Quirk(
            "Blank pictures and pictures without a face occur; FERPlus marks them as not a face.",
            "code",
            "microsoft/FERPlus: fer2013new.csv",
        ),
        Quirk(
            "FERPlus is the same pictures with new labels, MMAFEDB contains them: never counted as "
            "cross-dataset.",
            "code",
            "microsoft/FERPlus; class counts of MMAFEDB",
        ),
    ),
    unit="image",
    shares_pixels_with=("ferplus", "mmafedb"),
    version=2,
)


class Table(NamedTuple):
    """The csv in memory: class codes, official splits and greys [N, 2304]."""

    codes: list[str]
    splits: list[SplitName]
    pixels: NDArray[np.uint8]


class FER2013(FaceDataset):
    """FER2013 as its csv file, which is read once per instance, or as pictures in class folders.

    `variant` is `repeated` for PrivateTest rows with the pixels of a Training or PublicTest row.
    """

    card = CARD
    folder_names = (
        "fer-2013",
        "fer_2013",
        "challenges-in-representation-learning-facial-expression-recognition-challenge",
    )

    @classmethod
    def locate(cls, folder: Path) -> Path | None:
        """Return the folder if it holds the csv under either name, or class folders with the known names."""
        return folder if csv_of(folder) is not None or _has_class_folders(folder) else None

    @cached_property
    def _csv(self) -> str | None:
        return csv_inside(self.base)

    @cached_property
    def _table(self) -> Table:
        return read_csv(self.base / str(self._csv))

    def rows(self) -> Iterable[Mapping[str, Any]]:
        """Yield one row per data row of the csv, or per picture.

        Raises:
            DataError: A malformed row, or a picture that is not named and placed as documented.
        """
        self.notes = []
        if self._csv is None:
            rows = list(self._pictures())
            pixels = [digest_of_file(self.base / row["path"]) for row in rows]
        else:
            if _has_class_folders(self.base):
                self.notes.append(f"{self._csv} is read, not the class folders beside it.")
            rows = list(self._table_rows())
            pixels = [hashlib.sha256(self._table.pixels[row["frame"]]).digest() for row in rows]
        repeated = repeated_tests(pixels, [row["split"] for row in rows])
        if repeated.any():
            self.notes.append(
                f"{int(repeated.sum())} PrivateTest pictures are pixel-identical to one of another part; the "
                "protocol dedup leaves them out."
            )
        for row, again in zip(rows, repeated, strict=True):
            row["variant"] = REPEATED if again else DISTINCT
        return rows

    def _table_rows(self) -> Iterator[dict[str, Any]]:
        for number, (code, split) in enumerate(zip(self._table.codes, self._table.splits, strict=True)):
            if not code:
                continue
            yield {
                "sample_id": f"{number:05d}",
                "path": self._csv,
                "frame": number,
                "native_label": code,
                "label": self.card.emotion_of(code),
                "split": split,
            }

    def _pictures(self) -> Iterator[dict[str, Any]]:
        first_place: dict[str, str] = {}
        for part in _PART_FOLDERS:
            for code, name in enumerate(_CLASS_FOLDERS):
                folder = self.base / part / name
                if not folder.is_dir():
                    raise DataError("a class folder is missing", file=folder, hint=_HINT)
                listing = list_folder(folder, self.base)
                for picture in sorted(listing.files | listing.leaving):
                    listing.has(picture, file=folder)
                    match = _PICTURE.fullmatch(picture)
                    usage = next((u for u in _USAGES if match and u.casefold() == match[1].casefold()), "")
                    if (usage == "Training") != (part == "train") or not usage:
                        raise DataError(
                            "a picture is not named after its part (Training_ in train, PublicTest_ or "
                            "PrivateTest_ in test), so this is a changed or enlarged copy",
                            file=folder / picture,
                            hint=_HINT,
                        )
                    stem = Path(picture).stem
                    if stem in first_place:
                        raise DataError(
                            f"the picture stands in {first_place[stem]} already",
                            file=folder / picture,
                            hint=_HINT,
                        )
                    first_place[stem] = f"{part}/{name}"
                    yield {
                        "sample_id": stem,
                        "path": f"{part}/{name}/{picture}",
                        "native_label": str(code),
                        "label": self.card.emotion_of(str(code)),
                        "split": _USAGES[usage],
                    }

    def load(self, path: str, frames: Sequence[int]) -> list[Image]:
        """Return pictures of the csv or of the class folders.

        Args:
            path: Name of the csv in `base`, or of a picture.
            frames: Data row numbers of the csv from 0; `[-1]` for a picture.

        Returns:
            One RGB uint8 array [48, 48, 3] per wanted row; the grey is replicated.

        Raises:
            DataError: Another file, or a row that the csv does not have.
        """
        if self._csv is None:
            return super().load(path, frames)
        if path != self._csv:
            raise DataError("the pictures of fer2013 are in its csv", file=self.base / path)
        return pictures_of(self._table, frames, self.base / path)


def csv_of(folder: Path) -> str | None:
    """Return the name of the csv that a folder holds, None without one."""
    return next((name for name in _CSV_NAMES if (folder / name).is_file()), None)


def csv_inside(base: Path) -> str | None:
    """Return the name of the csv of pixels, None where there is none.

    Raises:
        DataError: It is a link that leaves the dataset root.
    """
    name = csv_of(base)
    if name is not None and not (base / name).resolve().is_relative_to(base.resolve()):
        raise DataError("the path leaves the dataset root", file=base / name)
    return name


def _has_class_folders(folder: Path) -> bool:
    """Return whether a folder has both parts, with pictures named after their part in the classes."""
    for part in _PART_FOLDERS:
        classes = [c for c in subfolders(folder / part) if c.name in _CLASS_FOLDERS]
        if not any(_PICTURE.fullmatch(name) for c in classes for name in some_files(c)):
            return False
    return True


def repeated_tests(pixels: Sequence[bytes], splits: Sequence[str]) -> NDArray[np.bool_]:
    """Return which test rows have the pixels of a training or validation row.

    Args:
        pixels: A hash of the pixels of every row.
        splits: Its split.

    Returns:
        Booleans [N].
    """
    others = {digest for digest, split in zip(pixels, splits, strict=True) if split != "test"}
    pairs = zip(pixels, splits, strict=True)
    return np.array([split == "test" and digest in others for digest, split in pairs], bool)


def digest_of_file(file: Path) -> bytes:
    """Return a hash of a picture's pixels; a broken picture repeats none, and `data verify` reports it."""
    try:
        return hashlib.sha256(read_picture(file).tobytes()).digest()
    except DataError:
        return str(file).encode("utf-8", "surrogateescape")


def pictures_of(table: Table, frames: Sequence[int], file: Path) -> list[Image]:
    """Return rows of the csv as RGB uint8 pictures [48, 48, 3].

    Args:
        table: The csv.
        frames: Data row numbers from 0.
        file: The csv, for messages.

    Raises:
        DataError: A row that the csv does not have.
    """
    outside = [frame for frame in frames if not 0 <= frame < len(table.pixels)]
    if outside:
        raise DataError(f"the csv has {len(table.pixels)} data rows", file=file, value=outside[0])
    return [np.repeat(table.pixels[frame].reshape(_SIDE, _SIDE, 1), 3, axis=2) for frame in frames]


def read_csv(file: Path) -> Table:
    """Read `fer2013.csv` or `icml_face_data.csv`.

    Where a check collects the problems, a malformed row keeps its place, with an empty code and no part: rows
    are known by their number.

    Raises:
        DataError: A malformed header or row, or no row.
    """
    lines = numbered_lines(file)
    columns = _header(next(lines)[1], file)
    codes: list[str] = []
    splits: list[SplitName] = []
    pixels: list[bytes] = []
    for number, line in lines:
        fields = next(csv.reader([line])) if '"' in line else line.split(",")
        part: SplitName
        try:
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
            picture = _greys(greys, file, number)
        except DataError as error:
            raise_or_collect(error)
            code, part, picture = "", "none", bytes(_SIDE * _SIDE)
        else:
            part = _USAGES[usage]
        codes.append(code)
        splits.append(part)
        pixels.append(picture)
    if not any(codes):
        raise DataError("the csv has a header and no row", file=file, hint=_HINT)
    table = np.frombuffer(b"".join(pixels), np.uint8).reshape(len(codes), _SIDE * _SIDE)
    return Table(codes, splits, table)


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
