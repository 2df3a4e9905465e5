"""JAFFE: 213 grey pictures of ten Japanese women posing seven expressions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fer_bench.data.card import (
    Card,
    ExpectedCount,
    Folds,
    Protocol,
    Quirk,
    TreeEntry,
    class_counts,
    native_classes,
)
from fer_bench.data.reading.dataset import FaceDataset
from fer_bench.data.reading.formats import ENDING
from fer_bench.data.reading.notes import counted
from fer_bench.data.reading.problems import raise_or_collect
from fer_bench.data.reading.sequences import matching, some_files, subfolders
from fer_bench.emotions import BASIC_SIX, LABEL_SETS, Emotion
from fer_bench.errors import DataError

_LISTING = "counted in a complete file listing of a public loader"
_PATTERN = rf"([A-Z]{{2}})\.((?:AN|DI|FE|HA|NE|SA|SU))(\d)\.(\d+){ENDING}"
_PERSONS = 10

_CODES = ("AN", "DI", "FE", "HA", "NE", "SA", "SU")
_CLASSES = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")


def _leave_one_out(name: str, labels: tuple[Emotion, ...]) -> tuple[Protocol, ...]:
    loso = Folds(k=_PERSONS)
    note = "ten folds of one person each; the next person validates"
    alone = "nine persons train, no validation, last epoch"
    return (
        Protocol(name=f"{name}-loso", label_set=labels, split=loso, note=note),
        Protocol(
            name=f"{name}-loso-train9",
            label_set=labels,
            split=loso.model_copy(update={"validation": "none"}),
            note=alone,
        ),
        Protocol(
            name=f"{name}-4fold", label_set=labels, split=Folds(k=4), note="4 folds, for the quick profile"
        ),
    )


CARD = Card(
    name="jaffe",
    title="JAFFE",
    setting="lab",
    citation=(
        "Lyons, Akamatsu, Kamachi & Gyoba (1998), Coding Facial Expressions with Gabor Wavelets, FG, "
        "doi:10.1109/AFGR.1998.670949; data: doi:10.5281/zenodo.3451524"
    ),
    licence="Restricted on Zenodo: non-commercial research, no redistribution.",
    obtain="Ask for access at https://zenodo.org/record/3451524 and unpack jaffedbase.zip",
    classes=native_classes(_CLASSES, _CODES),
    tree=(
        TreeEntry(
            "[jaffe/]<KA>.<AN1>.<39>.tiff",
            "256x256 grey pictures: person, expression with repetition, running number",
        ),
    ),
    protocols=(*_leave_one_out("7", LABEL_SETS["7"]), *_leave_one_out("6", BASIC_SIX)),
    default_protocol="7-loso",
    quick_protocol="7-4fold",
    counts=(
        *class_counts(
            _CODES, {"none": (30, 29, 32, 31, 30, 31, 30)}, trust="code", source=_LISTING, totals=False
        ),
        ExpectedCount(split="none", code=None, unit="images", n=213, trust="page", source="Zenodo 3451524"),
        ExpectedCount(split="none", code=None, unit="subjects", n=10, trust="code", source=_LISTING),
    ),
    quirks=(
        Quirk(
            "Running numbers have gaps and repetitions are not always three (KM.SA5 exists without KM.SA4): "
            "every file found is read, and none is expected by its number.",
            "code",
            _LISTING,
        ),
        Quirk(
            "README_FIRST holds mean ratings of viewers; they are not read as labels.",
            "page",
            "Zenodo 3451524",
        ),
        Quirk(
            "As a target of models trained elsewhere all 213 pictures test.",
            "inferred",
            "accuracies of CD-FER are multiples of 1/213",
        ),
    ),
    unit="subject",
    as_target="all",
)


class JAFFE(FaceDataset):
    """Read JAFFE: everything but the pixels is in the file names."""

    card = CARD
    folder_names = ("jaffedbase", "jaffeimages")
    crop = "detect"

    @classmethod
    def locate(cls, folder: Path) -> Path | None:
        """Return the folder with the pictures: the given one, or `jaffe` or `jaffedbase` in it."""
        named = [child for child in subfolders(folder) if child.name.casefold() in ("jaffe", "jaffedbase")]
        for place in (folder, *named):
            if any(re.fullmatch(_PATTERN, name) for name in some_files(place)):
                return place
        return None

    def rows(self) -> Iterator[Mapping[str, Any]]:
        """Yield one row per picture.

        Raises:
            DataError: A picture links out of the folder, or is there twice.
        """
        found = matching(self.base, self.base, _PATTERN)
        known = {match.string for match in found}
        pictures = [match.string for match in matching(self.base, self.base, rf".*{ENDING}")]
        strange = [name for name in pictures if name not in known]
        self.notes += counted({"pictures are not named like JAFFE's and are ignored": strange})
        seen: dict[str, str] = {}
        for match in found:
            stem = match.string.rpartition(".")[0]
            if stem in seen:
                problem, file = f"the picture is there already as {seen[stem]}", self.base / match.string
                raise_or_collect(DataError(problem, file=file, hint="keep one of the two"))
                continue
            seen[stem] = match.string
            yield {
                "sample_id": stem,
                "path": match.string,
                "native_label": match[2],
                "label": self.card.emotion_of(match[2]),
                "subject": match[1],
                "group": match[1],
                "gender": "female",
            }
