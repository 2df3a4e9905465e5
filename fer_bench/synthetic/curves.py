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
from numpy.typing import ArrayLike, NDArray

from fer_bench.synthetic.anatomy import FACE_AUS, Array, Identity, Pose, Units
from fer_bench.synthetic.exact import on_grid
from fer_bench.synthetic.features import add_brows, add_cheeks, add_eyes, add_forehead, add_mouth, add_nose
from fer_bench.synthetic.outline import View, add_hair, add_outline

Number = TypeVar("Number", bound=np.generic)

_PIVOT = on_grid(np.array((0.0, 0.35, -0.55)))
_FRONT_DEPTH, _BACK_DEPTH = 0.85, 1.1
"""Distance of the face, and of the back of the head, from the middle of the head."""
_SLIGHT = math.radians(3)
"""A turn that hides nothing."""


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
    view = View.of(pose)
    add_outline(curves, who, au, view)
    add_hair(curves, who, view)
    add_brows(curves, who, au)
    add_eyes(curves, who, au, pose)
    add_nose(curves, who, au)
    add_mouth(curves, who, au)
    add_cheeks(curves, au)
    add_forehead(curves)
    curves["beard_line"] = curves["jaw"]
    if view >= View.SIDE:
        curves["profile"] = _profile(curves)
    return curves


def _profile(curves: dict[str, Array]) -> Array:
    """Return the middle line of the face from forehead to chin, closed inside the head."""
    line: list[ArrayLike] = [
        [(0.0, -0.45, 0.27)],
        curves["bridge"],
        curves["nostrils"][2:3],
        curves["upper_out"][8:9],
        curves["lower_out"][8:9],
        curves["chin_crease"][2:3],
        curves["chin_ball"],
        curves["jaw"][8:9],
        [(0.0, 0.4, -0.2)],
    ]
    return np.concatenate([np.asarray(part, np.float64) for part in line])


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
    view = View.of(pose)
    places = _places(view)
    yaw, pitch, roll = math.radians(pose.yaw), math.radians(pose.pitch), math.radians(pose.roll)
    front = places["crown"][0]
    if view >= View.SIDE:
        _hide(stacked[places["side_hair"][0] : front], yaw, _BACK_DEPTH)
    _hide(stacked[front:], yaw, _FRONT_DEPTH)
    stacked = on_grid(stacked - _PIVOT) @ _rotation(yaw, pitch, roll).T + _PIVOT
    near = scale + (0.07 * scale) * stacked[:, 2:]
    return Points(stacked[:, :2] * near + centre, places)


def _rotation(yaw: float, pitch: float, roll: float) -> Array:
    """Return the matrix that turns, then nods, then tilts."""
    sy, cy, sp, cp, sr, cr = (f(angle) for angle in (yaw, pitch, roll) for f in (math.sin, math.cos))
    across, down = (cy, 0.0, sy), (-sp * sy, cp, sp * cy)
    rows = [
        [cr * a - sr * d for a, d in zip(across, down, strict=True)],
        [sr * a + cr * d for a, d in zip(across, down, strict=True)],
        [-cp * sy, -sp, cp * cy],
    ]
    return on_grid(np.array(rows))


def _hide(points: Array, yaw: float, depth: float) -> None:
    """Move points that a turn hides behind an edge of the head onto that edge, in place.

    Seen from above, the head is half an ellipse of width 2 and this depth. A point beyond the edge stays on
    the ellipse of the same shape through it.
    """
    if abs(yaw) < _SLIGHT:
        return
    side = 1.0 if yaw > 0 else -1.0
    across, front = math.cos(yaw), depth * abs(math.sin(yaw))
    x, z = side * points[:, 0], (points[:, 2] - _PIVOT[2]) / depth
    (hidden,) = (x * front > z * across).nonzero()
    if len(hidden):
        x, z = x[hidden], z[hidden]
        radius = np.sqrt(x * x + z * z) / math.sqrt(across * across + front * front)
        radius = np.where(x > 0, radius, -radius)
        points[hidden, 0] = (side * across) * radius
        points[hidden, 2] = (depth * front) * radius + _PIVOT[2]


@cache
def _places(view: View) -> dict[str, tuple[int, int, bool]]:
    """Return the place of each curve among all points, which is the same for every face in a view."""
    places, start = {}, 0
    pose = Pose(yaw=(0.0, 10.0, 30.0)[view])
    for name, curve in face_curves(Identity(), Units(np.zeros((len(FACE_AUS), 2))), pose).items():
        stop = start + curve.size // 3
        places[name] = (start, stop, curve.ndim == 3)
        start = stop
    return places
