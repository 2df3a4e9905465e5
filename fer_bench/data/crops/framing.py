"""How the crops of a dataset show a face, so that faces of other pictures can be shown alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from fer_bench.data.crops.detectors import find_faces
from fer_bench.data.crops.recipe import TEMPLATE
from fer_bench.schema import Frozen

LOOKED_AT = 16
"""Crops in which faces are searched."""
LEAST = 6
"""Faces that must be found in them."""


class Framing(Frozen):
    """Where the template of `similarity` lies in a crop of any size.

    Attributes:
        scale: How much larger the face is than the template without margin.
        x: Shift to the right after scaling about the middle, as a share of the crop's side.
        y: Shift downwards.
    """

    scale: float = Field(gt=0.2, lt=5)
    x: float = 0.0
    y: float = 0.0

    @property
    def text(self) -> str:
        """Return it as one short text."""
        return f"x{self.scale:.2f} {self.x:+.2f} {self.y:+.2f}"

    def applied(self, matrix: NDArray[np.float64], size: int) -> NDArray[np.float64]:
        """Return a transform to a crop without margin, changed into one to crops that are framed like this.

        Args:
            matrix: [2, 3], from pixels of a picture to pixels of the crop.
            size: Side of the crop in pixels.
        """
        changed = matrix * self.scale
        changed[:, 2] += np.array([self.x, self.y]) * size + (1 - self.scale) * size / 2
        return changed


def measure_framing(crops: NDArray[np.uint8]) -> Framing | None:
    """Return how crops show faces: the median position of the landmarks that MTCNN finds in some of them.

    Args:
        crops: uint8 [N, S, S, 3].

    Returns:
        None if too few faces are found for that.
    """
    chosen = np.unique(np.linspace(0, len(crops) - 1, min(LOOKED_AT, len(crops))).round().astype(int))
    points = []
    for row in chosen:
        faces = find_faces(crops[row])
        if faces and faces[0].landmarks is not None:
            points.append(faces[0].landmarks / crops.shape[1])
    if len(points) < LEAST:
        return None
    found = np.median(points, axis=0)
    template, face = TEMPLATE - TEMPLATE.mean(axis=0), found - found.mean(axis=0)
    scale = float((template * face).sum() / (template * template).sum())
    x, y = found.mean(axis=0) - ((TEMPLATE.mean(axis=0) - 0.5) * scale + 0.5)
    if not 0.2 < scale < 5:
        return None
    return Framing(scale=round(scale, 4), x=round(float(x), 4), y=round(float(y), 4))
