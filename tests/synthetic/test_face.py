import numpy as np
import pytest

from fer_bench.synthetic.anatomy import FACE_AUS, Identity, Light, Pose, au_array
from fer_bench.synthetic.face import draw_face

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
        ({9: 1.0}, BROW_IN, -1.5),
        ({14: 1.0}, CORNERS, 0.5),
        ({20: 1.0}, CORNERS, -0.5),
        ({7: 1.0}, LOWER_LID, 0.8),
        ({6: 1.0}, LOWER_LID, 1.0),
        ({5: 1.0}, UPPER_LID, 1.5),
    ],
)
def test_an_action_unit_moves_its_landmarks(au, rows, moves):
    found = height(au, rows)
    assert found * np.sign(moves) >= abs(moves)


@pytest.mark.parametrize(
    ("unit", "left", "right", "moves"),
    [(4, 21, 22, -2.0), (12, 48, 54, 4.0), (20, 48, 54, 4.0), (14, 48, 54, 1.5), (23, 48, 54, -3.0)],
)
def test_an_action_unit_draws_apart_or_together(unit, left, right, moves):
    change = np.diff(points({unit: 1.0})[[left, right], 0]) - np.diff(points({})[[left, right], 0])
    assert change * np.sign(moves) >= abs(moves)


def test_lids_and_lips():
    assert opening({5: 1.0}) > 1.2 * opening({})
    assert opening({7: 1.0}) < 0.8 * opening({})
    assert opening({6: 1.0}) < 0.85 * opening({})
    lips = [points(au) for au in ({}, {24: 1.0}, {25: 1.0})]
    thickness = [s[INNER_TOP, 1] - s[LIP_TOP, 1] for s in lips]
    gap = [s[INNER_BOTTOM, 1] - s[INNER_TOP, 1] for s in lips]
    assert thickness[1] < 0.6 * thickness[0]
    tight = points({23: 1.0})
    assert thickness[1] < tight[INNER_TOP, 1] - tight[LIP_TOP, 1] < 0.8 * thickness[0]
    assert gap[0] < 0.5
    assert gap[2] > 2


@pytest.mark.parametrize("unit", FACE_AUS)
def test_every_unit_can_be_seen(unit):
    neutral, moved = (draw_face(Identity(age=0.3), au, None, 112).picture for au in ({}, {unit: 1.0}))
    changed = (np.abs(neutral.astype(int) - moved.astype(int)).max(axis=2) > 12).sum()
    assert changed > 25


def light_at(au, where, half=(4, 4)):
    """Mean grey level around the middle of some landmarks of the neutral face plus an offset."""
    rows, dx, dy = where
    middle = draw_face(Identity(), {}, None, 224).landmarks[rows].mean(axis=0).tolist()
    picture = draw_face(Identity(), au, None, 224).picture.astype(float).mean(axis=2)
    x, y, (across, down) = round(middle[0] + dx), round(middle[1] + dy), half
    return picture[y - down : y + down + 1, x - across : x + across + 1].mean()


@pytest.mark.parametrize(
    ("unit", "where", "half"),
    [
        pytest.param(1, ([27], 0, -58), (8, 8), id="1: lines in the middle of the forehead"),
        pytest.param(2, ([19], 0, -20), (8, 8), id="2: lines above the outer brow"),
        pytest.param(4, ([21, 22], 0, 8), (5, 5), id="4: lines between the brows"),
        pytest.param(6, ([45], 10, 0), (5, 8), id="6: crow's feet"),
        pytest.param(9, ([27], 5, 4), (5, 8), id="9: lines across the root of the nose"),
        pytest.param(12, ([35, 54], 10, -6), (6, 8), id="12: fold from nose to mouth"),
        pytest.param(10, ([35, 54], 7, -6), (6, 8), id="10: fold from nose to mouth"),
        pytest.param(14, ([54], 8, -3), (4, 6), id="14: dimple"),
        pytest.param(15, ([54], 3, 14), (4, 8), id="15: line under the corner"),
        pytest.param(17, ([57], 0, 4), (8, 4), id="17: crease over the chin"),
        pytest.param(20, ([54], 20, 3), (5, 8), id="20: line beside the mouth"),
    ],
)
def test_an_action_unit_draws_its_wrinkle(unit, where, half):
    assert light_at({unit: 1.0}, where, half) < light_at({}, where, half) - 3


def test_raised_lids_show_white_above_the_iris_and_raised_cheeks_catch_light():
    above = ([37, 38], 0, 0)
    assert light_at({5: 1.0}, above, (3, 2)) > light_at({}, above, (3, 2)) + 30
    cheek = ([35, 45], 4, 6)
    assert light_at({6: 1.0}, cheek) > light_at({}, cheek) + 4
    teeth = ([62, 66], 0, 0)
    assert light_at({25: 1.0, 12: 0.5}, teeth, (5, 1)) > light_at({}, teeth, (5, 1)) + 30


def test_hair_hides_the_lines_of_the_forehead():
    lines = {}
    for style in (0, 3):
        who = Identity(hair_style=style)
        neutral, raised = (draw_face(who, au, None, 224).picture.astype(int) for au in ({}, {1: 1.0, 2: 1.0}))
        lines[style] = np.abs(neutral - raised)[40:62, 90:134].max()
    assert lines[3] <= 2
    assert lines[0] > 20


@pytest.mark.parametrize("unit", [1, 2, 4, 5, 6, 7, 9, 12, 14, 15, 20])
@pytest.mark.parametrize("side", [0, 1])
def test_one_side_moves_and_the_other_hardly(unit, side):
    au = np.zeros((len(FACE_AUS), 2))
    au[FACE_AUS.index(unit), side] = 1.0
    neutral, moved = (draw_face(Identity(), a, None, 112).picture.astype(int) for a in ({}, au))
    changed = np.abs(moved - neutral).max(axis=2) > 12
    halves = changed[:, :50].sum(), changed[:, 62:].sum()
    assert halves[side] > 10
    assert halves[1 - side] <= (0 if unit in (1, 2, 4, 5, 6, 7, 14, 15) else 0.1 * halves[side])


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
