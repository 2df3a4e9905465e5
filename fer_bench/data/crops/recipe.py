"""Versioned recipes for square crops of faces, and how they are cut from a decoded picture."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from fer_bench.data.crops.detectors import Detector, find_faces
from fer_bench.data.crops.faces import Face, choose_faces, left_first
from fer_bench.data.crops.yunet import need_yunet
from fer_bench.data.reading.dataset import FaceDataset
from fer_bench.data.reading.pictures import Image
from fer_bench.errors import DataError
from fer_bench.schema import Frozen

CropKind = Literal["whole", "fit", "box", "landmarks", "similarity", "detect"]
Found = Literal["whole", "box", "landmarks", "detected", "centre"]
"""How the face of one row was found; `centre` is the weak last resort."""
AS_SHIPPED: tuple[CropKind, ...] = ("whole", "fit")
"""Kinds that do not search for a face."""
LARGEST = 20
"""Side of the largest square that is cut, in longer sides of the picture; a larger one must be an error."""
AROUND = 0.5
"""How far beyond a given box its face is searched for, in sides of the box: detectors need to see a head."""
ALIGNED_SINCE = 2
"""Version of the recipe since which `detect` turns and scales the face as `similarity` does."""
NAMES: dict[Detector, str] = {"mtcnn": "MTCNN", "yunet": "YuNet", "cascade": "cascade (weak)"}
TEMPLATE: NDArray[np.float64] = np.array([[0.34, 0.42], [0.66, 0.42], [0.5, 0.6], [0.37, 0.78], [0.63, 0.78]])
"""Positions of eyes, nose tip and corners of the mouth as shares of a crop without margin. They are level and
symmetric, so that mirroring a crop keeps them in place."""
FINEST = 8192
"""Side in pixels of the largest intermediate picture of a similarity crop."""
_IBUG_EYES = (slice(36, 42), slice(42, 48))
_IBUG_SINGLE = (30, 48, 54)
"""Nose tip and corners of the mouth among the 68 points of the iBUG mark-up, counted from 0."""


def _newest(values: dict[str, Any]) -> int:
    """Return the version of recipes made today; what is taken as shipped has never changed."""
    return 1 if values.get("kind") in AS_SHIPPED else 2


class CropRecipe(Frozen):
    """How faces are cropped.

    Attributes:
        kind: `whole` takes the picture as it is (it is a face crop already); `fit` does so and keeps its
            proportions, repeating the border of a picture that is not square; `box` takes the dataset's face
            box; `landmarks` the square around the facial landmarks; `similarity` rotates and scales the face
            so that eyes, nose and mouth are as in `TEMPLATE`; `detect` searches for the largest face, or for
            the one nearest to the box where there is one, and does the same with the detector's landmarks.
            Rows that lack what the kind needs are searched; if that fails too, the central square is taken.
            A central square and a face found by the cascade count as weak.
        size: Side of the crop in pixels.
        margin: Enlargement of the square, as a share of its side.
        detector: What searches: MTCNN, YuNet, or OpenCV's frontal cascade, which is weak and gives no
            landmarks, so that its square is cut.
        version: Raised when the result changes. Until version 1 a detector's square was cut by `detect`.
    """

    kind: CropKind
    size: int = Field(ge=16, le=1024)
    margin: float = Field(default=0.2, ge=0, le=1)
    detector: Detector = "mtcnn"
    version: int = Field(default_factory=_newest, ge=1)

    @property
    def text(self) -> str:
        """Return the recipe as one short line for records and boards."""
        if self.kind in AS_SHIPPED:
            return f"{self.kind} {self.size}px v{self.version}"
        who = NAMES[self.detector]
        aligns = " and align" if self.aligns_found and self.detector != "cascade" else ""
        how = f"detect{aligns} by {who}" if self.kind == "detect" else f"{self.kind}, else {who}"
        return f"{how} +{self.margin:.0%} {self.size}px v{self.version}"

    @property
    def aligns_found(self) -> bool:
        """Return whether a face that a detector found is rotated and scaled by its landmarks."""
        return self.kind == "similarity" or (self.kind == "detect" and self.version >= ALIGNED_SINCE)

    def is_weak(self, found: Found) -> bool:
        """Return whether what was found this way may not be a face, or not the right one."""
        return found == "centre" or (found == "detected" and self.detector == "cascade")


def recipe_for(dataset: FaceDataset, size: int) -> CropRecipe:
    """Return how the faces of a dataset are cropped.

    Args:
        dataset: The dataset, whose `crop`, `margin` and `detector` say how.
        size: Side of the crops in pixels.

    Raises:
        DataError: YuNet was chosen and its model is missing or not the known one.
    """
    if dataset.crop in AS_SHIPPED:
        return CropRecipe(kind=dataset.crop, size=size)
    if dataset.detector == "yunet":
        need_yunet()
    margin = {} if dataset.margin is None else {"margin": dataset.margin}
    return CropRecipe(kind=dataset.crop, size=size, detector=dataset.detector, **margin)


class Crop(NamedTuple):
    """The crop of one face.

    Attributes:
        pixels: RGB uint8 [size, size, 3].
        found: The way the face was found.
        sides: Width and height, in pixels of the picture, of what was scaled to the crop.
    """

    pixels: Image
    found: Found
    sides: tuple[float, float]


def crop_face(image: Image, box: Any, landmarks: Any, recipe: CropRecipe) -> Crop:
    """Return the crop of one face, how the face was found, and how large it is in its picture.

    Args:
        image: RGB uint8 [H, W, 3].
        box: (x0, y0, x1, y1) in pixels or None.
        landmarks: [n, 2] in pixels or None.
        recipe: The recipe.

    Raises:
        DataError: The face's square is far too large for its picture, or the detector cannot be used.
    """
    if recipe.kind == "similarity":
        points = five_points(landmarks)
        if points is not None and (matrix := similarity(points, recipe)) is not None:
            return Crop(warp(image, matrix, recipe.size), "landmarks", _warped_sides(matrix, recipe))
    place, found = find_face(image, box, landmarks, recipe)
    if isinstance(place, Face):
        matrix = alignment(place, recipe)
        if matrix is not None:
            return Crop(warp(image, matrix, recipe.size), found, _warped_sides(matrix, recipe))
        place = _square(*place.box, recipe.margin)
    x0, y0, x1, y1 = _whole_pixels(place)
    return Crop(cut(image, place, recipe.size), found, (x1 - x0, y1 - y0))


def find_face(
    image: Image, box: Any, landmarks: Any, recipe: CropRecipe
) -> tuple[NDArray[np.float64] | Face, Found]:
    """Return where a face is, by what the dataset gives for it or by a detector, and how it was found.

    Args:
        image: RGB uint8 [H, W, 3].
        box: (x0, y0, x1, y1) in pixels or None.
        landmarks: [n, 2] in pixels or None; `similarity` takes them before it comes here.
        recipe: The recipe.

    Returns:
        A square (x0, y0, x1, y1) in pixels, possibly beyond the picture, or what a detector found; and the
        way it was found.

    Raises:
        DetectorError: The detector is needed and cannot be used.
    """
    given = _given_square(image, box, landmarks, recipe)
    if given is not None and not (given[1] == "box" and _prefers_search(recipe)):
        return given
    face = search(image, box, recipe.detector)
    if face is not None:
        return face, "detected"
    return given or (_central_square(image, box), "centre")


def crop_found(image: Image, face: Face, recipe: CropRecipe) -> Image:
    """Return the crop of a face that a detector found, as packs and predictions cut it.

    Args:
        image: RGB uint8 [H, W, 3].
        face: The face, from `find_faces`.
        recipe: The recipe. `similarity` and `detect` turn and scale the face by its landmarks, if it has any;
            every other kind takes the square around its box.

    Returns:
        RGB uint8 [size, size, 3].

    Raises:
        DataError: The face's square is far too large for its picture.
    """
    matrix = alignment(face, recipe)
    if matrix is not None:
        return warp(image, matrix, recipe.size)
    return cut(image, _square(*face.box, recipe.margin), recipe.size)


def alignment(face: Face, recipe: CropRecipe) -> NDArray[np.float64] | None:
    """Return what turns and scales a face that a detector found [2, 3], None where its square is cut."""
    return similarity(face.landmarks, recipe) if recipe.aligns_found and face.landmarks is not None else None


def _warped_sides(matrix: NDArray[np.float64], recipe: CropRecipe) -> tuple[float, float]:
    side = recipe.size / float(np.hypot(matrix[0, 0], matrix[1, 0]))
    return side, side


def search(image: Image, box: Any, detector: Detector) -> Face | None:
    """Return the largest face of a picture, or the one nearest to a box, which is searched for around it.

    Args:
        image: RGB uint8 [H, W, 3].
        box: (x0, y0, x1, y1) in pixels or None; one outside the picture says nothing.
        detector: What searches.

    Raises:
        DetectorError: The detector cannot be used.
    """
    if _inside(image, box) is None:
        return next(iter(choose_faces(find_faces(image, detector), "largest")), None)
    x0, y0, x1, y1 = (float(v) for v in box)
    reach = AROUND * max(x1 - x0, y1 - y0)
    part = _inside(image, (x0 - reach, y0 - reach, x1 + reach, y1 + reach))
    left, top, right, bottom = part or (0, 0, image.shape[1], image.shape[0])
    faces = [face.moved(left, top) for face in find_faces(image[top:bottom, left:right], detector)]
    return next(iter(choose_faces(faces, "nearest", box)), None)


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
    return left_first(points)


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


def _prefers_search(recipe: CropRecipe) -> bool:
    """Return whether a face is searched for although its box is known: that does not say how it is turned."""
    return recipe.kind == "similarity" and recipe.detector != "cascade"


def _given_square(
    image: Image, box: Any, landmarks: Any, recipe: CropRecipe
) -> tuple[NDArray[np.float64], Found] | None:
    """Return the square of a face by what the dataset gives for it, and what that is; None without that."""
    height, width = image.shape[:2]
    if recipe.kind == "whole" and box is None:
        return np.array([0.0, 0.0, width, height]), "whole"
    if recipe.kind == "fit" and box is None:
        return _square(0.0, 0.0, float(width), float(height), 0.0), "whole"
    if recipe.kind == "landmarks" and landmarks is not None:
        (x0, y0), (x1, y1) = np.min(landmarks, axis=0).tolist(), np.max(landmarks, axis=0).tolist()
        return _square(x0, y0, x1, y1, recipe.margin), "landmarks"
    if recipe.kind in ("box", "similarity", *AS_SHIPPED) and box is not None:
        x0, y0, x1, y1 = (float(v) for v in box)
        return _square(x0, y0, x1, y1, recipe.margin), "box"
    return None


def _central_square(image: Image, box: Any) -> NDArray[np.float64]:
    left, top, right, bottom = _inside(image, box) or (0, 0, image.shape[1], image.shape[0])
    side = min(right - left, bottom - top)
    x, y = (left + right - side) / 2, (top + bottom - side) / 2
    return np.array([x, y, x + side, y + side])


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
    x0, y0, x1, y1 = _whole_pixels(square)
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


def _whole_pixels(square: NDArray[np.float64]) -> tuple[int, int, int, int]:
    x0, y0, x1, y1 = (round(float(v)) for v in square)
    return x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)


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


def _inside(image: Image, box: Any) -> tuple[int, int, int, int] | None:
    """Return the part of a box that is inside the picture, in whole pixels; None if there is none."""
    if box is None:
        return None
    height, width = image.shape[:2]
    left, top, right, bottom = np.clip(box, 0, [width, height] * 2).astype(int).tolist()
    return (left, top, right, bottom) if right > left and bottom > top else None
