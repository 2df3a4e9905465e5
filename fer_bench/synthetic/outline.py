"""Curves of the head: jaw, skull, ears and hair."""

from __future__ import annotations

from enum import IntEnum
from functools import lru_cache

import numpy as np

from fer_bench.synthetic.anatomy import Array, Identity, Pose, Units
from fer_bench.synthetic.exact import cosine, exponential, on_grid, power, sine
from fer_bench.synthetic.splines import COLUMN, both, xyz

_JAW = np.linspace(0, np.pi, 17)
_JAW_SINE, _JAW_SIGN, _JAW_COSINE = sine(_JAW), -np.sign(cosine(_JAW)), np.abs(cosine(_JAW))
_JAW_DOWN = power(np.maximum(_JAW_SINE, 0), 1.12)
_SKULL = np.linspace(0, np.pi, 21)
_SKULL_X, _SKULL_SINE, _SKULL_UP = -cosine(_SKULL), sine(_SKULL), power(np.maximum(sine(_SKULL), 0), 0.9)
_BONES = np.array(
    [(0.9, 0.25, -0.05), (0.84, 0.6, -0.05), (0.62, 1.0, 0.05), (0.86, -0.5, -0.1), (0.45, -0.6, 0.2),
     (0.52, 0.5, 0.18), (0.72, 0.78, -0.42), (0.48, 1.06, -0.15)]
)  # fmt: skip
_BONES = np.concatenate([_BONES, _BONES * (-1, 1, 1), [(0, -1.0, 0.1), (0, -0.6, 0.27), (0, -0.3, 0.28)]])
_RING = np.linspace(0, 2 * np.pi, 20, endpoint=False)
_EAR = both(xyz(0.03 + 0.10 * cosine(_RING), 0.12 + 0.24 * sine(_RING), -0.72 - 0.15 * cosine(_RING)))

_ROUND = np.linspace(0, 2 * np.pi, 16, endpoint=False)
_BACK = on_grid(
    np.concatenate(
        [
            xyz(-share * cosine(_ROUND), -share * sine(_ROUND), depth)
            for depth, share in ((-0.85, 0.99), (-1.2, 0.88), (-1.5, 0.62), (-1.62, 0.3))
        ]
    )
)
"""The back of the head as four rings of 16 points, in shares of its width and height."""
_BACK_UP, _BACK_DOWN = np.minimum(_BACK[:, 1], 0), np.maximum(_BACK[:, 1], 0)
_UPPER_LEFT = np.concatenate([np.arange(5) + ring for ring in (0, 16, 32, 48)])
"""Points of the rings from the left side to the top."""
_NAPE = 0.78

_MANE = np.linspace(0, np.pi, 25)
_MANE_X, _MANE_UP, _MANE_Z = -cosine(_MANE), power(np.maximum(sine(_MANE), 0), 0.85), -0.5 + 0.4 * sine(_MANE)
_SPREAD = np.array([-0.97, -0.90, -0.78, -0.5, -0.2, 0.2, 0.5, 0.78, 0.90, 0.97])
_SPREAD_Z = -0.35 + 0.6 * (1 - _SPREAD**2)
_LIFT = np.array([0.30, 0.62, 0.86, 1.0, 1.03, 1.03, 1.0, 0.86, 0.62, 0.30])
_LIFT_FRINGE = np.array([0.1, 0.75, 1.0, 0.98, 1.03, 0.99, 1.02, 1.0, 0.75, 0.1])
_LIFT_RECEDING = np.array([0.3, 0.75, 1.0, 1.06, 0.92, 0.92, 1.06, 1.0, 0.75, 0.3])
_VOLUME = (0.0, 0.07, 0.12, 0.12, 0.15, 0.15, 0.22, 0.05)
_BOTTOM = (0.0, 0.12, 0.15, 0.25, 1.75, 1.6, 0.55, 0.1)
_HAIRLINE = (-1.2, -0.90, -0.86, -0.64, -0.88, -0.64, -0.80, -1.12)
_PARTING = {2: 0.45, 4: 0.25}


class View(IntEnum):
    """How much of the head is seen besides the face."""

    FRONT = 0
    BACK = 1
    SIDE = 2

    @staticmethod
    def of(pose: Pose) -> View:
        """Return what a pose shows."""
        turn = abs(pose.yaw)
        return View.SIDE if turn > 20 else View.BACK if max(turn, abs(pose.pitch)) > 8 else View.FRONT


