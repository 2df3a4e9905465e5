"""Curves of the features of a face: brows, eyes, nose, mouth and the skin around them."""

from __future__ import annotations

import numpy as np

from fer_bench.synthetic.anatomy import Array, Identity, Pose, Units
from fer_bench.synthetic.exact import exponential, on_grid, power, product, sine
from fer_bench.synthetic.splines import COLUMN, SIDE, both, resample, spline, xyz

# --- Brows and eyes

_ALONG = np.linspace(0, 1, 5)
_BROW_X = 0.16 + 0.52 * _ALONG
_BROW_Z = np.array([0.30, 0.30, 0.26, 0.16, 0.02])
_BROW_ARCH = sine(np.pi * np.minimum(1, 0.15 + 0.8 * _ALONG))
_BROW_HALF = product(spline(5, 11), 0.5 * np.array([0.85, 1.0, 0.95, 0.7, 0.25]))
_BROW_DOWN = on_grid(
    np.array(
        [
            (-0.20, -0.13, -0.04, 0.0, 0.01),
            (0.0, -0.06, -0.15, -0.19, -0.14),
            (0.15, 0.13, 0.09, 0.05, 0.01),
            (0.09, 0.06, 0.03, 0.01, 0.0),
        ]
    )
)
"""How AU1, 2, 4 and 9 move the brow downwards, from its inner to its outer end."""
_BROW_OUT = on_grid(
    np.array([(0.0,) * 5, (0.0,) * 5, (-0.075, -0.06, -0.03, -0.01, 0.0), (-0.03, -0.02, 0.0, 0.0, 0.0)])
)
"""How AU1, 2, 4 and 9 move the brow outwards."""

_LID = np.linspace(-1, 1, 13)
_LID_FLAT = 1 - power(np.abs(_LID), 2.3)
_LID_BOW = 0.18 * _LID * _LID_FLAT
_LID_Z = 0.16 - 0.10 * (_LID + 1) + 0.05 * _LID_FLAT
_LID_SLANT = 0.7 * (0.3 + _LID) * _LID_FLAT
_CREASE = 1 - power(np.abs(_LID), 2.6)
_CROW = np.array([(0.05, dy * 0.35, -0.05, 0.19, dy + 0.02, -0.14) for dy in (-0.09, 0.01, 0.11)]).reshape(
    -1, 3
)


def add_brows(curves: dict[str, Array], who: Identity, au: Units) -> None:
    """Add the brows, from the inner to the outer end.

    AU1 lifts the inner end, AU2 the outer part, AU4 lowers the brow and draws it inwards, AU9 pulls the inner
    end down.
    """
    units = on_grid(au.sides(1, 2, 4, 9))
    y = (
        (-0.315 - 0.035 * who.brow_height)
        + 0.035 * who.brow_tilt * (0.5 - _ALONG)
        - (0.085 + 0.025 * who.brow_arch) * _BROW_ARCH
        + (0.012 * who.asymmetry) * COLUMN
        + units @ _BROW_DOWN
    )
    x = (_BROW_X + 0.04 * who.eye_distance + units @ _BROW_OUT) * COLUMN
    line = xyz(x, y, _BROW_Z)
    dense = resample(line, 11)
    half = (0.068 + 0.018 * who.brow_thickness) * _BROW_HALF
    area = np.concatenate([dense, dense[:, ::-1]], axis=1)
    area[:, :11, 1] -= half
    area[:, 11:, 1] += half[::-1]
    curves["brow"], curves["brow_area"] = line, area


