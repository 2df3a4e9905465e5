import numpy as np
import pytest

from fer_bench.synthetic.face import FACE_AUS, Identity, Light, Pose, au_array, draw_face

JAW, BROW_IN, BROW_OUT = slice(0, 17), (21, 22), (17, 26)
CORNERS, LIP_TOP, LIP_BOTTOM, INNER_TOP, INNER_BOTTOM = (48, 54), 51, 57, 62, 66
UPPER_LID, LOWER_LID = (37, 38, 43, 44), (40, 41, 46, 47)


def points(au, **pose):
    return draw_face(Identity(), au, Pose(**pose), 112).landmarks.astype(float)


def height(au, rows):
    """Mean height of landmarks above where they are on the neutral face, in pixels."""
    rows = list(rows) if isinstance(rows, tuple) else [rows]
    return float((points({})[rows, 1] - points(au)[rows, 1]).mean())


def opening(au):
    shape = points(au)
    return float((shape[list(LOWER_LID), 1] - shape[list(UPPER_LID), 1]).mean())


def test_the_68_landmarks_stand_in_ibug_order():
    shape = points({})
    assert shape.shape == (68, 2)
    assert (np.diff(shape[JAW, 0]) > 0).all()
    assert shape[8, 1] == shape[:, 1].max()
    assert (np.diff(shape[17:27, 0]) > 0).all()
    assert (np.diff(shape[27:31, 1]) > 0).all()
    assert (np.diff(shape[31:36, 0]) > 0).all()
    for first in (36, 42):
        left, top, right, bottom = shape[first], shape[first + 1], shape[first + 3], shape[first + 4]
        assert left[0] < top[0] < right[0]
        assert top[1] < bottom[1]
    assert shape[48, 0] < shape[51, 0] < shape[54, 0]
    assert shape[51, 1] < shape[62, 1] <= shape[66, 1] < shape[57, 1]
    np.testing.assert_allclose(shape[:17, 0] + shape[16::-1, 0], 112, atol=0.5)


@pytest.mark.parametrize(
    ("au", "rows", "moves"),
    [
        ({1: 1.0}, BROW_IN, 2.0),
        ({2: 1.0}, BROW_OUT, 2.0),
        ({4: 1.0}, BROW_IN, -2.0),
        ({12: 1.0}, CORNERS, 2.0),
        ({15: 1.0}, CORNERS, -2.0),
        ({10: 1.0}, LIP_TOP, 0.5),
        ({17: 1.0}, LIP_BOTTOM, 0.5),
        ({25: 1.0, 26: 1.0}, LIP_BOTTOM, -4.0),
        ({26: 1.0}, 8, -3.0),
        ({9: 1.0}, (31, 35), 1.0),
    ],
)
def test_an_action_unit_moves_its_landmarks(au, rows, moves):
    found = height(au, rows)
    assert found * np.sign(moves) >= abs(moves)


def test_the_brows_come_together_and_the_mouth_stretches():
    neutral = points({})
    assert points({4: 1.0})[22, 0] - points({4: 1.0})[21, 0] < neutral[22, 0] - neutral[21, 0] - 1
    for unit in (12, 20):
        wide = points({unit: 1.0})
        assert wide[54, 0] - wide[48, 0] > neutral[54, 0] - neutral[48, 0] + 4


def test_lids_and_lips():
    assert opening({5: 1.0}) > 1.2 * opening({})
    assert opening({7: 1.0}) < 0.8 * opening({})
    assert opening({6: 1.0}) < 0.85 * opening({})
    lips = [points(au) for au in ({}, {24: 1.0}, {25: 1.0})]
    thickness = [s[INNER_TOP, 1] - s[LIP_TOP, 1] for s in lips]
    gap = [s[INNER_BOTTOM, 1] - s[INNER_TOP, 1] for s in lips]
    assert thickness[1] < 0.6 * thickness[0]
    assert gap[0] < 0.5
    assert gap[2] > 2


@pytest.mark.parametrize("unit", FACE_AUS)
def test_every_unit_can_be_seen(unit):
    neutral, moved = (draw_face(Identity(age=0.3), au, None, 112).picture for au in ({}, {unit: 1.0}))
    changed = (np.abs(neutral.astype(int) - moved.astype(int)).max(axis=2) > 12).sum()
    assert changed > 25


def test_a_one_sided_unit_leaves_the_other_side_alone():
    au = np.zeros((len(FACE_AUS), 2))
    au[FACE_AUS.index(12), 1] = 0.9
    neutral, moved = points({}), points(au)
    assert neutral[54, 1] - moved[54, 1] > 2
    np.testing.assert_allclose(moved[48], neutral[48], atol=0.1)


def test_pose_turns_nods_and_tilts():
    neutral = points({})
    assert points({}, yaw=25)[30, 0] > neutral[30, 0] + 5
    assert points({}, pitch=15)[30, 1] > neutral[30, 1] + 2
    tilted = points({}, roll=15)
    eyes = tilted[42:48].mean(axis=0) - tilted[36:42].mean(axis=0)
    assert np.degrees(np.arctan2(eyes[1], eyes[0])) == pytest.approx(15, abs=1)


def test_light_from_one_side_brightens_that_side():
    left = draw_face(Identity(), {}, None, 112, light=Light((-1.5, 0, 1), 0.3)).picture.astype(float)
    assert left[50:80, 30:45].mean() > 1.3 * left[50:80, 67:82].mean()


def test_a_face_covers_its_background_and_nothing_else():
    face = draw_face(Identity(), {}, None, (120, 160))
    assert face.picture.shape == (120, 160, 3)
    laid = face.over(np.full((120, 160, 3), 200, np.uint8))
    np.testing.assert_array_equal(laid[face.alpha == 0], 200)
    np.testing.assert_array_equal(laid[face.alpha == 255], face.picture[face.alpha == 255])


def test_drawing_is_a_function_of_its_arguments():
    first, second = (draw_face(Identity(texture=5), {12: 0.5}, Pose(yaw=5), 96) for _ in range(2))
    np.testing.assert_array_equal(first.picture, second.picture)
    other = draw_face(Identity(texture=5, hair_style=4), {12: 0.5}, Pose(yaw=5), 96)
    assert (first.picture != other.picture).any()


@pytest.mark.parametrize("style", range(8))
def test_every_hair_beard_and_glasses_can_be_drawn_at_any_size(style):
    who = Identity(hair_style=style, beard=style % 5, glasses=style % 3, age=0.9)
    for size in (24, 48, (64, 200)):
        assert draw_face(who, {12: 1.0}, Pose(yaw=35, roll=20), size).alpha.max() == 255


def test_intensities_are_clipped_and_unknown_units_refused():
    np.testing.assert_array_equal(au_array({12: 3.0})[FACE_AUS.index(12)], 1.0)
    with pytest.raises(KeyError):
        au_array({99: 1.0})
