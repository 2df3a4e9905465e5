"""Cached features of the frozen tower: the same numbers, computed once, and never of the wrong view."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from fer_bench.config import Augmentation, TrainSettings
from fer_bench.data.batch import Task
from fer_bench.data.loading import features, transforms
from fer_bench.data.loading.datamodule import FaceDataModule
from fer_bench.data.loading.union_module import make_datamodule
from fer_bench.data.packs.pack import open_pack
from fer_bench.methods.cafe.method import CAFE
from fer_bench.methods.cafe.settings import CAFESettings
from fer_bench.runs.evaluate import predict
from tests.methods import ssmfar_toy
from tests.methods.test_base import trainer

FLIP = Augmentation(flip=0.5)
SHIFTED = Augmentation(flip=0.5, crop_pad=2)


class Toy(ssmfar_toy.Toy):
    """The same pictures without valence and arousal."""

    def rows(self):
        for row in super().rows():
            yield {name: value for name, value in row.items() if name not in ("valence", "arousal")}


@pytest.fixture
def toy(tmp_path):
    ssmfar_toy.write(tmp_path)
    return Toy(tmp_path)


@pytest.fixture
def pack(toy, tmp_path):
    return open_pack(toy, 32, cache=tmp_path / "cache")


def make(*, seed: int = 0, how: Augmentation = FLIP, **settings: object) -> CAFE:
    torch.manual_seed(seed)
    given = {"tower": "clip-tiny", "backbone": "narrow", "size": 32, "recipe": "one-cycle", "lr": 1e-3}
    classes = tuple(emotion.value for emotion in ssmfar_toy.CLASSES)
    chosen = CAFESettings(**{**given, **settings})
    train = TrainSettings(max_epochs=2, batch_size=12, augmentation=how)
    return CAFE(Task(classes, (10,) * 6), chosen, train)


def count_calls(method: CAFE) -> list[int]:
    """Return a list that grows by the number of pictures whenever the tower looks at some."""
    seen: list[int] = []
    encoder = method.network.tower.encoder
    encoder.register_forward_hook(lambda module, inputs, output: seen.append(len(inputs[0])))
    return seen


def stored(pack) -> list[Path]:
    return sorted((Path(pack.pixels.filename).parent / "features").rglob("*.npy"))


def test_cached_predictions_are_the_uncached_ones_and_the_tower_looks_once(toy, pack):
    rows = np.array([3, 70, 5, 11])
    plain, cached = make(feature_cache=False), make()
    expected = predict(plain, toy, pack, rows, device="cpu")
    seen = count_calls(cached)
    first = predict(cached, toy, pack, rows, device="cpu")
    assert seen == [len(pack.pixels)]  # a whole block
    again = predict(cached, toy, pack, rows[::-1].copy(), device="cpu")
    assert seen == [len(pack.pixels)]
    logits = [name for name in expected.columns if name.startswith("logit_")]
    np.testing.assert_allclose(first[logits], expected[logits], rtol=1e-4, atol=1e-5)
    assert np.array_equal(first[logits].to_numpy(), again[logits].to_numpy()[::-1])
    assert not np.allclose(first[logits].to_numpy()[0], first[logits].to_numpy()[1])


def test_each_view_is_what_augmentation_shows(toy, pack):
    method = make().eval()
    tower, spec = method.network.tower, method.input_spec(method.settings)
    rows = np.arange(0, len(pack.pixels), 3)
    known = features.open_features(pack, rows, tower, spec, encoder_hash="x", mirrored=True)
    at = torch.from_numpy(rows)
    crops = torch.from_numpy(pack.pixels[rows])
    for epoch in (0, 1):
        shown = transforms.augment(crops, at, spec, FLIP, seed=4, epoch=epoch)
        mirrored = features.mirrored_rows(at, FLIP, seed=4, epoch=epoch)
        assert 0 < mirrored.sum() < len(rows)
        torch.testing.assert_close(known.look_up(at, mirrored), tower(shown), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        (FLIP, True),
        (Augmentation(flip=0), True),
        (SHIFTED, False),
        (Augmentation(flip=0.5, erase=0.5), False),
        (Augmentation(noise=0.5, noise_std=5), False),
        (Augmentation(brightness=0.1), False),
        (Augmentation(contrast=0.1), False),
    ],
)
def test_only_mirroring_can_be_enumerated(how, expected):
    assert features.enumerable(how) is expected


def test_towers_have_their_own_features(toy, pack):
    spec = make().input_spec(make().settings)
    rows = np.arange(4)
    for name, seed in (("a", 0), ("b", 1)):
        tower = make(seed=seed).network.tower
        features.open_features(pack, rows, tower, spec, encoder_hash=name)
    assert len(stored(pack)) == 2
    for seed in (0, 1):
        predict(make(seed=seed), toy, pack, rows, device="cpu")
    assert len(stored(pack)) == 4


def test_folds_seeds_and_variants_share_the_features_of_one_tower(toy, pack):
    first = make(seed=0)
    first.load_pretrained()
    predict(first, toy, pack, np.arange(0, 6), device="cpu")
    for seed, rows, settings in (
        (1, np.arange(4, 20), {}),  # another seed, and rows of another fold
        (0, np.arange(3), {"mask": "none"}),  # the probe of the ablation
        (2, np.arange(3), {"separation": 0.0}),
    ):
        other = make(seed=seed, **settings)
        other.load_pretrained()
        seen = count_calls(other)
        predict(other, toy, pack, rows, device="cpu")
        assert seen == []
    assert len(stored(pack)) == 1


def test_damaged_files_are_made_again_and_a_cache_need_not_be_writable(toy, pack, monkeypatch):
    method, rows = make(), np.arange(5)
    first = predict(method, toy, pack, rows, device="cpu")
    (file,) = stored(pack)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    again = predict(method, toy, pack, rows, device="cpu")
    assert file.read_bytes() == whole
    assert first.equals(again)

    def full(path: Path, writer: object) -> None:
        raise features.StoreError("cannot write", file=path)

    file.unlink()
    monkeypatch.setattr(features, "write_atomic", full)
    assert first.equals(predict(method, toy, pack, rows, device="cpu"))
    assert not stored(pack)


def test_blocks_hold_their_own_rows(toy, pack, monkeypatch):
    tower, spec = make().network.tower, make().input_spec(make().settings)
    rows = np.array([1, 20, 22, 77])
    whole = features.open_features(pack, rows, tower, spec, encoder_hash="whole")
    monkeypatch.setattr(features, "BLOCK", 10)
    parts = features.open_features(pack, rows, tower, spec, encoder_hash="parts")
    at = torch.from_numpy(rows)
    torch.testing.assert_close(whole.look_up(at), parts.look_up(at), rtol=1e-4, atol=1e-5)
    assert len(stored(pack)) == 1 + 3


def fit(method: CAFE, toy, root: Path) -> FaceDataModule:
    data = make_datamodule(
        toy,
        spec=method.input_spec(method.settings),
        batch_size=method.train_settings.batch_size,
        augmentation=method.train_settings.augmentation,
        pack=open_pack(toy, method.input_spec(method.settings).size, cache=root / "cache"),
    )
    torch.manual_seed(9)
    trainer(2).fit(method, datamodule=data)
    return data


def test_training_with_the_cache_is_training_without(toy, tmp_path):
    cached, plain = make(), make(feature_cache=False)
    seen = count_calls(cached)
    fit(cached, toy, tmp_path)
    assert seen == [78, 78]  # one block, two views; nothing per step
    fit(plain, toy, tmp_path)
    for one, other in zip(cached.network.parameters(), plain.network.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-2, atol=1e-3)
    assert cached._cache.look_up({"row": torch.tensor([0])}) is None  # they were dropped with the pack


def test_augmented_training_looks_at_what_it_shows(toy, tmp_path):
    method = make(how=SHIFTED)
    seen = count_calls(method)
    data = fit(method, toy, tmp_path)
    assert sum(seen) >= 2 * len(data.rows("train"))


def test_encoders_are_left_in_the_mode_they_were_in(pack):
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 4)).train()
    spec = make().input_spec(make().settings)
    found = features.open_features(pack, np.array([2]), encoder, spec, encoder_hash="linear")
    assert encoder.training
    assert found.table.shape == (1, 1, 4)
