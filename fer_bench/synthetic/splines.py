"""Points of both sides of the face, and smooth curves through points."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fer_bench.synthetic.anatomy import Array
from fer_bench.synthetic.exact import on_grid, product

SIDE = np.array([-1.0, 1.0])
"""Sign of x on the left and on the right side of the picture."""
COLUMN = SIDE[:, None]


def xyz(x: Array, y: Any, z: Any) -> Array:
    """Return coordinates [..., 3]; x has the full shape."""
    found = np.empty((*x.shape, 3))
    found[..., 0] = x
    found[..., 1] = y
    found[..., 2] = z
    return found


def both(points: ArrayLike) -> Array:
    """Return points [n, 3] of the right side for both sides, [2, n, 3]."""
    right = np.asarray(points, np.float64)
    return np.stack([right * (-1, 1, 1), right])


def resample(points: Array, count: int) -> Array:
    """Return a smooth curve [..., count, 3] through the given points."""
    return product(spline(points.shape[-2], count), points)


@cache
def spline(given: int, wanted: int) -> Array:
    """Return the Catmull-Rom interpolation matrix [wanted, given]."""
    matrix = np.zeros((wanted, given))
    for row, position in enumerate(np.linspace(0, given - 1, wanted)):
        i = min(int(position), given - 2)
        t = position - i
        weights = (
            -0.5 * t + t * t - 0.5 * t * t * t,
            1 - 2.5 * t * t + 1.5 * t * t * t,
            0.5 * t + 2 * t * t - 1.5 * t * t * t,
            0.5 * (t * t * t - t * t),
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
    return on_grid(matrix)
