"""A drawn face: identity parameters and action units in, a shaded RGB picture and 68 landmarks out.

The face lives in *face units*: x to the right of the picture, y downwards, z towards the viewer, origin
between the eyes, half the width of the face about 1. Action units move the curves that everything is drawn
from, after the descriptions of FACS (Ekman & Friesen, 1978); the wrinkles and bulges they cause are drawn
into a relief that multiplies the flat colours. Side 0 is the left of the picture (the person's right), side 1
the right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

FACE_AUS: tuple[int, ...] = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 24, 25, 26)
"""Action units the face can show, in the order of every [17] or [17, 2] intensity array."""

Array = NDArray[np.float64]
Picture = NDArray[np.uint8]
Colour = tuple[float, float, float]

_SUPERSAMPLING = 2
_SHIFT = 4
_JAW_ANGLES = np.linspace(0, np.pi, 17)
_LID = np.linspace(-1, 1, 13)
_RING = np.linspace(0, 2 * np.pi, 20, endpoint=False)
_LIP = np.linspace(-1, 1, 17)


@dataclass(frozen=True)
class Identity:
    """What stays the same in every picture of a person.

    Shape fields are standard scores (0 = average, useful within -2 to 2); colours are RGB in [0, 255].

    Attributes:
        width: Width of the face.
        jaw: Squareness of the jaw.
        chin: Length of the lower face.
        forehead: Height of the forehead.
        eye_size: Width of the eyes.
        eye_open: Height of the eye opening at rest.
        eye_distance: Distance between the eyes.
        eye_tilt: Outer eye corners up (positive) or down.
        brow_height: Distance of the brows from the eyes.
        brow_thickness: Thickness of the brows.
        brow_arch: Height of the arch.
        brow_tilt: Inner ends down (positive) or up.
        nose_length: Length of the nose.
        nose_width: Width of the nose.
        mouth_width: Width of the mouth.
        mouth_height: Distance of the mouth from the nose.
        mouth_curve: Lip corners up (positive) or down at rest.
        upper_lip: Fullness of the upper lip.
        lower_lip: Fullness of the lower lip.
        asymmetry: Difference between the two halves of the face.
        age: 0 (about 15 years) to 1 (about 75): lines, grey hair.
        hair_style: 0 bald, 1 short, 2 side parting, 3 fringe, 4 long, 5 long with fringe, 6 curly,
            7 receding.
        beard: 0 none, 1 stubble, 2 moustache, 3 full beard, 4 goatee.
        glasses: 0 none, 1 round thin, 2 rectangular thick.
        skin: Skin colour.
        hair: Hair colour.
        iris: Iris colour.
        lips: Lip colour.
        cloth: Colour of the clothes.
        texture: Seed of the skin's mottling and the strands of hair.
    """

    width: float = 0.0
    jaw: float = 0.0
    chin: float = 0.0
    forehead: float = 0.0
    eye_size: float = 0.0
    eye_open: float = 0.0
    eye_distance: float = 0.0
    eye_tilt: float = 0.0
    brow_height: float = 0.0
    brow_thickness: float = 0.0
    brow_arch: float = 0.0
    brow_tilt: float = 0.0
    nose_length: float = 0.0
    nose_width: float = 0.0
    mouth_width: float = 0.0
    mouth_height: float = 0.0
    mouth_curve: float = 0.0
    upper_lip: float = 0.0
    lower_lip: float = 0.0
    asymmetry: float = 0.0
    age: float = 0.2
    hair_style: int = 1
    beard: int = 0
    glasses: int = 0
    skin: Colour = (224, 172, 140)
    hair: Colour = (70, 48, 36)
    iris: Colour = (96, 70, 50)
    lips: Colour = (184, 96, 92)
    cloth: Colour = (70, 80, 110)
    texture: int = 0


@dataclass(frozen=True)
class Pose:
    """Where the head points and what the eyes do.

    Attributes:
        yaw: Turn to the picture's right, degrees.
        pitch: Nod, positive = down, degrees.
        roll: Tilt, positive = clockwise in the picture, degrees.
        gaze: Iris offset (right, down) in half eye widths.
        blink: 0 open to 1 closed.
    """

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    gaze: tuple[float, float] = (0.0, 0.0)
    blink: float = 0.0


@dataclass(frozen=True)
class Light:
    """The light on a face.

    Attributes:
        direction: Where it comes from (right, down, towards the viewer); need not have unit length.
        ambient: Share of the light that has no direction, in [0, 1].
        strength: Brightness of a fully lit patch of skin, 1 = its own colour.
        relief: Contrast of wrinkles and bulges, 1 = ordinary.
    """

    direction: tuple[float, float, float] = (-0.35, -0.6, 1.0)
    ambient: float = 0.5
    strength: float = 1.08
    relief: float = 1.0


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


def au_array(au: Mapping[int, float] | ArrayLike) -> Array:
    """Return intensities as [17, 2] (unit in the order of `FACE_AUS`, side), clipped to [0, 1].

    Args:
        au: Mapping from unit number to intensity, or an array [17] or [17, 2].

    Raises:
        KeyError: A unit the face cannot show.
    """
    if isinstance(au, Mapping):
        values = np.zeros((len(FACE_AUS), 2))
        known = {number: row for row, number in enumerate(FACE_AUS)}
        for number, intensity in au.items():
            values[known[number]] = intensity
    else:
        values = np.asarray(au, np.float64)
        if values.ndim == 1:
            values = np.repeat(values[:, None], 2, axis=1)
    clipped: Array = np.minimum(np.maximum(values, 0.0), 1.0)
    return clipped


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
        identity: Who it is.
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
    units = _Units(au_array(au))
    curves = _curves(identity, units, pose)
    points = _project(curves, pose, scale, centre)
    canvas = _Canvas(height, width, scale)
    _paint(canvas, points, identity, units, scale)
    picture, alpha = canvas.flatten()
    relief = _Relief(height, width, scale, points["head"])
    _carve(relief, points, identity, units)
    relief.apply(picture, alpha, identity, pose, light, centre)
    return Face(picture, alpha, _landmarks(points))


class _Units:
    """Action units by number: `units[12]` is the pair (left, right), `units.mean(12)` their mean."""

    def __init__(self, values: Array) -> None:
        self._values: dict[int, Array] = dict(zip(FACE_AUS, values, strict=True))
        self._means: dict[int, float] = dict(zip(FACE_AUS, values.mean(axis=1).tolist(), strict=True))

    def __getitem__(self, number: int) -> Array:
        return self._values[number]

    def mean(self, number: int) -> float:
        return self._means[number]


# --- Shape: identity and action units to curves in face units


def _curves(who: Identity, au: _Units, pose: Pose) -> dict[str, Array]:
    """Return every curve that is drawn, as arrays [n, 3] in face units before the head turns."""
    curves: dict[str, Array] = {}
    _outline(curves, who, au)
    for side in (0, 1):
        mirrored: dict[str, Array] = {}
        _brow(mirrored, who, au, side)
        _eye(mirrored, who, au, pose, side)
        for name, curve in mirrored.items():
            curves[f"{name}{side}"] = curve * (1.0 if side else -1.0, 1.0, 1.0)
    for side in (0, 1):
        eye = curves[f"iris{side}"]
        eye[:, 0] += pose.gaze[0] * 0.11
        eye[:, 1] += pose.gaze[1] * 0.05
    _nose(curves, who, au)
    _mouth(curves, who, au)
    _folds(curves, who, au)
    return curves


def _outline(curves: dict[str, Array], who: Identity, au: _Units) -> None:
    sine, cosine = np.sin(_JAW_ANGLES), np.cos(_JAW_ANGLES)
    half = 1.0 * (1 + 0.05 * who.width)
    power = np.clip(0.86 - 0.10 * who.jaw, 0.6, 1.1)
    taper = 1 - (0.05 - 0.04 * who.jaw) * sine
    chin = 1.40 + 0.07 * who.chin
    drop = 0.24 * au.mean(26) - 0.03 * au.mean(17)
    x = -np.sign(cosine) * np.abs(cosine) ** power * half * taper
    y = 0.05 + (chin - 0.05) * sine**1.12 + drop * sine**2
    curves["jaw"] = np.stack([x, y, -0.55 + 0.8 * sine], 1)
    top = 1.24 + 0.05 * who.forehead
    arch = np.linspace(0, np.pi, 21)
    skull = np.stack([-np.cos(arch) * half, 0.05 - top * np.sin(arch) ** 0.9, -0.55 + 0.55 * np.sin(arch)], 1)
    curves["skull"] = skull
    cheeks = np.array([(0.9, 0.25, -0.05), (0.84, 0.6, -0.05), (0.62, 1.0, 0.05), (0.86, -0.5, -0.1)])
    cheeks[:, 0] *= half
    curves["cheeks"] = np.concatenate([cheeks, cheeks * (-1, 1, 1)])
    for side, sign in enumerate((-1.0, 1.0)):
        ear = [sign * (half + 0.03 + 0.10 * np.cos(_RING)), 0.12 + 0.24 * np.sin(_RING), np.full(20, -0.6)]
        curves[f"ear{side}"] = np.stack(ear, 1)
    curves.update(_hair_curves(who, half, top))


def _hair_curves(who: Identity, half: float, top: float) -> dict[str, Array]:
    """Return the outer contour of the hair (`mane`) and the region in front of the skull (`crown`)."""
    style = who.hair_style
    arch = np.linspace(0, np.pi, 25)
    volume = {0: 0.0, 1: 0.07, 2: 0.12, 3: 0.12, 4: 0.15, 5: 0.15, 6: 0.22, 7: 0.05}[style]
    ripple = 0.035 * np.sin(9 * arch + who.texture) if style == 6 else 0.0
    reach = 1 + volume / 1.2 + ripple
    outer = np.stack(
        [
            -np.cos(arch) * half * reach,
            0.05 - (top + volume * 0.9) * np.sin(arch) ** 0.85 * reach,
            -0.5 + 0.4 * np.sin(arch),
        ],
        1,
    )
    bottom = {1: 0.12, 2: 0.15, 3: 0.25, 4: 1.75, 5: 1.6, 6: 0.55, 7: 0.1, 0: 0.0}[style]
    side = half * (1.10 if style in (4, 5, 6) else 1.02)
    tail = np.array([(side, bottom, -0.45), (-side, bottom, -0.45)])
    line_y = {0: -1.2, 1: -0.90, 2: -0.86, 3: -0.64, 4: -0.88, 5: -0.64, 6: -0.80, 7: -1.12}[
        style
    ] - 0.05 * who.forehead
    part = {2: 0.45, 4: 0.25}.get(style, 0.0) * (1 if who.texture % 2 else -1)
    spread = np.array([-0.97, -0.90, -0.78, -0.5, -0.2, 0.2, 0.5, 0.78, 0.90, 0.97])
    lift = np.array([0.30, 0.62, 0.86, 1.0, 1.03, 1.03, 1.0, 0.86, 0.62, 0.30])
    if style in (3, 5):
        lift = np.array([0.1, 0.75, 1.0, 0.98, 1.03, 0.99, 1.02, 1.0, 0.75, 0.1])
    if style == 7:
        lift = np.array([0.3, 0.75, 1.0, 1.06, 0.92, 0.92, 1.06, 1.0, 0.75, 0.3])
    rise = 0.18 * np.exp(-(((spread - part) / 0.3) ** 2)) if part else 0.0
    hairline = np.stack([spread * half * 1.01, line_y * lift - rise, -0.35 + 0.6 * (1 - spread**2)], 1)
    return {"mane": np.concatenate([outer, tail]), "crown": np.concatenate([outer, hairline[::-1]])}


def _brow(curves: dict[str, Array], who: Identity, au: _Units, side: int) -> None:
    """Brow of one side from the inner to the outer end, x positive.

    AU1 lifts the inner end, AU2 the outer part, AU4 lowers the brow and draws it inwards, AU9 pulls the
    inner end down.
    """
    a1, a2, a4, a9 = (float(au[n][side]) for n in (1, 2, 4, 9))
    t = np.linspace(0, 1, 5)
    lopsided = 0.012 * who.asymmetry * (1 if side else -1)
    x = 0.16 + 0.52 * t + 0.04 * who.eye_distance
    arch = (0.085 + 0.025 * who.brow_arch) * np.sin(np.pi * np.minimum(1, 0.15 + 0.8 * t))
    y = -0.315 - 0.035 * who.brow_height + lopsided + 0.035 * who.brow_tilt * (0.5 - t) - arch
    y = y + a1 * np.array([-0.20, -0.13, -0.04, 0, 0.01]) + a2 * np.array([0, -0.06, -0.15, -0.19, -0.14])
    y = y + a4 * np.array([0.15, 0.13, 0.09, 0.05, 0.01]) + a9 * np.array([0.09, 0.06, 0.03, 0.01, 0])
    x = x + a4 * np.array([-0.075, -0.06, -0.03, -0.01, 0]) + a9 * np.array([-0.03, -0.02, 0, 0, 0])
    z = np.array([0.30, 0.30, 0.26, 0.16, 0.02])
    line = np.stack([x, y, z], 1)
    curves["brow"] = line
    thick = (0.068 + 0.018 * who.brow_thickness) * np.array([0.85, 1.0, 0.95, 0.7, 0.25])
    dense = _resample(line, 11)
    half = _resample(np.stack([0 * t, thick, 0 * t], 1), 11) * 0.5
    curves["brow_area"] = np.concatenate([dense - half, (dense + half)[::-1]])


def _eye(curves: dict[str, Array], who: Identity, au: _Units, pose: Pose, side: int) -> None:
    """Eye of one side, x positive, lids from the inner to the outer corner.

    AU5 lifts the upper lid, AU7 tightens both lids, AU6 pushes the lower lid up, AU9 squints a little, AU1
    with AU4 slants the upper lid.
    """
    a1, a4, a5, a6, a7, a9, a12 = (float(au[n][side]) for n in (1, 4, 5, 6, 7, 9, 12))
    half = 0.215 * (1 + 0.07 * who.eye_size)
    x0 = 0.43 + 0.04 * who.eye_distance
    tilt = -0.035 * who.eye_tilt - 0.012
    up = (0.118 + 0.014 * who.eye_open) * (
        1 + 0.72 * a5 * (1 - 0.5 * a7) - 0.34 * a7 - 0.22 * a6 - 0.34 * a9 - 0.16 * a4 * (1 - a5)
    )
    low = (0.078 + 0.006 * who.eye_open) * (1 + 0.15 * a5 - 0.62 * a7 - 0.72 * a6 - 0.45 * a9 - 0.15 * a12)
    up, low = max(up, 0.028) * (1 - pose.blink), max(low, 0.012)
    if pose.blink > 0:
        up -= 0.05 * pose.blink
    slant = 0.05 * min(a1, a4) - 0.02 * a4 * (1 - a1)
    flat = 1 - np.abs(_LID) ** 2.3
    x = x0 + half * _LID
    axis = tilt * _LID
    bow = 0.18 * _LID * flat
    upper = axis - up * (flat - bow) + slant * (0.3 + _LID) * flat * 0.7
    lower = axis + low * (flat + 0.6 * bow)
    z = 0.16 - 0.10 * (_LID + 1) + 0.05 * flat
    curves["lid_up"] = np.stack([x, upper, z], 1)
    curves["lid_low"] = np.stack([x, np.maximum(lower, upper + 0.004), z], 1)
    brow = curves["brow"]
    cover = np.interp(x, brow[:, 0], brow[:, 1])
    curves["lid_cover"] = np.stack([x0 + half * 1.12 * _LID, np.minimum(cover * 0.6, upper - 0.10), z], 1)
    curves["lid_crease"] = np.stack(
        [x0 + half * 1.04 * _LID, axis - (0.055 + 0.75 * up) * (1 - np.abs(_LID) ** 2.6) - 0.014, z], 1
    )
    curves["bag_cover"] = np.stack([x0 + half * 1.12 * _LID, axis + 0.20 * (1 - 0.6 * _LID**2) + 0.03, z], 1)
    bag = 0.115 - 0.02 * a6 - 0.02 * a7
    curves["bag"] = np.stack([x0 + half * 0.95 * _LID, axis + bag * (1 - 0.75 * _LID**2) + 0.02, z], 1)
    curves["iris"] = np.array([(x0, -0.012, 0.19), (x0 + 0.098, -0.012, 0.19)])
    fan = [
        [(x0 + half + 0.05, tilt + dy * 0.35, -0.05), (x0 + half + 0.19, tilt + dy + 0.02, -0.14)]
        for dy in (-0.09, 0.01, 0.11)
    ]
    curves["crow"] = np.array(fan).reshape(-1, 3)


def _nose(curves: dict[str, Array], who: Identity, au: _Units) -> None:
    """AU9 wrinkles the root and pulls the wings up, AU10 pulls them a little."""
    a9, a10 = au[9], au[10]
    length = 0.56 + 0.04 * who.nose_length
    wing = 0.185 * (1 + 0.12 * who.nose_width)
    rise = 0.075 * a9 + 0.03 * a10
    mid = float(rise.mean()) * 0.5
    y = np.linspace(-0.02, length - 0.10 - mid, 4)
    curves["bridge"] = np.stack([np.zeros(4), y, np.array([0.28, 0.42, 0.56, 0.66])], 1)
    flare = wing * (1 + 0.12 * a9 + 0.05 * au[12])
    base = np.array(
        [
            (-flare[0], length - 0.05 - rise[0], 0.30),
            (-0.09, length - mid, 0.42),
            (0.0, length + 0.025 - mid, 0.46),
            (0.09, length - mid, 0.42),
            (flare[1], length - 0.05 - rise[1], 0.30),
        ]
    )
    curves["nostrils"] = base
    for side, sign in enumerate((-1.0, 1.0)):
        out, up = sign * flare[side], length - rise[side]
        curves[f"wing{side}"] = np.array(
            [
                (out * 0.72, up - 0.20, 0.38),
                (out * 1.05, up - 0.13, 0.32),
                (out * 1.10, up - 0.05, 0.30),
                (out * 0.85, up + 0.01, 0.34),
            ]
        )
        curves[f"nose_side{side}"] = np.array(
            [
                (sign * 0.115, -0.05, 0.22),
                (sign * 0.085, 0.15, 0.36),
                (sign * 0.12, up - 0.22, 0.42),
                (out * 0.9, up - 0.13, 0.36),
            ]
        )
    curves["tip"] = np.array([(0.0, length - 0.12 - mid, 0.66)])


def _mouth(curves: dict[str, Array], who: Identity, au: _Units) -> None:
    """Lips, teeth and tongue.

    AU12 pulls the corners up and out, AU15 down, AU14 tucks them in, AU20 stretches them sideways, AU10
    raises the upper lip, AU17 pushes the lower lip up, AU23 and AU24 thin the lips, AU25 parts them, AU26
    drops the jaw.
    """
    a9, a10, a17, a23, a24, a25, a26 = (au.mean(n) for n in (9, 10, 17, 23, 24, 25, 26))
    a12, a14, a15, a20 = (au[n] for n in (12, 14, 15, 20))
    jaw = 0.34 * a26
    height = 0.875 + 0.03 * who.mouth_height + 0.02 * who.nose_length + 0.25 * jaw
    half = 0.355 * (1 + 0.08 * who.mouth_width) + 0.15 * a12 + 0.14 * a20 + 0.05 * a14 - 0.025 * a15
    half = half - 0.045 * a23 - 0.035 * a24 - 0.02 * a17 - 0.10 * a26 * (1 - np.maximum(a12, a20))
    lopsided = 0.008 * who.asymmetry * np.array([-1, 1])
    corner = (
        -0.19 * a12 - 0.045 * a14 + 0.155 * a15 + 0.045 * a20 - 0.016 * who.mouth_curve + lopsided + 0.3 * jaw
    )
    side = (_LIP > 0).astype(int)
    reach = np.abs(_LIP)
    line = height + corner[side] * reach**1.7 - (0.075 * a17 + 0.045 * a10 + 0.03 * a9) * (1 - reach**2)
    x = _LIP * np.where(_LIP > 0, half[1], half[0])
    parted = min(1.0, 2.5 * a25)
    pull, stretch, raised = float(a12.mean()), float(a20.mean()), max(a10, 0.6 * a9)
    lift = parted * (0.012 + 0.055 * pull + 0.085 * raised + 0.03 * stretch)
    drop = parted * (0.025 + 0.05 * a25 + 0.045 * pull + 0.075 * stretch) + parted * jaw
    round_ = 1 - reach**2
    square = 1 - reach**4
    box = min(1.0, stretch + raised)
    arch = np.sqrt(np.clip(round_, 0, 1)) * min(1.0, 1.6 * a26) + round_ * (1 - min(1.0, 1.6 * a26))
    gape = (1 - box) * arch + box * square
    upper_in = line - lift * gape
    lower_in = line + drop * gape
    thin = (1 - 0.52 * a23) * (1 - 0.75 * a24) * (1 - 0.28 * pull) * (1 - 0.25 * stretch)
    upper = max(0.016, 0.088 * (1 + 0.24 * who.upper_lip) * thin * (1 - 0.25 * raised))
    lower = max(0.020, 0.112 * (1 + 0.22 * who.lower_lip) * thin * (1 + 0.30 * a17))
    bow = 1 - 0.22 * np.exp(-((_LIP / 0.16) ** 2))
    upper_out = upper_in - upper * (1 - reach**1.8) ** 0.8 * bow
    lower_out = lower_in + lower * (1 - reach**2.2) ** 0.8
    z = 0.40 - 0.22 * reach**2

    def at(y: Array) -> Array:
        return np.stack([x, y, z], 1)

    curves["upper_out"], curves["upper_in"] = at(upper_out), at(upper_in)
    curves["lower_in"], curves["lower_out"] = at(lower_in), at(lower_out)
    teeth_edge = 0.90 + 0.03 * who.mouth_height + 0.02 * who.nose_length + 0.035 * pull
    teeth = teeth_edge - (0.05 + 0.10 * pull) * reach**2
    curves["teeth"] = at(np.clip(teeth, upper_in, lower_in))
    curves["low_teeth"] = at(np.clip(lower_in - 0.055 * stretch * parted, upper_in, lower_in))
    curves["tongue"] = at(
        np.clip(lower_in - 0.45 * jaw * np.clip(1.1 - reach * 1.4, 0, 1) ** 0.5, upper_in, lower_in)
    )
    curves["corner"] = np.array([(x[0], line[0], 0.18), (x[-1], line[-1], 0.18)])
    below = np.array(
        [
            (t * 0.20, float(lower_out.max()) + 0.075 - 0.02 * a17 + 0.05 * t * t, 0.38)
            for t in (-1, -0.5, 0, 0.5, 1)
        ]
    )
    curves["chin_crease"] = below
    chin_y = float(curves["jaw"][8, 1])
    curves["chin_ball"] = np.array([(0.0, 0.45 * float(lower_out.max()) + 0.55 * chin_y, 0.40)])


def _folds(curves: dict[str, Array], who: Identity, au: _Units) -> None:
    """Nasolabial folds, cheeks and the lines of forehead and glabella."""
    for side, sign in enumerate((-1.0, 1.0)):
        a6, a9, a10, a12, a15 = (float(au[n][side]) for n in (6, 9, 10, 12, 15))
        wing = curves[f"wing{side}"][1]
        corner = curves["corner"][side]
        end = corner + np.array((sign * (0.10 + 0.05 * a12), 0.02 - 0.05 * a12 + 0.10 * a15, -0.05))
        bulge = sign * (0.05 + 0.07 * a12 + 0.05 * a10 + 0.05 * a9)
        middle = 0.5 * (wing + end) + np.array((bulge, -0.04 * a12, -0.02))
        start = wing + np.array((sign * 0.03, -0.05 - 0.05 * a9 - 0.03 * a10, -0.02))
        curves[f"fold{side}"] = _resample(np.array([start, middle, end]), 9)
        curves[f"cheek{side}"] = np.array([(sign * (0.55 + 0.02 * a12), 0.46 - 0.10 * a6 - 0.05 * a12, 0.20)])
        curves[f"dimple{side}"] = _resample(
            corner + np.array([(sign * 0.07, -0.07, 0), (sign * 0.10, 0.0, 0), (sign * 0.065, 0.07, 0)]), 5
        )
        curves[f"droop{side}"] = _resample(
            corner + np.array([(sign * 0.03, 0.02, 0), (sign * 0.06, 0.10, 0), (sign * 0.04, 0.20, 0)]), 5
        )
        curves[f"stretch{side}"] = _resample(
            corner
            + np.array([(sign * 0.14, -0.10, -0.1), (sign * 0.19, 0.04, -0.1), (sign * 0.14, 0.18, -0.1)]),
            5,
        )
        inner = curves[f"brow{side}"][0]
        curves[f"glabella{side}"] = inner + np.array(
            [(-sign * 0.07, -0.10, 0.02), (-sign * 0.085, 0.09, 0.02)]
        )
        root = [[(sign * 0.01, y, 0.34), (sign * 0.12, y - 0.03, 0.26)] for y in (-0.07, 0.02, 0.11)]
        curves[f"root{side}"] = np.array(root).reshape(-1, 3)
    brows = np.concatenate([curves["brow0"][::-1], curves["brow1"]])
    for row, gap in enumerate((0.17, 0.29, 0.41)):
        line = brows * (0.92, 0.55, 1) + (0, -0.17 - gap, 0)
        curves[f"forehead{row}"] = line[1:-1]
    curves["head"] = np.array([(0.0, 0.05, 0.0)])


def _resample(points: Array, count: int) -> Array:
    """Return a smooth curve [count, d] through the given points."""
    found: Array = _spline(len(points), count) @ points
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


def _project(
    curves: dict[str, Array], pose: Pose, scale: float, centre: tuple[float, float]
) -> dict[str, Array]:
    """Turn the head about its middle and return all curves in pixels."""
    yaw, pitch, roll = np.deg2rad([pose.yaw, pose.pitch, pose.roll])
    turn_y = np.array([(np.cos(yaw), 0, np.sin(yaw)), (0, 1, 0), (-np.sin(yaw), 0, np.cos(yaw))])
    turn_x = np.array([(1, 0, 0), (0, np.cos(pitch), np.sin(pitch)), (0, -np.sin(pitch), np.cos(pitch))])
    turn_z = np.array([(np.cos(roll), -np.sin(roll), 0), (np.sin(roll), np.cos(roll), 0), (0, 0, 1)])
    pivot = np.array((0.0, 0.35, -0.55))
    stacked = (np.concatenate(list(curves.values())) - pivot) @ (turn_z @ turn_x @ turn_y).T
    stacked += pivot
    near = 1 + 0.07 * stacked[:, 2:]
    flat = stacked[:, :2] * near * scale + centre
    found: dict[str, Array] = {}
    start = 0
    for name, curve in curves.items():
        found[name] = flat[start : start + len(curve)]
        start += len(curve)
    return found


def _landmarks(points: dict[str, Array]) -> NDArray[np.float32]:
    upper, lower = points["upper_out"], points["lower_out"]
    upper_in, lower_in = points["upper_in"], points["lower_in"]
    left_up, left_low = points["lid_up0"], points["lid_low0"]
    right_up, right_low = points["lid_up1"], points["lid_low1"]
    parts = [
        points["jaw"],
        points["brow0"][::-1],
        points["brow1"],
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


# --- Colour: curves to flat colours


class _Canvas:
    """A supersampled picture with coverage, on which later shapes cover earlier ones."""

    def __init__(self, height: int, width: int, scale: float) -> None:
        self.shape = (height, width)
        self.factor = 1 if scale > 70 else _SUPERSAMPLING
        self.rgb = np.zeros((height * self.factor, width * self.factor, 3), np.uint8)
        self.alpha = np.zeros((height * self.factor, width * self.factor), np.uint8)

    def fixed(self, points: Array) -> NDArray[np.int32]:
        found: NDArray[np.int32] = np.rint(points * (self.factor << _SHIFT) - (1 << _SHIFT) / 2).astype(
            np.int32
        )
        return found

    def fill(self, points: Array, colour: ArrayLike, *, body: bool = False) -> None:
        fixed = [self.fixed(points)]
        cv2.fillPoly(self.rgb, fixed, _scalar(colour), cv2.LINE_AA, _SHIFT)
        if body:
            cv2.fillPoly(self.alpha, fixed, 255, cv2.LINE_AA, _SHIFT)

    def line(self, points: Array, colour: ArrayLike, width: float, *, closed: bool = False) -> None:
        pixels = max(1, round(width * self.factor))
        cv2.polylines(self.rgb, [self.fixed(points)], closed, _scalar(colour), pixels, cv2.LINE_AA, _SHIFT)

    def lines(self, strokes: Array, colour: ArrayLike, width: float) -> None:
        pixels = max(1, round(width * self.factor))
        cv2.polylines(
            self.rgb, list(self.fixed(strokes)), False, _scalar(colour), pixels, cv2.LINE_AA, _SHIFT
        )

    def disc(self, centre: Array, radius: float, colour: ArrayLike) -> None:
        at = self.fixed(centre)
        size = max(1, round(radius * self.factor * (1 << _SHIFT)))
        cv2.circle(self.rgb, (int(at[0]), int(at[1])), size, _scalar(colour), -1, cv2.LINE_AA, _SHIFT)

    def flatten(self) -> tuple[Picture, Picture]:
        """Return RGB and coverage at the wanted size."""
        if self.factor == 1:
            return self.rgb, self.alpha
        height, width = self.shape
        rgb = cv2.resize(self.rgb, (width, height), interpolation=cv2.INTER_AREA)
        alpha = cv2.resize(self.alpha, (width, height), interpolation=cv2.INTER_AREA)
        return np.asarray(rgb, np.uint8), np.asarray(alpha, np.uint8)


def _scalar(colour: ArrayLike) -> tuple[float, float, float]:
    red, green, blue = np.asarray(colour, np.float64).tolist()
    return min(max(red, 0.0), 255.0), min(max(green, 0.0), 255.0), min(max(blue, 0.0), 255.0)


def _mix(a: ArrayLike, b: ArrayLike, share: float) -> Array:
    found: Array = np.asarray(a, np.float64) * (1 - share) + np.asarray(b, np.float64) * share
    return found


def _paint(canvas: _Canvas, at: dict[str, Array], who: Identity, au: _Units, scale: float) -> None:
    hair = _mix(who.hair, (200, 200, 200), max(0.0, who.age - 0.55) * 1.6)
    skin = np.asarray(who.skin, np.float64)
    dark = skin * 0.62
    if who.hair_style:
        canvas.fill(at["mane"], hair * 0.72, body=True)
    _paint_body(canvas, at, who, skin, scale)
    for side in (0, 1):
        canvas.fill(at[f"ear{side}"], skin * 0.88, body=True)
    contour = np.concatenate([at["jaw"], at["skull"], at["cheeks"]]).astype(np.float32)
    hull = cv2.convexHull(contour)[:, 0].astype(np.float64)
    canvas.fill(hull, skin, body=True)
    if who.beard:
        _paint_beard(canvas, at, who, hair, skin)
    for side in (0, 1):
        _paint_eye(canvas, at, who, skin, scale, side)
    _paint_nose(canvas, at, dark, scale)
    _paint_mouth(canvas, at, who, au, scale)
    for side in (0, 1):
        canvas.fill(at[f"brow_area{side}"], _mix(hair * 0.75, skin, 0.12))
    if who.hair_style:
        _paint_hair(canvas, at, who, hair, scale)
    if who.glasses:
        _paint_glasses(canvas, at, who, scale)


def _paint_body(canvas: _Canvas, at: dict[str, Array], who: Identity, skin: Array, scale: float) -> None:
    height = canvas.shape[0]
    chin = at["jaw"][8]
    middle = 0.6 * chin + 0.4 * at["head"][0] * (1.0, 0.0) + 0.4 * chin * (0.0, 1.0)
    base = max(float(chin[1]) + 0.55 * scale, 0.0)
    floor = max(height + 2.0, base + scale)
    neck = np.array([(-0.52, -0.55), (0.52, -0.55), (0.56, 0.7), (-0.56, 0.7)]) * scale + (middle[0], chin[1])
    canvas.fill(neck, skin * 0.74, body=True)
    shoulder = np.array([(-0.46, 0.20), (0.0, 0.50), (0.46, 0.20), (1.55, 0.55), (2.05, 1.1)]) * scale + (
        middle[0],
        chin[1],
    )
    torso = np.concatenate([shoulder, [(middle[0] + 2.3 * scale, floor), (middle[0] - 2.3 * scale, floor)]])
    left = np.array([(-2.05, 1.1), (-1.55, 0.55)]) * scale + (middle[0], chin[1])
    canvas.fill(np.concatenate([torso, left]), who.cloth, body=True)


def _paint_beard(canvas: _Canvas, at: dict[str, Array], who: Identity, hair: Array, skin: Array) -> None:
    jaw, corner = at["jaw"], at["corner"]
    colour = _mix(hair, skin, 0.80 if who.beard == 1 else 0.18)
    upper, wings = at["upper_out"], at["nostrils"]
    lip = 0.5 * (wings[2] + upper[8])
    moustache = [
        corner[0],
        0.5 * (wings[0] + corner[0]) * 0.6 + 0.4 * lip,
        lip,
        0.5 * (wings[4] + corner[1]) * 0.6 + 0.4 * lip,
        corner[1],
    ]
    if who.beard in (1, 3):
        cheek0, cheek1 = 0.35 * corner[0] + 0.65 * jaw[3], 0.35 * corner[1] + 0.65 * jaw[13]
        canvas.fill(np.concatenate([jaw[2:15], [cheek1], moustache[::-1], [cheek0]]), colour)
    elif who.beard == 2:
        canvas.fill(np.concatenate([moustache, upper[::-1]]), colour)
    else:
        span = [0.6 * corner[1] + 0.4 * jaw[10], jaw[9], jaw[8], jaw[7], 0.6 * corner[0] + 0.4 * jaw[6]]
        canvas.fill(np.concatenate([moustache, span]), colour)


def _paint_eye(
    canvas: _Canvas, at: dict[str, Array], who: Identity, skin: Array, scale: float, side: int
) -> None:
    upper, lower = at[f"lid_up{side}"], at[f"lid_low{side}"]
    centre, rim = at[f"iris{side}"]
    radius = 0.098 * scale
    turned = max(0.4, abs(float(rim[0] - centre[0])) / radius)
    canvas.fill(np.concatenate([upper, lower[::-1]]), (240, 236, 232))
    disc = np.stack([np.cos(_RING) * turned, np.sin(_RING)], 1) * radius
    canvas.fill(centre + disc, np.asarray(who.iris) * 0.72)
    canvas.fill(centre + disc * 0.78, who.iris)
    canvas.disc(centre, radius * 0.46, (14, 10, 10))
    canvas.disc(centre + np.array((-0.3, -0.35)) * radius, max(0.5, radius * 0.24), (255, 255, 255))
    canvas.fill(np.concatenate([upper, at[f"lid_cover{side}"][::-1]]), skin * 0.95)
    canvas.fill(np.concatenate([lower, at[f"bag_cover{side}"][::-1]]), skin)
    canvas.line(at[f"lid_crease{side}"][1:-1], skin * 0.72, 0.016 * scale)
    canvas.line(upper, _mix((26, 16, 14), skin, 0.05), 0.036 * scale)
    canvas.line(lower[2:], skin * 0.58, 0.014 * scale)


def _paint_nose(canvas: _Canvas, at: dict[str, Array], dark: Array, scale: float) -> None:
    base = at["nostrils"]
    for side, (inner, outer) in enumerate(((1, 0), (3, 4))):
        hole = 0.55 * base[inner] + 0.45 * base[outer]
        along = 0.34 * (base[outer] - base[inner])
        across = np.array((-along[1], along[0])) * 0.42
        canvas.fill(hole + np.outer(np.cos(_RING), along) + np.outer(np.sin(_RING), across), dark * 0.5)
        canvas.line(_resample(at[f"wing{side}"][1:], 7), dark * 1.08, 0.02 * scale)
    canvas.line(_resample(base[1:4], 7), dark * 1.15, 0.018 * scale)


def _paint_mouth(canvas: _Canvas, at: dict[str, Array], who: Identity, au: _Units, scale: float) -> None:
    upper_in, lower_in = at["upper_in"], at["lower_in"]
    lips = np.asarray(who.lips, np.float64)
    gape = float((lower_in[8] - upper_in[8])[1]) / scale
    if gape > 0.015:
        canvas.fill(np.concatenate([upper_in, lower_in[::-1]]), (52, 16, 18))
        canvas.fill(np.concatenate([at["tongue"], lower_in[::-1]]), (150, 62, 66))
        canvas.fill(np.concatenate([upper_in, at["teeth"][::-1]]), (238, 232, 222))
        canvas.fill(np.concatenate([at["low_teeth"], lower_in[::-1]]), (222, 214, 204))
    canvas.fill(np.concatenate([at["upper_out"], upper_in[::-1]]), lips * 0.88)
    canvas.fill(np.concatenate([lower_in, at["lower_out"][::-1]]), lips)
    press = max(au.mean(24), au.mean(23))
    if gape <= 0.015:
        canvas.line(upper_in, lips * (0.42 - 0.12 * press), (0.026 + 0.014 * press) * scale)


def _paint_hair(canvas: _Canvas, at: dict[str, Array], who: Identity, hair: Array, scale: float) -> None:
    crown = at["crown"]
    canvas.fill(crown, hair, body=True)
    outer, line = crown[:25], crown[25:][::-1]
    if who.hair_style in (4, 5):
        mane = at["mane"]
        for side, (ear, tail) in enumerate(((0, 26), (24, 25))):
            inner = line[0] if side == 0 else line[-1]
            drop = 0.75 * mane[tail] + 0.25 * np.array((at["head"][0][0], mane[tail][1]))
            canvas.fill(
                np.array(
                    [
                        mane[ear] + (0, -0.5 * scale),
                        inner,
                        0.45 * inner + 0.55 * drop,
                        drop,
                        mane[tail],
                        mane[ear],
                    ]
                ),
                hair * 0.9,
                body=True,
            )
    rng = np.random.default_rng(who.texture)
    count = 14
    share = rng.random(count)
    start = outer[np.clip((share * 22).astype(int) + 1, 1, 23)]
    end = line[np.clip((share * 10).astype(int), 0, 9)]
    bend = 0.5 * (start + end) + rng.normal(0, 0.04 * scale, (count, 2))
    strokes = np.stack([0.9 * start + 0.1 * end, bend, 0.15 * start + 0.85 * end], 1)
    canvas.lines(strokes[: count // 2], hair * 1.25 + 8, 0.02 * scale)
    canvas.lines(strokes[count // 2 :], hair * 0.7, 0.02 * scale)


def _paint_glasses(canvas: _Canvas, at: dict[str, Array], who: Identity, scale: float) -> None:
    power = 1.0 if who.glasses == 1 else 0.45
    lens = np.stack(
        [
            np.sign(np.cos(_RING)) * np.abs(np.cos(_RING)) ** power,
            np.sign(np.sin(_RING)) * np.abs(np.sin(_RING)) ** power,
        ],
        1,
    )
    colour = (60, 50, 46) if who.glasses == 1 else (24, 20, 22)
    width = (0.022 if who.glasses == 1 else 0.045) * scale
    centres = []
    for side in (0, 1):
        inner, outer = at[f"lid_up{side}"][0], at[f"lid_up{side}"][-1]
        middle = 0.5 * (inner + outer) + (0, 0.05 * scale)
        half = 0.62 * abs(float(outer[0] - inner[0]))
        canvas.line(middle + lens * (half, 0.235 * scale), colour, width, closed=True)
        outward = half if side else -half
        hinge = middle + np.array((outward, -0.05 * scale))
        canvas.line(np.array([hinge, at[f"ear{side}"][15]]), colour, width)
        centres.append(middle - np.array((outward, 0.0)))
    canvas.line(np.array(centres), colour, width)


# --- Relief: wrinkles, bulges and light


class _Relief:
    """Brightness of the surface around the head: broad forms, sharp lines and a lit ellipsoid."""

    def __init__(self, height: int, width: int, scale: float, head: Array) -> None:
        x, y = float(head[0, 0]), float(head[0, 1])
        self.x0, self.x1 = max(0, int(x - 1.7 * scale)), min(width, int(x + 1.7 * scale) + 1)
        self.y0, self.y1 = max(0, int(y - 2.1 * scale)), min(height, int(y + 2.2 * scale) + 1)
        self.x1, self.y1 = max(self.x1, self.x0 + 1), max(self.y1, self.y0 + 1)
        self.scale = scale
        shape = (self.y1 - self.y0, self.x1 - self.x0)
        self.soft = np.full(shape, 128, np.uint8)
        self.fine = np.full(shape, 128, np.uint8)

    def _fixed(self, points: Array) -> NDArray[np.int32]:
        found: NDArray[np.int32] = np.round((points - (self.x0 + 0.5, self.y0 + 0.5)) * (1 << _SHIFT)).astype(
            np.int32
        )
        return found

    def crease(self, points: Array, depth: float, width: float = 0.04) -> None:
        """Draw a sharp dark line of the given depth in [0, 1] and width in face units."""
        if depth > 0.03:
            grey = int(128 - 120 * min(depth, 1.0))
            pixels = max(1, round(width * self.scale))
            lines = [self._fixed(points)] if points.ndim == 2 else list(self._fixed(points))
            cv2.polylines(self.fine, lines, False, grey, pixels, cv2.LINE_AA, _SHIFT)

    def groove(self, points: Array, depth: float, width: float) -> None:
        """Draw a soft band, dark for positive and bright for negative depth."""
        if abs(depth) > 0.02:
            grey = int(np.clip(128 - 120 * depth, 0, 255))
            cv2.polylines(
                self.soft,
                [self._fixed(points)],
                False,
                grey,
                max(1, round(width * self.scale)),
                cv2.LINE_AA,
                _SHIFT,
            )

    def blob(self, centre: Array, radii: tuple[float, float], depth: float) -> None:
        """Draw a soft ellipse, dark for positive and bright for negative depth; radii in face units."""
        if abs(depth) > 0.02:
            grey = int(np.clip(128 - 120 * depth, 0, 255))
            at = self._fixed(centre)
            axes = (
                max(1, round(radii[0] * self.scale * (1 << _SHIFT))),
                max(1, round(radii[1] * self.scale * (1 << _SHIFT))),
            )
            cv2.ellipse(self.soft, (int(at[0]), int(at[1])), axes, 0, 0, 360, grey, -1, cv2.LINE_AA, _SHIFT)

    def apply(
        self,
        picture: Picture,
        alpha: Picture,
        who: Identity,
        pose: Pose,
        light: Light,
        centre: tuple[float, float],
    ) -> None:
        """Multiply light and relief into a picture in place."""
        blur = max(0.6, 0.075 * self.scale)
        soft = cv2.GaussianBlur(self.soft, (0, 0), blur).astype(np.float32)
        fine = cv2.GaussianBlur(self.fine, (3, 3), max(0.5, 0.014 * self.scale)).astype(np.float32)
        relief = 1 + light.relief * ((soft - 128) * (0.62 / 128) + (fine - 128) * (0.62 / 128))
        relief += cv2.resize(_mottling(who.texture), relief.shape[::-1], interpolation=cv2.INTER_LINEAR) * (
            0.5 + who.age
        )
        lit = self._lambert(pose, light, centre) * relief
        region = picture[self.y0 : self.y1, self.x0 : self.x1]
        # Shadows on skin are reddish: red falls off more slowly than the other channels.
        shades = cv2.merge([0.13 + 0.87 * lit, lit, 1.06 * lit - 0.06]) * np.float32(light.strength)
        np.minimum(
            region * shades,
            cv2.cvtColor(alpha[self.y0 : self.y1, self.x0 : self.x1], cv2.COLOR_GRAY2RGB),
            out=shades,
        )
        region[:] = shades.astype(np.uint8)

    def _lambert(self, pose: Pose, light: Light, centre: tuple[float, float]) -> NDArray[np.float32]:
        """Return the light on an ellipsoid in place of the head, [h, w], 1 = fully lit."""
        height, width = self.soft.shape
        turn = np.sin(np.deg2rad(pose.yaw)) * 0.25
        u = (np.arange(self.x0, self.x0 + width, dtype=np.float32) - centre[0]) / (1.28 * self.scale) - turn
        v = (np.arange(self.y0, self.y0 + height, dtype=np.float32) - centre[1]) / (1.85 * self.scale)
        direction = np.asarray(light.direction, np.float32)
        direction = direction / np.linalg.norm(direction)
        u, v = np.clip(u, -1, 1)[None, :], np.clip(v, -1, 1)[:, None]
        toward = np.sqrt(np.maximum(0.12, 1 - u * u - v * v))
        lambert = np.maximum(0, u * direction[0] + v * direction[1] + toward * direction[2])
        found: NDArray[np.float32] = (light.ambient + (1 - light.ambient) * lambert).astype(np.float32)
        return np.maximum(found, 0.02)


@cache
def _mottling(seed: int) -> NDArray[np.float32]:
    """Return the fixed unevenness of a person's skin, [24, 20], about zero."""
    return np.random.default_rng(seed).normal(0, 0.022, (24, 20)).astype(np.float32)


