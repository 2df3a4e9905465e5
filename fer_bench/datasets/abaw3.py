"""Aff-Wild2 in the per-task lists of the third ABAW competition: one text file per video and task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fer_bench.data.card import Card, Official, Protocol, Quirk, SplitName, TreeEntry
from fer_bench.data.reading.dataset import FaceDataset
from fer_bench.data.reading.dependencies import note_read
from fer_bench.data.reading.notes import counted, listed
from fer_bench.data.reading.parsing import csv_fields, parse_line
from fer_bench.data.reading.sequences import matching, nearest_frames
from fer_bench.data.reading.textfile import numbered_lines
from fer_bench.datasets.affwild2 import CARD as MULTI_TASK
from fer_bench.datasets.affwild2 import NO_AFFECT, video_of
from fer_bench.datasets.affwild2_crops import Crops, crop_folders
from fer_bench.emotions import ACTION_UNITS, LABEL_SETS
from fer_bench.errors import DataError

_README = "official Aff-Wild2 ReadMe"
_WTOMIN = "wtomin/ABAW3_MultiEmotionNet"
_OUTER = ("3rd ABAW Annotations/Third ABAW Annotations", "Third ABAW Annotations", "3rd ABAW Annotations", "")
_SPLITS: dict[SplitName, str] = {"train": "Train_Set", "val": "Validation_Set"}
_NEUTRAL = 0

Floats = NDArray[np.float64]


class _Track(NamedTuple):
    """What the lists of a track hold: their folder, what they label, header, columns and values of a line."""

    folder: str
    labels: str
    header: str
    width: int
    line: str


_TRACKS = {
    "expr": _Track(
        "EXPR_Classification_Challenge",
        "expression",
        "Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise,Other",
        1,
        "one expression from 0 to 7, or -1",
    ),
    "va": _Track(
        "VA_Estimation_Challenge",
        "valence and arousal",
        "valence,arousal",
        2,
        "valence and arousal in [-1, 1], or -5",
    ),
    "au": _Track(
        "AU_Detection_Challenge",
        "action units",
        ",".join(f"AU{unit}" for unit in ACTION_UNITS),
        len(ACTION_UNITS),
        f"{len(ACTION_UNITS)} action units of 0, 1 or -1",
    ),
}


def _card(name: str, track: str) -> Card:
    others = tuple(other for other in ("abaw3expr", "abaw3va", "abaw3au") if other != name)
    return Card(
        name=name,
        title=f"Aff-Wild2, ABAW3 {track.upper()} track",
        setting="video",
        citation=(
            "Kollias & Zafeiriou (2019), Expression, Affect, Action Unit Recognition: Aff-Wild2, Multi-Task "
            "Learning and ArcFace, BMVC, arXiv:1910.04855; lists of the third ABAW competition"
        ),
        licence=MULTI_TASK.licence,
        obtain="Ask the organisers (d.kollias@qmul.ac.uk) for the third ABAW annotations and cropped faces",
        classes=MULTI_TASK.classes,
        tree=(
            TreeEntry(
                f"{_OUTER[0]}/{_TRACKS[track].folder}/Train_Set/<video>.txt",
                f"{_TRACKS[track].labels}: a header, then line i for frame i",
            ),
            TreeEntry(
                f"{_OUTER[0]}/{_TRACKS[track].folder}/Validation_Set/<video>.txt",
                "the same for the validation videos",
            ),
            *(
                TreeEntry(
                    f"{_OUTER[0]}/{_TRACKS[other].folder}/...",
                    f"{_TRACKS[other].labels}, joined where the same frame has them",
                    required=False,
                )
                for other in _TRACKS
                if other != track
            ),
            TreeEntry("cropped_aligned/<video>/<00001>.jpg", "112x112 aligned faces"),
        ),
        protocols=(
            Protocol(
                name="abaw3",
                label_set=LABEL_SETS["8o"],
                split=Official(test="val", validation="carved", carve="group"),
                note="official validation videos test; 10 % of training, in whole videos, validates",
            ),
        ),
        default_protocol="abaw3",
        quick_protocol="abaw3",
        quirks=(
            Quirk(
                "Line i after the header is frame i. Frames without a detected face have no picture: lines "
                "and pictures are joined by number, never by order; lines left over are counted.",
                "page",
                f"{_README}; {_WTOMIN} and two further loaders",
            ),
            Quirk(
                "Valence or arousal of -5, expression of -1 and action unit of -1 mean not annotated.",
                "page",
                _README,
            ),
            Quirk(
                "The tracks split the videos differently: a training video of one may be a validation video "
                "of another. Training videos that any track at hand validates on are left out.",
                "code",
                _WTOMIN,
            ),
            Quirk(
                "A row's reference is the nearest frame of the same person and video that the expression "
                "track labels Neutral; videos without one have no references.",
                "inferred",
                "the classes of the lists",
            ),
            Quirk(
                "`_left` and `_right` are two people of one video and count as one video.", "page", _README
            ),
        ),
        unit="video",
        has_va=True,
        has_au=True,
        has_reference=True,
        shares_pixels_with=("affwild2", *others),
        version=2,
    )


class ABAW3(FaceDataset):
    """Frames of one track with its labels, and those of the other tracks for the same frames.

    A frame is a row when its own track labels it and its picture exists.
    """

    track = "expr"
    folder_names = ("abaw3", "aff-wild2", "aff_wild2", "affwild2")
    keeps_index = True

    @classmethod
    def locate(cls, folder: Path) -> Path | None:
        """Return the folder if it holds this track's lists and the cropped faces."""
        return folder if _track_folder(folder, cls.track) and crop_folders(folder) else None

    def rows(self) -> Iterator[Mapping[str, Any]]:
        """Yield one row per annotated frame that has a picture.

        Raises:
            DataError: A malformed list, a video in both parts of a track, or a video without a picture.
        """
        crops = Crops(self.base)
        files = {track: self._files(track) for track in _TRACKS}
        own = files.pop(self.track)
        unlabelled = [_TRACKS[track].folder for track, found in files.items() if not found]
        if unlabelled:
            self.notes.append(f"Labels of other tracks are missing: {', '.join(unlabelled)}.")
        validated = {
            video_of(video)
            for found in (own, *files.values())
            for video, (split, _) in found.items()
            if split == "val"
        }
        crossing = sorted(v for v, (split, _) in own.items() if split == "train" and video_of(v) in validated)
        if crossing:
            self.notes.append(
                f"{len(crossing)} training videos are validation videos of a track and are left out: "
                f"{listed(crossing)}"
            )
        absent: dict[str, int] = {}
        faceless: list[str] = []
        videos = frames = 0
        for video, (split, file) in sorted(own.items()):
            if video in crossing:
                continue
            folder = crops.of(video, file=file)
            others = {t: _read(found[video][1], t) for t, found in files.items() if video in found}
            labels = {self.track: _read(file, self.track), **others}
            own_lines = enumerate(labels[self.track], start=1)
            annotated = [number for number, line in own_lines if _is_annotated(line, self.track)]
            videos, frames = videos + 1, frames + len(annotated)
            if folder is None:
                absent |= {video: len(annotated)} if annotated else {}
                continue
            numbers = {
                int(stem): name
                for stem, name in folder.pictures.items()
                if stem.isdecimal() and folder.has(name, file=file)
            }
            shown = [number for number in annotated if number in numbers]
            faceless += [f"{video}/{number:05d}" for number in annotated if number not in numbers]
            neutral = [number for number in shown if _is_neutral(labels.get("expr"), number)]
            references = nearest_frames(shown, neutral) if neutral else [None] * len(shown)
            for number, reference in zip(shown, references, strict=True):
                yield {
                    "sample_id": f"{video}/{number:05d}",
                    "path": crops.path(folder, numbers[number]),
                    "reference_id": None if reference is None else f"{video}/{reference:05d}",
                    "sequence": video,
                    "split": split,
                    "group": video_of(video),
                    **self._columns(labels, number),
                }
        lists = _track_folder(self.base, self.track) or self.base
        crops.refuse_absent(absent, videos=videos, frames=frames, file=lists, dataset=self.card.name)
        self.notes += counted({"annotated frames have no picture and are left out": faceless})

    def _files(self, track: str) -> dict[str, tuple[SplitName, Path]]:
        """Return split and list of every video of a track; nothing where the track is not there."""
        folder = _track_folder(self.base, track)
        found: dict[str, tuple[SplitName, Path]] = {}
        for split, name in _SPLITS.items() if folder else ():
            place = Path(str(folder)) / name
            for match in matching(place, self.base, r"(.+)\.txt"):
                if match[1] in found:
                    problem = "the video is in the training part too"
                    raise DataError(problem, file=place / match.string, value=match[1])
                found[match[1]] = (split, place / match.string)
        return found

    def _columns(self, labels: Mapping[str, Floats], number: int) -> dict[str, Any]:
        """Return the labels of one frame in all tracks, as index columns."""
        columns: dict[str, Any] = {}
        for track, values in labels.items():
            if number > len(values) or not _is_annotated(values[number - 1], track):
                continue
            line = values[number - 1]
            if track == "expr":
                columns["native_label"] = str(int(line[0]))
                columns["label"] = self.card.emotion_of(columns["native_label"])
            elif track == "va":
                columns["valence"], columns["arousal"] = float(line[0]), float(line[1])
            else:
                columns["au"] = line.astype(np.int8)
        return columns


