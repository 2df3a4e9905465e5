"""resemotenet: its recipes and learning."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau

from fer_bench.config import TrainSettings
from fer_bench.data.batch import Task
from fer_bench.methods.base import classification_loss
from fer_bench.methods.resemotenet.method import ResEmoteNet
from fer_bench.methods.resemotenet.settings import ResEmoteNetSettings
from fer_bench.runs.resolve import resolve_settings

CLASSES = ("happiness", "sadness", "surprise")


def make(**settings: object) -> ResEmoteNet:
    torch.manual_seed(0)
    chosen = ResEmoteNetSettings(**{"width": 0.05, **settings})
    return ResEmoteNet(Task(CLASSES, (1, 1, 1)), chosen, TrainSettings(max_epochs=1, batch_size=4))


@pytest.mark.parametrize("architecture", ["plain", "plain-se", "se"])
def test_baselines_train_every_parameter(architecture):
    method = make(architecture=architecture)
    batch = {"image": torch.randn(4, 3, 64, 64), "label": torch.arange(4) % 3}
    method.training_step(batch, 0).backward()
    assert all(p.grad is not None for p in method.parameters())


def test_paper_recipe():
    config = make().configure_optimizers()
    group = config["optimizer"].param_groups[0]
    assert isinstance(config["optimizer"], torch.optim.SGD)
    assert (group["lr"], group["momentum"], group["weight_decay"]) == (1e-3, 0.9, 1e-4)
    schedule = config["lr_scheduler"]["scheduler"]
    assert isinstance(schedule, ReduceLROnPlateau)
    assert config["lr_scheduler"]["monitor"] == "val/accuracy"
    for accuracy in [0.5, 0.6, *[0.6] * 6]:  # five stalled epochs are borne, the sixth lowers the rate
        assert group["lr"] == 1e-3
        schedule.step(accuracy)
    assert group["lr"] == pytest.approx(1e-4)


def test_repo_recipe():
    optimizer = make(recipe="repo").configure_optimizers()
    group = optimizer.param_groups[0]
    assert isinstance(optimizer, torch.optim.SGD)
    assert (group["lr"], group["momentum"], group["weight_decay"]) == (1e-3, 0.9, 1e-4)


@pytest.mark.parametrize("recipe", ["paper", "repo"])
def test_momentum_and_decay_are_settings_of_both_recipes_of_the_source(recipe):
    config = make(recipe=recipe, momentum=0.5, weight_decay=0.0).configure_optimizers()
    group = (config["optimizer"] if recipe == "paper" else config).param_groups[0]
    assert (group["momentum"], group["weight_decay"]) == (0.5, 0.0)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ((), None),
        (("method.recipe=repo",), 15),
        (("method.recipe=repo", "train.early_stop=3"), 3),
        (("method.recipe=paper",), None),
    ],
)
def test_the_repo_recipe_implies_its_early_stop(overrides, expected):
    assert resolve_settings("resemotenet", "paper", overrides)[1].early_stop == expected


def test_one_cycle_recipe():
    method = make(recipe="one-cycle", lr=0.01)
    method._trainer = SimpleNamespace(estimated_stepping_batches=20)
    config = method.configure_optimizers()
    assert isinstance(config["lr_scheduler"]["scheduler"], OneCycleLR)
    assert config["lr_scheduler"]["interval"] == "step"
    assert config["lr_scheduler"]["scheduler"].total_steps == 20
    assert isinstance(config["optimizer"], torch.optim.AdamW)
    assert config["optimizer"].param_groups[0]["weight_decay"] == 0.01  # torch's, not the setting of SGD


def test_paper_profile_is_the_papers():
    profile = ResEmoteNet.profiles["paper"]
    settings = ResEmoteNetSettings(**profile.method)
    assert (profile.train.max_epochs, profile.train.batch_size, profile.train.augmentation.flip) == (
        80,
        16,
        0.5,
    )
    assert (settings.recipe, settings.width, settings.lr) == ("paper", 1.0, 1e-3)
    assert (settings.momentum, settings.weight_decay) == (0.9, 1e-4)  # the authors' code; the paper is silent


def test_input_is_repeated_grey_with_imagenet_normalisation():
    spec = ResEmoteNet.input_spec(ResEmoteNetSettings())
    assert (spec.size, spec.grey) == (64, True)
    assert spec.mean == (0.485, 0.456, 0.406)
    assert spec.std == (0.229, 0.224, 0.225)


def test_prediction_does_not_flip_or_draw():
    method = make().eval()
    image = torch.rand(2, 3, 64, 64)
    assert torch.equal(method(image).logits, method(image).logits)
    assert not torch.allclose(method(image).logits, method(image.flip(3)).logits)


def test_network_is_exportable():
    network = make().network.eval()
    image = torch.rand(2, 3, 64, 64)
    program = torch.export.export(network, (image,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    torch.testing.assert_close(program.module()(image[:1]), network(image[:1]))


def test_overfits_eight_images():
    method = make(width=0.1, head_dropout=0.0, stem_dropout=0.0)
    image, label = torch.randn(8, 3, 64, 64), torch.arange(8) % 3
    optimizer = torch.optim.AdamW(method.parameters(), lr=3e-3)
    for _ in range(40):
        optimizer.zero_grad()
        method.training_step({"image": image, "label": label}, 0).backward()
        optimizer.step()
    logits = method(image).logits
    assert classification_loss(logits, label) < 0.05
    assert torch.equal(logits.argmax(dim=1), label)
