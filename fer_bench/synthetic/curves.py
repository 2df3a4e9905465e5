"""The shape of a face: identity and action units to curves, and the curves to pixels.

Everything that is drawn later (`paint.py`, `relief.py`) is drawn along these curves. Action units move them
after the descriptions of FACS (Ekman & Friesen, 1978). A curve that both sides of the face have is one array
[2, n, 3], any other [n, 3]. Arrays are built for both sides at once and with few calls: a face has some fifty
curves, and what each costs decides how fast faces are drawn.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fer_bench.synthetic.anatomy import FACE_AUS, Array, Identity, Pose, Units

Number = TypeVar("Number", bound=np.generic)

_SIDE = np.array([-1.0, 1.0])
_COLUMN = _SIDE[:, None]
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
    _outline(curves, who, au)
    _hair(curves, who)
    _brows(curves, who, au)
    _eyes(curves, who, au, pose)
    _nose(curves, who, au)
    _mouth(curves, who, au)
    _cheeks(curves, au)
    _forehead(curves)
    return curves


def turned(
    curves: dict[str, Array], pose: Pose, scale: float, centre: tuple[float, float]
) -> Points[np.float64]:
    """Turn the head about its middle and return all curves in pixels.

    Args:
        curves: Curves in face units.
        pose: Where the head points.
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
    """Return where each curve stands among the points of all, which is the same for every face."""
    places, start = {}, 0
    for name, curve in face_curves(Identity(), Units(np.zeros((len(FACE_AUS), 2))), Pose()).items():
        stop = start + curve.size // 3
        places[name] = (start, stop, curve.ndim == 3)
        start = stop
    return places


def _xyz(x: Array, y: Any, z: Any) -> Array:
    """Return coordinates [..., 3]; x has the full shape."""
    found = np.empty((*x.shape, 3))
    found[..., 0] = x
    found[..., 1] = y
    found[..., 2] = z
    return found


def _both(points: ArrayLike) -> Array:
    """Return points [n, 3] of the right side for both sides, [2, n, 3]."""
    right = np.asarray(points, np.float64)
    return np.stack([right * (-1, 1, 1), right])


# --- Outline and hair

_JAW = np.linspace(0, np.pi, 17)
_JAW_SINE, _JAW_SIGN, _JAW_COSINE = np.sin(_JAW), -np.sign(np.cos(_JAW)), np.abs(np.cos(_JAW))
_JAW_DOWN = _JAW_SINE**1.12
_SKULL = np.linspace(0, np.pi, 21)
_SKULL_X, _SKULL_SINE, _SKULL_UP = -np.cos(_SKULL), np.sin(_SKULL), np.sin(_SKULL) ** 0.9
_BONES = np.array([(0.9, 0.25, -0.05), (0.84, 0.6, -0.05), (0.62, 1.0, 0.05), (0.86, -0.5, -0.1)])
_BONES = np.concatenate([_BONES, _BONES * (-1, 1, 1)])
_RING = np.linspace(0, 2 * np.pi, 20, endpoint=False)
_EAR = _both(_xyz(0.03 + 0.10 * np.cos(_RING), 0.12 + 0.24 * np.sin(_RING), -0.6))

_MANE = np.linspace(0, np.pi, 25)
_MANE_X, _MANE_UP, _MANE_Z = -np.cos(_MANE), np.sin(_MANE) ** 0.85, -0.5 + 0.4 * np.sin(_MANE)
_SPREAD = np.array([-0.97, -0.90, -0.78, -0.5, -0.2, 0.2, 0.5, 0.78, 0.90, 0.97])
_SPREAD_Z = -0.35 + 0.6 * (1 - _SPREAD**2)
_LIFT = np.array([0.30, 0.62, 0.86, 1.0, 1.03, 1.03, 1.0, 0.86, 0.62, 0.30])
_LIFT_FRINGE = np.array([0.1, 0.75, 1.0, 0.98, 1.03, 0.99, 1.02, 1.0, 0.75, 0.1])
_LIFT_RECEDING = np.array([0.3, 0.75, 1.0, 1.06, 0.92, 0.92, 1.06, 1.0, 0.75, 0.3])
_VOLUME = (0.0, 0.07, 0.12, 0.12, 0.15, 0.15, 0.22, 0.05)
_BOTTOM = (0.0, 0.12, 0.15, 0.25, 1.75, 1.6, 0.55, 0.1)
_HAIRLINE = (-1.2, -0.90, -0.86, -0.64, -0.88, -0.64, -0.80, -1.12)
_PARTING = {2: 0.45, 4: 0.25}


