"""The truth about synthetic pictures: what the generator knows about every face it drew.

Next to the marker of a synthetic dataset is `synthetic-truth.parquet`, with a row per face in the order in
which the layout plans them. Readers do not use it. Columns:

| column | type | meaning |
| --- | --- | --- |
| `path`, `frame` | str, int | the picture as the reader's index names it |
| `original` | str | picture of the same face that is read where `path` is missing, or empty |
| `box_x0` ... `box_y1` | float | face box in pixels of an upright picture that may show several, else NaN |
| `subject` | str | the index's `subject` where the dataset has subjects, else a number |
| `label` | str | canonical emotion of the label written for the picture or its sequence |
| `expression` | str | the emotion drawn, which may differ from the label; of a sequence, that of its apex |
| `share` | float | how far a frame is on the way to it, 0 at rest to 1; NaN for single pictures |
| `clarity` | float | 1 for a full, unblended expression, towards 0 for a weak or blended one, at its apex |
| `valence`, `arousal` | float | in [-1, 1], computed from this frame's units, without a rater's noise |
| `au_<n>_left`, `au_<n>_right` | float | intensity in this frame, 0 to 1, by side of the picture |
| `sex` | str | `female` or `male` |
| `years` | int | age in years |
| `race` | str | `caucasian`, `african` or `asian`, as RAF-DB's annotators would code the face |
| `skin_red`, `skin_green`, `skin_blue` | float | colour of the skin before light and camera, 0 to 255 |
| `hair`, `beard`, `glasses` | str | words of `HAIR`, `BEARDS`, `GLASSES` |
| `yaw`, `pitch`, `roll` | float | degrees to the right, down, clockwise, with the sway of this frame |
| `gaze_right`, `gaze_down` | float | offset of the irises in half eye widths |
| `blink` | float | 0 open to 1 closed |
| `light_right`, `light_down`, `light_front` | float | where the light comes from, not of unit length |
| `ambient` | float | share of the light without direction, 0 to 1 |
| `strength` | float | brightness of a fully lit patch of skin, 1 = its own colour |
| `gain_red`, `gain_green`, `gain_blue` | float | factors of the colour channels; equal in grey pictures |
| `gamma` | float | exponent of the tone curve, 1 = linear |
| `grey`, `nir` | bool | without colour; taken in near infrared, which is grey too |
| `blur` | float | standard deviation of the lens's blur, in pixels of drawing |
| `noise` | float | standard deviation of the sensor's noise, in grey levels of 255 |
| `coarse` | float | resolution kept, 1 = all |
| `jpeg` | int | quality of an earlier compression, 100 = none |
| `occlusion` | str | `hand`, `object`, `sunglasses` or `edge`: what covers a part of the face |
| `backdrop` | int | seed of the background |

Texts may be missing: a `label` where none was written, an `occlusion` where there is none. A picture without
a face (FER2013 has some) has a row too, in which everything about a face is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
from numpy.typing import NDArray

from fer_bench.emotions import Emotion
from fer_bench.errors import DataError
from fer_bench.synthetic.anatomy import FACE_AUS, Pose
from fer_bench.synthetic.expressions import Expression, valence_arousal
from fer_bench.synthetic.population import Person
from fer_bench.synthetic.shots import Scene

TRUTH = "synthetic-truth.parquet"
"""Name of the file in the folder of a synthetic dataset."""
HAIR = ("bald", "short", "side parting", "fringe", "long", "long with fringe", "curly", "receding")
"""Words of the column `hair`, by `Identity.hair_style`."""
BEARDS = ("none", "stubble", "moustache", "full beard", "goatee")
"""Words of the column `beard`, by `Identity.beard`."""
GLASSES = ("none", "round", "thick")
"""Words of the column `glasses`, by `Identity.glasses`."""
AU_COLUMNS: tuple[str, ...] = tuple(
    f"au_{number}_{side}" for number in FACE_AUS for side in ("left", "right")
)
"""Columns of the action units, in the order of an intensity array [17, 2] read row by row."""

Box = tuple[float, float, float, float]
Row = list[Any]

_BOX = ("box_x0", "box_y0", "box_x1", "box_y1")
_SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("frame", pa.int32()),
        ("original", pa.string()),
        *((name, pa.float32()) for name in _BOX),
        ("subject", pa.string()),
        ("label", pa.string()),
        ("expression", pa.string()),
        *((name, pa.float32()) for name in ("share", "clarity", "valence", "arousal")),
        # In full precision, so that a coder's threshold gives the labels that were written.
        *((name, pa.float64()) for name in AU_COLUMNS),
        ("sex", pa.string()),
        ("years", pa.int16()),
        ("race", pa.string()),
        *((name, pa.float32()) for name in ("skin_red", "skin_green", "skin_blue")),
        *((name, pa.string()) for name in ("hair", "beard", "glasses")),
        *((name, pa.float32()) for name in ("yaw", "pitch", "roll", "gaze_right", "gaze_down", "blink")),
        *((name, pa.float32()) for name in ("light_right", "light_down", "light_front")),
        *((name, pa.float32()) for name in ("ambient", "strength")),
        *((name, pa.float32()) for name in ("gain_red", "gain_green", "gain_blue", "gamma")),
        *((name, pa.bool_()) for name in ("grey", "nir")),
        *((name, pa.float32()) for name in ("blur", "noise", "coarse")),
        ("jpeg", pa.int16()),
        ("occlusion", pa.string()),
        ("backdrop", pa.int64()),
    ]
)
COLUMNS: tuple[str, ...] = tuple(_SCHEMA.names)
_GROUP = 1 << 14
"""Rows held in memory while the file is written."""


@dataclass(frozen=True)
class FaceTruth:
    """A face as it was drawn into one picture.

    Attributes:
        person: The person.
        expression: The expression at its apex.
        au: Intensities of this frame [17, 2].
        scene: How it was taken.
        pose: The pose drawn, with the sway of this frame.
        share: How far the frame is on the way to the apex, NaN for a single picture.
        nir: Taken in near infrared.
    """

    person: Person
    expression: Expression
    au: NDArray[np.float64]
    scene: Scene
    pose: Pose
    share: float = float("nan")
    nir: bool = False


def face_row(
    face: FaceTruth,
    path: str,
    label: Emotion | None,
    *,
    subject: str | None = None,
    frame: int = -1,
    original: str = "",
    box: Box | None = None,
) -> Row:
    """Return the row of a drawn face, in the order of `COLUMNS`.

    Args:
        face: What was drawn.
        path: The picture, as the reader names it.
        label: Canonical emotion of the label written for it.
        subject: The person's name in the reader; None for the person's number.
        frame: Frame of a video or row of a table, -1 for a picture.
        original: Another picture of the same face.
        box: The face's box where the picture may show several.
    """
    who, pose = face.person.identity, face.pose
    return [
        *_place(path, frame, original, box),
        str(face.person.number) if subject is None else subject,
        _name(label),
        face.expression.emotion.value,
        _number(face.share),
        float(face.expression.clarity),
        *valence_arousal(face.au),
        *face.au.reshape(-1).tolist(),
        face.person.gender,
        int(face.person.years),
        face.person.race,
        *(float(value) for value in who.skin),
        HAIR[who.hair_style],
        BEARDS[who.beard],
        GLASSES[who.glasses],
        *(float(value) for value in (pose.yaw, pose.pitch, pose.roll, *pose.gaze, pose.blink)),
        *_taken(face.scene, nir=face.nir),
    ]


def faceless_row(scene: Scene, path: str, label: Emotion | None, *, frame: int = -1) -> Row:
    """Return the row of a picture that has a label but shows no face."""
    missing = [None] * (COLUMNS.index("light_right") - COLUMNS.index("expression"))
    return [*_place(path, frame, "", None), None, _name(label), *missing, *_taken(scene, nir=False)]


def _place(path: str, frame: int, original: str, box: Box | None) -> Row:
    return [path, int(frame), original, *(box or (None,) * 4)]


def _name(label: Emotion | None) -> str | None:
    return None if label is None else label.value


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _taken(scene: Scene, *, nir: bool) -> Row:
    light = scene.light
    return [
        *(float(value) for value in light.direction),
        float(light.ambient),
        float(light.strength),
        *(float(value) for value in scene.gains),
        float(scene.gamma),
        bool(scene.grey),
        nir,
        float(scene.blur),
        float(scene.noise),
        float(scene.coarse),
        int(scene.jpeg),
        None if scene.occlusion is None else scene.occlusion[0],
        int(scene.backdrop),
    ]


def write_truth(file: Path, rows: Iterable[Row]) -> None:
    """Write the table; the bytes depend on the rows and the version of pyarrow only."""
    with pa.parquet.ParquetWriter(file, _SCHEMA, compression="zstd") as writer:
        for part in _parts(rows):
            columns = zip(zip(*part, strict=True), _SCHEMA.types, strict=True)
            arrays = [pa.array(values, kind) for values, kind in columns]
            writer.write_table(pa.Table.from_arrays(arrays, schema=_SCHEMA))


def _parts(rows: Iterable[Row]) -> Iterator[list[Row]]:
    remaining = iter(rows)
    while part := list(islice(remaining, _GROUP)):
        yield part


def read_truth(root: Path | str) -> pd.DataFrame:
    """Return the truth about a synthetic dataset, a row per drawn face; the columns are those of this module.

    Args:
        root: The dataset's folder, or one inside it such as the reader's base folder.

    Raises:
        DataError: The table is missing: the data are real, or drawn by an older version.
    """
    root = Path(root)
    for folder in (root, *root.absolute().parents[:2]):
        if (folder / TRUTH).is_file():
            return pd.read_parquet(folder / TRUTH)
    raise DataError(
        "the table of what was drawn is missing",
        file=root / TRUTH,
        hint="real data have none; draw the synthetic data again: fer-bench data synth --out DIR",
    )


def join_truth(index: pd.DataFrame, truth: pd.DataFrame) -> pd.DataFrame:
    """Return an index with the truth about every row in further columns, each called `true_<column>`.

    Pictures are joined by path and frame; of several faces in a picture, the one whose box overlaps most with
    the row's is taken.

    Args:
        index: Any rows of the reader's index.
        truth: All rows of `read_truth`.

    Raises:
        DataError: A row without a drawn face, or with several and no box to tell them apart.
    """
    drawn: dict[tuple[str, int], list[int]] = {}
    frames = truth["frame"].tolist()
    for paths in (truth["path"].tolist(), truth["original"].tolist()):
        for number, place in enumerate(zip(paths, frames, strict=True)):
            if place[0]:
                drawn.setdefault(place, []).append(number)
    boxes = truth[list(_BOX)].to_numpy(np.float64)
    found = np.empty(len(index), np.int64)
    places = zip(index["path"].tolist(), index["frame"].tolist(), index["box"].tolist(), strict=True)
    for row, (path, frame, box) in enumerate(places):
        faces = drawn.get((path, frame), [])
        if len(faces) > 1 and box is not None:
            faces = [faces[int(np.argmax(_overlaps(boxes[faces], box)))]]
        if len(faces) != 1:
            problem = "several drawn faces belong" if faces else "no drawn face belongs"
            raise DataError(f"{problem} to a row of the index", file=path, value=index["sample_id"].iloc[row])
        found[row] = faces[0]
    told = truth.drop(columns=["path", "frame", "original", *_BOX]).iloc[found].add_prefix("true_")
    return pd.concat([index, told.set_index(index.index)], axis=1)


def _overlaps(boxes: NDArray[np.float64], box: Sequence[float]) -> NDArray[np.float64]:
    """Return the intersection over union of boxes [N, 4] with a box."""
    other = np.asarray(box, np.float64)
    low, high = np.maximum(boxes[:, :2], other[:2]), np.minimum(boxes[:, 2:], other[2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=1)
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) + float(np.prod(other[2:] - other[:2]))
    overlaps: NDArray[np.float64] = shared / (areas - shared)
    return overlaps
