"""Arithmetic that gives the same bits on every processor.

Libraries choose other code on processors with other instructions: sums in another order, fused
multiplications, other approximations of transcendental functions. Their results differ in the last bit, and a
drawn picture then in a grey level. Two rules prevent it. What OpenCV or a matrix product calculates in
floating point has so few binary digits that nothing is rounded, or is a single product. Transcendental
functions are the C library's, which are the same wherever there is AVX2, and not NumPy's. Products,
quotients, sums and square roots of arrays in NumPy are rounded as IEEE 754 prescribes and need no care.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_bench.synthetic.anatomy import Array, Picture

_GRID = float(1 << 20)
_TAPS = 256

sine: Callable[[Array], Array] = np.vectorize(math.sin, otypes=[np.float64])
"""Sine of every element."""
cosine: Callable[[Array], Array] = np.vectorize(math.cos, otypes=[np.float64])
"""Cosine of every element."""


def exponential(values: Array) -> Array:
    """Return e to the power of each of some values [n]."""
    return np.array([math.exp(value) for value in values.tolist()])


def power(values: Array, exponent: float) -> Array:
    """Return the power of every element, which must not be negative."""
    found = [value**exponent for value in values.reshape(-1).tolist()]
    return np.array(found).reshape(values.shape)


def on_grid(values: Array) -> Array:
    """Return values rounded to a millionth: products and sums of a few such values have no rounding error."""
    found: Array = np.rint(values * _GRID)
    found *= 1 / _GRID
    return found


def product(matrix: Array, values: Array) -> Array:
    """Return a matrix product free of rounding errors.

    Args:
        matrix: [n, m], from `on_grid`; elements below 8.
        values: [..., m, k], rounded to the grid here; elements below 8.
    """
    found: Array = matrix @ on_grid(values)
    return found


def smooth(picture: Picture, sigma: float, taps: int = 0) -> NDArray[np.float32]:
    """Return a picture blurred by a Gaussian with weights in 256ths, without rounding.

    Args:
        picture: uint8 [H, W] or [H, W, 3].
        sigma: Standard deviation in pixels.
        taps: Width of the filter, odd; 0 for three standard deviations on either side.
    """
    kernel = _gaussian(round(64 * sigma), taps)
    return np.asarray(cv2.sepFilter2D(picture, cv2.CV_32F, kernel, kernel), np.float32)


@cache
def _gaussian(sigma: int, taps: int) -> Array:
    """Return the weights of a Gaussian whose standard deviation is given in 64ths of a pixel."""
    reach = (taps or 2 * math.ceil(3 * sigma / 64) + 1) // 2
    shape = [math.exp(-0.5 * (64 * place / sigma) ** 2) for place in range(-reach, reach + 1)]
    weights = np.array([round(_TAPS * height / sum(shape)) for height in shape], np.float64)
    weights[reach] += _TAPS - weights.sum()
    return weights / _TAPS


def doubled(values: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return values at twice the resolution, smoothly, without rounding.

    Value i of a line becomes value 2 i.

    Args:
        values: Multiples of 1/4096 below 8, [(H + 1) // 2, (W + 1) // 2].
        shape: (H, W).
    """
    return np.asarray(cv2.pyrUp(values, dstsize=shape[::-1]), np.float32)