class ABAW3Expression(ABAW3):
    """Aff-Wild2 frames of the expression track."""

    card = _card("abaw3expr", "expr")
    track = "expr"


class ABAW3Affect(ABAW3):
    """Aff-Wild2 frames of the valence and arousal track."""

    card = _card("abaw3va", "va")
    track = "va"


class ABAW3Units(ABAW3):
    """Aff-Wild2 frames of the action unit track."""

    card = _card("abaw3au", "au")
    track = "au"


def _track_folder(folder: Path, track: str) -> Path | None:
    """Return the folder of a track that has both parts, at any of the known depths."""
    for outer in _OUTER:
        place = folder / outer / _TRACKS[track].folder
        for name in _SPLITS.values():
            note_read(place / name)
        if all((place / name).is_dir() for name in _SPLITS.values()):
            return place
    return None


def _is_annotated(line: Floats, track: str) -> bool:
    """Return whether a line has a label; valence counts only together with arousal."""
    if track == "va":
        return bool((line != NO_AFFECT).all())
    return bool((line >= 0).any())


def _is_neutral(expressions: Floats | None, number: int) -> bool:
    """Return whether a frame, counted from 1, is labelled Neutral."""
    if expressions is None or number > len(expressions):
        return False
    return bool(expressions[number - 1, 0] == _NEUTRAL)