def add_outline(curves: dict[str, Array], who: Identity, au: Units, view: View) -> None:
    """Add jaw, ears and the hull of jaw, skull and cheekbones; AU26 drops the jaw, AU17 lifts the chin."""
    half = 1.0 + 0.05 * who.width
    squareness = round(64 * min(max(0.86 - 0.10 * who.jaw, 0.6), 1.1))
    taper = half - half * (0.05 - 0.04 * who.jaw) * _JAW_SINE
    chin = 1.35 + 0.07 * who.chin
    drop = 0.24 * au.mean(26) - 0.03 * au.mean(17)
    y = 0.05 + chin * _JAW_DOWN + drop * _JAW_SINE * _JAW_SINE
    jaw = xyz(_jaw_width(squareness) * taper, y, -0.55 + 0.8 * _JAW_SINE)
    top = 1.24 + 0.05 * who.forehead
    skull = xyz(_SKULL_X * half, 0.05 - top * _SKULL_UP, -0.55 + 0.55 * _SKULL_SINE)
    curves["jaw"] = jaw
    curves["contour"] = np.concatenate([jaw, skull, _BONES * (half, 1, 1)])
    curves["throat"] = xyz(np.zeros(1), y[8], -0.6)
    if view >= View.BACK:
        curves["back"] = _back(half, top, _NAPE)
    ear = _EAR.copy()
    ear[..., 0] += COLUMN * half
    curves["ear"] = ear


@lru_cache(maxsize=64)
def _jaw_width(squareness: int) -> Array:
    """Return how far each point of the jaw is from the middle, for an exponent in 64ths."""
    return _JAW_SIGN * power(_JAW_COSINE, squareness / 64)


def _back(half: float, top: float, bottom: float, depth: float = 0.0) -> Array:
    """Return the back of a head or of its hair, whose upper and lower parts have their own heights."""
    return xyz(_BACK[:, 0] * half, 0.05 + top * _BACK_UP + bottom * _BACK_DOWN, _BACK[:, 2] - depth)


def add_hair(curves: dict[str, Array], who: Identity, view: View) -> None:
    """Add the outer contour of the hair (`mane`), the hairline and the region between them (`crown`).

    `back_hair` is added where the back of the head is seen, and `side_hair` where a side is: half of the
    contour from the top to the ear, rings behind it from the ear to the top, and the lowest points.
    """
    style, half, top = who.hair_style, 1.0 + 0.05 * who.width, 1.24 + 0.05 * who.forehead
    volume = _VOLUME[style]
    reach = 1 + volume / 1.2 + (0.035 * sine(9 * _MANE + who.texture) if style == 6 else 0.0)
    outer = xyz(_MANE_X * half * reach, 0.05 - (top + volume * 0.9) * _MANE_UP * reach, _MANE_Z)
    side = half * (1.10 if style in (4, 5, 6) else 1.02)
    tail = np.array([(side, _BOTTOM[style], -0.45), (-side, _BOTTOM[style], -0.45)])
    lift = _LIFT_FRINGE if style in (3, 5) else _LIFT_RECEDING if style == 7 else _LIFT
    line = (_HAIRLINE[style] - 0.05 * who.forehead) * lift
    if style in _PARTING:
        part = _PARTING[style] * (1 if who.texture % 2 else -1)
        line = line - 0.18 * exponential(-np.square((_SPREAD - part) / 0.3))
    hairline = xyz(_SPREAD * (half * 1.01), line, _SPREAD_Z)
    curves["mane"] = np.concatenate([outer, tail])
    if view >= View.BACK:
        bottom = max(_NAPE, _BOTTOM[style])
        curves["back_hair"] = back = _back(
            half * (1 + 0.7 * volume), top + 0.9 * volume, bottom, 0.7 * volume
        )
    if view >= View.SIDE:
        rings = np.concatenate([back[_UPPER_LEFT], [(-side, bottom, -0.5), (0.0, bottom, -1.5)]])
        left, right = [outer[12::-1], rings], [outer[12:], rings * (-1, 1, 1)]
        curves["side_hair"] = np.stack([np.concatenate(left), np.concatenate(right)])
    curves["crown"] = np.concatenate([outer, hairline[::-1]])  # this and all that follows is on the front
    curves["hairline"] = hairline
