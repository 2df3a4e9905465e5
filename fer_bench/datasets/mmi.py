"""MMI, the facial expression database: clips that run from neutral over the apex back to neutral."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from fer_bench.data.card import Card, Quirk, TreeEntry, fold_protocols, native_classes
from fer_bench.data.reading.dataset import FaceDataset
from fer_bench.data.reading.dependencies import note_read
from fer_bench.data.reading.notes import counted
from fer_bench.data.reading.pictures import Image
from fer_bench.data.reading.problems import collect, raise_or_collect
from fer_bench.data.reading.sequences import matching, subfolders
from fer_bench.datasets.mmi_xml import VIEWS, Coding, read_coding, read_emotions, read_view
from fer_bench.emotions import BASIC_SIX, LABEL_SETS, Emotion
from fer_bench.errors import DataError

_VERIFY = "fer-bench data verify --dataset mmi"
_SEARCH_DEPTH = 2
_UPRIGHT_HEIGHT = 480
_STEM = r"(S\d{3})-\d{3}"

CARD = Card(
    name="mmi",
    title="MMI",
    setting="lab",
    citation=(
        "M. Pantic, M. Valstar, R. Rademaker and L. Maat (2005). Web-based database for facial expression "
        "analysis. ICME. doi:10.1109/ICME.2005.1521424"
    ),
    licence="End-user licence agreement; non-commercial research only.",
    obtain="Open an account on mmifacedb.eu, search for the clips with an emotion and download the result.",
    classes=native_classes(("anger", "disgust", "fear", "happiness", "sadness", "surprise"), first=1),
    tree=(
        TreeEntry(
            "<mmi-facial-expression-database_download_DATE>/Sessions/<1841>/session.xml",
            "the view of the session's track: 0 frontal, 1 profile, 2 dual",
        ),
        TreeEntry(
            "<mmi-facial-expression-database_download_DATE>/Sessions/<1841>/<S035-004>.avi",
            "the clip, named subject-clip; still-image sessions have a .jpg or .png instead",
        ),
        TreeEntry(
            "<mmi-facial-expression-database_download_DATE>/Sessions/<1841>/<S035-004>.xml",
            "the clip's Metatags, Emotion among them",
        ),
        TreeEntry(
            "<mmi-facial-expression-database_download_DATE>/Sessions/<1841>/<S035-004>-oao_aucs.xml",
            "onset, apex and offset of action units",
            required=False,
        ),
    ),
    protocols=fold_protocols({"6": BASIC_SIX, "7n": LABEL_SETS["7"]}, variants=("frontal",)),
    default_protocol="6-10fold",
    quick_protocol="6-4fold",
    quirks=(
        Quirk(
            "The content of a download depends on the query and the day, and its folder is named after the "
            "time: every Sessions folder in the root or up to two levels below is read; a session found "
            "twice is read once.",
            "code",
            "public loaders (downloads of 2018 to 2020 and older per-subject packages)",
        ),
        Quirk(
            "A session's view is in session.xml. Dual clips show a frontal and a profile face side by side, "
            "with the frontal one on either side, so each half is a row with a variant of its own, which no "
            "protocol uses.",
            "code",
            "public loader",
        ),
        Quirk(
            "Profile clips, and frontal clips whose height is not 480, are stored sideways: they are turned "
            "upright when decoded.",
            "code",
            "public loader",
        ),
        Quirk(
            "The emotion is the Metatag of that name, not the one at a fixed place. Values above 6 are not "
            "basic emotions; such clips have no label here.",
            "code",
            "public loaders",
        ),
        Quirk(
            "The peak is in the middle of a clip, not at its end. Three frames are taken: around the middle "
            "of the coded apex, else around the middle of the clip.",
            "page",
            "emotion-research.net toolbox page (every series starts and ends near neutral); markers: public "
            "loader",
        ),
        Quirk(
            "Unit numbers may be text such as one-sided codes; markers count frames from 1. A unit that a "
            "coded clip does not list counts as absent.",
            "inferred",
            "public loader for the format; the coding lists the units that move",
        ),
        Quirk(
            "Some clips are unusable, and papers count different subsets: clips that do not open are named "
            "and skipped, and the number obtained is reported, not checked.",
            "code",
            "public loader with a list of clips to skip",
        ),
    ),
    unit="subject",
    variant_parts=("pose",),
    has_au=True,
    has_reference=True,
    as_target="all",
)
_CODES = frozenset(native.code for native in CARD.classes)


class MMI(FaceDataset):
    """Read MMI downloads in their official layout.

    A labelled clip gives three frames around its apex and its first frame as neutral (`is_neutral_frame`, no
    native label); all four have the first frame as `reference_id`. A clip with action units but no basic
    emotion gives the same frames without label. Frames count from 0 and boxes are in pixels of the upright
    picture that `load` returns. A labelled still picture gives one row without reference.
    """

    card = CARD
    keeps_index = True
    folder_names = ("mmi-facial-expression-database", "mmi_facial_expression_database")
    crop = "detect"

    @classmethod
    def locate(cls, folder: Path) -> Path | None:
        """Return the folder when it is, or holds up to two levels below, a Sessions folder of MMI."""
        return folder if _session_roots(folder) else None

    def rows(self) -> Iterator[Mapping[str, Any]]:
        """Yield the rows of all usable clips and pictures.

        Raises:
            DataError: An XML file is malformed or has a value that the format does not know.
        """
        met: defaultdict[str, list[str]] = defaultdict(list)
        labelled: list[str] = []
        seen: set[str] = set()
        for root in _session_roots(self.base):
            for match in sorted(matching(root, self.base, r"\d+", folders=True), key=lambda m: int(m.string)):
                session, name = root / match.string, str(int(match.string))
                if name in seen:
                    met["sessions found in more than one download, read once"].append(name)
                    continue
                seen.add(name)
                yield from self._session(session, name, labelled, met)
        self.notes.append(
            f"{len(labelled)} labelled frontal clips of {len(set(labelled))} subjects (papers report 205 or "
            "208 clips; the number depends on the download)"
        )
        self.notes += counted(met)

    def load(self, path: str, frames: Sequence[int]) -> list[Image]:
        """Decode frames of one clip, upright; the clip is read once from its start.

        Seeking is not used: it lands on the wrong frame in many AVI files.

        Args:
            path: Path of the index, relative to `base`.
            frames: Frame numbers from 0, `[-1]` for a picture.

        Returns:
            One RGB uint8 array [H, W, 3] per wanted frame.

        Raises:
            DataError: The file is missing, or it holds no such frame.
        """
        file = self.base / path
        if file.suffix.casefold() != ".avi":
            return super().load(path, frames)
        if not file.is_file():
            raise DataError("the clip is missing", file=file, hint=_VERIFY)
        found = _decode(file, set(frames))
        missing = sorted(set(frames) - found.keys())
        if missing:
            problem = "the clip cannot be decoded up to this frame"
            raise DataError(problem, file=file, value=missing[0], hint=_VERIFY)
        view = read_view(file.parent)
        upright = {frame: _turn_upright(picture, view) for frame, picture in found.items()}
        return [upright[frame] for frame in frames]

    def _session(
        self, session: Path, name: str, labelled: list[str], met: dict[str, list[str]]
    ) -> Iterator[Mapping[str, Any]]:
        """Yield the rows of a session, adding the subject of every labelled frontal clip."""
        media = matching(session, self.base, rf"{_STEM}\.(?i:avi|jpg|jpeg|png)")
        if not media:
            return
        try:
            view = read_view(session)
        except DataError as error:
            raise_or_collect(error, rows=len(media))
            return
        if view is None:
            met["sessions skipped: session.xml is missing or does not give exactly one view"].append(name)
            return
        texts = {match.string for match in matching(session, self.base, rf"{_STEM}(-oao_aucs)?\.xml")}
        for match in media:
            file = session / match.string
            described, coded = file.with_suffix(".xml"), file.with_name(f"{file.stem}-oao_aucs.xml")
            clip = f"{name}/{file.stem}"
            try:
                values = read_emotions(described) if described.name in texts else set()
                coding = read_coding(coded) if coded.name in texts else None
            except DataError as error:
                raise_or_collect(error)
                continue
            native = next(iter(values)) if len(values) == 1 and values <= _CODES else None
            if native is None:
                met[f"clips without {'a basic' if values else 'any'} emotion"].append(clip)
            if native is None and coding is None:
                continue
            frames, width, height = _measure(file)
            if frames < 1:
                met["clips do not open and are skipped"].append(clip)
                collect(DataError("the clip does not open", file=file, value=f"{_size(file)} bytes"))
                continue
            picture = file.suffix.casefold() != ".avi"
            if native is not None and view == "0" and not picture:
                labelled.append(match[1])
            if coding is not None and coding.apex(frames) is None:
                met["coded clips have no apex, so their middle is used"].append(clip)
            fields: dict[str, Any] = {
                "path": file.relative_to(self.base).as_posix(),
                "native_label": native,
                "label": None if native is None else CARD.emotion_of(native),
                "subject": match[1],
                "sequence": clip,
                "group": match[1],
            }
            for suffix, half in _halves(view, width, height):
                if picture:
                    yield {**fields, **half, "sample_id": f"{clip}{suffix}"}
                else:
                    yield from _clip(f"{clip}/{{:03d}}{suffix}", {**fields, **half}, coding, frames)


def _clip(
    sample_id: str, fields: Mapping[str, Any], coding: Coding | None, frames: int
) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of one face of one clip.

    Args:
        sample_id: Format of the sample id, with a place for the frame number.
        fields: The columns that all rows share; the label is the expression's.
        coding: The clip's action units, if they are coded.
        frames: Number of frames of the clip.
    """
    apex = None if coding is None else coding.apex(frames)
    first, around = _neutral_and_apex(frames, frames // 2 if apex is None else apex)
    shared = {**fields, "reference_id": None if first is None else sample_id.format(first)}
    if first is not None:
        neutral = None if fields["label"] is None else Emotion.NEUTRAL
        yield {
            **shared,
            "sample_id": sample_id.format(first),
            "frame": first,
            "native_label": None,
            "label": neutral,
            "is_neutral_frame": True,
        }
    for frame in around:
        units = None if coding is None else coding.units(frame)
        yield {**shared, "sample_id": sample_id.format(frame), "frame": frame, "au": units}


def _neutral_and_apex(frames: int, centre: int) -> tuple[int | None, list[int]]:
    """Return the neutral frame and up to three frames around a centre, none of them twice.

    Args:
        frames: Number of frames of the clip, at least 1; with one frame it is the apex and none is neutral.
        centre: Wanted middle frame from 0, moved inwards where its neighbours would leave the clip.
    """
    if frames == 1:
        return None, [0]
    start = max(1, min(centre - 1, frames - 3))
    return 0, list(range(start, min(start + 3, frames)))


def _halves(view: str, width: int, height: int) -> list[tuple[str, dict[str, Any]]]:
    """Return, per face of a view, the suffix of its sample ids and its index columns."""
    variants = VIEWS[view]
    if len(variants) == 1:
        return [("", {"variant": variants[0]})]
    middle = width / 2
    boxes = ((0.0, 0.0, middle, float(height)), (middle, 0.0, float(width), float(height)))
    return [
        (f"-{v.removeprefix('dual-')}", {"variant": v, "box": b})
        for v, b in zip(variants, boxes, strict=True)
    ]


def _session_roots(folder: Path) -> list[Path]:
    """Return the Sessions folders at a folder or up to two levels below it, in the order of their paths."""
    if _holds_sessions(folder):
        return [folder]
    found: list[Path] = []
    level = [folder]
    for _ in range(_SEARCH_DEPTH + 1):
        deeper: list[Path] = []
        for place in level:
            if _holds_sessions(place / "Sessions"):
                found.append(place / "Sessions")
            else:
                deeper += subfolders(place)
        level = deeper
    return sorted(found)


def _holds_sessions(folder: Path) -> bool:
    return (
        folder.name == "Sessions" and folder.is_dir() and any(c.name.isdecimal() for c in subfolders(folder))
    )


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:  # gone since the folder was listed
        return 0


def _measure(file: Path) -> tuple[int, int, int]:
    """Return frames, width and height of a clip or picture; a file that does not open has no frames."""
    note_read(file)
    if file.suffix.casefold() != ".avi":
        picture = cv2.imread(str(file), cv2.IMREAD_COLOR)
        return (0, 0, 0) if picture is None else (1, picture.shape[1], picture.shape[0])
    capture = cv2.VideoCapture(str(file))
    try:
        if not capture.isOpened():
            return 0, 0, 0
        wanted = (cv2.CAP_PROP_FRAME_COUNT, cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
        frames, width, height = (int(capture.get(p)) for p in wanted)
        return frames, width, height
    finally:
        capture.release()


def _decode(file: Path, wanted: set[int]) -> dict[int, Image]:
    """Return those wanted frames of a clip that decode, RGB uint8 [H, W, 3] as stored."""
    found: dict[int, Image] = {}
    capture = cv2.VideoCapture(str(file))
    try:
        for position in range(max(wanted, default=-1) + 1):
            if not capture.grab():
                break
            if position in wanted:
                decoded, picture = capture.retrieve()
                if decoded:
                    found[position] = np.asarray(picture[:, :, ::-1], np.uint8)
    finally:
        capture.release()
    return found


def _turn_upright(picture: Image, view: str | None) -> Image:
    """Return a frame upright: profile clips are turned one way, frontal clips not 480 high the other way."""
    turns = 0
    if view == "1":
        turns = 1
    elif view == "0" and picture.shape[0] != _UPRIGHT_HEIGHT:
        turns = -1
    return np.ascontiguousarray(np.rot90(picture, turns))
