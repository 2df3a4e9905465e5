"""Checkpoints of ResEmoteNet's authors: layers mapped, and classes matched by name."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from fer_bench.errors import DataError, UsageError
from fer_bench.methods.resemotenet.method import ResEmoteNet
from fer_bench.methods.resemotenet.network import AUTHORS_CLASSES, LAYERS
from fer_bench.methods.resemotenet.settings import ResEmoteNetSettings


def authors_state(architecture: str = "resemotenet", seed: int = 0) -> dict[str, torch.Tensor]:
    """Return a state dict with the authors' names and small random values."""
    generator = torch.Generator().manual_seed(seed)
    with torch.device("meta"):
        method = ResEmoteNet(AUTHORS_CLASSES, ResEmoteNetSettings(architecture=architecture))
        expected = method.network.state_dict()
    found = {}
    for key, value in expected.items():
        layer, _, part = key.rpartition(".")
        name = f"{LAYERS[architecture][layer]}.{part}"
        if part == "num_batches_tracked":
            found[name] = torch.tensor(7)
        elif part == "running_var":
            found[name] = torch.rand(value.shape, generator=generator) + 0.5
        else:
            found[name] = torch.randn(value.shape, generator=generator) * 0.02
    return found


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    file = tmp_path_factory.mktemp("authors") / "best_model.pth"
    torch.save(authors_state(), file)
    return file


def norm(maps, state, name):
    return F.batch_norm(
        maps, *(state[f"{name}.{p}"] for p in ("running_mean", "running_var", "weight", "bias"))
    )


def conv(maps, state, name, **how):
    return F.conv2d(maps, state[f"{name}.weight"], state[f"{name}.bias"], **how)


def authors_forward(state, image):
    """Compute the network of the fact sheet from the authors' tensors alone."""
    maps = image
    for stage in (1, 2, 3):
        maps = F.max_pool2d(
            F.relu(norm(conv(maps, state, f"conv{stage}", padding=1), state, f"bn{stage}")), 2
        )
    gate = F.relu(maps.mean((2, 3)) @ state["se.fc.0.weight"].T) @ state["se.fc.2.weight"].T
    maps = maps * gate.sigmoid()[:, :, None, None]
    for block in ("res_block1", "res_block2", "res_block3"):
        inner = F.relu(norm(conv(maps, state, f"{block}.conv1", stride=2, padding=1), state, f"{block}.bn1"))
        inner = norm(conv(inner, state, f"{block}.conv2", padding=1), state, f"{block}.bn2")
        way = norm(conv(maps, state, f"{block}.shortcut.0", stride=2), state, f"{block}.shortcut.1")
        maps = F.relu(inner + way)
    hidden = maps.mean((2, 3))
    for layer in ("fc1", "fc2", "fc3"):
        hidden = F.relu(F.linear(hidden, state[f"{layer}.weight"], state[f"{layer}.bias"]))
    return F.linear(hidden, state["fc4.weight"], state["fc4.bias"])


def test_imported_network_computes_what_the_authors_does(checkpoint):
    image = torch.randn(3, 3, 64, 64)
    method = ResEmoteNet.import_checkpoint(checkpoint)
    with torch.no_grad():
        torch.testing.assert_close(method(image).logits, authors_forward(authors_state(), image))


def test_classes_are_matched_by_name(checkpoint):
    image = torch.randn(2, 3, 64, 64)
    wanted = ("neutral", "anger", "happiness")
    with torch.no_grad():
        found = ResEmoteNet.import_checkpoint(checkpoint, wanted)(image).logits
        whole = ResEmoteNet.import_checkpoint(checkpoint)(image).logits
    assert AUTHORS_CLASSES == ("happiness", "surprise", "sadness", "anger", "disgust", "fear", "neutral")
    torch.testing.assert_close(found, whole[:, [6, 3, 0]])
    with pytest.raises(UsageError, match="contempt"):
        ResEmoteNet.import_checkpoint(checkpoint, ("contempt",))


@pytest.mark.parametrize("architecture", ["plain", "plain-se", "se"])
def test_baselines_are_recognised(architecture, tmp_path):
    state = authors_state(architecture)
    if architecture == "se":  # defined by the authors' class, used by nothing
        state |= {"conv5.weight": torch.zeros(1024, 512, 3, 3), "bn5.bias": torch.zeros(1024)}
    torch.save({"model_state_dict": {f"module.{k}": v for k, v in state.items()}}, tmp_path / "b.pth")
    method = ResEmoteNet.import_checkpoint(tmp_path / "b.pth")
    assert method.settings.architecture == architecture
    assert torch.equal(method.network.head[0].weight, state["fc1.weight"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("res_block2.bn1.weight"), "lacks a tensor.*res_block2.bn1.weight"),
        (
            lambda s: s.update({"extra.weight": torch.zeros(1)}),
            "layer that the authors' network lacks.*extra",
        ),
        (
            lambda s: s.update({"fc4.weight": torch.zeros(6, 256)}),
            r"fc4.weight has shape \[6, 256\].*\[7, 256\]",
        ),
    ],
)
def test_other_checkpoints_are_refused(change, message, tmp_path):
    state = authors_state()
    change(state)
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(DataError, match=message):
        ResEmoteNet.import_checkpoint(tmp_path / "other.pth")