def _outline(curves: dict[str, Array], who: Identity, au: Units) -> None:
    """Jaw, skull and the hull of both with the cheekbones; AU26 drops the jaw, AU17 lifts the chin."""
    half = 1.0 + 0.05 * who.width
    power = min(max(0.86 - 0.10 * who.jaw, 0.6), 1.1)
    taper = half - half * (0.05 - 0.04 * who.jaw) * _JAW_SINE
    chin = 1.35 + 0.07 * who.chin
    drop = 0.24 * au.mean(26) - 0.03 * au.mean(17)
    y = 0.05 + chin * _JAW_DOWN + drop * _JAW_SINE**2
    jaw = _xyz(_JAW_SIGN * _JAW_COSINE**power * taper, y, -0.55 + 0.8 * _JAW_SINE)
    top = 1.24 + 0.05 * who.forehead
    skull = _xyz(_SKULL_X * half, 0.05 - top * _SKULL_UP, -0.55 + 0.55 * _SKULL_SINE)
    curves["jaw"] = jaw
    curves["contour"] = np.concatenate([jaw, skull, _BONES * (half, 1, 1)])
    ear = _EAR.copy()
    ear[..., 0] += _COLUMN * half
    curves["ear"] = ear


def _hair(curves: dict[str, Array], who: Identity) -> None:
    """Outer contour of the hair (`mane`), the hairline and the region between them (`crown`)."""
    style, half, top = who.hair_style, 1.0 + 0.05 * who.width, 1.24 + 0.05 * who.forehead
    volume = _VOLUME[style]
    reach = 1 + volume / 1.2 + (0.035 * np.sin(9 * _MANE + who.texture) if style == 6 else 0.0)
    outer = _xyz(_MANE_X * half * reach, 0.05 - (top + volume * 0.9) * _MANE_UP * reach, _MANE_Z)
    side = half * (1.10 if style in (4, 5, 6) else 1.02)
    tail = np.array([(side, _BOTTOM[style], -0.45), (-side, _BOTTOM[style], -0.45)])
    lift = _LIFT_FRINGE if style in (3, 5) else _LIFT_RECEDING if style == 7 else _LIFT
    line = (_HAIRLINE[style] - 0.05 * who.forehead) * lift
    if style in _PARTING:
        part = _PARTING[style] * (1 if who.texture % 2 else -1)
        line = line - 0.18 * np.exp(-(((_SPREAD - part) / 0.3) ** 2))
    hairline = _xyz(_SPREAD * (half * 1.01), line, _SPREAD_Z)
    curves["mane"] = np.concatenate([outer, tail])
    curves["hairline"] = hairline
    curves["crown"] = np.concatenate([outer, hairline[::-1]])


# --- Brows and eyes

_ALONG = np.linspace(0, 1, 5)
_BROW_X = 0.16 + 0.52 * _ALONG
_BROW_Z = np.array([0.30, 0.30, 0.26, 0.16, 0.02])
_BROW_ARCH = np.sin(np.pi * np.minimum(1, 0.15 + 0.8 * _ALONG))
_BROW_THICK = 0.5 * np.array([0.85, 1.0, 0.95, 0.7, 0.25])
_BROW_DOWN = np.array(
    [
        (-0.20, -0.13, -0.04, 0.0, 0.01),
        (0.0, -0.06, -0.15, -0.19, -0.14),
        (0.15, 0.13, 0.09, 0.05, 0.01),
        (0.09, 0.06, 0.03, 0.01, 0.0),
    ]
)
"""How AU1, 2, 4 and 9 move the brow downwards, from its inner to its outer end."""
_BROW_OUT = np.array(
    [(0.0, 0.0, 0.0, 0.0, 0.0)] * 2 + [(-0.075, -0.06, -0.03, -0.01, 0.0)] + [(-0.03, -0.02, 0.0, 0.0, 0.0)]
)
"""How AU1, 2, 4 and 9 move the brow outwards."""

_LID = np.linspace(-1, 1, 13)
_LID_FLAT = 1 - np.abs(_LID) ** 2.3
_LID_BOW = 0.18 * _LID * _LID_FLAT
_LID_Z = 0.16 - 0.10 * (_LID + 1) + 0.05 * _LID_FLAT
_LID_SLANT = 0.7 * (0.3 + _LID) * _LID_FLAT
_CREASE = 1 - np.abs(_LID) ** 2.6
_CROW = np.array([(0.05, dy * 0.35, -0.05, 0.19, dy + 0.02, -0.14) for dy in (-0.09, 0.01, 0.11)]).reshape(
    -1, 3
)


