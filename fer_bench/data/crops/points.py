"""Where eyes, nose and mouth are in crops."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fer_bench.data.crops.detectors import find_faces
from fer_bench.data.crops.recipe import TEMPLATE, CropRecipe
from fer_bench.data.reading.pictures import Image

Points = NDArray[np.float64]
"""Eyes, nose tip and corners of the mouth [5, 2] as shares of the crop, left of the picture first."""
LOOKED_AT = 32
"""Crops in which the points of a dataset's faces are looked for."""
LEAST_FOUND = 8
ENLARGED = 160
"""Side in pixels to which a crop is enlarged for the detector, with a border of a quarter around it."""


def template_points(recipe: CropRecipe) -> Points:
    """Return where a recipe that aligns faces puts their points; the template's own place for others."""
    margin = recipe.margin if recipe.aligns_found else 0.0
    return np.asarray(np.round((TEMPLATE - 0.5) / (1 + margin) + 0.5, 4))


def find_points(crop: Image) -> Points | None:
    """Return the points of the face in a crop, None where MTCNN finds none.

    Args:
        crop: RGB uint8 [S, S, 3].

    Raises:
        DetectorError: The detector cannot be used.
    """
    import cv2

    border = ENLARGED // 4
    large = cv2.resize(crop, (ENLARGED, ENLARGED), interpolation=cv2.INTER_LINEAR)
    large = cv2.copyMakeBorder(large, border, border, border, border, cv2.BORDER_REPLICATE)
    faces = find_faces(np.asarray(large, np.uint8))
    if not faces or faces[0].landmarks is None:
        return None
    return np.asarray((faces[0].landmarks - border) / ENLARGED)


def typical_points(pixels: NDArray[np.uint8], rows: NDArray[np.int64], recipe: CropRecipe) -> Points:
    """Return where the points of a dataset's faces are: from its recipe if that aligns them, else the median.

    Publishers crop faces in ways of their own: eyes are at 29 % of the height in one set and at 39 % in
    another.

    Args:
        pixels: Its packed crops, uint8 [N, S, S, 3].
        rows: Index positions of the faces that are meant; up to `LOOKED_AT` of them, evenly spread, count.
        recipe: How they were cropped.

    Returns:
        Rounded to hundredths; the template where fewer than `LEAST_FOUND` faces are found.
    """
    if recipe.aligns_found:
        return template_points(recipe)
    chosen = rows[np.unique(np.linspace(0, len(rows) - 1, min(LOOKED_AT, len(rows))).astype(int))]
    found = [points for row in chosen if (points := find_points(np.asarray(pixels[row]))) is not None]
    if len(found) < LEAST_FOUND:
        return template_points(recipe)
    return np.asarray(np.round(np.median(found, axis=0), 2))
