"""CK+, the extended Cohn-Kanade database: posed sequences from a neutral face to an expression's peak."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_bench.data.card import (
    Card,
    ExpectedCount,
    Quirk,
    TreeEntry,
    class_counts,
    fold_protocols,
    native_classes,
)
from fer_bench.data.reading.dataset import FaceDataset
from fer_bench.data.reading.dependencies import note_read
from fer_bench.data.reading.formats import ENDING
from fer_bench.data.reading.notes import counted
from fer_bench.data.reading.parsing import finite, parse_points
from fer_bench.data.reading.problems import raise_or_collect
from fer_bench.data.reading.sequences import matching, neutral_and_peak, subfolders
from fer_bench.data.reading.textfile import numbered_lines
from fer_bench.emotions import ACTION_UNITS, BASIC_SIX, LABEL_SETS, Emotion
from fer_bench.errors import DataError

_README = "official phase-1 ReadMe"
_FOLDS = "Emotion-FAN fold list and the CK+48 file names, which agree on every sequence"
_SUBJECT = r"S\d{3}"
_IMAGE_ROOTS = ("cohn-kanade-images", "extended-cohn-kanade-images")
_LANDMARKS = 68
_EMOTION, _FACS, _POINTS = r"_emotion\.txt", r"_facs\.txt", r"_landmarks\.txt"

_CLASSES = ("neutral", "anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise")
_COUNTS = (45, 18, 59, 25, 69, 28, 83)
"""Sequences of each class but neutral."""

CARD = Card(
    name="ckplus",
    title="CK+",
    setting="lab",
    citation=(
        "P. Lucey, J. F. Cohn, T. Kanade, J. Saragih, Z. Ambadar and I. Matthews (2010). The Extended "
        "Cohn-Kanade Dataset (CK+): A complete dataset for action unit and emotion-specified expression. "
        "CVPR Workshops. doi:10.1109/CVPRW.2010.5543262"
    ),
    licence="Signed agreement; research only, no redistribution.",
    obtain=(
        "Ask for it with the agreement form at jeffcohn.net, then unpack the four archives (pictures, "
        "Landmarks, FACS_labels, Emotion_labels) into one folder."
    ),
    classes=native_classes(_CLASSES),
    tree=(
        TreeEntry(
            "cohn-kanade-images/<S005>/<001>/<S005_001_00000011>.png",
            "frames from neutral to peak; newer archives call the top folder extended-cohn-kanade-images",
        ),
        TreeEntry(
            "Emotion/<S005>/<001>/<S005_001_00000011>_emotion.txt",
            "one number per labelled sequence, named after its last frame",
        ),
        TreeEntry(
            "FACS/<S005>/<001>/<S005_001_00000011>_facs.txt",
            "action units of the last frame: number and intensity per line",
            required=False,
        ),
        TreeEntry(
            "Landmarks/<S005>/<001>/<S005_001_00000011>_landmarks.txt",
            "68 tracked points per frame, x and y per line",
            required=False,
        ),
    ),
    protocols=fold_protocols(
        {"7": LABEL_SETS["7c"], "6": BASIC_SIX, "7n": LABEL_SETS["7"], "8": LABEL_SETS["8"]}
    ),
    default_protocol="7-10fold",
    quick_protocol="7-4fold",
    counts=(
        ExpectedCount(split="none", code=None, unit="sequences", n=327, trust="page", source=_README),
        *class_counts(
            [str(code) for code in range(1, 8)],
            {"none": _COUNTS},
            trust="code",
            source=_FOLDS,
            unit="sequences",
            totals=False,
        ),
        ExpectedCount(split="none", code=None, unit="subjects", n=118, trust="code", source=_FOLDS),
    ),
    quirks=(
        Quirk(
            "Only 327 of the 593 sequences have an emotion. The others' session folder is absent or empty: "
            "both mean unlabelled. They give no row unless action units are coded.",
            "page",
            f"{_README}; the two forms from public loaders",
        ),
        Quirk(
            "118 of the 123 subjects have a labelled sequence. Folds are made of these, so that the other "
            "five change no fold.",
            "code",
            "Emotion-FAN fold list, reproduced exactly by this rule",
        ),
        Quirk(
            "Fold 10 has no fear sequence: macro scores are pooled over folds.",
            "code",
            "Emotion-FAN fold list",
        ),
        Quirk(
            "Emotion codes are floats in scientific notation with leading spaces; code 0 (neutral) exists "
            "but no file has it. The first frame of a labelled sequence is its neutral face.",
            "page",
            f"{_README}; the absence of code 0 was counted in the Emotion-FAN fold list",
        ),
        Quirk(
            "The neutral frame of a contempt sequence belongs to label sets with contempt only: 7n has "
            "309 x 4 = 1,236 rows, 8 has 327 x 4.",
            "inferred",
            "the counts of sequences",
        ),
        Quirk(
            "FACS intensity 0 means present without a scored intensity, not absent: every listed unit "
            "counts.",
            "page",
            _README,
        ),
        Quirk(
            "The picture folder has two names, and pictures are grey or colour: both names are read, grey "
            "is replicated to three channels.",
            "secondary",
            "public loaders",
        ),
    ),
    unit="subject",
    has_au=True,
    has_reference=True,
    as_target="all",
    fold_sizes=(33, 39, 40, 35, 30, 37, 29, 29, 33, 22),
)


class CKPlus(FaceDataset):
    """Read CK+ in its official layout.

    A labelled sequence gives its last three frames with the sequence's emotion and its first frame as neutral
    (`is_neutral_frame`, no native label). A sequence with action units but no emotion gives its last frame
    and, without any label, its first. Every row's `reference_id` is the first frame, the first frame's own
    included; it is missing where the sequence has one frame only. Only the last frame has action units.
    """

    card = CARD
    keeps_index = True
    folder_names = ("ck+", "ck-plus", "ck_plus", "cohn-kanade", "extended-cohn-kanade")
    crop = "landmarks"

    @classmethod
    def locate(cls, folder: Path) -> Path | None:
        """Return the folder when it holds a CK+ picture folder with subjects, else None."""
        return folder if _image_root(folder) is not None else None

    def rows(self) -> Iterator[Mapping[str, Any]]:
        """Yield the rows of all usable sequences.

        Raises:
            DataError: The Emotion folder is missing, or a label, FACS or landmark file is malformed.
        """
        images, emotions = _image_root(self.base), _part(self.base, "Emotion", "Emotion_labels")
        if images is None or not emotions.is_dir():
            problem = "CK+ has pictures but no Emotion folder, so no sequence has a label"
            hint = "unpack Emotion_labels.zip next to the pictures"
            raise DataError(problem, file=self.base / "Emotion", hint=hint)
        facs = _part(self.base, "FACS", "FACS_labels")
        landmarks = _part(self.base, "Landmarks", "Landmarks")
        note_read(landmarks)
        if not landmarks.is_dir():
            self.notes.append("the Landmarks folder is missing, so faces are detected")
        met: defaultdict[str, list[str]] = defaultdict(list)
        for place in _sessions(images, self.base):
            try:
                yield from self._sequence(
                    images / place, emotions / place, facs / place, landmarks / place, met
                )
            except DataError as error:
                raise_or_collect(error)
        for place in _sessions(emotions, self.base):
            if not (images / place).is_dir() and _numbered(emotions / place, self.base, _EMOTION):
                met["labelled sequences without pictures"].append(place)
        if next(_sessions(emotions, self.base), None) is None:
            self.notes.append(f"{emotions.relative_to(self.base)} holds no folder such as S005/001")
        self.notes += counted(met)

    def _sequence(
        self, images: Path, emotions: Path, facs: Path, landmarks: Path, met: dict[str, list[str]]
    ) -> Iterator[Mapping[str, Any]]:
        subject, session = images.parts[-2:]
        sequence = f"{subject}/{session}"
        frames = _numbered(images, self.base, ENDING)
        label_files = _numbered(emotions, self.base, _EMOTION)
        facs_files = _numbered(facs, self.base, _FACS)
        if not frames:
            met["sequences without a frame"].append(sequence)
            return
        if not label_files and not facs_files:
            return
        if not all(name.endswith(".png") for name in frames.values()):
            met["sequences have frames that are not png, so this is a converted copy"].append(sequence)
        if len(label_files) > 1:
            problem = "a sequence has more than one emotion file"
            raise DataError(problem, file=emotions, value=sorted(label_files.values()))
        first, tail = neutral_and_peak(sorted(frames))
        last = tail[-1]
        native: str | None = None
        if label_files:
            number, name = label_files.popitem()
            native = _read_emotion(emotions / name)
            if number != last:
                met["sequences whose emotion file names another last frame"].append(sequence)
            if len(frames) < 4:
                met["sequences shorter than 4 frames"].append(sequence)
        else:
            tail = [last]
        units = _read_facs(facs / facs_files[last]) if last in facs_files else None
        if facs_files and units is None:
            met["sequences whose FACS file names another last frame"].append(sequence)
        if native is None and units is None:
            return
        points = _numbered(landmarks, self.base, _POINTS)
        for number in tail if first is None else (first, *tail):
            is_neutral = number == first
            label = None if native is None else Emotion.NEUTRAL if is_neutral else CARD.emotion_of(native)
            yield {
                "sample_id": f"{sequence}/{number:03d}",
                "path": (images / frames[number]).relative_to(self.base).as_posix(),
                "landmarks": _read_landmarks(landmarks / points[number]) if number in points else None,
                "native_label": None if is_neutral else native,
                "label": label,
                "au": units if number == last else None,
                "subject": subject,
                "sequence": sequence,
                "group": subject,
                "is_neutral_frame": is_neutral,
                "reference_id": None if first is None else f"{sequence}/{first:03d}",
            }


def _image_root(folder: Path) -> Path | None:
    """Return the picture folder: either name, or the older name inside a folder of the newer one."""
    nested = [folder / outer / inner for outer in _IMAGE_ROOTS for inner in _IMAGE_ROOTS]
    for place in (*(folder / name for name in _IMAGE_ROOTS), *nested):
        if any(re.fullmatch(_SUBJECT, child.name) for child in subfolders(place)):
            return place
    return None


def _part(base: Path, name: str, archive: str) -> Path:
    """Return a label folder, also where it was unpacked into a folder of the archive's or its own name."""
    for place in (base / name, base / archive / name, base / name / name, base / archive):
        if any(re.fullmatch(_SUBJECT, child.name) for child in subfolders(place)):
            return place
    return base / name


