"""The contract that every built-in method keeps, and the helpers of the base module."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest
import torch
from lightning import Callback, Trainer
from torch import nn
from torch.utils.data import DataLoader

from fer_bench.config import PROFILES, InputSpec, MethodSettings, TrainSettings, build
from fer_bench.data.batch import Batch, Task
from fer_bench.errors import DivergedError
from fer_bench.methods import BUILT_IN, get
from fer_bench.methods.base import Method, Prediction, classification_loss
from fer_bench.methods.size import count_parameters, multiply_adds
from tests.methods.two_processes import Step, joined, run_two

CLASSES = ("neutral", "happiness", "surprise")
TASK = Task(CLASSES, (4, 4, 4), has_reference=True)
TINY = {
    "cafe": {"tower": "clip-tiny", "backbone": "narrow", "size": 32},
    "erm": {"backbone": "small", "mode": "scratch", "size": 32, "width": 4},
    "gcn": {"width": 0.1, "hidden": 16},
    "resemotenet": {"width": 0.05, "recipe": "one-cycle"},
    "ssmfar": {"backbone": "narrow", "size": 32},
}
METHODS = pytest.mark.parametrize("name", list(BUILT_IN))


def tiny(name: str, *, epochs: int = 1, seed: int = 0, **settings: object) -> Method:
    kind = get(name)
    torch.manual_seed(seed)
    chosen = build(kind.settings_type, {**TINY[name], **settings}, "test")
    return kind(TASK, chosen, TrainSettings(max_epochs=epochs, batch_size=4))


def make_batch(method: Method, rows: int, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    size = method.input_spec(method.settings).size
    grey = torch.randn(2, rows, 1, size, size, generator=generator).repeat(1, 1, 3, 1, 1)
    return {
        "image": grey[0],
        "reference": grey[1],
        "has_reference": torch.arange(rows) % 2 == 0,
        "label": torch.arange(rows) % len(CLASSES),
    }


def rows_of(batch: Batch) -> list[dict[str, torch.Tensor]]:
    return [{name: value[i] for name, value in batch.items()} for i in range(len(batch["label"]))]


def trainer(epochs: int, *callbacks: Callback, **options: object) -> Trainer:
    return Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        callbacks=list(callbacks),
        **options,
    )


class EpochSeeds(Callback):
    """Seed at the first step: a loader draws from torch's generator too, before or after the epoch starts."""

    def on_train_batch_start(self, trainer: Trainer, pl_module: Method, batch: Batch, batch_idx: int) -> None:
        if batch_idx == 0:
            torch.manual_seed(trainer.current_epoch)


def test_a_soft_label_replaces_the_label_by_hand():
    logits = torch.tensor([[1.0, 3.0]] * 4).log()  # p = 1/4, 3/4
    label = torch.tensor([0, 0, 1, -1])
    soft = torch.tensor([[0.5, 0.5], [0.0, 0.0], [0.2, 0.8], [0.5, 0.5]])
    quarter, most = -math.log(1 / 4), -math.log(3 / 4)
    expected = ((quarter + most) / 2 + quarter + 0.2 * quarter + 0.8 * most) / 3
    assert classification_loss(logits, label, soft).item() == pytest.approx(expected)
    assert classification_loss(logits, torch.full((4,), -1), soft).item() == 0


def test_count_parameters_leaves_out_frozen_ones():
    module = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    module[0].requires_grad_(False)
    assert count_parameters(module) == 4 * 2 + 2


class Linear(Method):
    """A method that only multiplies, for counting and diverging."""

    name = "linear"
    settings_type = MethodSettings
    profiles: ClassVar = {}

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__(TASK, MethodSettings(), TrainSettings(max_epochs=1, batch_size=4))
        self.layer = nn.Linear(3 * 16 * 16, 3)
        self.scale = scale

    @classmethod
    def input_spec(cls, settings):
        return InputSpec(size=16)

    def forward(self, image):
        return Prediction(self.layer(image.flatten(1)))

    def training_step(self, batch, batch_idx):
        loss = self(batch["image"]).logits.square().mean() * self.scale
        self.log_losses(len(batch["label"]), total=loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1e-3)


def test_multiply_adds_counts_half_the_operations_and_keeps_the_mode():
    method = Linear().train()
    assert multiply_adds(method) == 3 * 16 * 16 * 3
    assert method.training


def test_a_nan_loss_stops_the_run():
    method = Linear(scale=float("nan"))
    with pytest.raises(DivergedError, match="train/total became NaN or infinite in epoch 0"):
        trainer(1).fit(method, DataLoader(rows_of(make_batch(method, 8)), batch_size=4))


def test_an_infinite_parameter_stops_the_run():
    method = Linear()
    method._trainer = SimpleNamespace(callback_metrics={}, current_epoch=3)
    with torch.no_grad():
        method.layer.bias[0] = float("inf")
    with pytest.raises(DivergedError, match="a parameter became NaN or infinite in epoch 3"):
        method.on_train_epoch_end()


def test_parameters_that_are_empty_or_whole_numbers_stop_no_training():
    method = tiny("erm")
    method.empty = nn.Parameter(torch.empty(0))
    method.codes = nn.Parameter(torch.ones(3, dtype=torch.int8), requires_grad=False)
    rows = rows_of(make_batch(method, 8))
    trainer(1).fit(method, DataLoader(rows, batch_size=4))
    assert method.trainer.current_epoch == 1


