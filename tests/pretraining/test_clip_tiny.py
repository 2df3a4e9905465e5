"""clip-tiny: the loss by hand, the towers that are shipped, and that the recipe makes them again."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F
from typer.testing import CliRunner

from fer_bench.cli.main import app
from fer_bench.errors import StoreError, UsageError
from fer_bench.files import file_hash
from fer_bench.methods.cafe import tiny, towers
from fer_bench.pretraining import clip_tiny, faces
from fer_bench.pretraining.clip_tiny import HELD_OUT, Recipe, contrastive_loss, embed, zero_shot
from fer_bench.synthetic import GENERATOR_VERSION
from fer_bench.synthetic.camera import CAMERAS
from fer_bench.synthetic.population import MAKEUP, Population

FRESH = 5_000_000
"""Number of the first face that neither training nor the card's figures have seen."""
SMALL = Recipe(faces=256, test_faces=64, epochs=1, batch=64)


@pytest.fixture(scope="module")
def fresh():
    return faces.draw_faces(200, seed=Recipe().seed, first=FRESH)


def tower(name: str) -> torch.nn.Module:
    found, _ = towers.build_tower(name)
    towers.load_tower(found, towers.open_tower(name, None), name)
    return found.eval()


def test_contrastive_loss_by_hand():
    similarity = torch.tensor([[math.log(3), 0.0], [0.0, math.log(3)]])
    assert contrastive_loss(similarity).item() == pytest.approx(math.log(4 / 3))
    lopsided = torch.tensor([[0.0, 0.0], [math.log(3), 0.0]])
    rows = (math.log(2) + math.log(4)) / 2
    columns = (math.log(4) + math.log(2)) / 2
    assert contrastive_loss(lopsided).item() == pytest.approx((rows + columns) / 2)


def test_faces_depend_on_seed_and_number_only():
    whole = faces.draw_faces(6, seed=3)
    part = faces.draw_faces(2, seed=3, first=4)
    assert np.array_equal(whole.pixels[4:], part.pixels)
    assert whole.captions[4:] == part.captions
    assert not np.array_equal(whole.pixels, faces.draw_faces(6, seed=4).pixels)


def test_people_and_cameras_are_nobody_elses():
    seed = Recipe().seed
    draws = [
        int(Population(dataset, name, chance).rng("person", 0).integers(2**62))
        for dataset in (*MAKEUP, "web")
        for name in ("benchmark", "development", "pretraining")
        for chance in (0, seed)
    ]
    assert len(set(draws)) == len(draws)
    assert "web" not in MAKEUP
    assert faces.CAMERA not in CAMERAS.values()


def test_vocabulary():
    words = clip_tiny.Vocabulary(["a photo, of a man", "a boy"])
    assert words.words == [",", "a", "boy", "man", "of", "photo"]
    assert words.encode(["a boy", "a strange man"]).tolist() == [[3, 4, 0, 0, 0, 0], [3, 1, 5, 0, 0, 0]]


def test_padding_changes_no_embedding():
    torch.manual_seed(0)
    text = clip_tiny.TextTower(words=9, length=8, outputs=4).eval()
    numbers = torch.tensor([[3, 4, 5, 0, 0, 0, 0, 0], [1, 2, 3, 4, 5, 6, 7, 8]])
    torch.testing.assert_close(text(numbers)[:1], text(numbers[:1]))


@pytest.mark.parametrize("name", tiny.TINY)
def test_what_is_shipped_is_what_the_card_says(name):
    own = tiny.shipped(name)
    assert file_hash(own.file) == own.sha256
    assert own.file.stat().st_size <= 3_000_000
    card = own.card
    assert Recipe().faces < HELD_OUT < FRESH
    assert card["recipe"] == vars(Recipe())
    assert card["generator"] == GENERATOR_VERSION
    assert card["captions"].startswith("with the" if name == "clip-tiny" else "without any word")
    assert "SYNTHETIC" in card["what"]
    assert card["parameters"] == sum(p.numel() for p in tiny.TinyTower().parameters()) == 727_432


def test_zero_shot_on_people_it_never_saw(fresh):
    state = load_file(tiny.shipped("clip-tiny").file)
    found = embed(tower("clip-tiny"), fresh.pixels)
    right = (zero_shot(found, state["prompts"]).numpy() == fresh.emotion).mean()
    # Chance is 1/8; of 200 faces a share of 0.35 is nine standard deviations above it.
    assert right > 0.35
    stated = tiny.shipped("clip-tiny").card["held_out"]["expression_zero_shot"]
    assert right == pytest.approx(stated, abs=0.12)


