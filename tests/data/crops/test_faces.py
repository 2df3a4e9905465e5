from __future__ import annotations

import numpy as np
import pytest

from fer_bench.data.crops.faces import Face, choose_faces, left_first, overlap
from fer_bench.errors import UsageError

POINTS = np.array([[45.0, 50], [75, 50], [60, 65], [48, 80], [72, 80]])


def face(x: float, y: float, side: float, score: float = 0.9) -> Face:
    return Face((x, y, x + side, y + side), POINTS, score)


LARGE, LEFT, RIGHT = face(50, 50, 60, 0.7), face(0, 0, 20), face(120, 0, 20)
FACES = [RIGHT, LEFT, LARGE]


def test_the_largest_face_is_not_the_likeliest():
    assert choose_faces(FACES, "largest") == [LARGE]
    assert choose_faces([], "largest") == []


def test_all_faces_come_largest_first_and_equal_ones_from_left_to_right():
    assert choose_faces(FACES, "all") == [LARGE, LEFT, RIGHT]


def test_the_nearest_face_overlaps_the_box_most_and_a_stranger_is_none():
    assert choose_faces(FACES, "nearest", (2, 2, 18, 18)) == [LEFT]
    assert choose_faces(FACES, "nearest", (118, 2, 145, 24)) == [RIGHT]
    assert choose_faces(FACES, "nearest", (55, 55, 75, 75)) == []  # it holds 1/9 of the large face
    assert choose_faces([], "nearest", (0, 0, 9, 9)) == []
    with pytest.raises(UsageError, match="without a box"):
        choose_faces(FACES, "nearest")


def test_overlap_is_intersection_over_union():
    assert overlap((0, 0, 10, 10), (5, 0, 15, 10)) == pytest.approx(1 / 3)
    assert overlap((0, 0, 10, 10), (20, 20, 30, 30)) == 0
    assert overlap((5, 5, 5, 5), (5, 5, 5, 5)) == 0


def test_points_are_ordered_by_the_picture_and_moved_with_the_box():
    assert np.array_equal(left_first(POINTS[[1, 0, 2, 4, 3]]), POINTS)
    moved = LEFT.moved(7, -3)
    assert moved.box == (7, -3, 27, 17)
    assert np.array_equal(moved.landmarks, POINTS + np.array([7, -3]))
    larger = LEFT.scaled(2, 3)
    assert larger.box == (0, 0, 40, 60)
    assert np.array_equal(larger.landmarks, POINTS * np.array([2, 3]))
    blind = Face((0, 0, 1, 1), None, float("nan"))
    assert blind.moved(1, 1).landmarks is blind.scaled(2, 2).landmarks is None