def _brows(curves: dict[str, Array], who: Identity, au: Units) -> None:
    """Brows from the inner to the outer end.

    AU1 lifts the inner end, AU2 the outer part, AU4 lowers the brow and draws it inwards, AU9 pulls the inner
    end down.
    """
    units = au.sides(1, 2, 4, 9)
    y = (
        (-0.315 - 0.035 * who.brow_height)
        + 0.035 * who.brow_tilt * (0.5 - _ALONG)
        - (0.085 + 0.025 * who.brow_arch) * _BROW_ARCH
        + (0.012 * who.asymmetry) * _COLUMN
        + units @ _BROW_DOWN
    )
    x = (_BROW_X + 0.04 * who.eye_distance + units @ _BROW_OUT) * _COLUMN
    line = _xyz(x, y, _BROW_Z)
    dense = _resample(line, 11)
    half = _spline(5, 11) @ ((0.068 + 0.018 * who.brow_thickness) * _BROW_THICK)
    area = np.concatenate([dense, dense[:, ::-1]], axis=1)
    area[:, :11, 1] -= half
    area[:, 11:, 1] += half[::-1]
    curves["brow"], curves["brow_area"] = line, area


def _eyes(curves: dict[str, Array], who: Identity, au: Units, pose: Pose) -> None:
    """Lids from the inner to the outer corner, and what covers the eyeball above and below them.

    AU5 lifts the upper lid, AU7 tightens both lids, AU6 pushes the lower lid up, AU9 squints a little, AU1
    with AU4 slants the upper lid.
    """
    half = 0.215 * (1 + 0.07 * who.eye_size)
    x0 = 0.43 + 0.04 * who.eye_distance
    tilt = -0.035 * who.eye_tilt - 0.012
    ups, lows, slants, bags = [], [], [], []
    for side in (0, 1):
        a1, a4, a5, a6, a7, a9, a12 = (au[n][side] for n in (1, 4, 5, 6, 7, 9, 12))
        up = 1 + 0.72 * a5 * (1 - 0.5 * a7) - 0.34 * a7 - 0.22 * a6 - 0.34 * a9 - 0.16 * a4 * (1 - a5)
        low = 1 + 0.15 * a5 - 0.62 * a7 - 0.72 * a6 - 0.45 * a9 - 0.15 * a12
        up = max((0.118 + 0.014 * who.eye_open) * up, 0.028) * (1 - pose.blink) - 0.05 * pose.blink
        ups.append((up,))
        lows.append((max((0.078 + 0.006 * who.eye_open) * low, 0.012),))
        slants.append((0.05 * min(a1, a4) - 0.02 * a4 * (1 - a1),))
        bags.append((0.115 - 0.02 * a6 - 0.02 * a7,))
    up_, low_ = np.array(ups), np.array(lows)
    axis = tilt * _LID
    mirrored = x0 + half * _LID
    x = mirrored * _COLUMN
    x0_, wide = x0 * _COLUMN, half * _COLUMN * _LID
    upper = axis - up_ * (_LID_FLAT - _LID_BOW) + np.array(slants) * _LID_SLANT
    lower = np.maximum(axis + low_ * (_LID_FLAT + 0.6 * _LID_BOW), upper + 0.004)
    brow = curves["brow"]
    cover = np.array([np.interp(mirrored, abs(brow[side, :, 0]), brow[side, :, 1]) for side in (0, 1)])
    lid_up, lid_low = _xyz(x, upper, _LID_Z), _xyz(x, lower, _LID_Z)
    x_cover = x0_ + 1.12 * wide
    lid_cover = _xyz(x_cover, np.minimum(cover * 0.6, upper - 0.10), _LID_Z)
    bag_cover = _xyz(x_cover, axis + 0.20 * (1 - 0.6 * _LID**2) + 0.03, _LID_Z)
    curves["lid_up"], curves["lid_low"] = lid_up, lid_low
    curves["eye_white"] = np.concatenate([lid_up, lid_low[:, ::-1]], axis=1)
    curves["lid"] = np.concatenate([lid_up, lid_cover[:, ::-1]], axis=1)
    curves["under_lid"] = np.concatenate([lid_low, bag_cover[:, ::-1]], axis=1)
    curves["lid_crease"] = _xyz(x0_ + 1.04 * wide, axis - (0.055 + 0.75 * up_) * _CREASE - 0.014, _LID_Z)
    curves["bag"] = _xyz(x0_ + 0.95 * wide, axis + np.array(bags) * (1 - 0.75 * _LID**2) + 0.02, _LID_Z)
    right, down = pose.gaze[0] * 0.11, pose.gaze[1] * 0.05 - 0.012
    curves["iris"] = np.array(
        [[(sign * x0 + right, down, 0.19), (sign * (x0 + 0.098) + right, down, 0.19)] for sign in (-1, 1)]
    )
    curves["crow"] = (_CROW + np.array((x0 + half, tilt, 0.0))) * _MIRROR
    curves["socket"] = 0.5 * (lid_up[:, 6:7] + brow[:, 2:3])


