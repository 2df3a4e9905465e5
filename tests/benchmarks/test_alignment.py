"""How the benchmark of detectors counts and what its page shows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmarks import alignment
from fer_bench.data.crops.faces import Face


def line(number, detector, seconds, **found):
    return {
        "camera": "mmi",
        "view": "as drawn",
        "detector": detector,
        "number": number,
        "faces": 0,
        "seconds": seconds,
        "off": np.nan,
        "size": np.nan,
        "landmarks": np.nan,
        **found,
    }


LINES = pd.DataFrame(
    [
        line(0, "mtcnn", 6.0, faces=1, off=0.1, size=1.1, landmarks=0.02),
        line(0, "cascade", 2.0, faces=1, off=0.2, size=1.0),
        line(1, "mtcnn", 4.0, faces=3, off=0.2, size=1.3, landmarks=0.04),
        line(1, "cascade", 3.0, faces=1, off=0.3, size=1.0),  # too far off to be the face
        {**line(0, "mtcnn", 1.0), "view": alignment.EMPTY},
        {**line(0, "cascade", 1.0, faces=1), "view": alignment.EMPTY},
    ]
)


def test_what_is_too_far_off_is_not_found_and_times_are_those_of_the_same_pictures():
    table = alignment.summary(LINES[LINES["view"] != alignment.EMPTY]).set_index("detector")
    assert table["found"].to_dict() == {"mtcnn": 1.0, "cascade": 0.5}
    assert table["answered"].to_dict() == {"mtcnn": 1.0, "cascade": 1.0}
    assert table["times_of_cascade"].to_dict() == {"mtcnn": 2.0, "cascade": 1.0}
    assert table.loc["mtcnn", ["off", "size", "landmarks"]].tolist() == pytest.approx([0.15, 1.2, 0.03])
    assert table.loc["mtcnn", "further_faces"] == 1
    assert table.loc["cascade", "found_low"] < 0.1  # two pictures say little


def test_the_page_says_what_was_not_measured():
    text = alignment.page(alignment.summary(LINES), 2, 1.04)
    assert "| mmi | MTCNN | 100.0% [34%, 100%] | 15% | 1.20 | 3.0%, 3.8% | 1.00 |" in text
    assert "| mmi | cascade (weak) | 50.0%" in text
    assert "In 1 pictures without a face they find one: MTCNN in 0.0%, cascade (weak) in 100.0%." in text
    assert "YuNet was not measured" in text
    assert "In 2 threads, as packs are filled, MTCNN takes 1.04 times the CPU time per picture." in text


@pytest.mark.parametrize("view", list(alignment.VIEWS))
def test_a_scene_is_the_same_again_and_its_truth_is_in_the_picture(view):
    shot, again = (alignment.draw("affwild2", 1, view) for _ in range(2))
    assert np.array_equal(shot.picture, again.picture)
    height, width = shot.picture.shape[:2]
    assert (np.median(shot.landmarks, axis=0) < (width, height)).all()
    perfect = Face(shot.box, alignment.five_points(shot.landmarks), 1.0)
    assert alignment._compared(perfect, shot) == {"off": 0, "size": pytest.approx(1), "landmarks": 0}


def test_pictures_without_a_face_have_the_size_of_those_with_one():
    assert alignment.draw_empty("ckplus", 0).shape == alignment.draw("ckplus", 0).picture.shape


def test_in_the_dark_little_light_is_left():
    shot, dark = alignment.draw("affwild2", 1), alignment.draw("affwild2", 1, "dark")
    assert dark.picture.mean() < 0.2 * shot.picture.mean()
    assert np.array_equal(dark.landmarks, shot.landmarks)
