"""SFEW 2.0, aligned faces: stills from films with an official training and validation part."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fer_bench.data.card import (
    Card,
    Official,
    Protocol,
    Quirk,
    SplitName,
    TreeEntry,
    class_counts,
    native_classes,
)
from fer_bench.data.reading.dataset import FaceDataset
from fer_bench.data.reading.folders import list_folder, pictures_of_class
from fer_bench.data.reading.formats import USUAL_ENDINGS
from fer_bench.data.reading.notes import counted
from fer_bench.emotions import LABEL_SETS
from fer_bench.errors import DataError, nearest

_COMMENT = "comment in a public SFEW loader"
_PLACES: dict[SplitName, tuple[str, ...]] = {
    "train": ("Train/Train_Aligned_Faces", "Train_Aligned_Faces"),
    "val": (
        "Val/Val_Aligned_Faces_new/Val_Aligned_Faces",
        "Val/Val_Aligned_Faces",
        "Val_Aligned_Faces_new/Val_Aligned_Faces",
        "Val_Aligned_Faces",
    ),
}
_TEST = ("Test/Test_Aligned_Faces", "Test_Aligned_Faces")
_FILM = re.compile(r"(.+?)_\d+(?:_\d+)*")

_CODES = ("Angry", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise")
_COUNTS: dict[SplitName, tuple[int, ...]] = {
    "train": (178, 52, 78, 184, 144, 161, 94),
    "val": (77, 23, 46, 72, 84, 73, 56),
}

CARD = Card(
    name="sfew",
    title="SFEW 2.0",
    setting="wild",
    citation=(
        "Dhall, Goecke, Lucey & Gedeon (2011), Static Facial Expression Analysis in Tough Conditions: Data, "
        "Evaluation Protocol and Benchmark, ICCV Workshops"
    ),
    licence="Signed end-user licence agreement with the Australian National University.",
    obtain="Ask the authors for the agreement; unpack the archives of aligned faces into one folder.",
    classes=native_classes(_CODES, _CODES),
    tree=(
        TreeEntry(
            "Train/Train_Aligned_Faces/<Angry>/<film>_<time>_<number>.png", "143x181 aligned colour faces"
        ),
        TreeEntry(
            "Val/[Val_Aligned_Faces_new/]Val_Aligned_Faces/<Angry>/<film>_<time>_<number>.png",
            "the same for validation",
        ),
        TreeEntry(
            "Test/Test_Aligned_Faces/<name>.png",
            "without labels, which are withheld; not read",
            required=False,
        ),
    ),
    protocols=(
        Protocol(
            name="7-official",
            label_set=LABEL_SETS["7"],
            split=Official(test="val", validation="carved", carve="group"),
            note="official validation rows test; 10 % of the training pictures, in whole films, validate",
        ),
    ),
    default_protocol="7-official",
    quick_protocol="7-official",
    counts=class_counts(_CODES, _COUNTS, trust="code", source=_COMMENT),
    quirks=(
        Quirk(
            "The validation archive nests its folder once more than the training archive.",
            "code",
            "public loaders",
        ),
        Quirk(
            "The aligned faces are fewer (891 and 431) than the stills (958 and 436), so accuracies over "
            "436 pictures come from other face detections.",
            "code",
            f"{_COMMENT}; the numbers of stills are second-hand",
        ),
        Quirk(
            "A picture's name begins with its film: validation is carved from training by film.",
            "code",
            "file names in public loaders",
        ),
        Quirk(
            "The stills come from AFEW's videos: never train on AFEW and test here.", "code", "public loader"
        ),
    ),
    unit="video",
)


class SFEW(FaceDataset):
    """Read the aligned faces of SFEW 2.0."""

    card = CARD
    folder_names = ("sfew2", "sfew_2", "sfew2.0", "sfew_2.0")

    @classmethod
    def locate(cls, folder: Path) -> Path | None:
        """Return the folder if it holds the training and the validation tree of aligned faces."""
        return folder if all(_place(folder, places) is not None for places in _PLACES.values()) else None

    def rows(self) -> Iterator[Mapping[str, Any]]:
        """Yield one row per labelled picture.

        Raises:
            DataError: A class folder is missing, empty or unknown.
        """
        films: dict[str, set[str]] = {split: set() for split in _PLACES}
        nameless: list[str] = []
        for split, places in _PLACES.items():
            inner = next(place for place in places if (self.base / place).is_dir())
            self._check_classes(self.base / inner)
            for code in _CODES:
                for name in pictures_of_class(
                    list_folder(self.base / inner / code, self.base), USUAL_ENDINGS
                ):
                    stem = Path(name).stem
                    match = _FILM.fullmatch(stem)
                    film = match[1] if match else stem
                    if match is None:
                        nameless.append(name)
                    films[split].add(film)
                    yield {
                        "sample_id": f"{split}/{code}/{stem}",
                        "path": f"{inner}/{code}/{name}",
                        "native_label": code,
                        "label": self.card.emotion_of(code),
                        "split": split,
                        "group": f"{split}/{film}",
                    }
        shared = sorted(films["train"] & films["val"])
        self.notes += counted(
            {
                "pictures name no film and are their own group": nameless,
                "films are in the official training and validation parts": shared,
            }
        )
        if _place(self.base, _TEST) is not None:
            self.notes.append("The test pictures have no labels and are not read.")

    def _check_classes(self, folder: Path) -> None:
        found = list_folder(folder, self.base)
        found.refuse_links()
        for name in sorted(found.folders - set(_CODES)):
            problem, hint = "this folder is none of the seven classes", nearest(name, _CODES)
            raise DataError(problem, file=folder / name, value=name, hint=hint)
        for code in _CODES:
            if code not in found.folders:
                raise DataError("a class folder is missing", file=folder / code)


def _place(folder: Path, places: tuple[str, ...]) -> Path | None:
    return next((folder / place for place in places if (folder / place).is_dir()), None)