_MIRROR = _both([(1.0, 1.0, 1.0)])


# --- Nose


def _nose(curves: dict[str, Array], who: Identity, au: Units) -> None:
    """AU9 wrinkles the root and pulls the wings up, AU10 pulls them a little."""
    length = 0.56 + 0.04 * who.nose_length
    a9, a10, a12 = au[9], au[10], au[12]
    rise = [0.075 * a9[side] + 0.03 * a10[side] for side in (0, 1)]
    mid = 0.25 * (rise[0] + rise[1])
    wing = 0.185 * (1 + 0.12 * who.nose_width)
    flare = [wing * (1 + 0.12 * a9[side] + 0.05 * a12[side]) for side in (0, 1)]
    curves["bridge"] = _xyz(np.zeros(4), np.linspace(-0.02, length - 0.10 - mid, 4), (0.28, 0.42, 0.56, 0.66))
    curves["nostrils"] = np.array(
        [
            (-flare[0], length - 0.05 - rise[0], 0.30),
            (-0.09, length - mid, 0.42),
            (0.0, length + 0.025 - mid, 0.46),
            (0.09, length - mid, 0.42),
            (flare[1], length - 0.05 - rise[1], 0.30),
        ]
    )
    wings, flanks = [], []
    for side, sign in enumerate((-1.0, 1.0)):
        out, up = sign * flare[side], length - rise[side]
        wings.append(
            [
                (out * 0.72, up - 0.20, 0.38),
                (out * 1.05, up - 0.13, 0.32),
                (out * 1.10, up - 0.05, 0.30),
                (out * 0.85, up + 0.01, 0.34),
            ]
        )
        flanks.append(
            [
                (sign * 0.115, -0.05, 0.22),
                (sign * 0.085, 0.15, 0.36),
                (sign * 0.12, up - 0.22, 0.42),
                (out * 0.9, up - 0.13, 0.36),
            ]
        )
    curves["wing"], curves["nose_side"] = np.array(wings), np.array(flanks)
    curves["wing_line"] = _resample(curves["wing"][:, 1:], 7)
    curves["nose_base"] = _resample(curves["nostrils"][1:4], 7)
    curves["tip"] = np.array([(0.0, length - 0.12 - mid, 0.66)])


# --- Mouth

_LIP = np.linspace(-1, 1, 17)
_LIP_SIDE = (_LIP > 0).astype(int)
_LIP_SHARE = np.stack([0.5 - 0.5 * _LIP, 0.5 + 0.5 * _LIP])
_REACH = np.abs(_LIP)
_REACH_CORNER, _REACH_2 = _REACH**1.7, _REACH**2
_ROUND, _SQUARE = 1 - _REACH_2, 1 - _REACH**4
_ARCH = np.sqrt(_ROUND)
_LIP_UPPER = (1 - _REACH**1.8) ** 0.8 * (1 - 0.22 * np.exp(-((_LIP / 0.16) ** 2)))
_LIP_LOWER = (1 - _REACH**2.2) ** 0.8
_LIP_Z = 0.40 - 0.22 * _REACH_2
_TONGUE = 0.45 * np.clip(1.1 - _REACH * 1.4, 0, 1) ** 0.5
_CHIN_T = np.array((-1, -0.5, 0, 0.5, 1))