def _carve(relief: _Relief, at: dict[str, Array], who: Identity, au: _Units) -> None:
    age = who.age
    for side in (0, 1):
        a1, a2, a4, a6, a7, a9, a10, a12, a14, a15, a20 = (
            float(au[n][side]) for n in (1, 2, 4, 6, 7, 9, 10, 12, 14, 15, 20)
        )
        socket = 0.5 * (at[f"lid_up{side}"][6] + at[f"brow{side}"][2])
        relief.blob(socket, (0.24, 0.09), 0.30 + 0.10 * a4 + 0.12 * a9 - 0.12 * a2)
        relief.blob(at[f"cheek{side}"][0], (0.24, 0.17), -0.16 - 0.30 * a6 - 0.16 * a12)
        relief.groove(at[f"nose_side{side}"], 0.26 + 0.22 * a9, 0.09)
        relief.groove(
            at[f"fold{side}"], 0.10 + 0.20 * age + 0.34 * a12 + 0.26 * a10 + 0.34 * a9 + 0.10 * a20, 0.10
        )
        relief.groove(at[f"bag{side}"], 0.14 + 0.15 * age + 0.16 * a6 + 0.12 * a7, 0.05)
        relief.groove(at[f"stretch{side}"], 0.35 * a20, 0.08)
        relief.crease(
            at[f"fold{side}"], -0.05 + 0.25 * age + 0.50 * a12 + 0.38 * a10 + 0.48 * a9 + 0.08 * a20, 0.022
        )
        relief.crease(at[f"bag{side}"][2:-2], -0.05 + 0.22 * age + 0.38 * a6 + 0.28 * a7, 0.02)
        relief.crease(at[f"crow{side}"].reshape(3, 2, 2), 0.28 * max(0.0, age - 0.3) + 0.55 * a6, 0.018)
        relief.crease(at[f"dimple{side}"], 0.75 * a14 + 0.22 * a12, 0.035)
        relief.crease(at[f"droop{side}"], 0.15 * max(0.0, age - 0.3) + 0.50 * a15, 0.03)
        relief.crease(at[f"stretch{side}"], 0.35 * a20, 0.022)
        relief.crease(
            at[f"glabella{side}"], 0.15 * max(0.0, age - 0.4) + 0.72 * a4 * (1 - 0.35 * a1) + 0.2 * a9, 0.03
        )
        relief.crease(at[f"root{side}"].reshape(3, 2, 2), 0.68 * a9, 0.026)
    lifted = float(np.mean(np.maximum(au[1], au[2])))
    middle_only = max(0.0, au.mean(1) - au.mean(2))
    for row in range(3):
        line = at[f"forehead{row}"]
        depth = 0.30 * max(0.0, age - 0.25) + 0.50 * lifted - 0.08 * row
        relief.crease(line[2:-2] if middle_only > 0.25 else line, depth, 0.022)
    between = 0.5 * (at["brow0"][0] + at["brow1"][0])
    relief.blob(between, (0.10, 0.12), 0.34 * au.mean(4) + 0.25 * au.mean(9))
    relief.groove(at["bridge"], -0.24, 0.08)
    relief.blob(at["tip"][0], (0.09, 0.07), -0.28)
    philtrum = np.stack([at["nostrils"][2], at["upper_out"][8]])
    relief.groove(philtrum, 0.14, 0.05)
    relief.groove(at["chin_crease"], 0.26 + 0.34 * au.mean(17) + 0.12 * au.mean(24), 0.08)
    relief.blob(at["chin_ball"][0], (0.20, 0.11), -0.12 - 0.16 * au.mean(17))
    relief.crease(at["chin_crease"], 0.62 * au.mean(17), 0.03)
    tight = max(au.mean(23), au.mean(24))
    relief.groove(at["upper_out"][3:-3] - (0, 0.05 * relief.scale), -0.22 * tight, 0.05)
