"""Aff-Wild2 in its ABAW4 multi-task lists: frames with expression, valence, arousal, action units."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from fer_bench.data.card import (
    Card,
    ExpectedCount,
    NativeClass,
    Official,
    Protocol,
    Quirk,
    SplitName,
    TreeEntry,
    class_counts,
)
from fer_bench.data.reading.dataset import FaceDataset
from fer_bench.data.reading.dependencies import note_read
from fer_bench.data.reading.folders import Listing, list_folder, refuse_leaving
from fer_bench.data.reading.problems import raise_or_collect
from fer_bench.data.reading.sequences import nearest_frames, subfolders
from fer_bench.data.reading.textfile import numbered_lines
from fer_bench.emotions import ABAW_EXPRESSIONS, ACTION_UNITS, LABEL_SETS, Emotion
from fer_bench.errors import DataError

_README = "official Aff-Wild2 ReadMe"
_PRINTED = "printed in EmotiEffLib abaw4_mtl_train.ipynb"
_MTL = "*/MTL_Challenge", "*/*/MTL_Challenge", "MTL_Challenge"
_LISTS: dict[SplitName, tuple[str, ...]] = {
    "train": ("training_set_annotations*.txt", *(f"{place}/train_set.txt" for place in _MTL)),
    "val": ("validation_set_annotations*.txt", *(f"{place}/validation_set.txt" for place in _MTL)),
}
_PICTURES = "cropped_aligned"
_FRAME = re.compile(r"([^/]+)/(\d+)\.jpg")
_PERSON = re.compile(r"_(left|right)$")
_NO_AFFECT, _NO_LABEL = -5.0, -1.0
_NEUTRAL = "0"
_HINT = "compare with the official format: fer-bench data describe affwild2"

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
    classes=(
        NativeClass("0", "Neutral", Emotion.NEUTRAL),
        NativeClass("1", "Anger", Emotion.ANGER),
        NativeClass("2", "Disgust", Emotion.DISGUST),
        NativeClass("3", "Fear", Emotion.FEAR),
        NativeClass("4", "Happiness", Emotion.HAPPINESS),
        NativeClass("5", "Sadness", Emotion.SADNESS),
        NativeClass("6", "Surprise", Emotion.SURPRISE),
        NativeClass("7", "Other", Emotion.OTHER),
    ),
    tree=(
        TreeEntry(
            "training_set_annotations.txt",
            "a header, then `<video>/<frame>.jpg,valence,arousal,expression,` and 12 action units",
        ),
        TreeEntry("validation_set_annotations.txt", "the same for the validation videos"),
        TreeEntry(
            "3rd ABAW Annotations/Third ABAW Annotations/MTL_Challenge/{train_set,validation_set}.txt",
            "the multi-task lists of ABAW3 in the same form, read where the two above are not there",
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
            "`_left` and `_right` are two people of one video: one group, never on both sides of a carved "
            "split.",
            "page",
            _README,
        ),
        Quirk(
            "There are no neutral first frames: a row's reference is the nearest frame of the same person "
            "and video that is labelled Neutral; rows of videos without one have none.",
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
        return folder if listed and (folder / _PICTURES).is_dir() else None

    @cached_property
    def _videos(self) -> Listing:
        return list_folder(self.base / _PICTURES, self.base)

    def rows(self) -> Iterable[Mapping[str, Any]]:
        """Yield one row per annotated frame that has a picture.

        Raises:
            DataError: A malformed line, a frame or video that is listed twice, or no picture at all.
        """
        _note_places(self.base)
        rows: list[dict[str, Any]] = []
        split_of: dict[str, SplitName] = {}
        for split, patterns in _LISTS.items():
            rows += self._read_list(self._list_file(patterns), split, split_of)
        groups = {split: {_group(v) for v, s in split_of.items() if s == split} for split in _LISTS}
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
            raise DataError(
                "more than one annotation list of a split", file=self.base, value=names, hint="keep one"
            )
        return found[0]

    def _read_list(
        self, file: Path, split: SplitName, split_of: dict[str, SplitName]
    ) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        listings: dict[str, Listing | None] = {}
        first_line: dict[str, int] = {}
        neutral: dict[str, dict[int, str]] = {}
        unlabelled = absent = 0
        for number, line in numbered_lines(file):
            fields = line.split(",")
            if number == 1 and _is_header(fields):
                continue
            if number == 1:
                self.notes.append(f"{file.name} has no header line; its first line is read as data.")
            try:
                video, frame = _parse_name(fields[0], file, number)
                sample_id = f"{video}/{frame}"
                if sample_id in first_line:
                    raise DataError(
                        f"the frame stands on line {first_line[sample_id]} already",
                        file=file,
                        line=number,
                        value=fields[0],
                        hint=_HINT,
                    )
                first_line[sample_id] = number
                if split_of.setdefault(video, split) != split:
                    raise DataError(
                        "the video is in the training list too",
                        file=file,
                        line=number,
                        value=video,
                        hint=_HINT,
                    )
                row = _parse_labels(fields, file, number)
                if row is None:
                    unlabelled += 1
                    continue
                if video not in listings:
                    present = self._videos.has_folder(video, file=file, line=number)
                    listings[video] = (
                        list_folder(self.base / _PICTURES / video, self.base) if present else None
                    )
                pictures = listings[video]
                if pictures is None or not pictures.has(f"{frame}.jpg", file=file, line=number):
                    absent += 1
                    continue
            except DataError as error:
                raise_or_collect(error)
                continue
            code = row["native_label"]
            if code == _NEUTRAL:
                neutral.setdefault(video, {})[int(frame)] = sample_id
            rows.append(
                {
                    **row,
                    "sample_id": sample_id,
                    "path": f"{_PICTURES}/{video}/{frame}.jpg",
                    "label": None if code is None else self.card.emotion_of(code),
                    "sequence": video,
                    "split": split,
                    "group": _group(video),
                }
            )
        if not rows:
            problem = (
                f"none of the {absent} labelled frames has a picture"
                if absent
                else "the list has no labelled frame"
            )
            raise DataError(f"{problem} in {self.base / _PICTURES}", file=file, hint=_HINT)
        _add_references(rows, neutral)
        if unlabelled:
            self.notes.append(f"{unlabelled} frames of {file.name} have no label at all and are left out.")
        if absent:
            self.notes.append(f"{absent} labelled frames of {file.name} have no picture and are left out.")
        return rows


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
    """Say that the index depends on every place where a list may turn up."""
    note_read(folder)
    for child in subfolders(folder):
        if child.name != _PICTURES:
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


def _group(video: str) -> str:
    """Return the video without the suffix that tells its two people apart."""
    return _PERSON.sub("", video)


def _is_header(fields: list[str]) -> bool:
    if len(fields) < 2:
        return False
    try:
        float(fields[1])
    except ValueError:
        return not _FRAME.fullmatch(fields[0].strip())
    return False


def _parse_name(name: str, file: Path, number: int) -> tuple[str, str]:
    name = name.strip()
    refuse_leaving(name, file=file, line=number)
    match = _FRAME.fullmatch(name)
    if match is None:
        raise DataError(
            "a frame is named <video>/<number>.jpg", file=file, line=number, value=name, hint=_HINT
        )
    return match[1], match[2]


def _parse_labels(fields: list[str], file: Path, number: int) -> dict[str, Any] | None:
    """Return the labels of one line as index columns, None when the line has none.

    Fields 2 to 16 are valence, arousal, expression and the twelve action units.
    """
    if len(fields) != 4 + len(ACTION_UNITS):
        raise DataError(
            "a line has 16 fields: frame, valence, arousal, expression and 12 action units",
            file=file,
            line=number,
            value=f"{len(fields)} fields",
            hint=_HINT,
        )
    values = [_number(field, file, number) for field in fields[1:]]
    valence, arousal = (_affect(value, file, number) for value in values[:2])
    code = _whole(values[2], 7, "the expression is not one of 0 to 7, or -1", file, number)
    au = np.array(
        [_whole(v, 1, "an action unit is not 0, 1 or -1", file, number) for v in values[3:]], np.int8
    )
    has_affect = not (math.isnan(valence) or math.isnan(arousal))
    if code < 0 and not has_affect and (au < 0).all():
        return None
    return {
        "native_label": None if code < 0 else str(code),
        "valence": valence if has_affect else math.nan,
        "arousal": arousal if has_affect else math.nan,
        "au": au,
    }


def _number(field: str, file: Path, number: int) -> float:
    try:
        return float(field)
    except ValueError:
        raise DataError("a label is not a number", file=file, line=number, value=field, hint=_HINT) from None


def _affect(value: float, file: Path, number: int) -> float:
    if value == _NO_AFFECT:
        return math.nan
    if not -1 <= value <= 1:
        raise DataError(
            "valence and arousal lie in [-1, 1], or are -5", file=file, line=number, value=value, hint=_HINT
        )
    return value


def _whole(value: float, highest: int, problem: str, file: Path, number: int) -> int:
    if not (value.is_integer() and _NO_LABEL <= value <= highest):
        raise DataError(problem, file=file, line=number, value=value, hint=_HINT)
    return int(value)