def _read(file: Path, track: str) -> Floats:
    """Return the labels of one video in one track [N, 1, 2 or 12], row i for frame i + 1.

    Raises:
        DataError: Another header than the track's, or a line that is not as documented.
    """
    expected = _TRACKS[track]
    lines = numbered_lines(file)
    number, text = next(lines)
    if ",".join(csv_fields(text)).casefold() != expected.header.casefold():
        problem = f"the header is not that of {expected.labels}, {expected.header}"
        raise DataError(problem, file=file, line=number, value=text[:80])
    values = [parse_line(partial(_parse, track), text, file=file, line=number) for number, text in lines]
    return np.array(values, np.float64).reshape(-1, expected.width)


def _parse(track: str, text: str) -> list[float]:
    expected = _TRACKS[track]
    try:
        values = [float(field) for field in text.split(",")]
    except ValueError:
        raise DataError("a label is not a number", value=text[:80]) from None
    if len(values) != expected.width or not all(_is_valid(value, track) for value in values):
        raise DataError(f"a line is not {expected.line}", value=text[:80])
    return values


def _is_valid(value: float, track: str) -> bool:
    if track == "va":
        return -1 <= value <= 1 or value == NO_AFFECT
    return value.is_integer() and -1 <= value <= (7 if track == "expr" else 1)