@METHODS
@pytest.mark.parametrize("profile", PROFILES)
def test_profiles_hold_valid_settings(name, profile):
    kind = get(name)
    assert kind.name == name
    build(kind.settings_type, kind.profiles[profile].method, profile)


@METHODS
def test_quick_network_is_small(name):
    kind = get(name)
    quick = kind.profiles["quick"]
    method = kind(TASK, build(kind.settings_type, quick.method, "quick"), quick.train)
    assert multiply_adds(method) <= 25e6


@METHODS
def test_evaluation_looks_at_each_row_alone(name):
    method = tiny(name).eval()
    image = make_batch(method, 6)["image"]
    with torch.no_grad():
        together = method(image).logits
        alone = torch.cat([method(image[i : i + 1]).logits for i in range(6)])
    assert together.shape == (6, len(CLASSES))
    assert together.dtype == torch.float32
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


@METHODS
def test_bf16_autocast_stays_finite(name):
    method = tiny(name)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = method.training_step(make_batch(method, 6), 0)
    loss.backward()
    assert loss.dtype == torch.float32
    gradients = [p.grad for p in method.parameters() if p.requires_grad]
    assert all(g is not None and g.isfinite().all() for g in gradients)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert method.eval()(make_batch(method, 2)["image"]).logits.dtype == torch.float32


@pytest.mark.parametrize("name", [name for name in BUILT_IN if get(name).learns_soft_labels])
def test_every_classification_loss_takes_soft_labels(name):
    method = tiny(name).eval()
    batch = make_batch(method, 6)

    linear = [m for m in method.modules() if isinstance(m, nn.Linear)]
    (head,) = [m for m in linear if m.out_features == len(CLASSES)]

    def slope(**more):
        torch.manual_seed(0)
        (gradient,) = torch.autograd.grad(method.training_step({**batch, **more}, 0), head.weight)
        return gradient

    by_label, sure = slope(), nn.functional.one_hot(batch["label"], len(CLASSES)).float()
    torch.testing.assert_close(slope(soft_label=sure), by_label)
    some = torch.where(torch.arange(6)[:, None] < 3, sure, 0.0)
    torch.testing.assert_close(slope(soft_label=some), by_label)
    other = sure[:1].expand(6, -1)
    assert (slope(soft_label=other) - by_label).norm() > 0.1 * by_label.norm()


@METHODS
def test_rows_without_label_do_not_reach_the_classifier(name):
    method = tiny(name).eval()
    batch = make_batch(method, 6)
    batch["label"] = torch.full((6,), -1)
    loss = method.training_step(batch, 0)
    loss.backward()
    assert loss.isfinite()
    *_, last = [m for m in method.modules() if isinstance(m, nn.Linear)]
    assert last.weight.grad.abs().sum() == 0


@METHODS
def test_saved_weights_predict_the_same(name, tmp_path):
    method = tiny(name)
    trainer(1).fit(method, DataLoader(rows_of(make_batch(method, 8)), batch_size=4))
    torch.save(method.state_dict(), tmp_path / "weights.pt")
    other = tiny(name, seed=1)
    other.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    image = make_batch(method, 3, seed=5)["image"]
    with torch.no_grad():
        assert torch.equal(method.eval()(image).logits, other.eval()(image).logits)


class SaveAfter(Callback):
    def __init__(self, epoch: int, file: Path) -> None:
        self.epoch, self.file = epoch, file

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Method) -> None:
        if trainer.current_epoch == self.epoch:
            trainer.save_checkpoint(self.file)


@METHODS
def test_resuming_at_an_epoch_changes_no_bit(name, tmp_path):
    file = tmp_path / "epoch.ckpt"
    whole, resumed = tiny(name, epochs=3), tiny(name, epochs=3, seed=7)
    rows = rows_of(make_batch(whole, 8))
    trainer(3, EpochSeeds(), SaveAfter(0, file)).fit(whole, DataLoader(rows, batch_size=4))
    trainer(3, EpochSeeds()).fit(resumed, DataLoader(rows, batch_size=4), ckpt_path=file, weights_only=True)
    for one, other in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True):
        assert torch.equal(one, other)


@METHODS
def test_parameters_get_gradients_and_need_no_trainer_for_prediction(name):
    method = tiny(name)
    method.training_step(make_batch(method, 6), 0).backward()
    assert all(p.grad is not None for p in method.parameters() if p.requires_grad)


def ddp_worker(rank: int, folder: str) -> None:
    """Train every method for two steps as one of two processes and save what came out."""
    from torch.nn.parallel import DistributedDataParallel

    with joined(rank, folder):
        for name in BUILT_IN:
            method = tiny(name, seed=rank)  # DDP must make the ranks equal
            parallel = DistributedDataParallel(Step(method))
            optimizer = torch.optim.SGD(method.network.parameters(), lr=0.1)
            for step in range(2):
                batch = make_batch(method, 4, seed=10 * step + rank)
                if rank == 1:
                    batch["has_reference"][:] = False
                    batch["label"][:] = -1
                optimizer.zero_grad()
                parallel(batch).backward()
                optimizer.step()
            torch.save([p.detach() for p in method.network.parameters()], f"{folder}/{name}-{rank}.pt")


@pytest.mark.long
def test_two_processes_stay_equal(tmp_path):
    run_two(__name__, tmp_path, seconds=120)
    for name in BUILT_IN:
        first, second = (torch.load(tmp_path / f"{name}-{r}.pt", weights_only=True) for r in (0, 1))
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
        start = list(tiny(name, seed=0).network.parameters())
        assert any(not torch.equal(a, b) for a, b in zip(first, start, strict=True))
