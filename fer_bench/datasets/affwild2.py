"""Aff-Wild2 in its ABAW4 multi-task lists: frames with expression, valence, arousal, action units."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

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
from fer_bench.data.reading.folders import listed_path
from fer_bench.data.reading.formats import ENDING
from fer_bench.data.reading.notes import counted
from fer_bench.data.reading.parsing import finite, parse_affect, parsed_lines, split_header
from fer_bench.data.reading.sequences import nearest_frames, subfolders
from fer_bench.datasets.affwild2_crops import PICTURES, SECOND, Crops, crop_folders
from fer_bench.emotions import ABAW_EXPRESSIONS, ACTION_UNITS, LABEL_SETS
from fer_bench.errors import DataError

_README = "official Aff-Wild2 ReadMe"
_PRINTED = "printed in EmotiEffLib abaw4_mtl_train.ipynb"
_MTL = "*/MTL_Challenge", "*/*/MTL_Challenge", "MTL_Challenge"
_LISTS: dict[SplitName, tuple[str, ...]] = {
    "train": ("training_set_annotations*.txt", *(f"{place}/train_set.txt" for place in _MTL)),
    "val": ("validation_set_annotations*.txt", *(f"{place}/validation_set.txt" for place in _MTL)),
}
_FRAME = re.compile(rf"([^/]+)/(\d+){ENDING}")
_PERSON = re.compile(r"_(left|right)$")
NO_AFFECT = -5.0
"""Valence or arousal that was not annotated."""
_CLASSES = ("Neutral", "Anger", "Disgust", "Fear", "Happiness", "Sadness", "Surprise", "Other")
_NEUTRAL = "0"

_COUNTS: dict[SplitName, tuple[int, ...]] = {
    "train": (23976, 4555, 3168, 3122, 18135, 7609, 5228, 24852),
    "val": (1886, 487, 565, 1254, 3751, 1893, 1003, 4601),
}
_TOTALS: dict[SplitName, int] = {"train": 142333, "val": 26876}

CARD = Card(
    name="affwild2",
    title="Aff-Wild2",
    setting="video",
    citation=(
        "Kollias & Zafeiriou (2019), Expression, Affect, Action Unit Recognition: Aff-Wild2, Multi-Task "
        "Learning and ArcFace, BMVC, arXiv:1910.04855; lists: Kollias (2022), ABAW: Learning from Synthetic "
        "Data & Multi-Task Learning Challenges, arXiv:2207.01138"
    ),
    licence="End-user licence agreement from an academic address; non-commercial research only.",
    obtain=(
        "Ask the organisers (iBUG, Imperial College London; d.kollias@qmul.ac.uk) for the ABAW4 multi-task "
        "data"
    ),
    classes=native_classes(_CLASSES),
    tree=(
        TreeEntry(
            "training_set_annotations.txt",
            "a header, then `<video>/<frame>.jpg,valence,arousal,expression,` and 12 action units",
        ),
        TreeEntry("validation_set_annotations.txt", "the same for the validation videos"),
        TreeEntry(
            "3rd ABAW Annotations/Third ABAW Annotations/MTL_Challenge/{train_set,validation_set}.txt",
            "the multi-task lists of ABAW3 in the same form, read where the two above are missing",
            required=False,
        ),
        TreeEntry("cropped_aligned/<video>/<frame>.jpg", "112x112 aligned faces"),
    ),
    protocols=(
        Protocol(
            name="abaw4",
            label_set=LABEL_SETS["8o"],
            split=Official(test="val", validation="carved", carve="group"),
            note=(
                "official validation rows test (the test labels are closed); 10 % of the training videos "
                "validate"
            ),
        ),
    ),
    default_protocol="abaw4",
    quick_protocol="abaw4",
    counts=(
        *class_counts(
            [str(code) for code in range(ABAW_EXPRESSIONS)],
            _COUNTS,
            trust="code",
            source=_PRINTED,
            totals=False,
        ),
        *(
            ExpectedCount(split=split, code=None, unit="images", n=n, trust="code", source=_PRINTED)
            for split, n in _TOTALS.items()
        ),
    ),
    quirks=(
        Quirk(
            "Valence or arousal of -5, expression of -1 and action unit of -1 mean not annotated.",
            "page",
            _README,
        ),
        Quirk(
            "Valence and arousal count only where both are given; action units are masked one by one.",
            "code",
            "EmotiEffLib and EMMA (the validation rows are complete, so both maskings of units agree there)",
        ),
        Quirk(
            "Rows without any valid label exist; they are left out and counted.",
            "code",
            _PRINTED.removeprefix("printed in "),
        ),
        Quirk(
            "Frames without a detected face have no picture: rows are joined by name, the others counted.",
            "code",
            "wtomin/ABAW3_MultiEmotionNet and two further loaders",
        ),
        Quirk(
            "The crops come in two archives, cropped_aligned and cropped_aligned_new_50_vids: both are read, "
            "at any place up to one folder deeper. A listed video without any frame is an error.",
            "code",
            "several public loaders join the two folders",
        ),
        Quirk(
            "`_left` and `_right` are two people of one video: one group, never on both sides of a carved "
            "split.",
            "page",
            _README,
        ),
        Quirk(
            "There are no neutral first frames: a row's reference is the nearest frame of the same person "
            "and video that is labelled Neutral; videos without one have no references.",
            "inferred",
            "the classes of the lists",
        ),
        Quirk(
            "-5 and -5.0 both occur: fields are parsed as numbers.",
            "code",
            "EmotiEffLib and four further loaders",
        ),
        Quirk(
            "The lists carry a year in some releases (`training_set_annotations_22.txt`).",
            "code",
            "public loader",
        ),
        Quirk(
            "Other has no counterpart elsewhere and takes no part in cross-dataset tests.",
            "inferred",
            "no public loader maps it to a basic emotion",
        ),
    ),
    unit="video",
    has_va=True,
    has_au=True,
    has_reference=True,
    shares_pixels_with=("abaw3expr", "abaw3va", "abaw3au"),
    version=2,
)


class AffWild2(FaceDataset):
    """Aff-Wild2 frames with the multi-task annotations of the fourth ABAW competition."""

    card = CARD
    folder_names = ("aff-wild2", "aff_wild2", "abaw4", "s-aff-wild2")
    keeps_index = True

    @classmethod
    def locate(cls, folder: Path) -> Path | None:
        """Return the folder if it holds both annotation lists and `cropped_aligned`."""
        listed = all(_lists_of(folder, patterns) for patterns in _LISTS.values())
        return folder if listed and crop_folders(folder) else None

    def rows(self) -> Iterable[Mapping[str, Any]]:
        """Yield one row per annotated frame that has a picture.

        Raises:
            DataError: A malformed line, a frame or video that is listed twice, or a video without a picture.
        """
        _note_places(self.base)
        crops = Crops(self.base)
        rows: list[dict[str, Any]] = []
        split_of: dict[str, SplitName] = {}
        for split, patterns in _LISTS.items():
            rows += self._read_list(self._list_file(patterns), split, split_of, crops)
        groups = {split: {video_of(v) for v, s in split_of.items() if s == split} for split in _LISTS}
        if shared := sorted(groups["train"] & groups["val"]):
            self.notes.append(
                f"{len(shared)} videos have one person in the training and one in the validation list, "
                f"first {shared[0]}."
            )
        return rows

    def _list_file(self, patterns: Sequence[str]) -> Path:
        found = _lists_of(self.base, patterns)
        if len(found) > 1:
            names = ", ".join(file.name for file in found)
            problem = "more than one annotation list of a split"
            raise DataError(problem, file=self.base, value=names, hint="keep one")
        return found[0]

    def _read_list(
        self, file: Path, split: SplitName, split_of: dict[str, SplitName], crops: Crops
    ) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        neutral: dict[str, dict[int, str]] = {}
        absent: dict[str, int] = {}
        faceless: list[str] = []
        unlabelled = 0
        header, lines = split_header(file, _is_header)
        if header is None:
            self.notes.append(f"{file.name} has no header line; its first line is read as data.")

        def parse(line: str) -> _Frame:
            fields = line.split(",")
            video, number = _parse_name(fields[0].strip())
            if split_of.setdefault(video, split) != split:
                raise DataError("the video is in the training list too", value=video)
            folder = crops.of(video)
            picture = None if folder is None else folder.picture(f"{number}.jpg")
            path = None if folder is None or picture is None else crops.path(folder, picture)
            return _Frame(f"{video}/{number}", video, int(number), _parse_labels(fields), path)

        for _, frame in parsed_lines(lines, parse, file=file, unique=lambda frame: f"{frame.name}.jpg"):
            if frame.labels is None:
                unlabelled += 1
                continue
            if frame.path is None:
                if crops.of(frame.video) is None:
                    absent[frame.video] = absent.get(frame.video, 0) + 1
                else:
                    faceless.append(frame.name)
                continue
            code = frame.labels["native_label"]
            if code == _NEUTRAL:
                neutral.setdefault(frame.video, {})[frame.number] = frame.name
            rows.append(
                {
                    **frame.labels,
                    "sample_id": frame.name,
                    "path": frame.path,
                    "label": None if code is None else self.card.emotion_of(code),
                    "sequence": frame.video,
                    "split": split,
                    "group": video_of(frame.video),
                }
            )
        lost = len(faceless) + sum(absent.values())
        if not rows:
            places = ", ".join(map(str, crop_folders(self.base)))
            problem = f"none of the {lost} labelled frames has a picture in {places}"
            raise DataError(problem if lost else "the list has no labelled frame", file=file)
        videos = sum(one == split for one in split_of.values())
        crops.refuse_absent(absent, videos=videos, frames=len(rows) + lost, file=file, dataset=self.card.name)
        _add_references(rows, neutral)
        if unlabelled:
            self.notes.append(f"{unlabelled} frames of {file.name} have no label at all and are left out.")
        self.notes += counted({f"labelled frames of {file.name} have no picture and are left out": faceless})
        return rows


class _Frame(NamedTuple):
    """A frame with its labels and the path of its picture, None where it has none."""

    name: str
    video: str
    number: int
    labels: dict[str, Any] | None
    path: str | None


def _add_references(rows: list[dict[str, Any]], neutral: Mapping[str, Mapping[int, str]]) -> None:
    """Give every row the nearest neutral-labelled frame of its person's video, where there is one.

    Args:
        rows: Rows of one list.
        neutral: Sample id by frame number, per video.
    """
    of_video: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        of_video.setdefault(row["sequence"], []).append(row)
    for video, known in neutral.items():
        frames = [int(row["sample_id"].rpartition("/")[2]) for row in of_video[video]]
        for row, frame in zip(of_video[video], nearest_frames(frames, sorted(known)), strict=True):
            row["reference_id"] = known[frame]


def _note_places(folder: Path) -> None:
    """Note that the index depends on every folder where a list may be."""
    note_read(folder)
    for child in subfolders(folder):
        if child.name not in (PICTURES, SECOND):
            note_read(child)
            for inner in subfolders(child):
                note_read(inner)
                note_read(inner / "MTL_Challenge")


def _lists_of(folder: Path, patterns: Sequence[str]) -> list[Path]:
    """Return the lists of a split: those of ABAW4, else those of ABAW3 in their nested folders."""
    for pattern in patterns:
        if found := sorted(folder.glob(pattern)):
            return found
    return []


def video_of(video: str) -> str:
    """Return the video without the suffix that tells its two people apart."""
    return _PERSON.sub("", video)


def _is_header(line: str) -> bool:
    name, *values = line.split(",")
    return bool(values) and finite(values[0]) is None and not _FRAME.fullmatch(name.strip())


def _parse_name(name: str) -> tuple[str, str]:
    match = _FRAME.fullmatch(listed_path(name))
    if match is None:
        raise DataError("a frame is named <video>/<number>.jpg", value=name)
    return match[1], match[2]


def _parse_labels(fields: list[str]) -> dict[str, Any] | None:
    """Return the labels of one line as index columns, None when the line has none.

    Fields 2 to 16 are valence, arousal, expression and the twelve action units.
    """
    if len(fields) != 4 + len(ACTION_UNITS):
        problem = "a line has 16 fields: frame, valence, arousal, expression and 12 action units"
        raise DataError(problem, value=f"{len(fields)} fields")
    valence, arousal = (parse_affect(field, missing=NO_AFFECT) for field in fields[1:3])
    code = _whole(fields[3], 7, "the expression is not one of 0 to 7, or -1")
    au = np.array([_whole(field, 1, "an action unit is not 0, 1 or -1") for field in fields[4:]], np.int8)
    has_affect = not (math.isnan(valence) or math.isnan(arousal))
    if code < 0 and not has_affect and (au < 0).all():
        return None
    return {
        "native_label": None if code < 0 else str(code),
        "valence": valence if has_affect else math.nan,
        "arousal": arousal if has_affect else math.nan,
        "au": au,
    }


def _whole(field: str, highest: int, problem: str) -> int:
    value = finite(field)
    if value is None:
        raise DataError("a label is not a number", value=field)
    if not (value.is_integer() and -1 <= value <= highest):
        raise DataError(problem, value=value)
    return int(value)
