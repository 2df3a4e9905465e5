"""MMAFEDB: FER2013 and ExpW put together in class folders."""

from __future__ import annotations

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
from fer_bench.data.reading.sequences import some_files, subfolders
from fer_bench.emotions import LABEL_SETS

_PRINTED = "printed in a public notebook"
_ARITHMETIC = (
    "class counts less those of FER2013's three parts leave ExpW's class totals exactly, in all seven classes"
)
_PARTS: dict[str, SplitName] = {"train": "train", "valid": "val", "test": "test"}
_CODES = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
_COUNTS: dict[SplitName, tuple[int, ...]] = {
    "train": (6566, 3231, 4859, 28592, 29384, 12223, 8113),
    "val": (1017, 656, 659, 5475, 5839, 2236, 1474),
    "test": (1041, 655, 691, 5459, 5858, 2177, 1475),
}
_TOLERANCE = 0.05
"""Share of the pictures of a class by which copies of the dataset may differ."""

CARD = Card(
    name="mmafedb",
    title="MMAFEDB",
    setting="wild",
    citation="Kaggle dataset mahmoudima/mma-facial-expression; no paper.",
    licence="None of its own: the terms of FER2013 and ExpW apply.",
    obtain="Kaggle: mahmoudima/mma-facial-expression",
    classes=native_classes(_CODES, _CODES),
    tree=(TreeEntry("MMAFEDB/{train,valid,test}/<angry>/<name>.jpg", "faces in class folders"),),
    protocols=(
        Protocol(
            name="7-official",
            label_set=LABEL_SETS["7"],
            split=Official(test="test", validation="official"),
            note="the parts as distributed",
        ),
    ),
    default_protocol="7-official",
    quick_protocol="7-official",
    counts=class_counts(_CODES, _COUNTS, trust="code", source=_PRINTED),
    quirks=(
        Quirk(
            "These are FER2013 and ExpW put together: a model trained on either of them has seen pictures "
            "of this dataset, and the reverse. No such pair is counted as cross-dataset.",
            "inferred",
            _ARITHMETIC,
        ),
        Quirk(
            "It mixes grey 48x48 faces (FER2013) with colour crops of other sizes (ExpW).", "code", _PRINTED
        ),
    ),
    unit="image",
    shares_pixels_with=("fer2013", "ferplus", "expw"),
)


class MMAFEDB(FaceDataset):
    """Read MMAFEDB as its class folders."""

    card = CARD
    folder_names = ("mma-facial-expression", "mma_facial_expression")

    @classmethod
    def locate(cls, folder: Path) -> Path | None:
        """Return the folder with three parts of exactly seven classes: the given one, or MMAFEDB in it."""
        for place in (folder, folder / "MMAFEDB"):
            if all({c.name for c in subfolders(place / part)} == set(_CODES) for part in _PARTS):
                return place
        return None

    @classmethod
    def is_surely(cls, base: Path) -> bool:
        """Return whether the folder is named like MMAFEDB, or its smallest class has about the known size.

        Three parts with folders of the seven emotions are a common way to keep pictures of any origin.
        """
        if {base.name.casefold(), base.parent.name.casefold()} & {CARD.name, *cls.folder_names}:
            return True
        known = {(count.split, count.code): count.n for count in CARD.counts}
        for part in ("valid", "test"):
            expected = known[_PARTS[part], "disgust"]
            found = len(some_files(base / part / "disgust", most=2 * expected))
            if abs(found - expected) > _TOLERANCE * expected:
                return False
        return True

    def rows(self) -> Iterator[Mapping[str, Any]]:
        """Yield one row per picture.

        Raises:
            DataError: An empty class folder, or a picture that links out of the folder.
        """
        for part, split in _PARTS.items():
            for code in _CODES:
                for name in pictures_of_class(list_folder(self.base / part / code, self.base), USUAL_ENDINGS):
                    path = f"{part}/{code}/{name}"
                    yield {
                        "sample_id": path,
                        "path": path,
                        "native_label": code,
                        "label": self.card.emotion_of(code),
                        "split": split,
                    }
