from __future__ import annotations

import cv2
import numpy as np
import pytest

from fer_bench.data.reading.jpeg import has_zeroed_pixels
from tests.data.reading.test_decoder_messages import JPEG, zeroed

FLAT = np.full((200, 200, 3), 90, np.uint8)


def encoded(picture: np.ndarray, *options: int) -> bytes:
    return cv2.imencode(".jpg", picture, options)[1].tobytes()


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("quality", [75, 95])
def test_zeroed_bytes_inside_are_found_though_decoders_may_not_notice(seed, quality):
    noise = np.random.default_rng(seed).integers(0, 256, (100, 100, 3)).astype(np.uint8)
    raw = encoded(cv2.GaussianBlur(noise, (0, 0), 1), cv2.IMWRITE_JPEG_QUALITY, quality)
    assert has_zeroed_pixels(zeroed(raw))
    assert not has_zeroed_pixels(raw)


@pytest.mark.parametrize("options", [(), (cv2.IMWRITE_JPEG_OPTIMIZE, 1), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)])
def test_flat_pictures_are_not_suspected(options):
    for picture in (FLAT, FLAT[:, :, 0], np.zeros((300, 300, 3), np.uint8)):
        assert not has_zeroed_pixels(encoded(picture, *options))


@pytest.mark.parametrize("raw", [b"", b"\xff\xd8", JPEG[:200], b"\x89PNG" + bytes(500)])
def test_what_has_no_pixels_of_a_jpeg_is_not_judged(raw):
    assert not has_zeroed_pixels(raw)
