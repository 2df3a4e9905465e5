"""The flat colours of a face: skin, hair, eyes, mouth, clothes and glasses, painted over one another."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_bench.synthetic.anatomy import Array, Colour, Identity, Picture, Pose, Units, texture_of
from fer_bench.synthetic.curves import Points
from fer_bench.synthetic.exact import cosine, on_grid, power, sine, smooth
from fer_bench.synthetic.outline import View

_SUPERSAMPLING = 2
_SHIFT = 4
_RING = np.linspace(0, 2 * np.pi, 20, endpoint=False)
_CIRCLE = on_grid(np.stack([cosine(_RING), sine(_RING)], 1))
_ROUND_LENS = _CIRCLE
_SQUARE_LENS = np.sign(_CIRCLE) * power(np.abs(_CIRCLE), 0.45)
_COVERING = (4, 5, 6)
"""Hair styles that cover the ears."""
_NECK = np.array([(-0.52, -0.55), (0.52, -0.55), (0.56, 0.7), (-0.56, 0.7)])
_SHOULDERS = np.array(
    [(-2.05, 1.1), (-1.55, 0.55), (-0.46, 0.20), (0.0, 0.50), (0.46, 0.20), (1.55, 0.55), (2.05, 1.1)]
)


class Canvas:
    """A supersampled picture with coverage, on which later shapes cover earlier ones.

    Shapes are whole numbers in the units that OpenCV draws in: the face's curves from `at`, or other points
    from `whole`.
    """

    def __init__(self, height: int, width: int, scale: float, points: Points[np.float64]) -> None:
        self.shape = (height, width)
        self.factor = 1 if scale > 70 else _SUPERSAMPLING
        self.rgb = np.zeros((height * self.factor, width * self.factor, 3), np.uint8)
        self.alpha = np.zeros((height * self.factor, width * self.factor), np.uint8)
        self._units, self._shift = float(self.factor << _SHIFT), 0.5 - (1 << _SHIFT) / 2
        self.at = points.whole(self._units, self._shift)

    def whole(self, points: Array) -> NDArray[np.int32]:
        """Return points given in pixels in the units of `at`."""
        return (points * self._units + self._shift).astype(np.int32)

    def fill(self, shape: NDArray[np.int32], colour: Colour, *, body: bool = False) -> None:
        """Fill a shape; shapes of the body also cover what is behind the person."""
        cv2.fillPoly(self.rgb, [shape], colour, cv2.LINE_AA, _SHIFT)
        if body:
            cv2.fillPoly(self.alpha, [shape], (255,), cv2.LINE_AA, _SHIFT)

    def spray(self, shape: Array, colour: Colour, softness: float) -> None:
        """Fill a shape given in pixels, with an edge that fades over a distance in pixels."""
        margin = 3 * softness + 1
        height, width = self.shape
        low = np.maximum((shape.min(axis=0) - margin).astype(int), 0)
        high = np.minimum((shape.max(axis=0) + margin).astype(int) + 1, (width, height))
        if (high <= low).any():
            return
        (x0, y0), (x1, y1) = low.tolist(), high.tolist()
        cover = np.zeros((y1 - y0, x1 - x0), np.uint8)
        unit = 1 << _SHIFT
        cv2.fillPoly(
            cover, [((shape - low - 0.5) * unit + 0.5).astype(np.int32)], (255,), cv2.LINE_AA, _SHIFT
        )
        soft = np.rint(smooth(cover, softness)).astype(np.uint8)
        if self.factor > 1:
            soft = np.asarray(cv2.resize(soft, None, fx=self.factor, fy=self.factor), np.uint8)
        part = self.rgb[y0 * self.factor : y1 * self.factor, x0 * self.factor : x1 * self.factor]
        share = cv2.cvtColor(soft, cv2.COLOR_GRAY2RGB)
        paint = np.broadcast_to(np.rint(colour).astype(np.uint8), part.shape)
        kept = cv2.multiply(part, 255 - share, scale=1 / 255)  # an odd divisor: no product is half a level
        part[:] = cv2.add(kept, cv2.multiply(np.ascontiguousarray(paint), share, scale=1 / 255))

    def lines(
        self, lines: list[NDArray[np.int32]], colour: Colour, width: float, *, closed: bool = False
    ) -> None:
        """Draw lines of a width in pixels."""
        pixels = max(1, round(width * self.factor))
        cv2.polylines(self.rgb, lines, closed, colour, pixels, cv2.LINE_AA, _SHIFT)

    def disc(self, centre: NDArray[np.int32], radius: float, colour: Colour) -> None:
        """Fill a disc of a radius in pixels."""
        size = max(1, round(radius * self._units))
        x, y = centre.tolist()
        cv2.circle(self.rgb, (x, y), size, colour, -1, cv2.LINE_AA, _SHIFT)

    def flatten(self) -> tuple[Picture, Picture]:
        """Return RGB and coverage at the wanted size."""
        if self.factor == 1:
            return self.rgb, self.alpha
        height, width = self.shape
        rgb = cv2.resize(self.rgb, (width, height), interpolation=cv2.INTER_AREA)
        alpha = cv2.resize(self.alpha, (width, height), interpolation=cv2.INTER_AREA)
        return np.asarray(rgb, np.uint8), np.asarray(alpha, np.uint8)


def paint(
    canvas: Canvas, points: Points[np.float64], who: Identity, au: Units, pose: Pose, scale: float
) -> None:
    """Paint a person.

    Args:
        canvas: The canvas.
        points: The curves of the face in pixels.
        who: Colours, hair, beard and glasses.
        au: Action units; pressed lips darken the line between them.
        pose: The turn of the head, which hides one side of it.
        scale: Pixels per face unit.
    """
    at = canvas.at
    hair = mix(who.hair, (200.0, 200.0, 200.0), max(0.0, who.age - 0.55) * 1.6)
    view = View.of(pose)
    near = int(pose.yaw < 0) if view >= View.SIDE else None
    if who.hair_style:
        canvas.fill(at["mane"], shade(hair, 0.72), body=True)
    if view >= View.BACK:
        canvas.fill(_hull(np.concatenate([at["back"], at["contour"]])), who.skin, body=True)
        if who.hair_style:
            canvas.fill(_hull(at["back_hair"]), shade(hair, 0.92), body=True)
    _paint_body(canvas, points, who, scale)
    for side in (0, 1):
        if side != near:
            canvas.fill(at["ear"][side], shade(who.skin, 0.88), body=True)
    face = at["contour"]
    if view >= View.SIDE:  # up to the edge on which hair and beard of the far side end
        face = np.concatenate([face, at["beard_line"], *([at["hairline"]] if who.hair_style else [])])
        canvas.fill(at["profile"], who.skin, body=True)
    canvas.fill(_hull(face), who.skin, body=True)
    if who.beard:
        _paint_beard(canvas, points, who, hair, scale)
    _paint_eyes(canvas, points, who, scale)
    _paint_nose(canvas, points, who, scale)
    _paint_mouth(canvas, points, who, au, scale)
    for side in (0, 1):
        canvas.fill(at["brow_area"][side], mix(shade(hair, 0.75), who.skin, 0.12))
    if who.hair_style:
        _paint_hair(canvas, points, who, hair, near, scale)
    if near is not None and who.hair_style not in _COVERING:
        canvas.fill(at["ear"][near], shade(who.skin, 0.88), body=True)
        canvas.lines([at["ear"][near][3:-3]], shade(who.skin, 0.7), 0.02 * scale)
    if who.glasses:
        _paint_glasses(canvas, points, who, near, scale)


def _hull(points: NDArray[np.int32]) -> NDArray[np.int32]:
    return np.asarray(cv2.convexHull(points), np.int32)


def shade(colour: Colour, factor: float) -> Colour:
    """Return a colour made darker or brighter."""
    return colour[0] * factor, colour[1] * factor, colour[2] * factor


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """Return a colour between a (share 0) and b (share 1)."""
    rest = 1 - share
    return a[0] * rest + b[0] * share, a[1] * rest + b[1] * share, a[2] * rest + b[2] * share


def _paint_body(canvas: Canvas, at: Points[np.float64], who: Identity, scale: float) -> None:
    height = canvas.shape[0]
    x, y = at["throat"][0].tolist()
    x = 0.6 * x + 0.4 * float(at["head"][0, 0])
    floor = max(height + 2.0, max(y + 0.55 * scale, 0.0) + scale)
    canvas.fill(canvas.whole(_NECK * scale + (x, y)), shade(who.skin, 0.74), body=True)
    hem = [(x + 2.3 * scale, floor), (x - 2.3 * scale, floor)]
    torso = np.concatenate([_SHOULDERS * scale + (x, y), hem])
    canvas.fill(canvas.whole(torso), who.cloth, body=True)


def _paint_beard(canvas: Canvas, at: Points[np.float64], who: Identity, hair: Colour, scale: float) -> None:
    jaw, (left, right) = at["beard_line"], at["corner"][:, 0]
    colour = mix(hair, who.skin, 0.80 if who.beard == 1 else 0.18)
    upper, wings = at["upper_out"], at["nostrils"]
    lip = 0.5 * (wings[2] + upper[8])
    moustache = [left, 0.3 * (wings[0] + left) + 0.4 * lip, lip, 0.3 * (wings[4] + right) + 0.4 * lip, right]
    if who.beard in (1, 3):
        cheek0, cheek1 = 0.35 * left + 0.65 * jaw[3], 0.35 * right + 0.65 * jaw[13]
        shape = np.concatenate([jaw[2:15], [cheek1], moustache[::-1], [cheek0]])
    elif who.beard == 2:
        shape = np.concatenate([moustache, upper[::-1]])
    else:
        span = [0.6 * right + 0.4 * jaw[10], jaw[9], jaw[8], jaw[7], 0.6 * left + 0.4 * jaw[6]]
        shape = np.concatenate([moustache, span])
    canvas.spray(shape, colour, (0.05 if who.beard in (1, 3) else 0.03) * scale)


def _paint_eyes(canvas: Canvas, points: Points[np.float64], who: Identity, scale: float) -> None:
    at, skin = canvas.at, who.skin
    radius = 0.098 * scale
    lash = mix((26.0, 16.0, 14.0), skin, 0.05)
    for side in (0, 1):
        if _width(points["lid_up"][side]) < 0.08 * scale:  # hidden behind the nose
            continue
        centre, rim = points["iris"][side]
        turned = max(0.4, abs(float(rim[0] - centre[0])) / radius)
        canvas.fill(at["eye_white"][side], (240.0, 236.0, 232.0))
        disc = _CIRCLE * (turned * radius, radius)
        canvas.fill(canvas.whole(centre + disc), shade(who.iris, 0.72))
        canvas.fill(canvas.whole(centre + disc * 0.78), who.iris)
        canvas.disc(at["iris"][side, 0], radius * 0.46, (14.0, 10.0, 10.0))
        glint = canvas.whole(centre - (0.3 * radius, 0.35 * radius))
        canvas.disc(glint, max(0.5, radius * 0.24), (255.0, 255.0, 255.0))
        canvas.fill(at["lid"][side], shade(skin, 0.95))
        canvas.fill(at["under_lid"][side], skin)
        canvas.lines([at["lid_crease"][side, 1:-1]], shade(skin, 0.72), 0.016 * scale)
        canvas.lines([at["lid_up"][side]], lash, 0.036 * scale)
        canvas.lines([at["lid_low"][side, 2:]], shade(skin, 0.58), 0.014 * scale)


def _paint_nose(canvas: Canvas, points: Points[np.float64], who: Identity, scale: float) -> None:
    base = points["nostrils"]
    for inner, outer in ((1, 0), (3, 4)):
        if abs(float(base[outer, 0] - base[inner, 0])) < 0.03 * scale:
            continue
        hole = 0.55 * base[inner] + 0.45 * base[outer]
        x, y = (0.34 * (base[outer] - base[inner])).tolist()
        nostril = hole + _CIRCLE[:, :1] * (x, y) + _CIRCLE[:, 1:] * (-0.42 * y, 0.42 * x)
        canvas.fill(canvas.whole(nostril), shade(who.skin, 0.31))
    canvas.lines(list(canvas.at["wing_line"]), shade(who.skin, 0.67), 0.02 * scale)
    canvas.lines([canvas.at["nose_base"]], shade(who.skin, 0.71), 0.018 * scale)


def _paint_mouth(canvas: Canvas, points: Points[np.float64], who: Identity, au: Units, scale: float) -> None:
    at = canvas.at
    gape = float(points["lower_in"][8, 1] - points["upper_in"][8, 1]) / scale
    if gape > 0.015:
        canvas.fill(at["gape"], (52.0, 16.0, 18.0))
        if au.mean(26) > 0.02:
            canvas.fill(at["tongue"], (150.0, 62.0, 66.0))
        canvas.fill(at["teeth"], (238.0, 232.0, 222.0))
        if au.mean(20) > 0.02:
            canvas.fill(at["low_teeth"], (222.0, 214.0, 204.0))
    canvas.fill(at["upper_lip"], shade(who.lips, 0.88))
    canvas.fill(at["lower_lip"], who.lips)
    if gape <= 0.015:
        press = max(au.mean(24), 0.5 * au.mean(23))
        canvas.lines([at["upper_in"]], shade(who.lips, 0.42 - 0.08 * press), (0.026 + 0.014 * press) * scale)


def _width(line: Array) -> float:
    """Return how far apart the ends of a line are from left to right."""
    return abs(float(line[-1, 0] - line[0, 0]))


def _paint_hair(
    canvas: Canvas,
    at: Points[np.float64],
    who: Identity,
    hair: Colour,
    near: int | None,
    scale: float,
) -> None:
    mane, line = at["mane"], at["hairline"]
    crown = canvas.at["crown"]
    if near is None:
        canvas.fill(crown, hair, body=True)
    else:
        side, colour = canvas.at["side_hair"][near], shade(hair, 0.92)
        canvas.fill(_hull(side[13:-2]), colour, body=True)
        canvas.fill(side[:18], colour, body=True)
        if who.hair_style in _COVERING:
            canvas.fill(_hull(side[[12, 13, -2, -1]]), colour, body=True)
        # On the far side the crown is folded, and a folded shape has holes; its end is behind the cheek.
        for part in range(near, near + 8):
            first, last = 24 * part // 9, 24 * (part + 1) // 9 + 1
            patch = np.concatenate([crown[first:last], crown[33 - part : 35 - part]])
            canvas.fill(_hull(patch), hair, body=True)
    if who.hair_style in (4, 5):
        middle = float(at["head"][0, 0])
        locks = ((line[0], mane[0], mane[26]), (line[-1], mane[24], mane[25]))
        for side, (inner, ear, tail) in enumerate(locks):
            if near not in (None, side):
                continue
            drop = 0.75 * tail + 0.25 * np.array((middle, tail[1]))
            temple = ear - (0, 0.5 * scale)
            lock = np.array([temple, inner, 0.45 * inner + 0.55 * drop, drop, tail, ear])
            canvas.fill(canvas.whole(lock), shade(hair, 0.9), body=True)
    _, places, bends = texture_of(who.texture)
    start = at["crown"][(1 + 22 * places).astype(int)]
    end = line[(9.99 * places).astype(int)]
    strands = np.empty((len(places), 4, 2))
    along = end - start
    across = along[:, ::-1] * (-0.12, 0.12) * bends[:, None]
    for step, (share, bend) in enumerate(((0.08, 0.0), (0.35, 0.8), (0.62, 1.0), (0.9, 0.6))):
        strands[:, step] = start + share * along + bend * across
    whole = list(canvas.whole(strands))
    canvas.lines(whole[::2], mix(hair, (255.0, 246.0, 230.0), 0.10), 0.018 * scale)
    canvas.lines(whole[1::2], shade(hair, 0.80), 0.018 * scale)


def _paint_glasses(
    canvas: Canvas, at: Points[np.float64], who: Identity, near: int | None, scale: float
) -> None:
    thin = who.glasses == 1
    lens = _ROUND_LENS if thin else _SQUARE_LENS
    colour = (60.0, 50.0, 46.0) if thin else (24.0, 20.0, 22.0)
    width = (0.022 if thin else 0.045) * scale
    frames, bars, bridge = [], [], []
    for side in (0, 1):
        inner, outer = at["lid_up"][side, 0], at["lid_up"][side, -1]
        middle = 0.5 * (inner + outer) + (0, 0.05 * scale)
        half = 0.62 * abs(float(outer[0] - inner[0]))
        outward = half if side else -half
        frames.append(canvas.whole(middle + lens * (half, 0.235 * scale)))
        if near in (None, side):
            temple = np.stack([middle + np.array((outward, -0.05 * scale)), at["ear"][side, 15]])
            bars.append(canvas.whole(temple))
        bridge.append(middle - (outward, 0.0))
    canvas.lines(frames, colour, width, closed=True)
    canvas.lines([*bars, canvas.whole(np.array(bridge))], colour, width)
