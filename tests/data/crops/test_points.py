import numpy as np
import pytest

from fer_bench.data.crops import points
from fer_bench.data.crops.points import find_points, template_points, typical_points
from fer_bench.data.crops.recipe import TEMPLATE, CropRecipe, five_points
from fer_bench.synthetic.face import draw_face
from fer_bench.synthetic.population import Population

WHOLE = CropRecipe(kind="whole", size=64)


@pytest.fixture(scope="module")
def faces():
    """Drawn crops with their five points as shares; all faces sit at the same place."""
    people = Population("rafdb", "development", 0)
    drawn = [draw_face(people.person(number).identity, {}, size=64, scale=24) for number in range(10)]
    background = np.full((64, 64, 3), 150, np.uint8)
    truth = np.median([five_points(one.landmarks) for one in drawn], axis=0) / 64
    return np.stack([one.over(background) for one in drawn]), truth


def test_the_template_moves_inwards_with_the_margin_of_an_aligned_crop():
    assert np.allclose(template_points(WHOLE), TEMPLATE)
    aligned = template_points(CropRecipe(kind="similarity", size=64, margin=1.0))
    assert np.allclose(aligned - 0.5, (TEMPLATE - 0.5) / 2)


def test_the_points_of_shipped_crops_are_found(faces):
    crops, truth = faces
    found = typical_points(crops, np.arange(10), WHOLE)
    assert np.abs(found - truth).max() < 0.05
    assert np.array_equal(found, np.round(found, 2))


def test_the_template_stands_in_where_no_face_is_found(faces):
    crops, _ = faces
    empty = np.full((12, 64, 64, 3), 90, np.uint8)
    assert find_points(empty[0]) is None
    assert np.array_equal(typical_points(empty, np.arange(12), WHOLE), template_points(WHOLE))
    few = np.arange(points.LEAST_FOUND - 1)
    assert np.array_equal(typical_points(crops, few, WHOLE), template_points(WHOLE))


def test_an_aligning_recipe_is_not_searched(monkeypatch):
    monkeypatch.setattr(points, "find_points", None)
    aligned = CropRecipe(kind="similarity", size=64)
    crops = np.zeros((3, 64, 64, 3), np.uint8)
    assert np.array_equal(typical_points(crops, np.arange(3), aligned), template_points(aligned))
