"""Heads turned far to a side: no holes, no light of their own for the body, soft beards."""

import cv2
import numpy as np
import pytest

from fer_bench.synthetic.anatomy import Identity, Light, Pose
from fer_bench.synthetic.face import draw_face

SIZE, SCALE, CENTRE = (260, 220), 56, (110, 115)


def draw(who, yaw, light=None, au=None, pitch=0.0):
    pose = Pose(yaw=yaw, pitch=pitch)
    return draw_face(who, au or {}, pose, SIZE, scale=SCALE, centre=CENTRE, light=light)


def outline_of(alpha):
    """Return the outline of the person as a filled shape."""
    contours, _ = cv2.findContours((alpha > 0).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    assert len(contours) == 1, "the person falls apart"
    return cv2.drawContours(np.zeros_like(alpha), contours, -1, 255, -1)


@pytest.mark.parametrize("style", range(8))
@pytest.mark.parametrize("yaw", [-90, -60, -45, -25, 25, 45, 60, 90])
def test_no_background_is_seen_through_a_turned_head(style, yaw):
    for texture in (0, 1):
        alpha = draw(Identity(hair_style=style, texture=texture), yaw).alpha
        inside = cv2.erode(outline_of(alpha), np.ones((9, 9), np.uint8)) > 0  # its edge is soft
        head = inside[: int(CENTRE[1] + 0.8 * SCALE)]
        assert alpha[: len(head)][head].min() == 255


@pytest.mark.parametrize("style", [0, 1, 4, 7])
def test_a_head_in_profile_is_as_deep_as_it_is_wide(style):
    """The back of the head does not vanish: from the side the head is about as wide as from the front."""
    row = int(CENTRE[1] - 0.3 * SCALE)
    wide = [int((draw(Identity(hair_style=style), yaw).alpha[row] > 127).sum()) for yaw in (0, 60, 90)]
    assert wide[1] > 0.9 * wide[0]
    assert wide[2] > 0.9 * wide[0]


@pytest.mark.parametrize(("yaw", "eyes"), [(0, 2), (30, 2), (-30, 2), (75, 1), (-75, 1), (90, 1)])
def test_the_nose_hides_the_far_eye(yaw, eyes):
    picture = draw(Identity(iris=(0, 255, 0)), yaw, Light(ambient=1.0, strength=1.0)).picture.astype(int)
    green = (picture[..., 1] - picture[..., [0, 2]].max(axis=2) > 60).astype(np.uint8)
    joined = cv2.dilate(green, np.ones((7, 7), np.uint8))  # the pupil may part the iris
    assert cv2.connectedComponents(joined)[0] - 1 == eyes


def sides(face, rows, half):
    """Return the mean brightness left and right of the middle in some rows, within the person."""
    grey, solid = face.picture.astype(float).mean(axis=2)[rows], face.alpha[rows] == 255
    x = int(CENTRE[0])
    parts = (slice(x - half, x - 4), slice(x + 4, x + half))
    return [float(grey[:, part][solid[:, part]].mean()) for part in parts]


HEAD, BODY = slice(90, 150), slice(225, 258)


@pytest.mark.parametrize("yaw", [0, 40])
def test_head_and_body_are_lit_from_the_same_side(yaw):
    who = Identity(cloth=(150, 150, 150), hair_style=0)
    for right in (-1.2, 1.2):
        face = draw(who, yaw, Light((right, -0.2, 1.0), 0.3))
        body, head = (sides(face, rows, 60 if rows is BODY else 45) for rows in (BODY, HEAD))
        brighter = int(right > 0)
        assert body[brighter] > 1.15 * body[1 - brighter]
        assert head[brighter] > 1.15 * head[1 - brighter]


def test_exposure_changes_head_and_body_alike_down_to_the_lower_edge():
    who = Identity(cloth=(150, 150, 150), hair_style=0)
    dark, bright = (draw(who, 0, Light(strength=s)).picture.astype(float) for s in (0.5, 1.0))
    for rows in (HEAD, BODY, slice(SIZE[0] - 3, SIZE[0])):
        part = (rows, slice(90, 130))
        assert dark[part].mean() / bright[part].mean() == pytest.approx(0.5, abs=0.03)
    below = bright[BODY, 60:160].mean(axis=(1, 2))
    assert np.abs(np.diff(below)).max() < 6  # no edge between lit and unlit cloth


@pytest.mark.parametrize("beard", [1, 2, 3, 4])
def test_a_beard_fades_at_its_edge(beard):
    """From skin to hair takes several pixels: the steepest step is a part of the whole difference."""
    flat = Light(ambient=1.0, strength=1.0, relief=0.0)
    faces = [draw(Identity(hair=(30, 24, 22), beard=b), 0, flat) for b in (0, beard)]
    without, with_beard = (face.picture.astype(float).mean(axis=2) for face in faces)
    marks = faces[0].landmarks
    # Downwards where no other line is drawn: at the corner of the mouth, or beside the nose for a moustache.
    column = int(marks[48, 0]) - 2 if beard in (1, 3) else int(marks[31, 0]) - 4
    hair = (without - with_beard)[int(CENTRE[1]) : int(marks[8, 1]), column]
    above = hair[: int(np.flatnonzero(np.diff(hair) < -1)[0]) + 1]  # down to the lip or the jaw
    assert above[-1] > 20
    assert np.diff(above).max() < 0.35 * above[-1]
