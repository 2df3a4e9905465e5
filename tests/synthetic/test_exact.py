import cv2
import numpy as np
import pytest

from fer_bench.synthetic.exact import doubled, exponential, on_grid, power, product, smooth


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_a_product_is_free_of_rounding(rng):
    """Summed in any order, and with halves of the terms fused, a product on the grid is the same number."""
    matrix, values = on_grid(rng.normal(size=(30, 17))), rng.normal(size=(17, 5))
    found = product(matrix, values)
    backwards = sum(
        matrix[:, i, None].astype(np.longdouble) * on_grid(values)[i].astype(np.longdouble)
        for i in reversed(range(17))
    )
    np.testing.assert_array_equal(found, np.asarray(backwards, np.float64))
    np.testing.assert_allclose(found, matrix @ values, atol=1e-5)


@pytest.mark.parametrize(("sigma", "taps"), [(0.5, 3), (1.24, 0), (5.0, 0)])
@pytest.mark.parametrize("shape", [(31, 47), (20, 33, 3)])
def test_a_blur_is_free_of_rounding_and_close_to_a_gaussian(rng, sigma, taps, shape):
    picture = rng.integers(0, 256, shape, dtype=np.uint8)
    found = smooth(picture, sigma, taps)
    assert found.dtype == np.float32
    steps = found.astype(np.float64) * 65536
    np.testing.assert_array_equal(steps, np.rint(steps))  # a sum in units of the product of two weights
    size = (taps, taps) if taps else (0, 0)
    near = cv2.GaussianBlur(picture.astype(np.float64), size, sigma)
    assert np.abs(found - near).max() < 3
    np.testing.assert_array_equal(smooth(np.full(shape, 77, np.uint8), sigma, taps), 77)


def test_doubled_values_are_where_they_were_and_free_of_rounding(rng):
    half = np.rint(4096 * rng.uniform(0, 4, (16, 21))).astype(np.float32) / 4096
    for shape in ((32, 42), (31, 41)):
        found = doubled(half, shape)
        assert found.shape == shape
        steps = found.astype(np.float64) * 4096 * 64
        np.testing.assert_array_equal(steps, np.rint(steps))
    ramp = np.tile(np.arange(16, dtype=np.float32) / 4, (8, 1))
    np.testing.assert_array_equal(doubled(ramp, (16, 32))[8, 4:24], np.arange(4, 24) / 8)


def test_transcendental_functions(rng):
    values = rng.uniform(0, 3, 50)
    np.testing.assert_allclose(exponential(values), np.exp(values), rtol=1e-14)
    np.testing.assert_allclose(power(values.reshape(5, 10), 1.7), values.reshape(5, 10) ** 1.7, rtol=1e-14)
