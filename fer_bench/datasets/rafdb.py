"""RAF-DB, the basic part: 15,339 faces from the web with an official split."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_bench.data.card import (
    Card,
    ExpectedCount,
    Official,
    Protocol,
    Quirk,
    SplitName,
    TreeEntry,
    class_counts,
    native_classes,
)
from fer_bench.data.reading.dataset import FaceDataset
from fer_bench.data.reading.dependencies import note_read
from fer_bench.data.reading.folders import list_folder, listed_path
from fer_bench.data.reading.formats import ENDING
from fer_bench.data.reading.missing import is_excused, leave_out, refuse_missing
from fer_bench.data.reading.notes import counted
from fer_bench.data.reading.parsing import parse_line, parse_points, parsed_lines
from fer_bench.data.reading.problems import raise_or_collect
from fer_bench.data.reading.textfile import numbered_lines
from fer_bench.datasets.rafdb_repackaged import NOTE, has_class_folders, locate_repackaged, repackaged_rows
from fer_bench.emotions import LABEL_SETS
from fer_bench.errors import DataError

_README = "official RAF-DB README v1.1"
_LIST = "counted in the label list of zyh-uaiaaaa/Erasing-Attention-Consistency"
_LIST_NAMES = ("list_patition_label.txt", "list_partition_label.txt")
_NAME = re.compile(rf"(train|test)_\d+{ENDING}")
_ATTRIBUTES = {
    "gender": {"0": "male", "1": "female", "2": "unsure"},
    "race": {"0": "Caucasian", "1": "African-American", "2": "Asian"},
    "age": {"0": "0-3", "1": "4-19", "2": "20-39", "3": "40-69", "4": "70+"},
}
_CLASSES = ("Surprise", "Fear", "Disgust", "Happiness", "Sadness", "Anger", "Neutral")
_SLACK = 0.1

_COUNTS: dict[SplitName, tuple[int, ...]] = {
    "train": (1290, 281, 717, 4772, 1982, 705, 2524),
    "test": (329, 74, 160, 1185, 478, 162, 680),
}

CARD = Card(
    name="rafdb",
    title="RAF-DB",
    setting="wild",
    citation=(
        "Li, Deng & Du (2017), Reliable Crowdsourcing and Deep Locality-Preserving Learning for Expression "
        "Recognition in the Wild, CVPR, doi:10.1109/CVPR.2017.277"
    ),
    licence="Non-commercial research and education only; no redistribution.",
    obtain="A professor or group leader asks by e-mail at PRIS, BUPT: http://www.whdeng.cn/RAF/model1.html",
    classes=native_classes(_CLASSES, first=1),
    tree=(
        TreeEntry("basic/EmoLabel/list_patition_label.txt", "`<name>.jpg <code>` lines (sic)"),
        TreeEntry("basic/Image/aligned/<stem>_aligned.jpg", "100x100 aligned faces, or the originals"),
        TreeEntry("basic/Image/original/<stem>.jpg", "the web pictures", required=False),
        TreeEntry(
            "basic/Annotation/manual/<stem>_manu_attri.txt",
            "5 landmarks in the original picture, then gender, race and age",
            required=False,
        ),
        TreeEntry(
            "basic/Annotation/boundingbox/<stem>_boundingbox.txt",
            "face box in the original picture (v1.1)",
            required=False,
        ),
    ),
    protocols=(
        Protocol(
            name="7-official",
            label_set=LABEL_SETS["7"],
            split=Official(test="test", validation="carved", carve="label"),
            note="official test rows; 10 % of every class of the training rows validates",
        ),
    ),
    default_protocol="7-official",
    quick_protocol="7-official",
    counts=(
        *class_counts([str(code) for code in range(1, 8)], _COUNTS, trust="code", source=_LIST, totals=False),
        ExpectedCount(split="train", code=None, unit="images", n=12271, trust="page", source=_README),
        ExpectedCount(split="test", code=None, unit="images", n=3068, trust="page", source=_README),
    ),
    quirks=(
        Quirk(
            "The list is misspelt on disk (`list_patition_label.txt`) and spelt correctly in the README; "
            "both are read.",
            "page",
            _README,
        ),
        Quirk(
            "The list names the un-aligned pictures; train names have five digits, test names four.",
            "page",
            _README,
        ),
        Quirk(
            "Version 1.1 added face boxes and corrected some aligned pictures, so two copies may differ.",
            "page",
            _README,
        ),
        Quirk(
            "Landmarks and boxes are coordinates of the original picture; they are never attached to "
            "aligned faces. Boxes are read as x_min y_min x_max y_max and must hold the five points.",
            "code",
            "overlay scripts draw on Image/original; two of three public loaders agree on the order",
        ),
        Quirk(
            "One public script repairs two attribute files by hand; what cannot be read is left out and "
            "noted.",
            "code",
            "public loader of the manual attributes",
        ),
        Quirk("No validation split exists: validation is carved from the training rows.", "page", _README),
        Quirk(
            "Public copies have aligned faces in [DATASET/]train/1 to test/7. They are read as repackaged if "
            "the names are the official ones; originals, landmarks and attributes are lost.",
            "secondary",
            "listings of public copies",
        ),
        Quirk(
            "The compound part (3,954 faces, 11 classes of two emotions each) has the same tree in "
            "compound/. It is not read: no canonical emotion says what its faces show.",
            "secondary",
            "public loaders, some of which map a class to its first emotion",
        ),
    ),
    unit="image",
)


class RAFDB(FaceDataset):
    """The basic part of RAF-DB: aligned faces where present, else originals with box and landmarks."""

    card = CARD
    keeps_index = True
    folder_names = ("raf-db", "raf_db", "raf", "rafdb", "basic")

    def __init__(self, root: Path | str) -> None:
        super().__init__(root)
        self._is_repackaged = not (self.base / "Image").is_dir()
        self._aligned = self._is_repackaged or (self.base / "Image" / "aligned").is_dir()
        self.crop = "whole" if self._aligned else "box"

    @classmethod
    def locate(cls, folder: Path) -> Path | None:
        """Return the folder of the basic part: the given one or a child, with a label list and pictures."""
        for base in (folder, folder / "basic"):
            listed = any((base / "EmoLabel" / name).is_file() for name in _LIST_NAMES)
            pictures = any((base / "Image" / kind).is_dir() for kind in ("aligned", "original"))
            if listed and pictures and base.name.casefold() != "compound":  # whose tree is the same
                return base
        return locate_repackaged(folder)

    @classmethod
    def known_copy(cls, folder: Path) -> tuple[str, str] | None:
        """Return what a copy without official names has lost, see `FaceDataset.known_copy`."""
        if any(has_class_folders(base) for base in (folder, folder / "DATASET")):
            return (
                "a public copy in class folders with other file names: the official split, landmarks and "
                "attributes are lost, and augmented pictures cannot be told from original ones",
                "a copy with the official names (train_00001_aligned.jpg) is read",
            )
        return None

    def rows(self) -> Iterator[Mapping[str, Any]]:
        """Yield one row per line of the label list.

        Raises:
            DataError: A malformed line or box, or a listed picture that is not on disk.
        """
        if self._is_repackaged:
            self.notes.append(NOTE)
            yield from repackaged_rows(self.base, self.card)
            return
        note_read(self.base / "Image")
        note_read(self.base / "EmoLabel")
        lists = [self.base / "EmoLabel" / name for name in _LIST_NAMES]
        file = next(file for file in lists if file.is_file())
        ending = "_aligned.jpg" if self._aligned else ".jpg"
        pictures = list_folder(self.base / "Image" / ("aligned" if self._aligned else "original"), self.base)
        lines = parsed_lines(numbered_lines(file), _parse_label, file=file, unique=lambda label: label[0])
        labels = {name.rpartition(".")[0]: (line, code) for line, (name, code) in lines}
        names = {
            stem: pictures.picture(f"{stem}{ending}", file=file, line=line)
            for stem, (line, _) in labels.items()
        }
        missing = [(labels[stem][0], f"{stem}{ending}") for stem, name in names.items() if name is None]
        refuse_missing(missing, file=file, folder=pictures.folder, dataset=self.card.name)
        files = {stem: pictures.folder / (name or f"{stem}{ending}") for stem, name in names.items()}
        manual = self._annotation_files("manual", "_manu_attri.txt", files)
        boxes: Mapping[str, Path] = {}
        if not self._aligned:
            boxes = self._annotation_files("boundingbox", "_boundingbox.txt", files, required=True)
            if not boxes:
                self.notes.append(
                    "There are neither aligned faces nor face boxes: faces are detected in the originals."
                )
        unreadable: list[str] = []
        for stem, (_, code) in labels.items():
            points: NDArray[np.float32] | None = None
            row: dict[str, Any] = {
                "sample_id": stem,
                "path": f"Image/{pictures.folder.name}/{files[stem].name}",
                "native_label": code,
                "label": self.card.emotion_of(code),
                "split": stem.partition("_")[0],
            }
            try:
                if stem in manual:
                    points, attributes = _read_manual(manual[stem])
                    row |= attributes
                    if points is None or len(attributes) < 3:
                        unreadable.append(manual[stem].name)
                if not self._aligned:
                    row["landmarks"] = points
                    row["box"] = _read_box(boxes[stem], points) if stem in boxes else None
            except DataError as error:
                raise_or_collect(error)
                continue
            yield row
        self.notes += counted({"attribute files are not as documented": unreadable})

    def _annotation_files(
        self, kind: str, suffix: str, stems: Mapping[str, Path], *, required: bool = False
    ) -> dict[str, Path]:
        """Return the annotation file of each stem that has one; none where the whole folder is missing.

        Args:
            kind: Name of the folder.
            suffix: End of the names of its files.
            stems: The picture of each stem.
            required: Whether every picture needs a file.
        """
        folder = self.base / "Annotation" / kind
        note_read(folder)
        if not folder.is_dir():
            return {}
        listing = list_folder(folder, self.base)
        found = {s: folder / f"{s}{suffix}" for s in stems if listing.has(f"{s}{suffix}", file=folder)}
        absent = {stem: f"{stem}{suffix}" for stem in stems if stem not in found}
        if not required:
            self.notes += counted({f"pictures have no file in {kind}": list(absent.values())})
            return found
        without = {stems[stem]: name for stem, name in absent.items() if not is_excused(stems[stem])}
        if without:
            problem = f"{len(without)} pictures have no file here, first {min(without.values())!r}"
            hint = f"unpack the archive again; {leave_out(self.card.name)}"
            raise_or_collect(
                DataError(problem, file=folder, hint=hint), rows=len(without), missing=frozenset(without)
            )
        return found


def _parse_label(line: str) -> tuple[str, str]:
    """Return picture name and code of a line (official README: `train_00001.jpg 5`)."""
    fields = line.split()
    if len(fields) != 2:
        raise DataError("a label line is a picture name and a code", value=line)
    name, code = listed_path(fields[0]), fields[1]
    if not _NAME.fullmatch(name):
        raise DataError("a picture is named train_<number>.jpg or test_<number>.jpg", value=name)
    if len(code) != 1 or code not in "1234567":
        raise DataError("the code is not one of 1 to 7", value=code)
    return name, code


def _read_manual(file: Path) -> tuple[NDArray[np.float32] | None, dict[str, str]]:
    """Return five landmarks [5, 2] (None if unreadable) and what can be read of gender, race and age."""
    lines = [line.split() for _, line in numbered_lines(file)]
    try:
        points = parse_points([word for words in lines[:5] if len(words) == 2 for word in words], 5)
    except DataError:
        points = None
    attributes = {
        name: words[fields[0]]
        for (name, words), fields in zip(_ATTRIBUTES.items(), lines[5:8], strict=False)
        if len(fields) == 1 and fields[0] in words
    }
    return points, attributes


def _read_box(file: Path, points: NDArray[np.float32] | None) -> tuple[float, float, float, float]:
    """Return x_min, y_min, x_max, y_max in the original picture.

    Points may lie outside the box by a tenth of its side, as boxes are tight; coordinates in another order
    put them much farther off.
    """
    line, text = next(numbered_lines(file))
    return parse_line(partial(_parse_box, points=points), text, file=file, line=line)


def _parse_box(line: str, points: NDArray[np.float32] | None) -> tuple[float, float, float, float]:
    try:
        x0, y0, x1, y1 = (float(field) for field in line.split())
    except ValueError:
        raise DataError("a box is four numbers", value=line) from None
    if not (np.isfinite((x0, y0, x1, y1)).all() and x1 > x0 and y1 > y0):
        raise DataError("a box is x_min y_min x_max y_max with an area", value=line)
    if points is not None:
        slack = np.array([x1 - x0, y1 - y0]) * _SLACK
        inside = (points >= np.array([x0, y0]) - slack) & (points <= np.array([x1, y1]) + slack)
        if not inside.all():
            raise DataError("the box does not hold the five manual landmarks", value=line)
    return x0, y0, x1, y1