def _sessions(folder: Path, base: Path) -> Iterator[str]:
    """Yield the session folders in a folder, such as `S005/001`."""
    for subject in matching(folder, base, _SUBJECT, folders=True):
        for session in matching(folder / subject.string, base, r"\d{3}", folders=True):
            yield f"{subject.string}/{session.string}"


def _numbered(folder: Path, base: Path, ending: str) -> dict[int, str]:
    """Return the files `S005_001_00000011<ending>` of session folder `S005/001` by frame number.

    Args:
        folder: The session folder.
        base: The dataset's base folder.
        ending: Regular expression.
    """
    subject, session = folder.parts[-2:]
    pattern = rf"{subject}_{session}_(\d{{8}}){ending}"
    found = matching(folder, base, pattern)
    return {int(m[1]): m.string for m in sorted(found, key=lambda m: m.string.endswith(".png"))}


def _read_emotion(file: Path) -> str:
    """Return the emotion code of a file as text, `"0"` to `"7"`.

    Raises:
        DataError: The file holds anything but one whole number from 0 to 7.
    """
    code = ""
    for line, text in numbered_lines(file):
        number = finite(text)
        if line > 1 or number is None or number not in range(8):
            problem = "an emotion file is one whole number from 0 to 7"
            raise DataError(problem, file=file, line=line, value=text.strip())
        code = str(int(number))
    return code


