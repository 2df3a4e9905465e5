"""Corruptions of face crops at five strengths, for measuring how much of a score they cost.

Every result depends on the crop, the row's id, the corruption and the strength only, and is the same on every
processor: resampling, blur and noise are products of matrices of whole numbers, which have no rounding error
in double precision; what OpenCV and libjpeg do is integer arithmetic.

Sizes are shares of the crop, or refer to a picture of the face with `REFERENCE` pixels a side, so that
networks with inputs of different sizes are shown the same corruption.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fer_bench.data.crops.recipe import warp
from fer_bench.data.reading.pictures import Image
from fer_bench.errors import UsageError, nearest

VERSION = 1
"""Raised when a corruption changes: what was stored of another version is stale."""
STRENGTHS = 5
REFERENCE = 112
"""Side in pixels of the picture of the face that noise, JPEG and darkness are applied to."""
SENSOR_NOISE = 4
"""Standard deviation, in grey levels at `REFERENCE` pixels, of the noise of a sensor in the dark."""
COVER = (120, 120, 120)
"""Colour of what covers eyes or mouth."""
MASK = (165, 195, 215)
"""Colour of the face mask."""

Numbers = NDArray[np.float64]


class Row(NamedTuple):
    """What a corruption may depend on besides the strength.

    Attributes:
        crop: RGB uint8 [S, S, 3].
        name: Sample id.
        points: Eyes, nose tip and corners of the mouth [5, 2] as shares of the crop.
    """

    crop: Image
    name: str
    points: Numbers


@dataclass(frozen=True)
class Corruption:
    """A corruption with its constants.

    Attributes:
        name: Its name in files and options.
        title: Its name in tables.
        constants: One number per strength, weakest first.
        unit: What the numbers mean.
        apply: Corrupts a crop, given a constant.
        covers: Whether it depends on where the face's points are.
    """

    name: str
    title: str
    constants: tuple[float, ...]
    unit: str
    apply: Callable[[Row, float], Image]
    covers: bool = False


def corrupt(crop: Image, name: str, corruption: Corruption, strength: int, points: Numbers) -> Image:
    """Return a corrupted crop.

    Args:
        crop: RGB uint8 [S, S, 3].
        name: Sample id, which noise, directions and signs are drawn from.
        corruption: Which corruption.
        strength: 1 to 5.
        points: Eyes, nose tip and corners of the mouth [5, 2] as shares of the crop.
    """
    return corruption.apply(Row(crop, name, points), corruption.constants[strength - 1])


def chosen(names: Sequence[str]) -> tuple[Corruption, ...]:
    """Return the corruptions of some names, all for none.

    Raises:
        UsageError: No such corruption.
    """
    for name in names:
        if name not in CORRUPTIONS:
            raise UsageError("no such corruption", value=name, hint=nearest(name, CORRUPTIONS))
    return tuple(one for name, one in CORRUPTIONS.items() if not names or name in names)


def _digest(row: Row, purpose: str) -> int:
    digest = hashlib.blake2b(f"{purpose}\0{row.name}".encode(), digest_size=16).digest()
    return int.from_bytes(digest, "little")


@cache
def _area(source: int, target: int) -> Any:
    """Return whole weights [target, source] that average pixels over the area of each new one.

    Rows sum to `source`.
    """
    ends, starts = np.arange(1, target + 1) * source, np.arange(target) * source
    own_ends, own_starts = np.arange(1, source + 1) * target, np.arange(source) * target
    overlap = np.minimum(ends[:, None], own_ends) - np.maximum(starts[:, None], own_starts)
    return _sparse(np.clip(overlap, 0, None))


@cache
def _linear(source: int, target: int) -> Any:
    """Return whole weights [target, source] of linear interpolation; rows sum to twice `target`."""
    place = np.clip((2 * np.arange(target) + 1) * source - target, 0, 2 * target * (source - 1))
    before, rest = np.divmod(place, 2 * target)
    weights, rows = np.zeros((target, source)), np.arange(target)
    weights[rows, before] += 2 * target - rest
    weights[rows, np.minimum(before + 1, source - 1)] += rest
    return _sparse(weights)


@cache
def _gaussian(size: int, sigma: float) -> Any:
    """Return weights in 256ths [size, size] of a blur that repeats the border; rows sum to 256."""
    reach = max(1, math.ceil(3 * sigma))
    shape = [math.exp(-0.5 * (place / sigma) ** 2) for place in range(-reach, reach + 1)]
    taps = [round(256 * height / sum(shape)) for height in shape]
    taps[reach] += 256 - sum(taps)
    weights = np.zeros((size, size))
    for offset, tap in zip(range(-reach, reach + 1), taps, strict=True):
        np.add.at(weights, (np.arange(size), np.clip(np.arange(size) + offset, 0, size - 1)), tap)
    return _sparse(weights)


def _sparse(weights: NDArray[Any]) -> Any:
    from scipy.sparse import csr_array

    return csr_array(weights.astype(np.float64))


def _filtered(values: Numbers, weights: Any) -> tuple[Numbers, float]:
    """Return whole values [h, w, c] under the same weights along both axes, and what to divide them by."""
    for _ in range(2):  # along the first axis, which then becomes the second
        rest = values.shape[1:]
        values = (weights @ values.reshape(len(values), -1)).reshape(-1, *rest).swapaxes(0, 1)
    return values, float(weights[[0]].sum()) ** 2


def _divided(values: Numbers, divisor: float) -> Numbers:
    """Return whole values divided and rounded, halves upwards."""
    return np.floor((2 * values + divisor) / (2 * divisor))


def _picture(values: Numbers) -> Image:
    return np.clip(values, 0, 255).astype(np.uint8)


def _numbers(row: Row) -> Numbers:
    return row.crop.astype(np.float64)


def _blur(row: Row, share: float) -> Image:
    side = row.crop.shape[0]
    return _picture(_divided(*_filtered(_numbers(row), _gaussian(side, side * share / 100))))


@lru_cache(maxsize=64)  # a row's strengths are asked for one after the other
def _noise_field(digest: int, side: int) -> tuple[Numbers, float]:
    """Return noise [side, side, 3] of a picture of `REFERENCE` pixels, and its standard deviation there.

    Twelve uniform numbers of 16 bits are close to a normal number (Irwin-Hall) without any rounding.
    """
    draws = np.random.Philox(key=digest).random_raw(REFERENCE * REFERENCE * 3 * 3)
    summed = draws.view(np.uint16).reshape(12, REFERENCE, REFERENCE, 3).sum(axis=0, dtype=np.int32)
    field, divisor = _filtered((summed - 6 * 65535).astype(np.float64), _area(REFERENCE, side))
    return field, 65536 * divisor


def _noise(row: Row, deviation: float) -> Image:
    field, scale = _noise_field(_digest(row, "noise"), row.crop.shape[0])
    return _picture(row.crop + _divided(field * deviation, scale))


def _jpeg(row: Row, quality: float) -> Image:
    """Add the artefacts that compression leaves in a picture of `REFERENCE` pixels."""
    import cv2

    side = row.crop.shape[0]
    big = _divided(*_filtered(_numbers(row), _linear(side, REFERENCE)))
    settings = [cv2.IMWRITE_JPEG_QUALITY, int(quality)]
    _, file = cv2.imencode(".jpg", _picture(big)[:, :, ::-1], settings)
    decoded = np.asarray(cv2.imdecode(file, cv2.IMREAD_COLOR))[:, :, ::-1]
    change = _divided(*_filtered(decoded - big, _area(REFERENCE, side)))
    return _picture(row.crop + change)


def _darkness(row: Row, percent: float) -> Image:
    field, scale = _noise_field(_digest(row, "darkness"), row.crop.shape[0])
    return _picture(_divided(_numbers(row) * percent, 100.0) + _divided(field * SENSOR_NOISE, scale))


def _contrast(row: Row, percent: float) -> Image:
    mean = float(row.crop.sum(dtype=np.int64) // row.crop.size)
    return _picture(mean + _divided((_numbers(row) - mean) * percent, 100.0))


def _resolution(row: Row, pixels: float) -> Image:
    side, small = row.crop.shape[0], int(pixels)
    if small >= side:
        return row.crop
    seen = _divided(*_filtered(_numbers(row), _area(side, small)))
    return _picture(_divided(*_filtered(seen, _linear(small, side))))


class _Places(NamedTuple):
    """Places of a face in pixels of its crop."""

    middle: float
    eyes: float
    mouth: float
    distance: float
    """Of the eyes."""


def _places(row: Row) -> _Places:
    left, right, _, mouth_left, mouth_right = row.points * row.crop.shape[0]
    middle = float(left[0] + right[0] + mouth_left[0] + mouth_right[0]) / 4
    eyes, mouth = float(left[1] + right[1]) / 2, float(mouth_left[1] + mouth_right[1]) / 2
    return _Places(middle, eyes, mouth, float(right[0] - left[0]))


def _cover(crop: Image, x: float, y: float, width: float, height: float) -> Image:
    covered = crop.copy()
    left, right = max(0, round(x - width / 2)), max(0, round(x + width / 2))
    top, bottom = max(0, round(y - height / 2)), max(0, round(y + height / 2))
    covered[top:bottom, left:right] = COVER
    return covered


def _eyes(row: Row, height: float) -> Image:
    at = _places(row)
    return _cover(row.crop, at.middle, at.eyes, 2.2 * at.distance, height * at.distance)


def _mouth(row: Row, height: float) -> Image:
    at = _places(row)
    return _cover(row.crop, at.middle, at.mouth, (height + 0.6) * at.distance, height * at.distance)


def _mask(row: Row, share: float) -> Image:
    """Cover the face from the chin up to a height between mouth (0) and eyes (1)."""
    import cv2

    at = _places(row)
    top, chin = at.mouth - share * (at.mouth - at.eyes), at.mouth + 0.9 * at.distance
    cheek = (2 * top + chin) / 3
    outline = [(-1.1, top), (1.1, top), (1.0, cheek), (0.55, chin), (-0.55, chin), (-1.0, cheek)]
    corners = [(round(at.middle + x * at.distance), round(y)) for x, y in outline]
    return np.asarray(cv2.fillConvexPoly(row.crop.copy(), np.array(corners, np.int32), MASK), np.uint8)


_COSINES = {
    5: (0.9962, 0.0872),
    10: (0.9848, 0.1736),
    20: (0.9397, 0.3420),
    30: (0.8660, 0.5),
    45: (0.7071, 0.7071),
}
"""Cosine and sine by degrees."""


def _turned(crop: Image, linear: Sequence[Sequence[float]], shift: tuple[float, float]) -> Image:
    """Return a crop transformed about its middle; the border is repeated.

    Args:
        crop: The crop.
        linear: [2, 2].
        shift: In pixels.
    """
    side = crop.shape[0]
    turn = np.array(linear)
    middle = np.full(2, side / 2)
    offset = middle - (turn[:, 0] * middle[0] + turn[:, 1] * middle[1]) + np.array(shift)
    return warp(crop, np.concatenate([turn, offset[:, None]], axis=1), side)


def _rotation(row: Row, degrees: float) -> Image:
    cosine, sine = _COSINES[int(degrees)]
    sine = sine if _digest(row, "rotation") % 2 else -sine
    return _turned(row.crop, [[cosine, -sine], [sine, cosine]], (0.0, 0.0))


_DIRECTIONS = (
    (1.0, 0.0),
    (0.71, 0.71),
    (0.0, 1.0),
    (-0.71, 0.71),
    (-1.0, 0.0),
    (-0.71, -0.71),
    (0.0, -1.0),
    (0.71, -0.71),
)


def _box(row: Row, percent: float) -> Image:
    """Shift the box in one of eight directions, and make it larger or smaller by as much."""
    drawn = _digest(row, "box")
    x, y = _DIRECTIONS[drawn % 8]
    scale = 1 + percent / 100 if (drawn // 8) % 2 else 1 / (1 + percent / 100)
    pixels = row.crop.shape[0] * percent / 100
    return _turned(row.crop, [[scale, 0.0], [0.0, scale]], (x * pixels, y * pixels))


_KNOWN = (
    Corruption("blur", "blur", (1, 2, 3, 4.5, 6), "standard deviation, % of the crop's side", _blur),
    Corruption(
        "noise", "noise", (10, 20, 35, 55, 80), "standard deviation, grey levels at 112 pixels", _noise
    ),
    Corruption("jpeg", "JPEG", (40, 25, 15, 8, 4), "quality at 112 pixels", _jpeg),
    Corruption(
        "darkness",
        "darkness",
        (60, 40, 25, 15, 8),
        "light left, %, with sensor noise of 4 grey levels at 112 pixels",
        _darkness,
    ),
    Corruption("contrast", "low contrast", (70, 50, 35, 20, 10), "contrast left, %", _contrast),
    Corruption("resolution", "low resolution", (40, 28, 20, 14, 10), "side of the crop, pixels", _resolution),
    Corruption(
        "eyes", "covered eyes", (0.25, 0.4, 0.6, 0.8, 1.0), "height of a bar, eye distances", _eyes, True
    ),
    Corruption(
        "mouth",
        "covered mouth",
        (0.3, 0.5, 0.7, 0.9, 1.1),
        "height of a rectangle, eye distances; 0.6 wider than high",
        _mouth,
        True,
    ),
    Corruption(
        "mask",
        "face mask",
        (-0.3, 0.0, 0.25, 0.45, 0.7),
        "upper edge from mouth (0) to eyes (1)",
        _mask,
        True,
    ),
    Corruption("rotation", "rotation", (5, 10, 20, 30, 45), "degrees, either way", _rotation),
    Corruption(
        "box",
        "misaligned box",
        (4, 8, 12, 18, 25),
        "shift in one of eight directions, % of the side, and larger or smaller by as much",
        _box,
    ),
)
CORRUPTIONS: dict[str, Corruption] = {one.name: one for one in _KNOWN}
"""All corruptions by name, in the order of tables."""
