"""FER2013: 35,887 grey 48x48 faces in one csv file or in class folders, with the competition's split."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from fer_bench.data.card import (
    Card,
    ExpectedCount,
    Official,
    Protocol,
    Quirk,
    SplitName,
    TreeEntry,
    native_classes,
)
from fer_bench.data.reading.folders import list_folder
from fer_bench.data.reading.formats import ENDING
from fer_bench.data.reading.sequences import some_files, subfolders
from fer_bench.datasets.fer2013_csv import USAGES, CsvPictures, csv_of
from fer_bench.emotions import LABEL_SETS
from fer_bench.errors import DataError

_LISTING = "counted in the file listing of RecepTahirGunlu/Duygu-Tanima"
_REMAINDER = "split total less the six other classes; agrees with the class counts of MMAFEDB"
_CLASS_FOLDERS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
_NUMBERED = tuple("0123456")
_PART_FOLDERS = ("train", "test")
_PICTURE = re.compile(rf"({'|'.join(USAGES)})_\d+{ENDING}", re.IGNORECASE)
DISTINCT, REPEATED = "distinct", "repeated"
"""Variants of a row: `repeated` is a test picture that is, pixel for pixel, in another part too."""
_DISGUST = 1

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
    classes=native_classes(("Angry", "Disgust", "Fear", "Happy", "Sad", "Surprise", "Neutral")),
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
            note="the same without PrivateTest pictures that are in another part too",
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
            "The pixels are in the csv itself: a picture is known by its row number, from 0.",
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
            "and so are 279 PublicTest pictures; 44 pictures are in both test parts. The official split "
            "keeps them; `dedup` leaves the repeated PrivateTest pictures out, found by their pixels.",
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
            "Public copies have numbered class folders, which are read as repackaged if the names are "
            "official; copies with names such as im0.png have lost the two test parts and are refused.",
            "secondary",
            "listings of public copies",
        ),
        Quirk(
            "Blank pictures and pictures without a face occur; FERPlus marks them as not a face.",
            "code",
            "microsoft/FERPlus: fer2013new.csv",
        ),
        Quirk(
            "FERPlus has the same pictures with new labels, and MMAFEDB contains them: never counted as "
            "cross-dataset.",
            "code",
            "microsoft/FERPlus; class counts of MMAFEDB",
        ),
    ),
    unit="image",
    shares_pixels_with=("ferplus", "mmafedb"),
    version=2,
)


class FER2013(CsvPictures):
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

    @classmethod
    def known_copy(cls, folder: Path) -> tuple[str, str] | None:
        """Return what copies with pictures of other names have lost, see `FaceDataset.known_copy`."""
        for names in (_CLASS_FOLDERS, _NUMBERED):
            if all((folder / part / name).is_dir() for part in _PART_FOLDERS for name in names):
                first = next((n for n in some_files(folder / "test" / names[0])), "no file")
                return (
                    f"a public copy with other file names ({first}): the parts PublicTest and PrivateTest "
                    "are merged in test, and the names that tell them apart are lost",
                    "get fer2013.csv, or class folders whose files are named Training_, PublicTest_ and "
                    "PrivateTest_",
                )
        return None

    @property
    def _class_folders(self) -> tuple[str, ...]:
        return _NUMBERED if (self.base / "train" / "0").is_dir() else _CLASS_FOLDERS

    def rows(self) -> Iterable[Mapping[str, Any]]:
        """Yield one row per data row of the csv, or per picture.

        Raises:
            DataError: A malformed row, or a picture that is not named and placed as documented.
        """
        if self.csv_name is not None and _has_class_folders(self.base):
            self.notes.append(f"{self.csv_name} is read, not the class folders next to it.")
        if self.csv_name is None and self._class_folders == _NUMBERED:
            self.notes.append(
                "repackaged: a public copy in numbered class folders is read; its file names keep the "
                "official split, and the numbers are the official codes"
            )
        rows = list(self._pictures() if self.csv_name is None else self._table_rows())
        repeated = self.repeated_tests(
            [(row["path"], row.get("frame", -1)) for row in rows], [row["split"] for row in rows]
        )
        if repeated.any():
            self.notes.append(
                f"{int(repeated.sum())} PrivateTest pictures are pixel-identical to one of another part; the "
                "protocol dedup leaves them out."
            )
        for row, again in zip(rows, repeated, strict=True):
            row["variant"] = REPEATED if again else DISTINCT
        return rows

    def _table_rows(self) -> Iterator[dict[str, Any]]:
        for number, (code, split) in enumerate(zip(self.table.codes, self.table.splits, strict=True)):
            if code:
                yield {
                    "sample_id": f"{number:05d}",
                    "path": self.csv_name,
                    "frame": number,
                    "native_label": code,
                    "label": self.card.emotion_of(code),
                    "split": split,
                }

    def _pictures(self) -> Iterator[dict[str, Any]]:
        place_of: dict[str, str] = {}
        for part in _PART_FOLDERS:
            for code, name in enumerate(self._class_folders):
                folder = self.base / part / name
                if not folder.is_dir():
                    raise DataError("a class folder is missing", file=folder)
                listing = list_folder(folder, self.base)
                listing.refuse_links()
                for picture in sorted(listing.files):
                    match = _PICTURE.fullmatch(picture)
                    usage = next((u for u in USAGES if match and u.casefold() == match[1].casefold()), "")
                    if (usage == "Training") != (part == "train") or not usage:
                        problem = (
                            "a picture is not named after its part (Training_ in train, PublicTest_ or "
                            "PrivateTest_ in test), so this is a changed or enlarged copy"
                        )
                        raise DataError(problem, file=folder / picture)
                    stem = Path(picture).stem
                    if stem in place_of:
                        raise DataError(f"the picture is in {place_of[stem]} already", file=folder / picture)
                    place_of[stem] = f"{part}/{name}"
                    yield {
                        "sample_id": stem,
                        "path": f"{part}/{name}/{picture}",
                        "native_label": str(code),
                        "label": self.card.emotion_of(str(code)),
                        "split": USAGES[usage],
                    }


def _has_class_folders(folder: Path) -> bool:
    """Return whether a folder has both parts, with pictures named after their part in the classes."""
    for part in _PART_FOLDERS:
        classes = [c for c in subfolders(folder / part) if c.name in (*_CLASS_FOLDERS, *_NUMBERED)]
        if not any(_PICTURE.fullmatch(name) for c in classes for name in some_files(c)):
            return False
    return True
