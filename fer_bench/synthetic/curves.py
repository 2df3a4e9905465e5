"""The shape of a face: identity and action units to curves, and the curves to pixels.

Everything drawn later (`paint.py`, `relief.py`) is drawn along these curves. Action units move them as FACS
describes (Ekman & Friesen, 1978). A curve that both sides of the face have is one array [2, n, 3], any other
[n, 3]. Arrays are built for both sides at once and with few calls: a face has some fifty curves, and their
cost decides how fast faces are drawn.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from fer_bench.synthetic.anatomy import FACE_AUS, Array, Identity, Pose, Units
from fer_bench.synthetic.features import add_brows, add_cheeks, add_eyes, add_forehead, add_mouth, add_nose
from fer_bench.synthetic.outline import add_hair, add_outline

Number = TypeVar("Number", bound=np.generic)

_PIVOT = np.array((0.0, 0.35, -0.55))


class Points(Generic[Number]):
    """Curves in pixels by name: arrays [n, 2], or [2, n, 2] for those that both sides of the face have."""

    def __init__(self, flat: NDArray[Number], places: dict[str, tuple[int, int, bool]]) -> None:
        self._flat = flat
        self._places = places

    def __getitem__(self, name: str) -> NDArray[Number]:
        start, stop, paired = self._places[name]
        found = self._flat[start:stop]
        return found.reshape(2, -1, 2) if paired else found

    def whole(self, factor: float, shift: float | Array) -> Points[np.int32]:
        """Return the points times a factor plus a shift, in whole numbers."""
        flat = self._flat.astype(np.float64, copy=False)
        return Points((flat * factor + shift).astype(np.int32), self._places)


def face_curves(who: Identity, au: Units, pose: Pose) -> dict[str, Array]:
    """Return every curve that is drawn, in face units before the head turns."""
    curves: dict[str, Array] = {"head": np.array([(0.0, 0.05, 0.0)])}
    add_outline(curves, who, au)
    add_hair(curves, who)
    add_brows(curves, who, au)
    add_eyes(curves, who, au, pose)
    add_nose(curves, who, au)
    add_mouth(curves, who, au)
    add_cheeks(curves, au)
    add_forehead(curves)
    return curves


def turned(
    curves: dict[str, Array], pose: Pose, scale: float, centre: tuple[float, float]
) -> Points[np.float64]:
    """Turn the head about its middle and return all curves in pixels.

    Args:
        curves: Curves in face units.
        pose: The pose of the head.
        scale: Pixels per face unit.
        centre: Pixel of the point between the eyes.
    """
    stacked = np.concatenate([curve.reshape(-1, 3) for curve in curves.values()])
    yaw, pitch, roll = math.radians(pose.yaw), math.radians(pose.pitch), math.radians(pose.roll)
    turn_y = np.array([(math.cos(yaw), 0, math.sin(yaw)), (0, 1, 0), (-math.sin(yaw), 0, math.cos(yaw))])
    turn_x = np.array(
        [(1, 0, 0), (0, math.cos(pitch), math.sin(pitch)), (0, -math.sin(pitch), math.cos(pitch))]
    )
    turn_z = np.array([(math.cos(roll), -math.sin(roll), 0), (math.sin(roll), math.cos(roll), 0), (0, 0, 1)])
    turn = turn_z @ turn_x @ turn_y
    stacked = stacked @ turn.T + (_PIVOT - turn @ _PIVOT)
    near = scale + (0.07 * scale) * stacked[:, 2:]
    return Points(stacked[:, :2] * near + centre, _places())


@cache
def _places() -> dict[str, tuple[int, int, bool]]:
    """Return the place of each curve among all points, which is the same for every face."""
    places, start = {}, 0
    for name, curve in face_curves(Identity(), Units(np.zeros((len(FACE_AUS), 2))), Pose()).items():
        stop = start + curve.size // 3
        places[name] = (start, stop, curve.ndim == 3)
        start = stop
    return places
