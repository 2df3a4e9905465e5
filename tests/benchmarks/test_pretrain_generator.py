"""The generator that is shipped: its card, its population, and that its training makes such generators."""

from __future__ import annotations

import numpy as np
import pytest

from fer_bench.methods.gcn.generator import open_generator
from fer_bench.methods.gcn.method import GCN
from fer_bench.methods.gcn.pretraining import Recipe, errors
from fer_bench.methods.weights import GENERATORS
from fer_bench.synthetic import GENERATOR_VERSION
from tests.methods.gcn.small import make
from tests.methods.gcn.test_generator import SIZES


@pytest.fixture(scope="module")
def script(load_benchmark):
    return load_benchmark("pretrain_generator")


def test_card_says_what_the_script_does(script):
    card = open_generator("neutral-tiny").card
    assert card["generator"] == GENERATOR_VERSION
    assert card["recipe"] == {**Recipe(epochs=script.EPOCHS, seed=script.SEED).__dict__}
    assert card["training"]["people"] + card["held_out"]["people"] == script.PEOPLE
    assert card["training"]["pairs"] == script.FACES * card["training"]["people"]
    assert {name: getattr(script.SETTINGS, name) for name in SIZES} == SIZES == card["settings"]
    assert card["population"] == script.POPULATION
    assert [*GENERATORS] == ["neutral-tiny"]


def test_pairs_show_one_person_and_depend_on_seed_and_number_only(script):
    pairs = script.draw_pairs(3, seed=1)
    assert len(pairs) == 3 * script.FACES
    assert pairs.partner.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    again = script.draw_pairs(2, seed=1)
    assert np.array_equal(again.faces, pairs.faces[:6])
    assert not np.array_equal(script.draw_pairs(2, seed=2).faces, again.faces)
    own = np.abs(pairs.faces.astype(float) - pairs.neutral[pairs.partner]).mean()
    others = np.abs(pairs.faces.astype(float) - pairs.neutral[(pairs.partner + 1) % 3]).mean()
    assert own < others


def test_it_draws_people_it_never_saw_nearer_to_rest(script):
    method = make(**SIZES, generator_weights="neutral-tiny", hidden=8).eval()
    method.load_pretrained()
    found = errors(method.network, script.draw_pairs(60, seed=99), GCN.input_spec(method.settings))
    assert found["error"] < 0.9 * found["error_of_the_input"]


def test_training_again_gives_a_generator_that_learns(script, tmp_path):
    card = script.pretrain("neutral-tiny", tmp_path, 40, Recipe(epochs=6, seed=1), announce=lambda *_: None)
    given = open_generator(str(tmp_path / "neutral-tiny.safetensors"))
    assert given.card == card
    assert card["held_out"]["error"] < 1.1 * card["held_out"]["error_of_the_input"]