def _mouth(curves: dict[str, Array], who: Identity, au: Units) -> None:
    """Lips, teeth and tongue.

    AU12 pulls the corners up, out and back, AU15 down, AU14 tucks them in, AU20 stretches them sideways, AU10
    raises the upper lip, AU17 pushes the lower lip up, AU23 and AU24 thin the lips, AU25 parts them, AU26
    drops the jaw.
    """
    a9, a10, a17, a20, a23, a24, a25, a26 = (au.mean(n) for n in (9, 10, 17, 20, 23, 24, 25, 26))
    jaw, parted, pull = 0.34 * a26, min(1.0, 2.5 * a25), au.mean(12)
    height = 0.875 + 0.03 * who.mouth_height + 0.02 * who.nose_length + 0.25 * jaw
    halves, corners = [], []
    for side, sign in enumerate((-1.0, 1.0)):
        b12, b14, b15, b20 = (au[n][side] for n in (12, 14, 15, 20))
        half = 0.355 * (1 + 0.08 * who.mouth_width) + 0.15 * b12 + 0.14 * b20 + 0.05 * b14 - 0.025 * b15
        half -= 0.075 * au[23][side] + 0.035 * au[24][side] + 0.02 * a17
        halves.append(half - (0.04 + 0.06 * parted) * a26 * (1 - max(b12, b20)))
        corner = -0.19 * b12 - 0.045 * b14 + 0.155 * b15 + 0.045 * b20 - 0.016 * who.mouth_curve
        corners.append(corner + 0.008 * sign * who.asymmetry + 0.3 * jaw * parted)
    upwards = au.sides(10, 9).T @ _LIP_SHARE
    line = (
        height
        + np.array(corners)[_LIP_SIDE] * _REACH_CORNER
        - (0.075 * a17 + np.array((0.045, 0.03)) @ upwards) * _ROUND
    )
    x = _LIP * np.array(halves)[_LIP_SIDE]
    raised = max(a10, 0.6 * a9)
    lift = parted * (0.012 + 0.055 * pull + 0.03 * a20 + 0.085 * np.maximum(upwards[0], 0.6 * upwards[1]))
    drop = parted * (0.025 + 0.05 * a25 + 0.045 * pull + 0.075 * a20) + parted * jaw
    box, oval = min(1.0, a20 + raised), min(1.0, 1.6 * a26)
    gape = ((1 - box) * oval) * _ARCH + ((1 - box) * (1 - oval)) * _ROUND + box * _SQUARE
    upper_in = line - lift * gape
    lower_in = line + drop * gape
    thin = (1 - 0.52 * a23) * (1 - 0.75 * a24) * (1 - 0.28 * pull) * (1 - 0.25 * a20)
    upper = max(0.016, 0.088 * (1 + 0.24 * who.upper_lip) * thin * (1 - 0.25 * raised))
    lower = max(0.020, 0.112 * (1 + 0.22 * who.lower_lip) * thin * (1 + 0.30 * a17))
    lower_out = lower_in + lower * _LIP_LOWER
    z = _LIP_Z - 0.08 * pull * _REACH_2
    lip = {
        "upper_out": _xyz(x, upper_in - upper * _LIP_UPPER, z),
        "upper_in": _xyz(x, upper_in, z),
        "lower_in": _xyz(x, lower_in, z),
        "lower_out": _xyz(x, lower_out, z),
    }
    curves.update(lip)
    down = lip["lower_in"][::-1]
    curves["upper_lip"] = np.concatenate([lip["upper_out"], lip["upper_in"][::-1]])
    curves["lower_lip"] = np.concatenate([lip["lower_in"], lip["lower_out"][::-1]])
    edge = 0.90 + 0.03 * who.mouth_height + 0.02 * who.nose_length + 0.035 * pull
    within = {
        "teeth": edge - (0.05 + 0.10 * pull) * _REACH_2,
        "low_teeth": lower_in - 0.055 * a20 * parted,
        "tongue": lower_in - jaw * _TONGUE,
    }
    edges = {name: _xyz(x, np.minimum(np.maximum(y, upper_in), lower_in), z) for name, y in within.items()}
    curves["gape"] = np.concatenate([lip["upper_in"], down])
    curves["teeth"] = np.concatenate([lip["upper_in"], edges["teeth"][::-1]])
    curves["low_teeth"] = np.concatenate([edges["low_teeth"], down])
    curves["tongue"] = np.concatenate([edges["tongue"], down])
    curves["corner"] = np.array([[(x[0], line[0], 0.18)], [(x[-1], line[-1], 0.18)]])
    lowest = float(lower_out.max())
    curves["chin_crease"] = _xyz(0.20 * _CHIN_T, lowest + 0.075 - 0.02 * a17 + 0.05 * _CHIN_T * _CHIN_T, 0.38)
    curves["chin_ball"] = np.array([(0.0, 0.45 * lowest + 0.55 * float(curves["jaw"][8, 1]), 0.40)])
    curves["philtrum"] = np.stack([curves["nostrils"][2], lip["upper_out"][8]])