def _read_facs(file: Path) -> NDArray[np.int8]:
    """Return the action units of a FACS file as 0/1 [12]: listed is present, whatever its intensity.

    Raises:
        DataError: A line that is not a unit's number and an intensity.
    """
    units = np.zeros(len(ACTION_UNITS), np.int8)
    for line, text in numbered_lines(file, may_be_empty=True):  # empty: coded, and no unit seen
        values = [finite(word) for word in text.split()]
        if len(values) != 2 or values[0] is None or values[1] is None or values[0] % 1 or values[0] < 1:
            problem = "a FACS line is a unit's number and an intensity"
            raise DataError(problem, file=file, line=line, value=text)
        if values[0] in ACTION_UNITS:
            units[ACTION_UNITS.index(int(values[0]))] = 1
    return units


def _read_landmarks(file: Path) -> NDArray[np.float32]:
    """Return the points of a landmark file as float32 [68, 2], x and y in pixels of the frame.

    Raises:
        DataError: A line that is not two numbers, or another number of points.
    """
    words: list[str] = []
    for line, text in numbered_lines(file):
        pair = text.split()
        if len(pair) != 2 or None in map(finite, pair):
            raise DataError("a landmark line is two numbers, x and y", file=file, line=line, value=text)
        words += pair
    if len(words) != 2 * _LANDMARKS:
        raise DataError(f"a landmark file has {_LANDMARKS} points", file=file, value=len(words) // 2)
    return parse_points(words, _LANDMARKS)
