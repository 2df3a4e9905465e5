"""Pretrained generators of gcn: reading, fitting, starting from them, and the one of the package."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from fer_bench.errors import DataError, StoreError
from fer_bench.methods import weights
from fer_bench.methods.gcn.generator import SHAPE, fitting_generator, load_generator, open_generator
from fer_bench.methods.gcn.method import GCN
from fer_bench.methods.gcn.settings import GCNSettings
from tests.methods.gcn.small import make, make_batch

QUICK = GCN.profile("quick")[0]
SIZES = {name: getattr(QUICK, name) for name in SHAPE}


@pytest.fixture(autouse=True)
def fresh():
    open_generator.cache_clear()
    yield
    open_generator.cache_clear()


def copied(folder: Path) -> Path:
    for suffix in (".safetensors", ".json"):
        shutil.copy(weights.FOLDER / f"neutral-tiny{suffix}", folder / f"own{suffix}")
    return folder / "own.safetensors"


def test_generator_of_the_package_draws_nearer_to_the_neutral_face_than_the_input_is():
    given = open_generator("neutral-tiny")
    held_out = given.card["held_out"]
    assert held_out["error"] < 0.85 * held_out["error_of_the_input"]
    assert held_out["people"] >= 300
    assert given.people == {}  # nobody of a dataset
    assert "SYNTHETIC DATA" in given.card["what"]
    assert "pretraining" in given.card["population"]
    assert GCN.weights(QUICK) == {"generator": given.sha256}
    assert "no expression labels" in GCN.pretraining(QUICK)["generator"]
    assert not weights.learned_drawn_labels(given.sha256)
    (caveat,) = GCN.caveats(QUICK)
    assert "stays as it is: neutral-tiny" in caveat
    assert "Encoder2 starts" in caveat


def test_network_starts_from_the_generator_and_its_encoder():
    method = make(**SIZES, generator_weights="neutral-tiny", hidden=8)
    method.load_pretrained()
    state = open_generator("neutral-tiny").state
    network = method.network
    for name in ("encoder1", "decoder1"):
        for key, value in getattr(network, name).state_dict().items():
            torch.testing.assert_close(value, state[f"{name}.{key}"].to(value.dtype))
    for one, other in zip(network.encoder1.parameters(), network.encoder2.parameters(), strict=True):
        assert torch.equal(one, other)
    apart = make(**SIZES, generator_weights="neutral-tiny", start_encoder=False, hidden=8)
    apart.load_pretrained()
    first, second = (next(part.parameters()) for part in (apart.network.encoder1, apart.network.encoder2))
    assert not torch.equal(first, second)


def test_plain_encoder_starts_from_the_generators_encoder():
    method = make(**{**SIZES, "generator": "none"}, generator_weights="neutral-tiny", hidden=8)
    method.load_pretrained()
    state = open_generator("neutral-tiny").state
    for key, value in method.network.encoder2.state_dict().items():
        torch.testing.assert_close(value, state[f"encoder1.{key}"].to(value.dtype))
    (caveat,) = GCN.caveats(method.settings)
    assert caveat.startswith("Encoder2 starts: neutral-tiny")


@pytest.mark.parametrize("processes", [1, 2])
def test_fixed_generator_is_never_trained(monkeypatch, processes):
    monkeypatch.setattr("fer_bench.methods.gcn.method.processes", lambda: processes)
    method = make(**SIZES, generator_weights="neutral-tiny", fixed_generator=True, hidden=8, variant="S1R0")
    method.load_pretrained()
    method.train()
    method.on_train_epoch_start()
    before = {name: value.clone() for name, value in method.network.state_dict().items()}
    optimizer = torch.optim.AdamW(method.parameters(), lr=0.1)
    method.training_step(make_batch(4), 0).backward()
    # Only several processes wait for a gradient of every parameter; alone none is computed.
    assert all((p.grad is None) == (processes == 1) for p in method.resting())
    method.on_before_optimizer_step(optimizer)
    assert all(p.grad is None for p in method.resting())
    optimizer.step()
    after = method.network.state_dict()
    changed = {name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"encoder2", "classifier"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"width": 0.25}, "width=0.375"),
        ({"generator": "ae"}, "generator=residual"),
        ({"kernel": 5, "unpool": "positions"}, "--set method.kernel=3 --set method.unpool=nearest"),
        ({"generator": "none", "width": 0.5}, "width=0.375"),
    ],
)
def test_generator_of_another_form_is_refused(changes, said):
    settings = GCNSettings(**{**SIZES, "generator_weights": "neutral-tiny", **changes})
    with pytest.raises(DataError) as caught:
        fitting_generator(settings)
    assert said in str(caught.value)
    assert "method.generator_weights=null" in str(caught.value)


def test_own_file_is_read_with_its_card(tmp_path):
    file = copied(tmp_path)
    own, given = open_generator(str(file)), open_generator("neutral-tiny")
    assert own.sha256 == given.sha256
    assert all(torch.equal(own.state[name], given.state[name]) for name in given.state)


def test_file_without_its_card_or_of_another_is_refused(tmp_path):
    file = copied(tmp_path)
    card = file.with_suffix(".json")
    known = json.loads(card.read_text())
    card.write_text(json.dumps({**known, "sha256": "0" * 64}))
    with pytest.raises(DataError, match="not those of its card"):
        open_generator(str(file))
    for broken in ({**known, "kind": "tower"}, {"sha256": known["sha256"]}, [1], {**known, "settings": {}}):
        card.write_text(json.dumps(broken))
        with pytest.raises(DataError, match="needs its card beside it"):
            open_generator(str(file))
    card.unlink()
    with pytest.raises(DataError, match="pretrain-generator writes both"):
        open_generator(str(file))
    with pytest.raises(DataError, match="no such weights file"):
        open_generator(str(tmp_path / "absent.safetensors"))


def test_card_that_lies_about_the_weights_is_refused(tmp_path):
    file = copied(tmp_path)
    card = file.with_suffix(".json")
    known = json.loads(card.read_text())
    card.write_text(json.dumps({**known, "settings": {**known["settings"], "width": 0.25}}))
    method = make(**{**SIZES, "width": 0.25}, generator_weights=str(file), hidden=8)
    with pytest.raises(DataError, match="not the weights of this generator"):
        load_generator(method.network, open_generator(str(file)), start_encoder=False)


def test_damaged_generator_of_the_package_is_named(tmp_path, monkeypatch):
    shutil.copy(weights.FOLDER / "neutral-tiny.json", tmp_path)
    (tmp_path / "neutral-tiny.safetensors").write_bytes(b"x")
    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    with pytest.raises(StoreError, match="not those of the card"):
        open_generator("neutral-tiny")
