"""erm in a Trainer: averaged weights that resume, balanced classes, and a probe that looks once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from lightning import Callback

from fer_bench.config import Augmentation, TrainSettings
from fer_bench.data.loading import transforms
from fer_bench.data.loading.union_module import make_datamodule
from fer_bench.data.packs.pack import open_pack
from fer_bench.methods.erm.method import ERM
from fer_bench.methods.erm.network import SmallBackbone
from fer_bench.methods.erm.settings import ERMSettings
from fer_bench.runs.evaluate import predict
from tests.methods import ssmfar_toy
from tests.methods.test_base import EpochSeeds, SaveAfter, trainer

FLIP = Augmentation(flip=0.5)


class Toy(ssmfar_toy.Toy):
    """The toy with ten times as many rows of the first class."""

    def rows(self):
        for row in super().rows():
            first = row["label"] == ssmfar_toy.CLASSES[0].value
            if first or row["split"] == "test" or int(row["sample_id"][-2:]) < 2:
                yield {name: value for name, value in row.items() if name not in ("valence", "arousal")}


@pytest.fixture
def toy(tmp_path):
    ssmfar_toy.write(tmp_path)
    return Toy(tmp_path)


def prepare(toy, cache: Path, *, seed: int = 0, batch_size: int = 6, **settings: object):
    chosen = ERMSettings(**{"backbone": "small", "mode": "scratch", "size": 32, "width": 4, **settings})
    train = TrainSettings(max_epochs=3, batch_size=batch_size, augmentation=FLIP)
    data = make_datamodule(
        toy,
        spec=ERM.input_spec(chosen),
        batch_size=batch_size,
        augmentation=FLIP,
        pack=open_pack(toy, chosen.size, cache=cache),
    )
    torch.manual_seed(seed)
    return ERM(data.task, chosen, train), data


class Watch(Callback):
    """Note the first weight when the average is validated, and after the epoch."""

    def __init__(self) -> None:
        self.validated: list[float] = []
        self.learning: list[float] = []
        self.after: list[float] = []

    def on_validation_batch_start(self, trainer, pl_module, batch, batch_idx, dataloader_idx=0):
        self.validated.append(first_weight(pl_module))

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if batch_idx:
            self.learning.append(first_weight(pl_module))

    def on_train_epoch_end(self, trainer, pl_module):
        self.after.append(first_weight(pl_module))


def first_weight(method: ERM) -> float:
    return method.network.head.weight[0, 0].item()


def test_the_average_is_validated_stored_and_left(toy, tmp_path):
    method, data = prepare(toy, tmp_path / "cache", ema=0.9, lr=0.05)
    watch = Watch()
    trainer(3, watch).fit(method, datamodule=data)
    assert method._average is None
    assert watch.validated[-1] == first_weight(method)
    assert len(set(watch.validated)) == 3
    assert not set(watch.validated) & set(watch.learning)
    plain, data = prepare(toy, tmp_path / "cache", lr=0.05)
    trainer(3).fit(plain, datamodule=data)
    assert first_weight(plain) != first_weight(method)


@pytest.mark.parametrize("settings", [{"ema": 0.9}, {"mixup": 0.4, "balanced": True}, {}])
def test_resuming_changes_no_bit(toy, tmp_path, settings):
    file = tmp_path / "epoch.ckpt"
    whole, data = prepare(toy, tmp_path / "cache", **settings)
    trainer(3, EpochSeeds(), SaveAfter(1, file)).fit(whole, datamodule=data)
    resumed, data = prepare(toy, tmp_path / "cache", seed=5, **settings)
    trainer(3, EpochSeeds()).fit(resumed, datamodule=data, ckpt_path=file, weights_only=True)
    for one, other in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True):
        assert torch.equal(one, other)


class Seen(Callback):
    def __init__(self) -> None:
        self.labels: list[int] = []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.labels += batch["label"].tolist()


@pytest.mark.parametrize("balanced", [True, False])
def test_balanced_classes_come_equally_often(toy, tmp_path, balanced):
    method, data = prepare(toy, tmp_path / "cache", balanced=balanced)
    seen = Seen()
    trainer(1, seen).fit(method, datamodule=data)
    counts = np.bincount(seen.labels, minlength=6)
    rows = len(data.rows("train"))
    assert counts.sum() == rows
    if balanced:
        assert counts.max() - counts.min() <= 1
    else:
        assert counts[0] > 2 * counts[1:].max()


def test_a_probe_looks_once_at_each_view_and_predicts_from_the_cache(toy, tmp_path):
    torch.manual_seed(3)
    torch.save(SmallBackbone(32, 4).state_dict(), tmp_path / "w.pth")
    method, data = prepare(toy, tmp_path / "cache", mode="linear-probe", weights=str(tmp_path / "w.pth"))
    method.load_pretrained()
    seen: list[int] = []
    method.network.backbone.register_forward_hook(lambda module, given, out: seen.append(len(given[0])))
    before = method.network.backbone.state_dict()["features.0.weight"].clone()
    head = method.network.head.weight.detach().clone()
    trainer(3).fit(method, datamodule=data)
    rows = len(toy.index)
    assert seen == [rows, rows]
    assert torch.equal(method.network.backbone.state_dict()["features.0.weight"], before)
    assert not torch.equal(method.network.head.weight, head)
    table = predict(method, toy, data.pack, np.arange(rows), device="cpu")
    assert seen == [rows, rows]
    columns = [name for name in table.columns if name.startswith("logit_")]
    batch = torch.from_numpy(data.pack.pixels[:4])
    with torch.no_grad():
        direct = method.eval()(transforms.prepare(batch, method.input_spec(method.settings))).logits
    np.testing.assert_allclose(table[columns].to_numpy()[:4], direct.numpy(), rtol=1e-3, atol=1e-4)
