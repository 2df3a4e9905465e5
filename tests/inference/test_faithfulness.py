from types import SimpleNamespace

import numpy as np
import pytest

from fer_bench.inference.face_model import Answers
from fer_bench.inference.faithfulness import control_scores, random_maps, score_maps

SIDE = 32
PATCH = (slice(8, 16), slice(8, 16))


class Patch:
    """A model that answers the texture of one patch: the share of class 0 grows with its contrast."""

    card = SimpleNamespace(
        probabilities=lambda logits: np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    )

    def answer(self, crops):
        contrast = crops[:, PATCH[0], PATCH[1]].astype(float).std(axis=(1, 2, 3)) / 32
        return Answers(np.stack([3 * contrast - 3, np.zeros(len(crops))], axis=1).astype(np.float32))


@pytest.fixture
def crops():
    return np.random.default_rng(0).integers(0, 256, (4, SIDE, SIDE, 3), np.uint8)


@pytest.fixture
def true_map():
    found = np.zeros((4, SIDE, SIDE), np.float32)
    found[:, PATCH[0], PATCH[1]] = 1
    return found


def test_the_true_map_beats_random_ones_and_its_opposite_loses(crops, true_map):
    good = score_maps(Patch(), crops, true_map, [0] * 4)
    bad = score_maps(Patch(), crops, 1 - true_map, [0] * 4)
    control = control_scores(Patch(), crops, list("abcd"), [0] * 4)
    assert (good.deletion < control.deletion).all()
    assert (control.deletion < bad.deletion).all()
    assert (good.insertion > control.insertion).all()
    assert (control.insertion > bad.insertion).all()


def test_the_curves_begin_and_end_where_they_must(crops, true_map):
    """The true map deletes all that matters in the first step of 1/16 of the pixels, or close to it."""
    whole = Patch.card.probabilities(Patch().answer(crops).logits)[:, 0]
    found = score_maps(Patch(), crops, true_map, [0] * 4)
    assert (found.deletion < 0.25 * whole).all()
    assert (found.insertion > 0.9 * whole).all()


def test_random_maps_are_smooth_and_depend_on_name_and_number():
    one, other = random_maps(["a", "b"], SIDE, 0)
    assert np.array_equal(one, random_maps(["a"], SIDE, 0)[0])
    assert not np.array_equal(one, other)
    assert not np.array_equal(one, random_maps(["a"], SIDE, 1)[0])
    assert np.abs(np.diff(one, axis=0)).max() < 0.3


def test_a_map_without_order_is_scored_the_same_every_time(crops):
    flat = np.ones((4, SIDE, SIDE), np.float32)
    one, again = (score_maps(Patch(), crops, flat, [0] * 4) for _ in range(2))
    assert np.array_equal(one.deletion, again.deletion)
