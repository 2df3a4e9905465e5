"""The relief of a face: wrinkles and bulges, and the light that makes them visible.

Relief is drawn in grey, 128 = flat, and multiplies the flat colours: broad forms at half the resolution, as
they are blurred anyway, sharp lines at full resolution.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_bench.synthetic.anatomy import Identity, Light, Picture, Pose, Units, texture_of
from fer_bench.synthetic.curves import Points
from fer_bench.synthetic.exact import doubled, smooth

_SHIFT = 4
_CONTRAST = 0.62 / 128
_UNIT = 151
"""Brightness of what is fully lit; odd, so that no product divided by it is half a grey level."""
_MOTTLING = 0.001
_SLOPE = np.float32(-0.35)
_UPRIGHT = 1 - _SLOPE * _SLOPE


class Relief:
    """Brightness of the surface of a person: broad forms, sharp lines, and light on head and body.

    `broad` and `sharp` are the face's curves in the units in which the two are drawn.
    """

    def __init__(self, height: int, width: int, scale: float, points: Points[np.float64]) -> None:
        x, y = points["head"][0].tolist()
        self.x0, self.y0 = max(0, int(x - 2.7 * scale)), max(0, int(y - 2.1 * scale))
        self.x1 = max(min(width, int(x + 2.7 * scale) + 1), self.x0 + 1)
        self.y1 = max(height, self.y0 + 1)
        self.body, self.chin = points["throat"][0].tolist()
        self.scale = scale
        rows, columns = self.y1 - self.y0, self.x1 - self.x0
        self.soft = np.full(((rows + 1) // 2, (columns + 1) // 2), 128, np.uint8)
        self.fine = np.full((rows, columns), 128, np.uint8)
        unit = 1 << _SHIFT
        corner = np.array((self.x0, self.y0), np.float64)
        self.sharp = points.whole(unit, 0.5 - (corner + 0.5) * unit)
        self.broad = points.whole(unit / 2, 0.5 - (corner + 0.5) * (unit / 2))

    def crease(self, lines: list[NDArray[np.int32]], depth: float, width: float = 0.04) -> None:
        """Draw sharp dark lines of the given depth in [0, 1] and width in face units."""
        if depth > 0.03:
            pixels = max(1, round(width * self.scale))
            cv2.polylines(self.fine, lines, False, (_grey(depth),), pixels, cv2.LINE_AA, _SHIFT)

    def groove(self, line: NDArray[np.int32], depth: float, width: float) -> None:
        """Draw a soft band, dark for positive and bright for negative depth."""
        if abs(depth) > 0.02:
            pixels = max(1, round(0.5 * width * self.scale))
            cv2.polylines(self.soft, [line], False, (_grey(depth),), pixels, cv2.LINE_AA, _SHIFT)

    def blob(self, centre: NDArray[np.int32], radii: tuple[float, float], depth: float) -> None:
        """Draw a soft ellipse, dark for positive and bright for negative depth; radii in face units."""
        if abs(depth) > 0.02:
            x, y = centre.tolist()
            unit = 0.5 * self.scale * (1 << _SHIFT)
            axes = (max(1, round(radii[0] * unit)), max(1, round(radii[1] * unit)))
            cv2.ellipse(self.soft, (x, y), axes, 0, 0, 360, (_grey(depth),), -1, cv2.LINE_AA, _SHIFT)

    def smooth(self, shape: NDArray[np.int32]) -> None:
        """Remove all lines inside a shape: hair covers the lines of the forehead."""
        cv2.fillPoly(self.fine, [shape], (128,), cv2.LINE_AA, _SHIFT)

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
        # Multiples of 1/4096, of which `doubled` makes sums without rounding.
        contrast = np.float32(light.relief * _CONTRAST)
        mottled = np.float32(_MOTTLING * (0.5 + who.age))
        mottling = cv2.resize(texture_of(who.texture)[0], self.soft.shape[::-1])
        forms = contrast * smooth(self.soft, max(0.5, 0.0375 * self.scale)) + mottled * mottling
        forms += 1 - 128 * (contrast + mottled)
        half = np.rint(4096 * self._lambert(pose, light, centre) * forms) * np.float32(1 / 4096)
        lit = doubled(half, self.fine.shape)
        lines = contrast * smooth(self.fine, max(0.5, 0.014 * self.scale), taps=3)
        lines += 1 - 128 * contrast
        lit *= lines
        # Shadows on skin are reddish: red falls off more slowly than the other channels. OpenCV gets one
        # product to round at a time, as it may fuse a product and a sum.
        unit = _UNIT * light.strength
        red = cv2.convertScaleAbs(lit + np.float32(0.13 / 0.87), alpha=0.87 * unit)
        green = cv2.convertScaleAbs(lit, alpha=unit)
        blue = cv2.convertScaleAbs(lit - np.float32(0.06 / 1.06), alpha=1.06 * unit)
        region = picture[self.y0 : self.y1, self.x0 : self.x1]
        bright = cv2.multiply(region, cv2.merge([red, green, blue]), scale=1 / _UNIT)
        cover = cv2.cvtColor(alpha[self.y0 : self.y1, self.x0 : self.x1], cv2.COLOR_GRAY2RGB)
        np.minimum(bright, cover, out=region)

    def _lambert(self, pose: Pose, light: Light, centre: tuple[float, float]) -> NDArray[np.float32]:
        """Return the light on a person at half the resolution, 1 = fully lit.

        The head is an ellipsoid, the body below the chin an upright cylinder with sloping shoulders.
        """
        height, width = self.soft.shape
        turn = math.sin(math.radians(pose.yaw)) * 0.25
        across = 2 * np.arange(width, dtype=np.float32) + np.float32(self.x0 + 0.5 - centre[0])
        down = 2 * np.arange(height, dtype=np.float32) + np.float32(self.y0 + 0.5 - centre[1])
        u = across * np.float32(1 / (1.28 * self.scale)) - np.float32(turn)
        v = down * np.float32(1 / (1.85 * self.scale))
        u, v = np.minimum(np.maximum(u, -1), 1), np.minimum(np.maximum(v, -1), 1)[:, None]
        x, y, z = light.direction
        direct = (1 - light.ambient) / math.sqrt(x * x + y * y + z * z)
        x_, y_, z_ = np.float32(x * direct), np.float32(y * direct), np.float32(z * direct)
        toward = np.sqrt(np.maximum((1 - u * u) - v * v, np.float32(0.12)))
        lambert = z_ * toward
        lambert += x_ * u + y_ * v
        side = np.float32(1 / (2.6 * self.scale)) * (across - np.float32(self.body - centre[0]))
        side = np.minimum(np.maximum(side, -1), 1)
        body = z_ * np.sqrt(np.maximum(_UPRIGHT - side * side, np.float32(0.12))) + x_ * side + y_ * _SLOPE
        share = (down + np.float32(centre[1] - self.chin)) * np.float32(1 / (0.5 * self.scale))
        first = int(np.searchsorted(share, 0))
        below = lambert[first:]
        below += np.minimum(share[first:], 1)[:, None] * (body - below)
        ambient = np.float32(light.ambient)
        found: NDArray[np.float32] = np.maximum(lambert, max(np.float32(0), np.float32(0.02) - ambient))
        found += ambient
        return found


def _grey(depth: float) -> int:
    return int(min(max(128 - 120 * depth, 0.0), 255.0))


def carve(relief: Relief, who: Identity, au: Units) -> None:
    """Draw wrinkles and bulges: those of age and those of the action units."""
    _carve_forehead(relief, who, au)
    for side in (0, 1):
        _carve_side(relief, who, au, side)
    _carve_middle(relief, au)


def _carve_forehead(relief: Relief, who: Identity, au: Units) -> None:
    """AU1 wrinkles the middle of the forehead, AU2 the sides."""
    at = relief.sharp
    for side in (0, 1):
        inner, outer = au[1][side], au[2][side]
        start, stop = 0, 5  # from the outer brow to the middle
        if inner - outer > 0.25:
            start = 2
        elif outer - inner > 0.25:
            stop = 4
        part = slice(9 - stop, 9 - start) if side else slice(start, stop)
        depth = 0.30 * max(0.0, who.age - 0.25) + 0.50 * max(inner, outer)
        for row in range(3):
            relief.crease([at[f"forehead{row}"][part]], depth - 0.08 * row, 0.022)
    if who.hair_style:
        relief.smooth(at["crown"])


def _carve_side(relief: Relief, who: Identity, au: Units, side: int) -> None:
    a1, a2, a4, a6, a7, a9, a10, a12, a14, a15, a20 = (
        au[n][side] for n in (1, 2, 4, 6, 7, 9, 10, 12, 14, 15, 20)
    )
    age, broad, sharp = who.age, relief.broad, relief.sharp
    fold, bag = sharp["fold"][side], sharp["bag"][side]
    relief.blob(broad["socket"][side, 0], (0.24, 0.09), 0.30 + 0.10 * a4 + 0.12 * a9 - 0.12 * a2)
    relief.blob(broad["cheek"][side, 0], (0.24, 0.17), -0.16 - 0.24 * a6 - 0.16 * a12)
    relief.groove(broad["nose_side"][side], 0.26 + 0.22 * a9, 0.09)
    deep = 0.10 + 0.20 * age + 0.34 * a12 + 0.26 * a10 + 0.34 * a9 + 0.10 * a20
    relief.groove(broad["fold"][side], deep, 0.10)
    relief.groove(broad["bag"][side], 0.14 + 0.15 * age + 0.16 * a6 + 0.12 * a7, 0.05)
    relief.groove(broad["stretch"][side], 0.35 * a20, 0.08)
    relief.crease([fold], -0.05 + 0.25 * age + 0.50 * a12 + 0.38 * a10 + 0.48 * a9 + 0.08 * a20, 0.022)
    relief.crease([bag[2:-2]], -0.05 + 0.22 * age + 0.38 * a6 + 0.28 * a7, 0.02)
    crow = sharp["crow"][side].reshape(3, 2, 2)
    relief.crease(list(crow), 0.28 * max(0.0, age - 0.3) + 0.55 * a6, 0.018)
    relief.crease([sharp["dimple"][side]], 0.75 * a14 + 0.22 * a12, 0.035)
    relief.crease([sharp["droop"][side]], 0.15 * max(0.0, age - 0.3) + 0.50 * a15, 0.03)
    relief.crease([sharp["stretch"][side]], 0.35 * a20, 0.022)
    frown = 0.15 * max(0.0, age - 0.4) + 0.72 * a4 * (1 - 0.35 * a1) + 0.2 * a9
    relief.crease([sharp["glabella"][side]], frown, 0.03)
    relief.crease(list(sharp["root"][side].reshape(3, 2, 2)), 0.68 * a9, 0.026)


def _carve_middle(relief: Relief, au: Units) -> None:
    """AU17 wrinkles the chin, AU23 and AU24 make the skin around the lips bulge."""
    at = relief.broad
    a17, tight = au.mean(17), max(au.mean(23), au.mean(24))
    relief.blob(at["between"][0], (0.10, 0.12), 0.34 * au.mean(4) + 0.25 * au.mean(9))
    relief.groove(at["bridge"], -0.24, 0.08)
    relief.blob(at["tip"][0], (0.09, 0.07), -0.28)
    relief.groove(at["philtrum"], 0.14, 0.05)
    relief.groove(at["chin_crease"], 0.26 + 0.34 * a17 + 0.12 * au.mean(24), 0.08)
    relief.blob(at["chin_ball"][0], (0.20, 0.11), -0.12 - 0.16 * a17)
    relief.crease([relief.sharp["chin_crease"]], 0.62 * a17, 0.03)
    bulge = np.array((0, round(0.5 * 0.05 * relief.scale * (1 << _SHIFT))), np.int32)
    relief.groove(at["upper_out"][3:-3] - bulge, -0.22 * tight, 0.05)
    relief.groove(at["lower_out"][3:-3] + bulge, -0.20 * au.mean(24), 0.05)
