"""Regions of a face by action unit, from five points; which units an expression uses."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from fer_bench.data.crops.points import Points
from fer_bench.emotions import Emotion
from fer_bench.synthetic.expressions import PROTOTYPES

Mask = NDArray[np.bool_]
Box = tuple[float, float, float, float]
"""Left, top, right, bottom in eye distances; from the middle of an eye, of the eyes, or of the mouth."""

_EYE: dict[int, tuple[Box, ...]] = {
    1: ((-0.4, -0.6, 0.4, -0.12),),
    2: ((-0.5, -0.6, 0.5, -0.12),),
    4: ((-0.45, -0.55, 0.45, -0.1),),
    5: ((-0.4, -0.3, 0.4, 0.2),),
    6: ((-0.45, 0.05, 0.45, 0.5),),
    7: ((-0.4, -0.22, 0.4, 0.25),),
}
"""About each eye."""
_MIDDLE: dict[int, tuple[Box, ...]] = {4: ((-0.25, -0.5, 0.25, 0.1),), 9: ((-0.3, -0.1, 0.3, 0.65),)}
"""About the middle between the eyes."""
_MOUTH: dict[int, tuple[Box, ...]] = {
    10: ((-0.5, -0.45, 0.5, 0.0),),
    12: ((-0.65, -0.35, 0.65, 0.25),),
    14: ((-0.65, -0.25, 0.65, 0.2),),
    15: ((-0.6, -0.15, 0.6, 0.35),),
    17: ((-0.4, 0.1, 0.4, 0.6),),
    20: ((-0.65, -0.2, 0.65, 0.3),),
    23: ((-0.45, -0.2, 0.45, 0.25),),
    24: ((-0.45, -0.2, 0.45, 0.25),),
    25: ((-0.5, -0.25, 0.5, 0.35),),
    26: ((-0.5, -0.25, 0.5, 0.6),),
}
"""About the middle of the mouth."""
LIKELY = 0.5
"""Probability in a prototype from which an expression counts as using a unit."""


def units_of(emotion: Emotion | str) -> tuple[int, ...]:
    """Return the action units that an expression uses, after EMFACS; none for a neutral face."""
    variants = [units for _, units in PROTOTYPES[Emotion(emotion)]]
    found = {unit for units in variants for unit, (probability, _) in units.items() if probability >= LIKELY}
    return tuple(sorted(found))


def region(units: Iterable[int], points: Points, side: int) -> Mask:
    """Return which pixels of a crop belong to the regions of some action units, bool [side, side].

    Args:
        units: Action units.
        points: Eyes, nose tip and corners of the mouth [5, 2] as shares of the crop.
        side: Side of the crop in pixels.
    """
    left, right, _, mouth_left, mouth_right = points * side
    across = right - left
    distance = float(np.hypot(*across))
    along = across / distance
    down = np.array([-along[1], along[0]])
    eyes, mouth = (left + right) / 2, (mouth_left + mouth_right) / 2
    y, x = np.mgrid[:side, :side] + 0.5
    found = np.zeros((side, side), bool)
    for unit in units:
        for centre, boxes in (
            (left, _EYE.get(unit, ())),
            (right, _EYE.get(unit, ())),
            (eyes, _MIDDLE.get(unit, ())),
            (mouth, _MOUTH.get(unit, ())),
        ):
            u = ((x - centre[0]) * along[0] + (y - centre[1]) * along[1]) / distance
            v = ((x - centre[0]) * down[0] + (y - centre[1]) * down[1]) / distance
            for x0, y0, x1, y1 in boxes:
                found |= (u >= x0) & (u <= x1) & (v >= y0) & (v <= y1)
    return found


def share_within(maps: NDArray[np.floating], mask: Mask) -> float | None:
    """Return the share of a map's weight on some pixels, None for a map that is zero or a mask without any.

    Args:
        maps: A map [S, S], not negative.
        mask: bool [S, S].
    """
    total = float(maps.sum())
    return float(maps[mask].sum()) / total if total > 0 and mask.any() else None
