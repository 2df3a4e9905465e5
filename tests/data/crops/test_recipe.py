from __future__ import annotations

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from fer_bench.data.crops import recipe as align
from fer_bench.data.crops.faces import Face
from fer_bench.data.crops.recipe import (
    TEMPLATE,
    CropRecipe,
    crop_face,
    crop_found,
    cut,
    find_face,
    five_points,
    similarity,
)
from fer_bench.errors import DataError


def picture(height: int = 40, width: int = 60, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def recipe(kind: str, margin: float = 0.0) -> CropRecipe:
    return CropRecipe.model_validate({"kind": kind, "size": 32, "margin": margin})


def test_a_whole_picture_is_taken_without_margin():
    square, way = find_face(picture(), None, None, recipe("whole", 0.5))
    assert (square.tolist(), way) == ([0, 0, 60, 40], "whole")


@pytest.mark.parametrize(
    ("kind", "box", "points", "sides"),
    [
        ("whole", None, None, (60, 40)),
        ("fit", None, None, (60, 60)),
        ("box", (10, 5, 30, 20), None, (20, 20)),
        ("similarity", None, TEMPLATE * 24, (24, 24)),
    ],
)
def test_a_crop_says_how_large_its_face_is_in_the_picture(kind, box, points, sides):
    assert crop_face(picture(), box, points, recipe(kind)).sides == pytest.approx(sides)


def test_a_detected_face_is_as_large_as_what_is_cut_or_turned(monkeypatch):
    for landmarks, sides in ((None, (20, 20)), (TEMPLATE * 24, (24, 24))):
        face = Face((10.0, 5.0, 30.0, 25.0), landmarks, 0.9)
        monkeypatch.setattr("fer_bench.data.crops.recipe.find_faces", lambda *_, face=face: [face])
        assert crop_face(picture(), None, None, recipe("detect")).sides == pytest.approx(sides)


@pytest.mark.parametrize(
    ("height", "width", "expected"), [(40, 60, [0, -10, 60, 50]), (30, 10, [-10, 0, 20, 30])]
)
def test_a_fitted_picture_keeps_its_proportions(height, width, expected):
    square, way = find_face(picture(height, width), None, None, recipe("fit", 0.5))
    assert (square.tolist(), way) == (expected, "whole")
    crop = crop_face(picture(32, 16), None, None, recipe("fit")).pixels
    assert np.array_equal(crop[:, 8:24], picture(32, 16))
    assert np.array_equal(crop[:, :8], np.repeat(picture(32, 16)[:, :1], 8, axis=1))


@pytest.mark.parametrize(
    ("detector", "weak"),
    [("cascade", {"centre", "detected"}), ("yunet", {"centre"}), ("mtcnn", {"centre"})],
)
def test_what_counts_as_weak(detector, weak):
    searching = CropRecipe(kind="box", size=32, detector=detector)
    ways = ("whole", "box", "landmarks", "detected", "centre")
    assert {way for way in ways if searching.is_weak(way)} == weak


@pytest.mark.parametrize(("margin", "expected"), [(0.0, [10, 5, 30, 25]), (0.5, [5, 0, 35, 30])])
def test_a_box_becomes_the_square_of_its_longer_side_around_its_middle(margin, expected):
    square, way = find_face(picture(), (15.0, 5.0, 25.0, 25.0), None, recipe("box", margin))
    assert (square.tolist(), way) == (expected, "box")


def test_landmarks_become_the_square_around_them():
    points = np.array([[10, 20], [30, 10], [20, 14]], np.float32)
    square, way = find_face(picture(), (0, 0, 5, 5), points, recipe("landmarks", 0.2))
    assert way == "landmarks"
    assert square.tolist() == pytest.approx([8, 3, 32, 27])


@pytest.fixture
def fakes(monkeypatch):
    """Let a detector find two faces, wherever it searches; returns the sizes of what it searched."""
    seen: list[tuple[int, int]] = []

    def find_faces(image, detector):
        seen.append(image.shape[:2])
        small = Face((2.0, 3.0, 12.0, 13.0), TEMPLATE * 10 + (2, 3), 0.9)
        return [Face((5.0, 6.0, 25.0, 26.0), TEMPLATE * 20 + (5, 6), 0.8), small]

    monkeypatch.setattr(align, "find_faces", find_faces)
    return seen


def test_what_is_missing_is_searched_around_the_box_where_there_is_one(fakes):
    face, way = find_face(picture(100, 100), (18, 20, 28, 30), None, recipe("landmarks"))
    assert (fakes, way, face.box) == ([(20, 20)], "detected", (15, 18, 25, 28))
    face, way = find_face(picture(), None, None, recipe("box"))
    assert (fakes[1], way, face.box) == ((40, 60), "detected", (5, 6, 25, 26))


def test_a_face_far_from_the_box_is_another_one(fakes):
    flat = np.full((200, 200, 3), 128, np.uint8)
    box = (100.0, 100.0, 180.0, 180.0)
    assert find_face(flat, box, None, recipe("detect"))[1] == "centre"
    square, way = find_face(flat, box, None, recipe("similarity"))
    assert (square.tolist(), way) == (list(box), "box")


@pytest.mark.parametrize("kind", ["detect", "similarity"])
def test_a_found_face_is_aligned_and_the_square_of_its_box_is_cut_by_other_kinds(fakes, kind):
    image, points = picture(), TEMPLATE * 20 + (5, 6)
    aligned, way, _ = crop_face(image, None, None, recipe(kind))
    assert way == "detected"
    assert np.array_equal(aligned, crop_face(image, None, points, recipe("similarity"))[0])
    face = Face((5.0, 6.0, 25.0, 26.0), points, 0.8)
    assert np.array_equal(aligned, crop_found(image, face, recipe(kind)))
    for other in ("whole", "fit", "box", "landmarks"):
        assert np.array_equal(crop_found(image, face, recipe(other)), cut(image, np.array(face.box), 32))


def test_without_landmarks_the_square_is_cut():
    face = Face((5.0, 6.0, 25.0, 26.0), None, float("nan"))
    assert np.array_equal(
        crop_found(picture(), face, recipe("detect")), cut(picture(), np.array(face.box), 32)
    )


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


@pytest.mark.parametrize("detector", ["mtcnn", "cascade"])
def test_nothing_is_found_in_noise(detector):
    how = CropRecipe(kind="detect", size=32, detector=detector)
    assert find_face(picture(120, 120), None, None, how)[1] == "centre"


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
    assert CropRecipe(kind="box", size=48).text == "box, else MTCNN +20% 48px v2"
    assert CropRecipe(kind="detect", size=48).text == "detect and align by MTCNN +20% 48px v2"
    weak = CropRecipe(kind="detect", size=48, detector="cascade")
    assert weak.text == "detect by cascade (weak) +20% 48px v2"
    assert CropRecipe(kind="whole", size=48).text == "whole 48px v1"
    assert CropRecipe(kind="fit", size=48).text == "fit 48px v1"
    by_yunet = CropRecipe(kind="similarity", size=48, detector="yunet")
    assert by_yunet.text == "similarity, else YuNet +20% 48px v2"
    for wrong in ({"kind": "oval"}, {"size": 8}, {"margin": 2.0}):
        with pytest.raises(ValidationError):
            CropRecipe.model_validate({"kind": "box", "size": 48, **wrong})


def test_a_recipe_of_an_older_version_still_reads():
    held = {"kind": "detect", "size": 48, "margin": 0.2, "detector": "cascade", "version": 1}
    assert CropRecipe.model_validate(held).text == "detect by cascade (weak) +20% 48px v1"
    assert not CropRecipe.model_validate(held).aligns_found
    for kind in ("whole", "box", "similarity"):
        again = CropRecipe(kind=kind, size=48).model_dump(mode="json")
        assert CropRecipe.model_validate(again).model_dump(mode="json") == again


def drawn(points: np.ndarray, size: int = 120) -> np.ndarray:
    """Return a dark picture with a bright dot on each point."""
    image = np.zeros((size, size, 3), np.uint8)
    for x, y in points:
        cv2.circle(image, (round(float(x)), round(float(y))), 2, (255, 255, 255), -1)
    return image


def ibug(five: np.ndarray) -> np.ndarray:
    """Return 68 points with the given eyes, nose tip and corners of the mouth, the others far away."""
    points = np.full((68, 2), -500.0, np.float32)
    around = np.array([[-3, 0], [-1, -2], [1, -2], [3, 0], [1, 2], [-1, 2]])
    points[36:42], points[42:48] = five[0] + around, five[1] + around
    points[30], points[48], points[54] = five[2:]
    return points


class TestSimilarity:
    five = np.array([[45.0, 50], [75, 50], [60, 65], [48, 80], [72, 80]])

    def turned(self, degrees: float, scale: float, shift: tuple[float, float]) -> np.ndarray:
        angle = np.deg2rad(degrees)
        matrix = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        return (self.five - 60) @ matrix.T + 60 + np.array(shift)

    def test_points_of_the_template_come_to_lie_on_it(self):
        how = recipe("similarity", 0.2)
        wanted = ((TEMPLATE - 0.5) / 1.2 + 0.5) * 32
        for degrees, scale, shift in ((0, 1, (0, 0)), (30, 0.7, (5, -8)), (-75, 1.9, (40, 3))):
            angle = np.deg2rad(degrees)
            turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
            matrix = similarity(TEMPLATE * 50 @ turn.T + np.array(shift), how)
            found = np.c_[TEMPLATE * 50 @ turn.T + np.array(shift), np.ones(5)] @ matrix.T
            assert np.allclose(found, wanted)

    def test_it_is_the_least_squares_fit_without_reflection(self):
        from scipy.optimize import minimize

        how = recipe("similarity")
        rng = np.random.default_rng(0)
        points = self.turned(20, 1.1, (3, 4)) + rng.normal(0, 3, (5, 2))
        matrix = similarity(points, how)

        def error(p):
            found = points @ np.array([[p[0], p[1]], [-p[1], p[0]]]) + p[2:]
            return float(((found - TEMPLATE * 32) ** 2).sum())

        best = minimize(error, [0.5, 0, 0, 0], method="BFGS")
        ours = error([matrix[0, 0], matrix[1, 0], matrix[0, 2], matrix[1, 2]])
        assert ours == pytest.approx(best.fun, rel=1e-6)
        assert np.linalg.det(matrix[:, :2]) > 0

    @pytest.mark.parametrize(("degrees", "scale"), [(0, 1.0), (25, 1.0), (-40, 1.4)])
    def test_a_turned_face_gives_the_same_crop(self, degrees, scale):
        how = CropRecipe(kind="similarity", size=64)
        points = self.turned(degrees, scale, (4, -6))
        crop, way, _ = crop_face(drawn(points), None, points.astype(np.float32), how)
        assert (crop.shape, way) == ((64, 64, 3), "landmarks")
        for x, y in ((TEMPLATE - 0.5) / 1.2 + 0.5) * 64:
            assert crop[round(y) - 3 : round(y) + 3, round(x) - 3 : round(x) + 3].max() > 100

    def test_68_points_are_reduced_to_five_and_sides_do_not_matter(self):
        assert np.allclose(five_points(ibug(self.five)), self.five)
        assert np.allclose(five_points(self.five[[1, 0, 2, 4, 3]]), self.five)
        assert five_points(None) is None
        assert five_points(np.zeros((37, 2))) is None

    def test_without_points_the_box_is_taken_and_said(self):
        image = picture(60, 60)
        crop, way, _ = crop_face(image, (10, 10, 30, 30), None, recipe("similarity"))  # MTCNN finds nothing
        assert way == "box"
        assert np.array_equal(crop, cut(image, np.array([10, 10, 30, 30]), 32))
        assert crop_face(image, None, np.zeros((5, 2)), recipe("similarity"))[1] == "centre"

    def test_what_is_shrunk_is_averaged(self):
        stripes = np.zeros((512, 512, 3), np.uint8)
        stripes[:, ::2] = 255
        crop, *_ = crop_face(stripes, None, TEMPLATE * 512, recipe("similarity"))
        assert np.abs(crop.astype(int) - 127).max() <= 12

    def test_shrinking_does_not_shift(self):
        image = cv2.resize(picture(8, 8), (256, 256), interpolation=cv2.INTER_CUBIC)
        for size in (32, 64, 256):
            crop, *_ = crop_face(
                image, None, TEMPLATE * 256, CropRecipe(kind="similarity", size=size, margin=0)
            )
            apart = crop.astype(float) - cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
            assert np.abs(apart).mean() < 4

    def test_points_that_dwarf_the_picture_are_refused(self):
        with pytest.raises(DataError, match="more than 20 times as large"):
            crop_face(picture(), None, TEMPLATE * 1e6, recipe("similarity"))
