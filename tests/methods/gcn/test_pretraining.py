"""Training a generator alone: what it learns, who is held out, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fer_bench.errors import UsageError
from fer_bench.methods.gcn.method import GCN
from fer_bench.methods.gcn.pretraining import Pairs, Recipe, errors, train_generator
from fer_bench.methods.gcn.settings import GCNSettings

SETTINGS = GCNSettings(generator="residual", width=0.1)
SPEC = GCN.input_spec(SETTINGS)


def pairs(people: int = 10) -> Pairs:
    """Return smooth neutral pictures, and the same with a bright bar that a generator has to remove."""
    rng = np.random.default_rng(0)
    neutral = np.repeat(np.repeat(rng.integers(60, 120, (people, 4, 4, 1)), 16, 1), 16, 2)
    neutral = np.repeat(neutral, 3, 3).astype(np.uint8)
    faces = np.repeat(neutral, 2, 0)
    faces[:, 40:48, 16:48] = 255
    who = np.repeat(np.arange(people), 2)
    return Pairs(faces, neutral, who, who.astype(str).astype(object))


def test_it_learns_to_remove_what_is_not_neutral():
    network, facts = train_generator(pairs(), SETTINGS, SPEC, Recipe(epochs=60, batch=6))
    held = facts["held_out"]
    assert (facts["training"], held["people"]) == ({"pairs": 18, "people": 9}, 1)
    assert held["error"] < 0.5 * held["error_of_the_input"]
    assert not network.training


def test_errors_by_hand():
    torch.manual_seed(0)
    given = pairs(2)
    network, _ = train_generator(given, SETTINGS, SPEC, Recipe(epochs=0))
    found = errors(network, given, SPEC)
    gap = (given.faces.astype(float) - given.neutral[given.partner].astype(float))[..., 0] / 127.5
    assert found["error_of_the_input"] == pytest.approx((gap**2).mean(), abs=1e-5)
    assert found["error"] == found["error_of_the_input"]  # untrained, it is the identity


def test_random_draws_of_others_are_left_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    train_generator(pairs(2), SETTINGS, SPEC, Recipe(epochs=1, batch=2))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("generator", ["vae", "gan", "none"])
def test_forms_that_need_more_than_pairs_are_refused(generator):
    with pytest.raises(UsageError, match="residual or ae"):
        train_generator(pairs(2), GCNSettings(generator=generator), SPEC, Recipe())


def test_one_person_is_not_enough():
    with pytest.raises(UsageError, match="two at least"):
        train_generator(pairs(1), SETTINGS, SPEC, Recipe())
