"""Faces that a detector found in a picture, and which of several is meant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fer_bench.errors import DataError, UsageError

Box = tuple[float, float, float, float]
FaceRule = Literal["largest", "nearest", "all"]
"""Which faces of a picture are meant: the largest, the one nearest to a given box, or all."""
LEAST_OVERLAP = 0.2
"""Intersection over union with a given box below which a face is another one."""


class DetectorError(DataError):
    """The face detector of this machine cannot be used, whatever the picture."""


@dataclass(frozen=True, eq=False)
class Face:
    """A face in a picture.

    Attributes:
        box: (x0, y0, x1, y1) in pixels; it may reach beyond the picture.
        landmarks: Eyes, nose tip and corners of the mouth, float64 [5, 2] in pixels, of each pair the one on
            the left of the picture first; None from the cascade, which finds none.
        score: The detector's probability that this is a face, in [0, 1]; NaN from the cascade, which gives
            none.
    """

    box: Box
    landmarks: NDArray[np.float64] | None
    score: float

    @property
    def area(self) -> float:
        """Return the area of the box in square pixels."""
        return (self.box[2] - self.box[0]) * (self.box[3] - self.box[1])

    def moved(self, x: float, y: float) -> Face:
        """Return the face shifted by some pixels, as from a part of a picture to the whole."""
        x0, y0, x1, y1 = self.box
        points = None if self.landmarks is None else self.landmarks + np.array([x, y], np.float64)
        return Face((x0 + x, y0 + y, x1 + x, y1 + y), points, self.score)

    def scaled(self, x: float, y: float) -> Face:
        """Return the face in a picture that is so many times as wide and as high."""
        x0, y0, x1, y1 = self.box
        points = None if self.landmarks is None else self.landmarks * np.array([x, y], np.float64)
        return Face((x0 * x, y0 * y, x1 * x, y1 * y), points, self.score)


def left_first(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return five points [5, 2] with the eye and the corner of the mouth on the left of the picture first."""
    found = points.copy()
    for pair in ([0, 1], [3, 4]):
        found[pair] = sorted(points[pair].tolist())
    return found


def in_order(faces: Sequence[Face]) -> list[Face]:
    """Return faces from the largest to the smallest; equally large ones from left to right."""
    return sorted(faces, key=lambda face: (-face.area, face.box))


def choose_faces(faces: Sequence[Face], rule: FaceRule, box: Any = None) -> list[Face]:
    """Return the faces that are meant by a rule, from the largest to the smallest.

    Args:
        faces: All faces of a picture.
        rule: `largest`; `nearest`, whose box has the largest intersection over union with the given one, or
            none if every face has less than `LEAST_OVERLAP`; or `all`.
        box: (x0, y0, x1, y1) in pixels, for `nearest`.

    Raises:
        UsageError: `nearest` without a box.
    """
    ordered = in_order(faces)
    if rule == "all":
        return ordered
    if rule == "largest":
        return ordered[:1]
    if box is None:
        raise UsageError("the face nearest to a box cannot be chosen without a box")
    overlaps = [overlap(face.box, box) for face in ordered]
    best = int(np.argmax(overlaps)) if overlaps else -1
    return [ordered[best]] if best >= 0 and overlaps[best] >= LEAST_OVERLAP else []


def overlap(one: Any, other: Any) -> float:
    """Return the intersection over union of two boxes (x0, y0, x1, y1), 0 if neither has an area."""
    a, b = (np.asarray(box, np.float64) for box in (one, other))
    common = float(np.prod(np.maximum(0.0, np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]))))
    whole = float(np.prod(a[2:] - a[:2])) + float(np.prod(b[2:] - b[:2])) - common
    return common / whole if whole > 0 else 0.0
