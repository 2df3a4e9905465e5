import numpy as np
import pytest

from fer_bench.data.crops.recipe import TEMPLATE
from fer_bench.emotions import BASIC_SIX
from fer_bench.inference.regions import region, share_within, units_of

SIDE = 100


def at(mask, point):
    return bool(mask[int(point[1] * SIDE), int(point[0] * SIDE)])


def test_expressions_use_the_units_that_emfacs_names():
    assert units_of("happiness") == (6, 12, 25)
    assert {1, 2, 5, 25, 26} == set(units_of("surprise"))
    assert {1, 4, 15} <= set(units_of("sadness"))
    assert units_of("neutral") == ()


@pytest.mark.parametrize(
    ("unit", "inside", "outside"),
    [
        (12, [TEMPLATE[3], TEMPLATE[4]], [TEMPLATE[0], TEMPLATE[2]]),
        (25, [(0.5, 0.78)], [TEMPLATE[0]]),
        (1, [(0.34, 0.32), (0.66, 0.32)], [TEMPLATE[0], (0.5, 0.78)]),
        (4, [(0.5, 0.38)], [(0.5, 0.78)]),
        (9, [(0.5, 0.5)], [(0.5, 0.78), (0.2, 0.5)]),
        (6, [(0.34, 0.5)], [(0.5, 0.85)]),
    ],
)
def test_regions_are_where_the_unit_moves_the_face(unit, inside, outside):
    mask = region([unit], TEMPLATE, SIDE)
    assert all(at(mask, point) for point in inside)
    assert not any(at(mask, point) for point in outside)


def test_every_unit_of_every_expression_has_a_region():
    for emotion in BASIC_SIX:
        for unit in units_of(emotion):
            assert 0.005 < region([unit], TEMPLATE, SIDE).mean() < 0.3


def test_regions_are_symmetric_and_turn_with_the_face():
    mask = region(units_of("fear"), TEMPLATE, SIDE)
    assert np.array_equal(mask, mask[:, ::-1])
    turned = np.stack([1 - TEMPLATE[:, 1], TEMPLATE[:, 0]], axis=1)  # a quarter turn clockwise
    assert np.mean(region(units_of("fear"), turned, SIDE) == np.rot90(mask, -1)) > 0.99


def test_the_share_of_a_map_by_hand():
    mask = np.zeros((4, 4), bool)
    mask[:, :1] = True
    weights = np.ones((4, 4))
    weights[:, 0] = 3
    assert share_within(weights, mask) == pytest.approx(12 / 24)
    assert share_within(np.zeros((4, 4)), mask) is None
    assert share_within(weights, np.zeros((4, 4), bool)) is None
