"""resemotenet: the exact network, its recipes and learning."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau

from fer_bench.config import TrainSettings
from fer_bench.data.batch import Task
from fer_bench.methods.base import classification_loss, count_parameters
from fer_bench.methods.resemotenet.method import ResEmoteNet, ResEmoteNetSettings
from fer_bench.methods.resemotenet.network import BaselineNetwork, ResEmoteNetwork, SqueezeExcitation
from fer_bench.runs.resolve import resolve_settings

CLASSES = ("happiness", "sadness", "surprise")


def make(**settings: object) -> ResEmoteNet:
    torch.manual_seed(0)
    chosen = ResEmoteNetSettings(**{"width": 0.05, **settings})
    return ResEmoteNet(Task(CLASSES, (1, 1, 1)), chosen, TrainSettings(max_epochs=1, batch_size=4))


@pytest.fixture(scope="module")
def full() -> ResEmoteNetwork:
    with torch.device("meta"):
        return ResEmoteNetwork(7)


def test_parameters_are_the_authors(full):
    assert count_parameters(full) == 80_238_599
    assert count_parameters(full.attention) == 8_192
    assert count_parameters(full.blocks) == 77_102_592
    assert count_parameters(full.head) == 2_756_103


def test_maps_have_the_authors_shapes(full):
    image = torch.zeros(2, 3, 64, 64, device="meta")
    maps = full.stem(image)
    assert maps.shape == (2, 256, 8, 8)
    shapes = []
    for block in full.blocks:
        maps = block(maps)
        shapes.append(tuple(maps.shape[1:]))
    assert shapes == [(512, 4, 4), (1024, 2, 2), (2048, 1, 1)]
    assert full(image).shape == (2, 7)


def test_baselines_have_the_authors_parameters():
    with torch.device("meta"):
        plain, more, gated = (BaselineNetwork(7, kind) for kind in ("plain", "plain-se", "se"))
        unused = nn.Sequential(nn.Conv2d(512, 1024, 3), nn.BatchNorm2d(1024))
    assert count_parameters(plain) == 11_000_327
    assert count_parameters(more) == 11_000_327 + 2 * 1024 * 64 == 11_131_399
    assert count_parameters(gated) == 5_262_855
    # The authors' class also holds a fifth stage, whose 1024 channels the block of 512 cannot take.
    assert count_parameters(gated) + count_parameters(unused) == 9_984_519
    image = torch.zeros(2, 3, 64, 64, device="meta")
    assert plain.stem(image).shape == more.stem(image).shape == (2, 1024, 2, 2)
    assert gated.stem(image).shape == (2, 512, 4, 4)
    assert plain(image).shape == more(image).shape == gated(image).shape == (2, 7)
    assert [d.p for d in more.stem if isinstance(d, nn.Dropout)] == [0.2] * 4, "none before the block"


@pytest.mark.parametrize("architecture", ["plain", "plain-se", "se"])
def test_baselines_train_every_parameter(architecture):
    method = make(architecture=architecture)
    batch = {"image": torch.randn(4, 3, 64, 64), "label": torch.arange(4) % 3}
    method.training_step(batch, 0).backward()
    assert all(p.grad is not None for p in method.parameters())


def test_dropout_is_where_the_authors_have_it(full):
    assert [d.p for d in full.stem if isinstance(d, nn.Dropout)] == [0.2, 0.2]
    assert [d.p for d in full.head if isinstance(d, nn.Dropout)] == [0.5, 0.5, 0.5]
    assert not isinstance(full.stem[-1], nn.Dropout)


def test_squeeze_excitation_by_hand():
    block = SqueezeExcitation(2, 1)
    with torch.no_grad():
        block.gate[0].weight.copy_(torch.tensor([[1.0, -1.0]]))
        block.gate[2].weight.copy_(torch.tensor([[2.0], [0.0]]))
    maps = torch.stack([torch.full((2, 2), 3.0), torch.full((2, 2), 1.0)])[None]
    maps[0, 0, 0, 0] = 7.0  # channel means 4 and 1, so the hidden unit is 3
    gates = torch.tensor([1 / (1 + math.exp(-6)), 0.5])
    torch.testing.assert_close(block(maps), maps * gates[None, :, None, None])


def test_loss_by_hand():
    logits = torch.tensor([[0.0, math.log(3.0)], [9.0, 9.0], [0.0, 0.0]])
    loss = classification_loss(logits, torch.tensor([1, -1, 0]))
    assert loss.item() == pytest.approx((math.log(4 / 3) + math.log(2)) / 2)
    assert classification_loss(logits, torch.full((3,), -1)).item() == 0


def test_paper_recipe():
    config = make().configure_optimizers()
    group = config["optimizer"].param_groups[0]
    assert isinstance(config["optimizer"], torch.optim.SGD)
    assert (group["lr"], group["momentum"], group["weight_decay"]) == (1e-3, 0, 0)
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


def test_paper_profile_is_the_papers():
    profile = ResEmoteNet.profiles["paper"]
    settings = ResEmoteNetSettings(**profile.method)
    assert (profile.train.max_epochs, profile.train.batch_size, profile.train.augmentation.flip) == (
        80,
        16,
        0.5,
    )
    assert (settings.recipe, settings.width, settings.lr) == ("paper", 1.0, 1e-3)


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
