from __future__ import annotations

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from fer_bench.data import align, detectors
from fer_bench.data.align import CropRecipe, cut, find_face
from fer_bench.errors import DataError


def picture(height: int = 40, width: int = 60, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def recipe(kind: str, margin: float = 0.0) -> CropRecipe:
    return CropRecipe.model_validate({"kind": kind, "size": 32, "margin": margin})


def test_a_whole_picture_is_taken_without_margin():
    square, way = find_face(picture(), None, None, recipe("whole", 0.5))
    assert (square.tolist(), way) == ([0, 0, 60, 40], "whole")


@pytest.mark.parametrize(("margin", "expected"), [(0.0, [10, 5, 30, 25]), (0.5, [5, 0, 35, 30])])
def test_a_box_becomes_the_square_of_its_longer_side_around_its_middle(margin, expected):
    square, way = find_face(picture(), (15.0, 5.0, 25.0, 25.0), None, recipe("box", margin))
    assert (square.tolist(), way) == (expected, "box")


def test_landmarks_become_the_square_around_them():
    points = np.array([[10, 20], [30, 10], [20, 14]], np.float32)
    square, way = find_face(picture(), (0, 0, 5, 5), points, recipe("landmarks", 0.2))
    assert way == "landmarks"
    assert square.tolist() == pytest.approx([8, 3, 32, 27])


def test_what_is_missing_is_detected_in_the_box_where_there_is_one(monkeypatch):
    seen = []
    monkeypatch.setattr(align, "find_with_cascade", lambda image: seen.append(image.shape[:2]) or (2, 3, 10, 10))
    square, way = find_face(picture(), (10, 5, 70, 35), None, recipe("landmarks"))
    assert (seen, way, square.tolist()) == ([(30, 50)], "detected", [12, 8, 22, 18])
    square, way = find_face(picture(), None, None, recipe("box"))
    assert (seen[1], way, square.tolist()) == ((40, 60), "detected", [2, 3, 12, 13])


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        (None, [10, 0, 50, 40]),
        ((20, 10, 50, 30), [25, 10, 45, 30]),
        ((70, 10, 90, 30), [10, 0, 50, 40]),  # a box outside says nothing
    ],
)
def test_where_no_face_is_found_the_central_square_is_taken(box, expected):
    flat = np.full((40, 60, 3), 128, np.uint8)
    square, way = find_face(flat, box, None, recipe("detect"))
    assert (square.tolist(), way) == (expected, "centre")


def test_the_cascade_is_there_and_finds_nothing_in_noise():
    assert not detectors._cascade().empty()
    assert find_face(picture(120, 120), None, None, recipe("detect"))[1] == "centre"


def test_a_square_inside_is_cut_as_it_is():
    image = picture()
    assert np.array_equal(cut(image, np.array([5, 3, 25, 23]), 20), image[3:23, 5:25])


def test_beyond_the_picture_its_border_is_repeated():
    image = picture()
    padded = np.pad(image, ((30, 30), (30, 30), (0, 0)), mode="edge")
    for x, y in [(-7, -9), (45, 30), (-20, 10), (-30, -30), (80, 60)]:
        found = cut(image, np.array([x, y, x + 10, y + 10]), 10)
        clipped = image[np.clip(np.arange(y, y + 10), 0, 39)[:, None], np.clip(np.arange(x, x + 10), 0, 59)]
        assert np.array_equal(found, clipped)
        if x >= -30 and y >= -30 and x + 10 <= 90 and y + 10 <= 70:
            assert np.array_equal(found, padded[y + 30 : y + 40, x + 30 : x + 40])


def test_crops_are_scaled_to_their_size_without_aliasing():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    small = cut(stripes, np.array([0, 0, 64, 64]), 16)
    assert small.shape == (16, 16, 3)
    assert np.abs(small.astype(int) - 127).max() <= 1
    assert cut(picture(8, 8), np.array([0, 0, 8, 8]), 32).shape == (32, 32, 3)
    assert np.array_equal(small, cv2.resize(stripes, (16, 16), interpolation=cv2.INTER_AREA))


def test_a_square_smaller_than_a_pixel_is_one_pixel():
    image = picture()
    assert np.array_equal(
        cut(image, np.array([5.2, 3.1, 5.3, 3.2]), 4), np.broadcast_to(image[3, 5], (4, 4, 3))
    )


def test_a_square_that_dwarfs_its_picture_is_refused_before_it_eats_the_memory():
    cut(picture(), np.array([-100, -100, 1000, 1000]), 16)
    with pytest.raises(DataError, match=r"more than 20 times as large as its picture of 60x40"):
        cut(picture(), np.array([0, 0, 1e7, 1e7]), 16)


def test_a_recipe_is_one_line_and_refuses_nonsense():
    assert CropRecipe(kind="box", size=48).text == "box +20% 48px v1"
    assert CropRecipe(kind="whole", size=48).text == "whole 48px v1"
    for wrong in ({"kind": "oval"}, {"size": 8}, {"margin": 2.0}):
        with pytest.raises(ValidationError):
            CropRecipe.model_validate({"kind": "box", "size": 48, **wrong})
