"""Which faces of a picture, how they are cut for a model, and what has none."""

import math

import numpy as np
import pytest

from fer_bench.data.crops.faces import Face
from fer_bench.data.crops.framing import Framing
from fer_bench.data.crops.recipe import TEMPLATE, CropRecipe, crop_face, crop_found, similarity, warp
from fer_bench.errors import UsageError
from fer_bench.inference import faces as module
from fer_bench.inference.faces import NO_FACE, finder_for, read_recipe

NOISE = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)


def face(x, y, side, score=0.9):
    points = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]]) * side + [x, y]
    return Face((x, y, x + side, y + side), points, score)


@pytest.fixture
def found(monkeypatch):
    """Let the detector find what the test says; return what it was asked for."""
    asked = []

    def let(*faces):
        def find(image, detector):
            asked.append(detector)
            return list(faces)

        monkeypatch.setattr(module, "find_faces", find)
        return asked

    return let


def boxes(finder, image=NOISE):
    return [one.box[0] for one in finder.find(image)[0]]


class TestWhich:
    def test_largest_best_or_all(self, found):
        recipe = CropRecipe(kind="detect", size=32)
        found(face(1, 1, 20, 0.99), face(40, 1, 60, 0.7), face(100, 1, 30, 0.8))
        assert boxes(finder_for(recipe)) == [40]
        assert boxes(finder_for(recipe, wanted="best")) == [1]
        assert boxes(finder_for(recipe, wanted="all")) == [40, 100, 1]
        assert boxes(finder_for(recipe, wanted="all", least_score=0.75)) == [100, 1]

    def test_forty_faces_are_forty(self, found):
        found(*(face(4 * (i % 10), 30 * (i // 10), 10 + i) for i in range(40)))
        crops, reason = finder_for(CropRecipe(kind="similarity", size=32), wanted="all").find(NOISE)
        assert len(crops) == 40
        assert reason is None
        assert all(one.crop.shape == (32, 32, 3) for one in crops)

    def test_none_has_a_reason(self, found):
        finder = finder_for(CropRecipe(kind="detect", size=32), least_score=0.95)
        found()
        assert finder.find(NOISE) == ([], NO_FACE)
        found(face(1, 1, 20))
        assert finder.find(NOISE) == ([], f"{NO_FACE} with a score from 0.95")
        found(face(1, 1, 5, 0.99))
        assert finder.find(NOISE) == ([], f"{NO_FACE} of 8 pixels or more")
        assert finder.find(NOISE[:1, :1]) == ([], "the picture is too small: 1x1 pixels")

    def test_the_cascades_faces_count_without_a_score(self, found):
        found(Face((1, 1, 30, 30), None, math.nan))
        finder = finder_for(
            CropRecipe(kind="detect", size=32), detector="cascade", least_score=0.9, wanted="best"
        )
        assert boxes(finder) == [1]

    def test_whole_pictures_are_not_searched(self, found):
        asked = found()
        ((crop,), reason) = finder_for(CropRecipe(kind="box", size=32), wanted="whole").find(NOISE)
        assert (crop.face, reason, asked) == (None, None, [])
        np.testing.assert_array_equal(
            crop.crop, crop_face(NOISE, None, None, CropRecipe(kind="fit", size=32))[0]
        )


class TestHow:
    @pytest.mark.parametrize(
        ("trained", "used"),
        [
            (CropRecipe(kind="detect", size=32), CropRecipe(kind="detect", size=32)),
            (
                CropRecipe(kind="detect", size=32, detector="cascade", version=1),
                CropRecipe(kind="detect", size=32, detector="cascade", version=1),
            ),
            (
                CropRecipe(kind="box", size=32, margin=0.3, detector="cascade", version=1),
                CropRecipe(kind="box", size=32, margin=0.3, version=1),
            ),
            (CropRecipe(kind="whole", size=32), CropRecipe(kind="similarity", size=32, margin=0.0)),
        ],
    )
    def test_as_the_model_learned(self, found, trained, used):
        asked = found(place := face(30, 20, 50))
        finder = finder_for(trained)
        assert finder.recipe == used
        ((one,), _) = finder.find(NOISE)
        np.testing.assert_array_equal(one.crop, crop_found(NOISE, place, used))
        assert asked == [used.detector]

    def test_as_the_publishers_crops_show_faces(self, found):
        """Eyes, nose and mouth lie where the framing says, also at another size and from a turned face."""
        framing = Framing(scale=1.2, x=0.05, y=-0.1)
        turned = face(30, 20, 50).landmarks @ [[0.8, 0.6], [-0.6, 0.8]]
        found(Face((0, 0, 60, 60), turned, 0.9))
        finder = finder_for(CropRecipe(kind="whole", size=64), framing)
        matrix = framing.applied(similarity(turned, finder.recipe), 64)
        placed = (turned @ matrix[:, :2].T + matrix[:, 2]) / 64
        wanted = (TEMPLATE - 0.5) * 1.2 + 0.5 + [0.05, -0.1]
        np.testing.assert_allclose(placed.mean(axis=0), wanted.mean(axis=0), atol=1e-9)
        assert np.abs(placed - wanted).max() < 0.03
        ((one,), _) = finder.find(NOISE)
        np.testing.assert_array_equal(one.crop, warp(NOISE, matrix, 64))
        np.testing.assert_array_equal(finder.again(NOISE, one.box, turned), one.crop)
        assert "framed as the crops that it learned from (x1.20 +0.05 -0.10)" in finder.text
        for more in ({"crop": "similarity"}, {"wanted": "whole"}):
            assert finder_for(CropRecipe(kind="whole", size=64), framing, **more).framing is None
        assert finder_for(CropRecipe(kind="detect", size=64), framing).framing is None

    def test_otherwise_where_the_user_says_so(self):
        trained = CropRecipe(kind="whole", size=48)
        assert finder_for(trained, crop="box+30%").recipe == CropRecipe(kind="box", size=48, margin=0.3)
        assert finder_for(trained, crop="box", detector="yunet").recipe.detector == "yunet"
        assert finder_for(trained, crop="fit", wanted="whole").recipe.kind == "fit"
        assert finder_for(trained, wanted="whole").recipe.kind == "whole"
        for crop, wanted in (("fit", "largest"), ("similarity", "whole")):
            with pytest.raises(UsageError, match="so no face is searched for"):
                finder_for(trained, crop=crop, wanted=wanted)
        with pytest.raises(UsageError, match="unknown crop"):
            read_recipe("similar")

    @pytest.mark.parametrize("kind", ["similarity", "box", "detect"])
    def test_again_by_where_it_was(self, found, kind):
        found(face(30, 20, 50))
        finder = finder_for(CropRecipe(kind=kind, size=32))
        ((one,), _) = finder.find(NOISE)
        np.testing.assert_array_equal(finder.again(NOISE, one.box, one.face.landmarks), one.crop)

    def test_what_weakens_answers_is_noted(self):
        shipped, framing = CropRecipe(kind="whole", size=32), Framing(scale=1.1)
        (note,) = finder_for(shipped).notes
        assert "does not say how faces lie" in note
        for finder in (
            finder_for(shipped, framing),
            finder_for(shipped, wanted="whole"),
            finder_for(shipped, crop="similarity"),
            finder_for(CropRecipe(kind="detect", size=32)),
        ):
            assert finder.notes == []
        (note,) = finder_for(CropRecipe(kind="detect", size=32, detector="cascade", version=1)).notes
        assert "weak cascade" in note

    def test_the_text_names_what_decides(self):
        recipe = CropRecipe(kind="similarity", size=32)
        assert finder_for(recipe, least_score=0.5).text == (
            "largest by MTCNN, score from 0.5; aligned by landmarks +20% 32px v2"
        )
        assert (
            finder_for(recipe, detector="cascade", wanted="all").text
            == "all by cascade (weak); squares +20% 32px v2"
        )
        assert finder_for(recipe, wanted="whole").text == "pictures are crops; fit 32px v1"


@pytest.mark.parametrize("framing", [None, Framing(scale=0.8, x=0.05, y=-0.1)])
def test_the_points_of_a_face_are_followed_into_its_crop(found, framing):
    picture = np.zeros((120, 160, 3), np.uint8)
    one = face(30, 20, 60)
    for x, y in one.landmarks.astype(int):
        picture[y - 1 : y + 2, x - 1 : x + 2] = 255
    found(one)
    finder = finder_for(CropRecipe(kind="whole", size=64), framing)
    (cropped,), _ = finder.find(picture)
    points = finder.points_in_crop(cropped.face) * 64
    assert all(cropped.crop[int(y), int(x)].max() > 60 for x, y in points)
    squares = finder_for(CropRecipe(kind="box", size=64))
    assert squares.points_in_crop(one) is None


def test_a_face_far_beyond_its_picture_is_a_reason(found):
    found(Face((-5000, -5000, 9000, 9000), None, 0.9))
    crops, reason = finder_for(CropRecipe(kind="box", size=32)).find(NOISE)
    assert crops == []
    assert "times as large as its picture" in reason