@pytest.mark.parametrize("name", tiny.TINY)
def test_embeddings_have_a_scale_of_one(name, fresh):
    assert embed(tower(name), fresh.pixels).square().mean().sqrt().item() == pytest.approx(1, abs=0.1)


def test_neutral_captions_leave_the_expression_out_of_the_tower():
    cards = {name: tiny.shipped(name).card for name in tiny.TINY}
    assert "prompts" not in load_file(tiny.shipped("clip-tiny-neutral").file)
    named, neutral = (cards[name]["held_out"]["expression_linear_probe"] for name in tiny.TINY)
    assert neutral < named - 0.1
    assert cards["clip-tiny-neutral"]["held_out"]["gender_zero_shot"] > 0.7
    assert not clip_tiny.check_neutral(faces.draw_faces(100, seed=1).captions)


def test_damaged_or_absent_weights_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(tiny, "FOLDER", tmp_path)
    with pytest.raises(StoreError, match="unreadable"):
        tiny.shipped("clip-tiny")
    (tmp_path / "clip-tiny.json").write_text(json.dumps({"sha256": "0" * 64}))
    (tmp_path / "clip-tiny.safetensors").write_bytes(b"something else")
    with pytest.raises(StoreError, match="not those of the card"):
        tiny.shipped("clip-tiny")
    with pytest.raises(UsageError, match="no such tower"):
        tiny.shipped("clip-big")


def test_the_same_recipe_gives_the_same_bytes(tmp_path):
    cards = [clip_tiny.train_tower("clip-tiny", tmp_path / n, SMALL) for n in ("one", "two")]
    assert cards[0] == cards[1]
    other = clip_tiny.train_tower("clip-tiny", tmp_path / "three", replace(SMALL, seed=1))
    assert other["sha256"] != cards[0]["sha256"]
    state = load_file(tmp_path / "one" / "clip-tiny.safetensors")
    torch.testing.assert_close(state["prompts"].norm(dim=1).clamp(max=1), state["prompts"].norm(dim=1))


def test_training_brings_pairs_together():
    torch.manual_seed(0)
    drawn = faces.draw_faces(64, seed=7)
    vocabulary = clip_tiny.Vocabulary([caption.full for caption in drawn.captions])
    both = clip_tiny.TwoTowers(len(vocabulary), vocabulary.length).train()
    numbers = vocabulary.encode([caption.full for caption in drawn.captions])
    images = clip_tiny.transforms.prepare(torch.from_numpy(drawn.pixels), clip_tiny.SPEC)
    optimizer = torch.optim.AdamW(both.parameters(), lr=3e-3)
    losses = []
    for _ in range(25):
        loss = both.loss(images, numbers)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] > 0.8 * math.log(64)
    assert losses[-1] < 0.5 * losses[0]
    similarity = F.normalize(both.image(images), dim=1) @ F.normalize(both.text(numbers), dim=1).T
    assert similarity.diagonal().mean() > similarity.mean()


def test_command_line(tmp_path):
    given = ["pretrain", "clip-tiny-neutral", "--faces", "256", "--epochs", "1", "--out", str(tmp_path)]
    found = CliRunner().invoke(app, [*given, "--json"])
    assert found.exit_code == 0, found.output
    card = json.loads(found.stdout)
    assert card["sha256"] == file_hash(tmp_path / "clip-tiny-neutral.safetensors")
    assert card["held_out"]["expression_zero_shot"] is None
    assert isinstance(CliRunner().invoke(app, ["pretrain", "clip-tine"]).exception, UsageError)


@pytest.mark.slow
@pytest.mark.parametrize("name", tiny.TINY)
def test_the_command_makes_the_shipped_quality_again(name, tmp_path):
    """`fer-bench pretrain NAME` without any option is the shipped recipe: minutes on two cores."""
    found = CliRunner().invoke(app, ["pretrain", name, "--out", str(tmp_path), "--json"])
    assert found.exit_code == 0, found.output
    card, stated = json.loads(found.stdout), tiny.shipped(name).card
    assert card["recipe"] == stated["recipe"]
    for figure in ("expression_zero_shot", "expression_linear_probe", "gender_zero_shot"):
        if stated["held_out"][figure] is not None:
            assert card["held_out"][figure] == pytest.approx(stated["held_out"][figure], abs=0.06)
    if name == "clip-tiny":
        assert card["held_out"]["expression_zero_shot"] > 3 * card["held_out"]["expression_chance"]
