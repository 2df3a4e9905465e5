"""Draw a face: from identity and action units to a shaded RGB picture and 68 landmarks.

There are three steps: `curves.py` moves the curves of the face as FACS describes, `paint.py` fills them with
flat colours, and `relief.py` multiplies in wrinkles, bulges and light. `anatomy.py` has their inputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from fer_bench.synthetic.anatomy import Identity, Light, Picture, Pose, Units, au_array
from fer_bench.synthetic.curves import Points, face_curves, turned
from fer_bench.synthetic.paint import Canvas, paint
from fer_bench.synthetic.relief import Relief, carve


@dataclass(frozen=True)
class Face:
    """A drawn face.

    Attributes:
        picture: RGB uint8 [H, W, 3] on black, multiplied by its own coverage.
        alpha: Coverage of the person, uint8 [H, W].
        landmarks: 68 points x, y in pixels, iBUG order: jaw 17, brows 10, nose 9, eyes 12, mouth 20.
    """

    picture: Picture
    alpha: Picture
    landmarks: NDArray[np.float32]

    def over(self, background: Picture) -> Picture:
        """Return the face laid over a background [H, W, 3] of the same size."""
        through = cv2.cvtColor(255 - self.alpha, cv2.COLOR_GRAY2RGB)
        return np.asarray(cv2.add(self.picture, cv2.multiply(background, through, scale=1 / 255)), np.uint8)


def draw_face(
    identity: Identity,
    au: Mapping[int, float] | ArrayLike,
    pose: Pose | None = None,
    size: int | tuple[int, int] = 112,
    *,
    scale: float | None = None,
    centre: tuple[float, float] | None = None,
    light: Light | None = None,
) -> Face:
    """Draw a face.

    Args:
        identity: The person.
        au: Action unit intensities in [0, 1]: {number: intensity}, [17] or, with sides, [17, 2].
        pose: Head pose and eyes; None looks straight ahead.
        size: Height and width of the picture in pixels.
        scale: Pixels per face unit; None fills the picture with head and hair.
        centre: Pixel of the point between the eyes; None centres the head.
        light: Light on the face; None is soft light from above left.

    Returns:
        The picture on black, its coverage and the landmarks.
    """
    pose, light = pose or Pose(), light or Light()
    height, width = (size, size) if isinstance(size, int) else size
    scale = 0.295 * min(height, width) if scale is None else scale
    centre = (width / 2, 0.475 * height) if centre is None else centre
    units = Units(au_array(au))
    points = turned(face_curves(identity, units, pose), pose, scale, centre)
    canvas = Canvas(height, width, scale, points)
    paint(canvas, points, identity, units, pose, scale)
    picture, alpha = canvas.flatten()
    relief = Relief(height, width, scale, points)
    carve(relief, identity, units)
    relief.apply(picture, alpha, identity, pose, light, centre)
    return Face(picture, alpha, _landmarks(points))


def _landmarks(points: Points[np.float64]) -> NDArray[np.float32]:
    (left_brow, right_brow), (left_up, right_up) = points["brow"], points["lid_up"]
    left_low, right_low = points["lid_low"]
    upper, lower = points["upper_out"], points["lower_out"]
    upper_in, lower_in = points["upper_in"], points["lower_in"]
    parts = [
        points["jaw"],
        left_brow[::-1],
        right_brow,
        points["bridge"],
        points["nostrils"],
        left_up[[12, 8, 4, 0]],
        left_low[[4, 8]],
        right_up[[0, 4, 8, 12]],
        right_low[[8, 4]],
        upper[[0, 3, 6, 8, 10, 13, 16]],
        lower[[13, 10, 8, 6, 3]],
        upper_in[[1, 6, 8, 10, 15]],
        lower_in[[10, 8, 6]],
    ]
    return np.concatenate(parts).astype(np.float32)
