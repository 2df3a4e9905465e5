"""ExpW: 91,793 labelled faces in photos found by web search, several faces per photo, no official split."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from fer_bench.data.card import Card, HashSplit, Protocol, Quirk, TreeEntry, class_counts, native_classes
from fer_bench.data.reading.dataset import FaceDataset
from fer_bench.data.reading.dependencies import note_read
from fer_bench.data.reading.folders import Listing, list_folder, listed_path
from fer_bench.data.reading.missing import refuse_missing
from fer_bench.data.reading.parsing import parsed_lines
from fer_bench.data.reading.textfile import numbered_lines
from fer_bench.emotions import LABEL_SETS
from fer_bench.errors import DataError

_README = "official readme.txt, as kept in Sansonisimone/ExpW_dataset"
_PAGE_COPY = "rhkb.cn copy of the project page"
_LABEL_FILES = ("label/label.lst", "label.lst")
_IMAGE_FOLDERS = ("image/origin", "origin/origin", "origin")
_COPIED_FOLDERS = ("Images/origin", "Images", "images", "image")
"""Photo folders of public copies, which keep the official list."""
_FIELDS = "image_name face_id top left right bottom confidence label"

CARD = Card(
    name="expw",
    title="ExpW",
    setting="wild",
    citation=(
        "Zhang, Luo, Loy & Tang (2018), From Facial Expression Recognition to Interpersonal Relation "
        "Prediction, IJCV 126, doi:10.1007/s11263-017-1055-1"
    ),
    licence="Non-commercial research only.",
    obtain="CUHK MMLab project page: https://mmlab.ie.cuhk.edu.hk/projects/socialrelation/index.html",
    classes=native_classes(("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")),
    tree=(
        TreeEntry("label/label.lst", f"one face per line: `{_FIELDS}` (or label.lst in the root)"),
        TreeEntry("image/origin/<name>.jpg", "whole photos (or origin/, origin/origin/)"),
    ),
    protocols=(
        Protocol(
            name="7-hash",
            label_set=LABEL_SETS["7"],
            split=HashSplit(),
            note="no official split exists; 70/15/15 by photo, frozen by a hash of the photo's name",
        ),
    ),
    default_protocol="7-hash",
    quick_protocol="7-hash",
    counts=class_counts(
        [str(code) for code in range(7)],
        {"none": (3671, 3995, 1088, 30537, 10559, 7060, 34883)},
        trust="secondary",
        source=_PAGE_COPY,
        unit="faces",
    ),
    quirks=(
        Quirk("The box order is top, left, right, bottom.", "page", _README),
        Quirk(
            "One photo may carry several labelled faces; face ids have gaps and need not start at 0. A face "
            "is `<name>#<face id>`, and the faces of one photo stay on one side of every split.",
            "code",
            "measured on the excerpt in Sansonisimone/ExpW_dataset",
        ),
        Quirk(
            "The confidence is a detector score far above 1, not a probability; no row is dropped by it.",
            "code",
            "measured on the excerpt in Sansonisimone/ExpW_dataset",
        ),
        Quirk(
            "Public copies have the photos in Images/ beside the official list; they are read as repackaged.",
            "secondary",
            "listings of public copies",
        ),
        Quirk(
            "Over 15,000 photos of the archive have no label line: the list is iterated, never the folder.",
            "secondary",
            "process log of a public loader",
        ),
        Quirk(
            "File names are search queries with an emotion word, so a path must never reach a model.",
            "code",
            "names in Sansonisimone/ExpW_dataset",
        ),
        Quirk(
            "MMAFEDB combines FER2013 and ExpW: never counted as cross-dataset.",
            "inferred",
            "class counts of MMAFEDB less those of FER2013 are those of ExpW in all seven classes",
        ),
    ),
    unit="image",
    shares_pixels_with=("mmafedb",),
)


class ExpW(FaceDataset):
    """Expression in-the-Wild: faces as boxes in whole photos."""

    card = CARD
    keeps_index = True
    crop = "box"

    @classmethod
    def locate(cls, folder: Path) -> Path | None:
        """Return the folder if it holds a label list and a photo folder at one of the known places."""
        listed = any((folder / name).is_file() for name in _LABEL_FILES)
        return folder if listed and _photos(folder) else None

    def rows(self) -> Iterator[Mapping[str, Any]]:
        """Yield one row per line of the label list.

        Raises:
            DataError: A malformed or repeated line, or a listed photo that is not on disk.
        """
        for name in (*_LABEL_FILES, *_IMAGE_FOLDERS, *_COPIED_FOLDERS):
            note_read(self.base / name)
        file = next(self.base / name for name in _LABEL_FILES if (self.base / name).is_file())
        inner = _photos(self.base) or ""
        if inner in _COPIED_FOLDERS:
            self.notes.append(f"repackaged: the photos are in {inner}/; the label list is the official one")
        photos = list_folder(self.base / inner, self.base)
        missing: dict[str, int] = {}
        faces = parsed_lines(
            numbered_lines(file),
            partial(_parse, photos),
            file=file,
            unique=lambda face: f"{face.listed} {face.id}",
        )
        for line, face in faces:
            if not face.is_there:
                missing.setdefault(face.photo, line)
            yield {
                "sample_id": f"{face.listed}#{face.id}",
                "path": f"{inner}/{face.photo}",
                "box": face.box,
                "native_label": face.code,
                "label": self.card.emotion_of(face.code),
                "group": face.listed,
            }
        lines = [(line, name) for name, line in missing.items()]
        refuse_missing(lines, file=file, folder=photos.folder, dataset=self.card.name)


class _Face(NamedTuple):
    """One line: photo as listed and as on disk, face id, box (left, top, right, bottom) and class code."""

    listed: str
    photo: str
    is_there: bool
    id: int
    box: tuple[float, float, float, float]
    code: str


def _photos(folder: Path) -> str | None:
    """Return the folder of the photos, relative to the given one."""
    return next((name for name in (*_IMAGE_FOLDERS, *_COPIED_FOLDERS) if (folder / name).is_dir()), None)


def _parse(photos: Listing, line: str) -> _Face:
    fields = line.split()
    if len(fields) != 8:
        raise DataError(f"a line has eight fields: {_FIELDS}", value=line)
    name, code = listed_path(fields[0]), fields[7]
    try:
        face_id, top, left, right, bottom = (int(field) for field in fields[1:6])
        confidence = float(fields[6])
    except ValueError:
        problem = "face id and box are integers, the confidence is a number"
        raise DataError(problem, value=line) from None
    if not math.isfinite(confidence):
        raise DataError("the confidence is not a finite number", value=fields[6])
    if not (right > left and bottom > top):
        raise DataError("the box (top, left, right, bottom) has no area", value=line)
    if len(code) != 1 or code not in "0123456":
        raise DataError("the label is not one of 0 to 6", value=code)
    box = (float(left), float(top), float(right), float(bottom))
    photo = photos.picture(name)
    return _Face(name, photo or name, photo is not None, face_id, box, code)
