"""What a drawn face is made of: identity, head pose, light and action units.

The face lives in *face units*: x to the right of the picture, y downwards, z towards the viewer, origin
between the eyes, half the width of the face about 1. Side 0 is the left of the picture (the person's right),
side 1 the right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

FACE_AUS: tuple[int, ...] = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 24, 25, 26)
"""Action units the face can show, in the order of every [17] or [17, 2] intensity array."""

Array = NDArray[np.float64]
Picture = NDArray[np.uint8]
Colour = tuple[float, float, float]

_ROW = {number: row for row, number in enumerate(FACE_AUS)}


@dataclass(frozen=True)
class Identity:
    """What is the same in every picture of a person.

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


def au_array(au: Mapping[int, float] | ArrayLike) -> Array:
    """Return intensities as [17, 2] (unit in the order of `FACE_AUS`, side), clipped to [0, 1].

    Args:
        au: Mapping from unit number to intensity, or an array [17] or [17, 2].

    Raises:
        KeyError: A unit the face cannot show.
    """
    if isinstance(au, Mapping):
        values = np.zeros((len(FACE_AUS), 2))
        for number, intensity in au.items():
            values[_ROW[number]] = intensity
    else:
        values = np.asarray(au, np.float64)
        if values.ndim == 1:
            values = np.repeat(values[:, None], 2, axis=1)
    clipped: Array = np.minimum(np.maximum(values, 0.0), 1.0)
    return clipped


class Units:
    """Action units by number.

    `units[12]` is the pair (left, right) as floats, `units.mean(12)` their mean and `units.sides(6, 12)` an
    array [2, 2] with a row per side and a column per unit.
    """

    def __init__(self, values: Array) -> None:
        self._rows: list[list[float]] = values.tolist()
        self._values = values.T

    def __getitem__(self, number: int) -> list[float]:
        return self._rows[_ROW[number]]

    def mean(self, number: int) -> float:
        """Return the mean of both sides."""
        left, right = self._rows[_ROW[number]]
        return 0.5 * (left + right)

    def sides(self, *numbers: int) -> Array:
        """Return intensities [2, n]: side by unit."""
        return self._values[:, [_ROW[number] for number in numbers]]


@lru_cache(maxsize=256)
def texture_of(seed: int) -> tuple[Picture, Array, Array]:
    """Return the random texture of a person: the mottling of the skin [24, 20] and the strands of the hair.

    The mottling is around 128 in thousandths of the brightness. Strands have a position along the hair in
    [0, 1], ascending, and a bend around zero, both [14].
    """
    rng = np.random.default_rng(seed)
    mottling = np.minimum(np.maximum(rng.normal(128, 22, (24, 20)), 0), 255).astype(np.uint8)
    places = (np.arange(14) + rng.random(14)) / 14
    return mottling, places, rng.normal(0, 0.5, 14)