def add_eyes(curves: dict[str, Array], who: Identity, au: Units, pose: Pose) -> None:
    """Add the lids, from the inner to the outer corner, and what covers the eyeball above and below them.

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
    x = mirrored * COLUMN
    x0_, wide = x0 * COLUMN, half * COLUMN * _LID
    upper = axis - up_ * (_LID_FLAT - _LID_BOW) + np.array(slants) * _LID_SLANT
    lower = np.maximum(axis + low_ * (_LID_FLAT + 0.6 * _LID_BOW), upper + 0.004)
    brow = curves["brow"]
    cover = np.array([np.interp(mirrored, abs(brow[side, :, 0]), brow[side, :, 1]) for side in (0, 1)])
    lid_up, lid_low = xyz(x, upper, _LID_Z), xyz(x, lower, _LID_Z)
    x_cover = x0_ + 1.12 * wide
    lid_cover = xyz(x_cover, np.minimum(cover * 0.6, upper - 0.10), _LID_Z)
    bag_cover = xyz(x_cover, axis + 0.20 * (1 - 0.6 * _LID**2) + 0.03, _LID_Z)
    curves["lid_up"], curves["lid_low"] = lid_up, lid_low
    curves["eye_white"] = np.concatenate([lid_up, lid_low[:, ::-1]], axis=1)
    curves["lid"] = np.concatenate([lid_up, lid_cover[:, ::-1]], axis=1)
    curves["under_lid"] = np.concatenate([lid_low, bag_cover[:, ::-1]], axis=1)
    curves["lid_crease"] = xyz(x0_ + 1.04 * wide, axis - (0.055 + 0.75 * up_) * _CREASE - 0.014, _LID_Z)
    curves["bag"] = xyz(x0_ + 0.95 * wide, axis + np.array(bags) * (1 - 0.75 * _LID**2) + 0.02, _LID_Z)
    right, down = pose.gaze[0] * 0.11, pose.gaze[1] * 0.05 - 0.012
    curves["iris"] = np.array(
        [[(sign * x0 + right, down, 0.19), (sign * (x0 + 0.098) + right, down, 0.19)] for sign in (-1, 1)]
    )
    curves["crow"] = (_CROW + np.array((x0 + half, tilt, 0.0))) * _MIRROR
    curves["socket"] = 0.5 * (lid_up[:, 6:7] + brow[:, 2:3])


_MIRROR = both([(1.0, 1.0, 1.0)])


# --- Nose


def add_nose(curves: dict[str, Array], who: Identity, au: Units) -> None:
    """Add the nose; AU9 wrinkles the root and pulls the wings up, AU10 pulls them up a little."""
    length = 0.56 + 0.04 * who.nose_length
    a9, a10, a12 = au[9], au[10], au[12]
    rise = [0.075 * a9[side] + 0.03 * a10[side] for side in (0, 1)]
    mid = 0.25 * (rise[0] + rise[1])
    wing = 0.185 * (1 + 0.12 * who.nose_width)
    flare = [wing * (1 + 0.12 * a9[side] + 0.05 * a12[side]) for side in (0, 1)]
    curves["bridge"] = xyz(np.zeros(4), np.linspace(-0.02, length - 0.10 - mid, 4), (0.28, 0.42, 0.56, 0.66))
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
    curves["wing_line"] = resample(curves["wing"][:, 1:], 7)
    curves["nose_base"] = resample(curves["nostrils"][1:4], 7)
    curves["tip"] = np.array([(0.0, length - 0.12 - mid, 0.66)])


# --- Mouth

_LIP = np.linspace(-1, 1, 17)
_LIP_SIDE = (_LIP > 0).astype(int)
_LIP_SHARE = np.stack([0.5 - 0.5 * _LIP, 0.5 + 0.5 * _LIP])  # sixteenths, free of rounding
_REACH = np.abs(_LIP)
_REACH_CORNER, _REACH_2 = power(_REACH, 1.7), _REACH * _REACH
_ROUND, _SQUARE = 1 - _REACH_2, 1 - _REACH_2 * _REACH_2
_ARCH = np.sqrt(_ROUND)
_LIP_UPPER = power(1 - power(_REACH, 1.8), 0.8) * (1 - 0.22 * exponential(-((_LIP / 0.16) ** 2)))
_LIP_LOWER = power(1 - power(_REACH, 2.2), 0.8)
_LIP_Z = 0.40 - 0.22 * _REACH_2
_TONGUE = 0.45 * np.sqrt(np.clip(1.1 - _REACH * 1.4, 0, 1))
_CHIN_T = np.array((-1, -0.5, 0, 0.5, 1))


def add_mouth(curves: dict[str, Array], who: Identity, au: Units) -> None:
    """Add lips, teeth and tongue.

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
    upwards = on_grid(au.sides(10, 9)).T @ _LIP_SHARE
    line = (
        height
        + np.array(corners)[_LIP_SIDE] * _REACH_CORNER
        - (0.075 * a17 + 0.045 * upwards[0] + 0.03 * upwards[1]) * _ROUND
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
        "upper_out": xyz(x, upper_in - upper * _LIP_UPPER, z),
        "upper_in": xyz(x, upper_in, z),
        "lower_in": xyz(x, lower_in, z),
        "lower_out": xyz(x, lower_out, z),
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
    edges = {name: xyz(x, np.minimum(np.maximum(y, upper_in), lower_in), z) for name, y in within.items()}
    curves["gape"] = np.concatenate([lip["upper_in"], down])
    curves["teeth"] = np.concatenate([lip["upper_in"], edges["teeth"][::-1]])
    curves["low_teeth"] = np.concatenate([edges["low_teeth"], down])
    curves["tongue"] = np.concatenate([edges["tongue"], down])
    curves["corner"] = np.array([[(x[0], line[0], 0.18)], [(x[-1], line[-1], 0.18)]])
    lowest = float(lower_out.max())
    curves["chin_crease"] = xyz(0.20 * _CHIN_T, lowest + 0.075 - 0.02 * a17 + 0.05 * _CHIN_T * _CHIN_T, 0.38)
    curves["chin_ball"] = np.array([(0.0, 0.45 * lowest + 0.55 * float(curves["jaw"][8, 1]), 0.40)])
    curves["philtrum"] = np.stack([curves["nostrils"][2], lip["upper_out"][8]])


# --- What the skin does around eyes, nose and mouth

_DIMPLE = resample(both([(0.07, -0.07, 0), (0.10, 0.0, 0), (0.065, 0.07, 0)]), 5)
_DROOP = resample(both([(0.03, 0.02, 0), (0.06, 0.10, 0), (0.04, 0.20, 0)]), 5)
_STRETCH = resample(both([(0.14, -0.10, -0.1), (0.19, 0.04, -0.1), (0.14, 0.18, -0.1)]), 5)
_GLABELLA = both([(-0.04, -0.10, 0.02), (-0.05, 0.09, 0.02)])
_ROOT = both([at for y in (-0.07, 0.02, 0.11) for at in ((0.01, y, 0.34), (0.12, y - 0.03, 0.26))])


def add_cheeks(curves: dict[str, Array], au: Units) -> None:
    """Add the cheeks, the nasolabial folds and the lines at the corners of the mouth."""
    a6, a9, a10, a12, a15 = au.sides(6, 9, 10, 12, 15).T
    wing, corner = curves["wing"][:, 1], curves["corner"]
    fold = np.empty((2, 3, 3))
    fold[:, 0] = wing + xyz(SIDE * 0.03, -0.05 - 0.05 * a9 - 0.03 * a10, -0.02)
    fold[:, 2] = corner[:, 0] + xyz(SIDE * (0.10 + 0.05 * a12), 0.02 - 0.05 * a12 + 0.10 * a15, -0.05)
    bulge = SIDE * (0.05 + 0.07 * a12 + 0.05 * a10 + 0.05 * a9)
    fold[:, 1] = 0.5 * (wing + fold[:, 2]) + xyz(bulge, -0.04 * a12, -0.02)
    curves["fold"] = resample(fold, 9)
    curves["cheek"] = xyz(SIDE * (0.55 + 0.02 * a12), 0.46 - 0.10 * a6 - 0.05 * a12, 0.20)[:, None]
    curves["dimple"] = corner + _DIMPLE
    curves["droop"] = corner + _DROOP
    curves["stretch"] = corner + _STRETCH


def add_forehead(curves: dict[str, Array]) -> None:
    """Add the lines of the forehead, which follow the brows, of the glabella and of the root of the nose."""
    brow = curves["brow"]
    glabella = brow[:, :1] + _GLABELLA
    glabella[..., 0] = np.maximum(glabella[..., 0] * COLUMN, 0.04) * COLUMN
    curves["glabella"] = glabella
    curves["root"] = _ROOT
    curves["between"] = 0.5 * (brow[:1, 0] + brow[1:, 0])
    line = np.concatenate([brow[0, 3::-1], curves["between"], brow[1, :4]]) * (0.92, 0.55, 1)
    for row, gap in enumerate((0.34, 0.46, 0.58)):
        curves[f"forehead{row}"] = line - (0, gap, 0)
