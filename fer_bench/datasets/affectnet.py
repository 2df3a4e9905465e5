"""AffectNet: 224x224 face crops with npy labels (4 GB), or whole pictures with csv lists (120 GB)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
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
from fer_bench.data.reading.folders import Listing, list_folder
from fer_bench.data.reading.missing import is_excused, leave_out
from fer_bench.data.reading.notes import counted
from fer_bench.data.reading.parsing import parse_affect, parse_points
from fer_bench.data.reading.problems import raise_or_collect
from fer_bench.data.reading.sequences import subfolders
from fer_bench.datasets.affectnet_lists import MISSING, find_lists, list_rows
from fer_bench.datasets.affectnet_npy import Values, read_npy
from fer_bench.emotions import LABEL_SETS
from fer_bench.errors import DataError

_CROPS, _WHOLE = "crops", "csv lists"
_ASSERTED = "asserted in sbelharbi/interpretable-fer-aus"
_LOADERS = "yaoing/DAN, sbelharbi/interpretable-fer-aus and a public loader"
_SPLITS: dict[SplitName, tuple[str, ...]] = {"train": ("train_set",), "val": ("val_set", "valid_set")}
_PARTS = ("exp", "val", "aro", "lnd")
_NPY = re.compile(r"(\d+)_(?:exp|val|aro|lnd)\.npy")
_CLASSES = (
    *("Neutral", "Happy", "Sad", "Surprise", "Fear", "Disgust", "Anger", "Contempt"),
    *("None", "Uncertain", "No-Face"),
)

CARD = Card(
    name="affectnet7",
    title="AffectNet",
    setting="wild",
    citation=(
        "Mollahosseini, Hasani & Mahoor (2019), AffectNet: A Database for Facial Expression, Valence, and "
        "Arousal Computing in the Wild, IEEE TAC 10(1), doi:10.1109/TAFFC.2017.2740923, arXiv:1708.03985"
    ),
    licence="Non-commercial research only, no redistribution; principal investigators or lab managers sign.",
    obtain="Request form of the authors: http://mohammadmahoor.com/affectnet/ (ask for the cropped version)",
    classes=native_classes(_CLASSES),
    tree=(
        TreeEntry("train_set/images/<number>.jpg", "224x224 face crops"),
        TreeEntry("train_set/annotations/<number>_{exp,val,aro,lnd}.npy", "four small arrays per crop"),
        TreeEntry("val_set/images/<number>.jpg", "224x224 face crops (also spelt valid_set)"),
        TreeEntry("val_set/annotations/<number>_{exp,val,aro,lnd}.npy", "four small arrays per crop"),
        TreeEntry(
            "Manually_Annotated_file_lists/{training,validation}.csv",
            "the older layout, read where there are no crops: path, box, 68 points and labels",
            required=False,
        ),
        TreeEntry(
            "[Manually_Annotated/]Manually_Annotated_Images/<folder>/<hash>.<ending>",
            "its whole pictures, from which faces are cut out with the box",
            required=False,
        ),
    ),
    protocols=(
        Protocol(
            name="7-official",
            label_set=LABEL_SETS["7"],
            split=Official(test="val", validation="carved", carve="group"),
            note="official validation rows test; 10 % of the training pictures validate",
        ),
        Protocol(
            name="8-official",
            label_set=LABEL_SETS["8"],
            split=Official(test="val", validation="carved", carve="group"),
            note="the same with contempt",
            aliases=("affectnet8", "affectnet8-official"),
        ),
    ),
    default_protocol="7-official",
    quick_protocol="7-official",
    counts=(
        *class_counts(
            [str(code) for code in range(8)],
            {"train": (74874, 134415, 25459, 14090, 6378, 3803, 24882, 3750)},
            trust="code",
            source=_ASSERTED,
        ),
        *(
            ExpectedCount(
                split="val", code=str(code), unit="images", n=500, trust="code", source="many loaders"
            )
            for code in range(7)
        ),
        ExpectedCount(
            split="val",
            code="7",
            unit="images",
            n=499,
            trust="inferred",
            source="3,999 total less 7 x 500",
            layout=_CROPS,
        ),
        ExpectedCount(
            split="val", code=None, unit="images", n=3999, trust="code", source=_ASSERTED, layout=_CROPS
        ),
        ExpectedCount(
            split="val", code="7", unit="images", n=500, trust="code", source="many loaders", layout=_WHOLE
        ),
        ExpectedCount(
            split="val",
            code=None,
            unit="images",
            n=4000,
            trust="inferred",
            source="8 x 500 among the 5,500 lines of validation.csv",
            layout=_WHOLE,
        ),
    ),
    quirks=(
        Quirk(
            "Each npy is a 0-d array that holds a string; it is read without pickle and cast.",
            "code",
            _LOADERS,
        ),
        Quirk(
            "Numbers have gaps, and train and val are numbered separately, so ids carry the split.",
            "code",
            _LOADERS,
        ),
        Quirk(
            "`_lnd` is 68 points as x, y, x, y, ... in crop coordinates; there are no face boxes.",
            "code",
            _LOADERS,
        ),
        Quirk(
            "Valence and arousal of -2 mean missing.",
            "code",
            "siqueira-hc/Efficient-Facial-Feature-Learning: udata.py",
        ),
        Quirk(
            "The folder val_set is called valid_set in some copies.", "code", "a minority of public loaders"
        ),
        Quirk(
            "The test set was never released: the official validation set is what papers test on.",
            "code",
            "all public loaders",
        ),
        Quirk(
            "The older layout of about 120 GB gives other crops (a box in the whole picture): the same "
            "weights lose more than a point of accuracy on them. The crop recipe says which layout was read.",
            "secondary",
            "yaoing/DAN#9 and #20",
        ),
        Quirk(
            "In the csv lists face_width and face_height are extents, not corners; rows whose box is NULL "
            "or negative are left out and counted.",
            "code",
            "HSE train_emotions.ipynb, emotion-gcn and a public loader",
        ),
        Quirk(
            "A picture with several faces is on several rows: its path is the group, and training rows of a "
            "picture that is also in the validation list are left out.",
            "code",
            "HSE train_emotions.ipynb",
        ),
        Quirk(
            "Labels 8 to 10 (None, Uncertain, No-Face) are not emotions; valence and arousal of -2 are "
            "missing. A row with neither is left out.",
            "code",
            "many loaders; siqueira-hc/Efficient-Facial-Feature-Learning: udata.py",
        ),
        Quirk(
            "validation.csv comes with or without a header: a column's name in the first line decides.",
            "code",
            "ELIM and emotion-gcn (with), 1980x/SCAN-CCI-FER (without)",
        ),
    ),
    unit="image",
    has_va=True,
)


class AffectNet7(FaceDataset):
    """AffectNet for seven or eight classes: face crops where present, else csv lists and whole pictures."""

    card = CARD
    folder_names = ("affectnet8", "affectnet-8", "affectnet_8")
    keeps_index = True

    def __init__(self, root: Path | str) -> None:
        super().__init__(root)
        has_crops = _has_crops(self.base)
        self.crop, self.layout = ("whole", _CROPS) if has_crops else ("box", _WHOLE)

    @classmethod
    def locate(cls, folder: Path) -> Path | None:
        """Return the folder if it holds both sets as crops and annotations, or both lists and pictures."""
        return folder if _has_crops(folder) or find_lists(folder) is not None else None

    @classmethod
    def known_copy(cls, folder: Path) -> tuple[str, str] | None:
        """Return what the copy in class folders has lost, see `FaceDataset.known_copy`."""
        for place in (folder, *subfolders(folder)):
            parts = {child.name.casefold() for child in subfolders(place)}
            if {"train", "test"} <= parts and (place / "labels.csv").is_file():
                return (
                    "a public copy in class folders (Train, Test, labels.csv): the official validation set, "
                    "valence, arousal and landmarks are lost, and about nine of ten pictures",
                    "scores on its own split are not comparable with AffectNet's",
                )
        return None

    def rows(self) -> Iterable[Mapping[str, Any]]:
        """Yield one row per face.

        Raises:
            DataError: An annotation is missing, left over or not as documented.
        """
        if _has_crops(self.base):  # asked again, so that a kept index depends on the answer
            return self._crops()
        return list_rows(self.base, self.card, self.notes)

    def _crops(self) -> Iterable[Mapping[str, Any]]:
        dropped = 0
        for split, spellings in _SPLITS.items():
            name = next(n for n in spellings if (self.base / n / "annotations").is_dir())
            folder = str(self.base / name / "annotations")
            for number, picture in self._numbers(self.base / name):
                try:
                    row = self._row(split, f"{name}/images/{picture}", number, folder)
                except DataError as error:
                    raise_or_collect(error)
                    continue
                if row is None:
                    dropped += 1
                else:
                    yield row
        if dropped:
            self.notes.append(
                f"{dropped} crops have neither an emotion nor valence and arousal and are left out."
            )

    def _numbers(self, place: Path) -> list[tuple[str, str]]:
        """Return number and name of each picture in numeric order, checked to have all their annotations."""
        images = list_folder(place / "images", self.base)
        annotations = list_folder(place / "annotations", self.base)
        note_read(place / "annotations", contents=True)
        images.refuse_links()
        annotations.refuse_links()
        pictures = {stem: name for stem, name in images.pictures.items() if stem.isdecimal()}
        wanted = {f"{number}_{part}.npy" for number in pictures for part in _PARTS}
        others = annotations.files - wanted
        lonely = {name for name in others if _NPY.fullmatch(name)}
        for problem, names in (("missing", wanted - annotations.files), ("without a picture", lonely)):
            self._refuse(problem, names, images, annotations)
        incomplete = {name.partition("_")[0] for name in wanted - annotations.files}
        strangers = sorted({*images.files} - {*pictures.values()}) + sorted(others)
        what = f"files below {images.folder.parent.name} have foreign names and are ignored"
        self.notes += counted({what: strangers})
        complete = ((number, name) for number, name in pictures.items() if number not in incomplete)
        return sorted(complete, key=lambda picture: (int(picture[0]), picture[0]))

    @staticmethod
    def _refuse(problem: str, names: Collection[str], images: Listing, annotations: Listing) -> None:
        """Refuse annotations that are missing or left over, except of pictures that the user leaves out."""
        absent: dict[Path, list[str]] = {}
        for name in names:
            number = name.partition("_")[0]
            picture = images.folder / images.pictures.get(number, f"{number}.jpg")
            absent.setdefault(picture, []).append(name)
        kept = {picture: mine for picture, mine in absent.items() if not is_excused(picture)}
        if kept:
            files = [name for mine in kept.values() for name in mine]
            first = annotations.folder / min(files, key=_by_number)
            raise_or_collect(
                DataError(
                    f"{len(files)} annotation files are {problem}",
                    file=first,
                    hint=f"unpack the archive again; {leave_out(CARD.name)}",
                ),
                rows=len(kept),
                missing=frozenset(kept),
            )

    def _row(self, split: SplitName, path: str, number: str, folder: str) -> dict[str, Any] | None:
        stem = f"{folder}/{number}"
        code = read_npy(f"{stem}_exp.npy", self._code)
        valence, arousal = (read_npy(f"{stem}_{part}.npy", _affect) for part in ("val", "aro"))
        label = self.card.emotion_of(code)
        if label is None and (np.isnan(valence) or np.isnan(arousal)):
            return None
        return {
            "sample_id": f"{split}/{number}",
            "path": path,
            "landmarks": read_npy(f"{stem}_lnd.npy", _landmarks),
            "native_label": code,
            "label": label,
            "valence": valence,
            "arousal": arousal,
            "split": split,
            "group": path,
        }

    def _code(self, values: Values) -> str:
        """Return the native class code as text."""
        text, last = _text(values), len(self.card.classes) - 1
        try:
            value = float(text)
        except ValueError:
            raise DataError("the annotation is not one number", value=text) from None
        if not (value.is_integer() and 0 <= value <= last):
            raise DataError(f"the expression is not one of 0 to {last}", value=value)
        return str(int(value))


def _has_crops(folder: Path) -> bool:
    """Return whether a folder holds a training and a validation set with images and annotations."""
    for names in _SPLITS.values():
        sets = [folder / name for name in names]
        for place in sets:
            note_read(place)
        if not any((s / "images").is_dir() and (s / "annotations").is_dir() for s in sets):
            return False
    return True


def _by_number(name: str) -> tuple[int, str]:
    return int(name.partition("_")[0]), name


def _text(values: Values) -> str:
    return values if isinstance(values, str) else f"array of {values.size}"


def _affect(values: Values) -> float:
    """Return valence or arousal, NaN where the annotators gave none."""
    return parse_affect(_text(values), missing=MISSING)


def _landmarks(values: Values) -> NDArray[np.float32]:
    """Return the 68 landmarks [68, 2] in pixels of the crop."""
    if isinstance(values, str):
        return parse_points(values.replace(";", " ").replace(",", " ").split(), 68)
    return parse_points(values.tolist(), 68)
