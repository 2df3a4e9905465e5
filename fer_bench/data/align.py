"""From a decoded picture to the square crop that a network sees, as a versioned recipe."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from fer_bench.data.card import Frozen
from fer_bench.data.dataset import Image
from fer_bench.errors import DataError

CropKind = Literal["whole", "box", "landmarks", "detect"]
Found = Literal["whole", "box", "landmarks", "detected", "centre"]
"""How the face of one row was found; `centre` is the weak last resort."""
LARGEST = 20
"""Side of the largest square that is cut, in longer sides of the picture: beyond it a label must be wrong."""


class CropRecipe(Frozen):
    """How faces are cut out.

    Attributes:
        kind: `whole` takes the picture as shipped (it is a face crop already); `box` the dataset's face box;
            `landmarks` the square around the facial landmarks; `detect` finds the face with OpenCV's frontal
            cascade. A row that lacks what the kind needs is detected; where that fails too, the central
            square is taken and counted as weak.
        size: Side of the crop in pixels.
        margin: Enlargement of the square, as a share of its side.
        version: Raised when the result changes.
    """

    kind: CropKind
    size: int = Field(ge=16, le=1024)
    margin: float = Field(default=0.2, ge=0, le=1)
    version: int = 1

    @property
    def text(self) -> str:
        """Return the recipe as one short line, as records and boards show it."""
        margin = "" if self.kind == "whole" else f" +{self.margin:.0%}"
        return f"{self.kind}{margin} {self.size}px v{self.version}"


def find_face(
    image: Image, box: Any, landmarks: Any, recipe: CropRecipe
) -> tuple[NDArray[np.float64], Found]:
    """Return the square to cut out, and how it was found.

    Args:
        image: RGB uint8 [H, W, 3].
        box: (x0, y0, x1, y1) in pixels or None.
        landmarks: [n, 2] in pixels or None.
        recipe: The recipe.

    Returns:
        (x0, y0, x1, y1) in pixels, which may reach beyond the picture, and the way it was found.
    """
    height, width = image.shape[:2]
    if recipe.kind == "whole" and box is None:
        return np.array([0.0, 0.0, width, height]), "whole"
    if recipe.kind == "landmarks" and landmarks is not None:
        low, high = np.min(landmarks, axis=0), np.max(landmarks, axis=0)
        return _square(
            float(low[0]), float(low[1]), float(high[0]), float(high[1]), recipe.margin
        ), "landmarks"
    if recipe.kind in ("box", "whole") and box is not None:
        x0, y0, x1, y1 = (float(v) for v in box)
        return _square(x0, y0, x1, y1, recipe.margin), "box"
    left, top, right, bottom = 0, 0, width, height
    if box is not None:
        clipped = np.clip(box, 0, [width, height] * 2).astype(int)
        if (clipped[2:] > clipped[:2]).all():  # else the box lies outside and says nothing
            left, top, right, bottom = (int(v) for v in clipped)
    face = _detect(image[top:bottom, left:right])
    if face is not None:
        x, y, w, h = face
        return _square(left + x, top + y, left + x + w, top + y + h, recipe.margin), "detected"
    side = min(right - left, bottom - top)
    x, y = (left + right - side) / 2, (top + bottom - side) / 2
    return np.array([x, y, x + side, y + side]), "centre"


def cut(image: Image, square: NDArray[np.float64], size: int) -> Image:
    """Cut a rectangle out of a picture and scale it to a square crop.

    Args:
        image: RGB uint8 [H, W, 3].
        square: (x0, y0, x1, y1); beyond the picture its border pixels are repeated.
        size: Side of the result.

    Returns:
        RGB uint8 [size, size, 3].

    Raises:
        DataError: The rectangle is so much larger than the picture that its numbers cannot be meant.
    """
    import cv2

    x0, y0, x1, y1 = (round(float(v)) for v in square)
    x1, y1 = max(x1, x0 + 1), max(y1, y0 + 1)
    height, width = image.shape[:2]
    if max(x1 - x0, y1 - y0) > LARGEST * max(height, width):
        raise DataError(
            f"the face's square is more than {LARGEST} times as large as its picture of {width}x{height}",
            value=(x0, y0, x1, y1),
        )
    if x0 < 0 or y0 < 0 or x1 > width or y1 > height:
        columns = np.clip(np.arange(x0, x1), 0, width - 1)
        rows = np.clip(np.arange(y0, y1), 0, height - 1)
        piece = image[rows[:, None], columns]
    else:
        piece = image[y0:y1, x0:x1]
    shrinking = piece.shape[0] > size or piece.shape[1] > size
    resized = cv2.resize(piece, (size, size), interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR)
    return np.asarray(resized, np.uint8)


def _square(x0: float, y0: float, x1: float, y1: float, margin: float) -> NDArray[np.float64]:
    side = max(x1 - x0, y1 - y0) * (1 + margin)
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    return np.array([x - side / 2, y - side / 2, x + side / 2, y + side / 2])


_local = threading.local()


def _cascade() -> Any:
    """Return this thread's cascade: a cv2.CascadeClassifier must not be used by two threads at once."""
    import cv2

    if not hasattr(_local, "cascade"):
        folder = Path(cv2.__file__).parent / "data"
        file = folder / "haarcascade_frontalface_default.xml"
        _local.cascade = cv2.CascadeClassifier(str(file))
    return _local.cascade


def _detect(image: Image) -> tuple[int, int, int, int] | None:
    """Return x, y, width, height of the largest face that the frontal cascade finds."""
    import cv2

    if min(image.shape[:2]) < 40:
        return None
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    least = max(30, min(image.shape[:2]) // 5)
    faces = _cascade().detectMultiScale(grey, scaleFactor=1.1, minNeighbors=5, minSize=(least, least))
    if len(faces) == 0:
        return None
    x, y, w, h = max((tuple(int(v) for v in face) for face in faces), key=lambda face: face[2] * face[3])
    return x, y, w, h