# --- What the skin does around eyes, nose and mouth


def _cheeks(curves: dict[str, Array], au: Units) -> None:
    """Cheeks, nasolabial folds and the lines at the corners of the mouth."""
    a6, a9, a10, a12, a15 = au.sides(6, 9, 10, 12, 15).T
    wing, corner = curves["wing"][:, 1], curves["corner"]
    fold = np.empty((2, 3, 3))
    fold[:, 0] = wing + _xyz(_SIDE * 0.03, -0.05 - 0.05 * a9 - 0.03 * a10, -0.02)
    fold[:, 2] = corner[:, 0] + _xyz(_SIDE * (0.10 + 0.05 * a12), 0.02 - 0.05 * a12 + 0.10 * a15, -0.05)
    bulge = _SIDE * (0.05 + 0.07 * a12 + 0.05 * a10 + 0.05 * a9)
    fold[:, 1] = 0.5 * (wing + fold[:, 2]) + _xyz(bulge, -0.04 * a12, -0.02)
    curves["fold"] = _resample(fold, 9)
    curves["cheek"] = _xyz(_SIDE * (0.55 + 0.02 * a12), 0.46 - 0.10 * a6 - 0.05 * a12, 0.20)[:, None]
    curves["dimple"] = corner + _DIMPLE
    curves["droop"] = corner + _DROOP
    curves["stretch"] = corner + _STRETCH


def _forehead(curves: dict[str, Array]) -> None:
    """Lines of the forehead, which follow the brows, of the glabella and across the root of the nose."""
    brow = curves["brow"]
    glabella = brow[:, :1] + _GLABELLA
    glabella[..., 0] = np.maximum(glabella[..., 0] * _COLUMN, 0.04) * _COLUMN
    curves["glabella"] = glabella
    curves["root"] = _ROOT
    curves["between"] = 0.5 * (brow[:1, 0] + brow[1:, 0])
    line = np.concatenate([brow[0, 3::-1], curves["between"], brow[1, :4]]) * (0.92, 0.55, 1)
    for row, gap in enumerate((0.34, 0.46, 0.58)):
        curves[f"forehead{row}"] = line - (0, gap, 0)


# --- Smooth curves


def _resample(points: Array, count: int) -> Array:
    """Return a smooth curve [..., count, 3] through the given points."""
    found: Array = _spline(points.shape[-2], count) @ points
    return found


@cache
def _spline(given: int, wanted: int) -> Array:
    """Return the Catmull-Rom interpolation matrix [wanted, given]."""
    matrix = np.zeros((wanted, given))
    for row, position in enumerate(np.linspace(0, given - 1, wanted)):
        i = min(int(position), given - 2)
        t = position - i
        weights = (
            -0.5 * t + t * t - 0.5 * t**3,
            1 - 2.5 * t * t + 1.5 * t**3,
            0.5 * t + 2 * t * t - 1.5 * t**3,
            0.5 * (t**3 - t * t),
        )
        for offset, weight in zip((-1, 0, 1, 2), weights, strict=True):
            at = i + offset
            if at < 0:
                matrix[row, 0] += 2 * weight
                matrix[row, 1] -= weight
            elif at >= given:
                matrix[row, -1] += 2 * weight
                matrix[row, -2] -= weight
            else:
                matrix[row, at] += weight
    return matrix


_DIMPLE = _resample(_both([(0.07, -0.07, 0), (0.10, 0.0, 0), (0.065, 0.07, 0)]), 5)
_DROOP = _resample(_both([(0.03, 0.02, 0), (0.06, 0.10, 0), (0.04, 0.20, 0)]), 5)
_STRETCH = _resample(_both([(0.14, -0.10, -0.1), (0.19, 0.04, -0.1), (0.14, 0.18, -0.1)]), 5)
_GLABELLA = _both([(-0.04, -0.10, 0.02), (-0.05, 0.09, 0.02)])
_ROOT = _both([at for y in (-0.07, 0.02, 0.11) for at in ((0.01, y, 0.34), (0.12, y - 0.03, 0.26))])
