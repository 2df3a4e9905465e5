"""Checkpoints of the authors' code, turned into ours by a map of layer names and a class order by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from fer_bench.config import TrainSettings
from fer_bench.data.batch import Task
from fer_bench.emotions import Emotion
from fer_bench.errors import DataError, UsageError
from fer_bench.methods.backbones import read_state
from fer_bench.methods.resemotenet.method import ResEmoteNet, ResEmoteNetSettings, build_network

AUTHORS_CLASSES: tuple[str, ...] = (
    Emotion.HAPPINESS,
    Emotion.SURPRISE,
    Emotion.SADNESS,
    Emotion.ANGER,
    Emotion.DISGUST,
    Emotion.FEAR,
    Emotion.NEUTRAL,
)
"""The authors' label indices 0 to 6 (happy, surprise, sad, anger, disgust, fear, neutral)."""

HEAD = {"head.0": "fc1", "head.3": "fc2", "head.6": "fc3", "head.9": "fc4"}
SE = {"attention.gate.0": "fc.0", "attention.gate.2": "fc.2"}
BLOCK = {
    "body.0": "conv1",
    "body.1": "bn1",
    "body.3": "conv2",
    "body.4": "bn2",
    "shortcut.0": "shortcut.0",
    "shortcut.1": "shortcut.1",
}


def _stem(stages: int) -> dict[str, str]:
    names: dict[str, str] = {}
    for number in range(stages):  # convolution, batch norm, ReLU, pooling, dropout
        names |= {f"stem.{5 * number}": f"conv{number + 1}", f"stem.{5 * number + 1}": f"bn{number + 1}"}
    return names


LAYERS: dict[str, dict[str, str]] = {
    "resemotenet": {
        **_stem(3),
        **{ours: f"se.{theirs}" for ours, theirs in SE.items()},
        **{
            f"blocks.{n}.{ours}": f"res_block{n + 1}.{theirs}"
            for n in range(3)
            for ours, theirs in BLOCK.items()
        },
        **HEAD,
    },
    "plain": {**_stem(5), **HEAD},
    "plain-se": {**_stem(5), **{ours: f"se.{theirs}" for ours, theirs in SE.items()}, **HEAD},
    "se": {**_stem(4), **{ours: f"se1.{theirs}" for ours, theirs in SE.items()}, **HEAD},
}
"""For each architecture, our layer's name to the authors' (the classes in their folder approach/)."""

UNUSED = {"se": ("conv5.", "bn5.")}
"""Layers of the authors' classes that are left out, see `network.BaselineNetwork`."""


def import_checkpoint(path: Path, classes: Sequence[str] = AUTHORS_CLASSES) -> ResEmoteNet:
    """Return the method with the weights of a checkpoint of the authors' code, in evaluation mode.

    Args:
        path: A state dict, alone (as `best_model.pth` is saved) or under `model_state_dict` (as the authors'
            evaluation code expects it); nothing in it is executed.
        classes: Classes of the result, in order, from the authors' seven.

    Raises:
        DataError: The file is unreadable or not a checkpoint of one of the four architectures.
        UsageError: A class the authors' models do not know.
    """
    for name in classes:
        if name not in AUTHORS_CLASSES:
            raise UsageError(
                "the authors' models do not know this class",
                value=name,
                hint=f"known: {', '.join(AUTHORS_CLASSES)}",
            )
    state = {key.removeprefix("module."): value for key, value in read_state(path).items()}
    architecture = _architecture(state)
    settings = ResEmoteNetSettings(architecture=architecture)
    found = translate(state, LAYERS[architecture], UNUSED.get(architecture, ()), path)
    with torch.device("meta"):
        expected = build_network(len(AUTHORS_CLASSES), settings).state_dict()
    _check(found, expected, LAYERS[architecture], path)
    rows = [AUTHORS_CLASSES.index(name) for name in classes]
    for part in ("weight", "bias"):
        found[f"head.9.{part}"] = found[f"head.9.{part}"][rows]
    task = Task(tuple(str(name) for name in classes), (0,) * len(classes))
    method = ResEmoteNet(task, settings, TrainSettings(max_epochs=1, batch_size=16))
    method.network.load_state_dict(found)
    return method.eval()


def translate(
    state: Mapping[str, Tensor], layers: Mapping[str, str], unused: tuple[str, ...], path: Path
) -> dict[str, Tensor]:
    """Return a state dict with our names for the authors'.

    Args:
        state: Tensors by the authors' names.
        layers: Our layer's name to the authors'.
        unused: Beginnings of names that are left out.
        path: For the message.

    Raises:
        DataError: A name that the map does not know.
    """
    ours = {theirs: name for name, theirs in layers.items()}
    found = {}
    for key, value in state.items():
        layer, _, part = key.rpartition(".")
        if layer in ours:
            found[f"{ours[layer]}.{part}"] = value
        elif not key.startswith(unused or ("\0",)):
            raise DataError(
                "the checkpoint holds a layer that the authors' network lacks", file=path, value=key
            )
    return found


def _architecture(state: Mapping[str, Tensor]) -> str:
    if any(key.startswith("res_block") for key in state):
        return "resemotenet"
    if any(key.startswith("se.") for key in state):
        return "plain-se"
    return "se" if any(key.startswith("se1.") for key in state) else "plain"


def _check(
    found: Mapping[str, Tensor], expected: Mapping[str, Tensor], layers: Mapping[str, str], path: Path
) -> None:
    for key, value in expected.items():
        layer, _, part = key.rpartition(".")
        theirs = f"{layers[layer]}.{part}"
        if key not in found:
            raise DataError("the checkpoint lacks a tensor of the authors' network", file=path, value=theirs)
        if found[key].shape != value.shape:
            raise DataError(
                f"{theirs} has shape {list(found[key].shape)}, and the authors' seven-class network has "
                f"{list(value.shape)} there",
                file=path,
            )
