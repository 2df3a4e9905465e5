"""Versioned recipes for square crops of faces, and how they are cut from a decoded picture."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from fer_bench.data.crops.detectors import find_with_cascade, find_with_yunet, yunet_file
from fer_bench.data.reading.dataset import FaceDataset
from fer_bench.data.reading.pictures import Image
from fer_bench.errors import DataError
from fer_bench.schema import Frozen

CropKind = Literal["whole", "fit", "box", "landmarks", "similarity", "detect"]
Detector = Literal["cascade", "yunet"]
Found = Literal["whole", "box", "landmarks", "detected", "centre"]
"""How the face of one row was found; `centre` is the weak last resort."""
AS_SHIPPED: tuple[CropKind, ...] = ("whole", "fit")
"""Kinds that do not search for a face."""
LARGEST = 20
"""Side of the largest square that is cut, in longer sides of the picture; a larger one must be an error."""
TEMPLATE: NDArray[np.float64] = np.array([[0.34, 0.42], [0.66, 0.42], [0.5, 0.6], [0.37, 0.78], [0.63, 0.78]])
"""Positions of eyes, nose tip and corners of the mouth as shares of a crop without margin. They are level and
symmetric, so that mirroring a crop keeps them in place."""
FINEST = 8192
"""Side in pixels of the largest intermediate picture of a similarity crop."""
_IBUG_EYES = (slice(36, 42), slice(42, 48))
_IBUG_SINGLE = (30, 48, 54)
"""Nose tip and corners of the mouth among the 68 points of the iBUG mark-up, counted from 0."""


class CropRecipe(Frozen):
    """How faces are cropped.

    Attributes:
        kind: `whole` takes the picture as it is (it is a face crop already); `fit` does so and keeps its
            proportions, repeating the border of a picture that is not square; `box` takes the dataset's face
            box; `landmarks` the square around the facial landmarks; `similarity` rotates and scales the face
            so that eyes, nose and mouth are as in `TEMPLATE`; `detect` searches for the face. Rows that lack
            what the kind needs are searched; if that fails too, the central square is taken. A central square
            and a face found by the cascade count as weak.
        size: Side of the crop in pixels.
        margin: Enlargement of the square, as a share of its side.
        detector: What searches: YuNet, or OpenCV's frontal cascade, which is weak.
        version: Raised when the result changes.
    """

    kind: CropKind
    size: int = Field(ge=16, le=1024)
    margin: float = Field(default=0.2, ge=0, le=1)
    detector: Detector = "cascade"
    version: int = 1

    @property
    def text(self) -> str:
        """Return the recipe as one short line for records and boards."""
        if self.kind in AS_SHIPPED:
            return f"{self.kind} {self.size}px v{self.version}"
        who = "YuNet" if self.detector == "yunet" else "cascade (weak)"
        by = f" by {who}" if self.kind == "detect" else f", else {who}"
        return f"{self.kind}{by} +{self.margin:.0%} {self.size}px v{self.version}"

    def is_weak(self, found: Found) -> bool:
        """Return whether what was found this way may not be a face, or not the right one."""
        return found == "centre" or (found == "detected" and self.detector == "cascade")


def recipe_for(dataset: FaceDataset, size: int) -> CropRecipe:
    """Return how the faces of a dataset are cropped on this machine.

    Args:
        dataset: The dataset, whose `crop` and `margin` say how.
        size: Side of the crops in pixels.

    Raises:
        DataError: The YuNet model is missing or not the known one, see `yunet_file`.
    """
    searches = dataset.crop not in AS_SHIPPED
    detector: Detector = "yunet" if searches and yunet_file() is not None else "cascade"
    if dataset.margin is None:
        return CropRecipe(kind=dataset.crop, size=size, detector=detector)
    return CropRecipe(kind=dataset.crop, size=size, margin=dataset.margin, detector=detector)


def crop_face(image: Image, box: Any, landmarks: Any, recipe: CropRecipe) -> tuple[Image, Found]:
    """Return the crop of one face, and how the face was found.

    Args:
        image: RGB uint8 [H, W, 3].
        box: (x0, y0, x1, y1) in pixels or None.
        landmarks: [n, 2] in pixels or None.
        recipe: The recipe.

    Returns:
        RGB uint8 [size, size, 3], and the way it was found.

    Raises:
        DataError: The face's square is far too large for its picture.
    """
    if recipe.kind == "whole" and box is None:
        return _scale(image, recipe.size), "whole"
    if recipe.kind == "similarity":
        points, way = five_points(landmarks), "landmarks"
        if points is None and recipe.detector == "yunet":
            left, top, right, bottom = _inside(image, box)
            face = find_with_yunet(image[top:bottom, left:right])
            points, way = (None if face is None else face[1] + np.array([left, top])), "detected"
        if points is not None and (matrix := similarity(points, recipe)) is not None:
            return warp(image, matrix, recipe.size), "landmarks" if way == "landmarks" else "detected"
    square, found = find_face(image, box, landmarks, recipe)
    return cut(image, square, recipe.size), found


def five_points(landmarks: Any) -> NDArray[np.float64] | None:
    """Return eyes, nose tip and corners of the mouth [5, 2], the one on the left of the picture first.

    Args:
        landmarks: 5 points in this sense, 68 in the iBUG mark-up, or None.

    Returns:
        None without landmarks, or with another number of them.
    """
    if landmarks is None or len(landmarks) not in (5, 68):
        return None
    points = np.asarray(landmarks, np.float64)
    if len(points) == 68:
        eyes = [points[eye].mean(axis=0) for eye in _IBUG_EYES]
        points = np.stack([*eyes, *(points[i] for i in _IBUG_SINGLE)])
    points = points.copy()
    for pair in ([0, 1], [3, 4]):
        points[pair] = sorted(points[pair].tolist())
    return points


def similarity(points: NDArray[np.float64], recipe: CropRecipe) -> NDArray[np.float64] | None:
    """Return the shift, rotation and scaling that bring five points closest to the template.

    The least-squares fit without reflection (Umeyama 1991). It uses neither matrix products nor complex
    numbers, as their last bits depend on the processor.

    Args:
        points: [5, 2] in pixels of the picture.
        recipe: Size and margin of the crop.

    Returns:
        The matrix [2, 3] from pixels of the picture to pixels of the crop, None if the points coincide.
    """
    wanted = ((TEMPLATE - 0.5) / (1 + recipe.margin) + 0.5) * recipe.size
    middle, aim = points.mean(axis=0), wanted.mean(axis=0)
    (x, y), (u, v) = (points - middle).T, (wanted - aim).T
    spread = float((x * x + y * y).sum())
    if spread < 1.0:
        return None
    cosine, sine = float((x * u + y * v).sum()) / spread, float((x * v - y * u).sum()) / spread
    if max(abs(cosine), abs(sine)) < 1e-6:
        return None
    (x0, y0), (u0, v0) = middle.tolist(), aim.tolist()
    return np.array(
        [[cosine, -sine, u0 - (cosine * x0 - sine * y0)], [sine, cosine, v0 - (sine * x0 + cosine * y0)]]
    )


def warp(image: Image, matrix: NDArray[np.float64], size: int) -> Image:
    """Apply a similarity transform, averaging pixels when shrinking and repeating the border of the picture.

    Args:
        image: RGB uint8 [H, W, 3].
        matrix: [2, 3], from pixels of the picture to pixels of the crop.
        size: Side of the crop.

    Raises:
        DataError: The crop would be far too large for its picture.
    """
    import cv2

    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    height, width = image.shape[:2]
    if size > LARGEST * max(height, width) * scale:
        raise DataError(
            f"the face's square is more than {LARGEST} times as large as its picture of {width}x{height}",
            value=round(size / scale),
        )
    finer = max(1, min(int(np.ceil(1 / scale)), FINEST // size))
    centred = matrix * finer
    centred[:, 2] += (
        0.5 * (centred[:, 0] + centred[:, 1]) - 0.5
    )  # OpenCV counts from the centre of the first pixel
    side = size * finer
    moved = cv2.warpAffine(
        image, centred, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    if finer > 1:
        moved = cv2.resize(moved, (size, size), interpolation=cv2.INTER_AREA)
    return np.asarray(moved, np.uint8)


def find_face(
    image: Image, box: Any, landmarks: Any, recipe: CropRecipe
) -> tuple[NDArray[np.float64], Found]:
    """Return the square of a face, and how it was found.

    Args:
        image: RGB uint8 [H, W, 3].
        box: (x0, y0, x1, y1) in pixels or None.
        landmarks: [n, 2] in pixels or None.
        recipe: The recipe.

    Returns:
        (x0, y0, x1, y1) in pixels, possibly beyond the picture, and the way it was found.
    """
    height, width = image.shape[:2]
    if recipe.kind == "whole" and box is None:
        return np.array([0.0, 0.0, width, height]), "whole"
    if recipe.kind == "fit" and box is None:
        return _square(0.0, 0.0, float(width), float(height), 0.0), "whole"
    if recipe.kind == "landmarks" and landmarks is not None:
        low, high = np.min(landmarks, axis=0), np.max(landmarks, axis=0)
        return _square(
            float(low[0]), float(low[1]), float(high[0]), float(high[1]), recipe.margin
        ), "landmarks"
    if recipe.kind in ("box", "similarity", *AS_SHIPPED) and box is not None:
        x0, y0, x1, y1 = (float(v) for v in box)
        return _square(x0, y0, x1, y1, recipe.margin), "box"
    left, top, right, bottom = _inside(image, box)
    face = _detect(image[top:bottom, left:right], recipe.detector)
    if face is not None:
        x0, y0, x1, y1 = face
        return _square(left + x0, top + y0, left + x1, top + y1, recipe.margin), "detected"
    side = min(right - left, bottom - top)
    x, y = (left + right - side) / 2, (top + bottom - side) / 2
    return np.array([x, y, x + side, y + side]), "centre"


def cut(image: Image, square: NDArray[np.float64], size: int) -> Image:
    """Cut a rectangle from a picture and scale it to a square crop.

    Args:
        image: RGB uint8 [H, W, 3].
        square: (x0, y0, x1, y1); beyond the picture its border pixels are repeated.
        size: Side of the result.

    Returns:
        RGB uint8 [size, size, 3].

    Raises:
        DataError: The rectangle is far too large for the picture.
    """
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
    return _scale(piece, size)


def _scale(piece: Image, size: int) -> Image:
    """Scale a picture to a square crop."""
    import cv2

    shrinking = piece.shape[0] > size or piece.shape[1] > size
    how = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
    return cv2.resize(piece, (size, size), interpolation=how)  # type: ignore[return-value]


def _square(x0: float, y0: float, x1: float, y1: float, margin: float) -> NDArray[np.float64]:
    side = max(x1 - x0, y1 - y0) * (1 + margin)
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    return np.array([x - side / 2, y - side / 2, x + side / 2, y + side / 2])


def _inside(image: Image, box: Any) -> tuple[int, int, int, int]:
    """Return the part of a picture to search: the box, or the whole picture if the box is outside it."""
    height, width = image.shape[:2]
    if box is not None:
        clipped = np.clip(box, 0, [width, height] * 2).astype(int)
        if (clipped[2:] > clipped[:2]).all():
            return int(clipped[0]), int(clipped[1]), int(clipped[2]), int(clipped[3])
    return 0, 0, width, height


def _detect(image: Image, detector: Detector) -> tuple[float, float, float, float] | None:
    if detector == "yunet":
        found = find_with_yunet(image)
        return None if found is None else found[0]
    face = find_with_cascade(image)
    return None if face is None else (face[0], face[1], face[0] + face[2], face[1] + face[3])
