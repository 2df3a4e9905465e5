"""Backbones: residual networks built by timm, and pretrained weights that are named, checked and hashed."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from fer_bench.errors import DataError, UsageError, nearest
from fer_bench.files import file_hash
from fer_bench.methods.weights import state_hash

Backbone = Literal["resnet18", "narrow"]
SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt")
PREFIXES = ("module.", "backbone.", "network.")
HEADS = ("fc.", "classifier.", "head.")
TRAINED_ON = {
    "in1k": "ImageNet-1k",
    "in12k": "ImageNet-12k",
    "in21k": "ImageNet-21k",
    "in22k": "ImageNet-22k",
}


@dataclass(frozen=True)
class Pretrained:
    """Pretrained weights.

    Attributes:
        state: Tensors by name.
        sha256: Hash of the file, or of names, shapes and values where timm fetched them.
        trained_on: What they were trained on as far as their name says it, else None.
    """

    state: dict[str, Tensor]
    sha256: str
    trained_on: str | None


def build_backbone(kind: Backbone) -> tuple[nn.Module, int]:
    """Return a residual network from normalised images [B, 3, H, W] to pooled features [B, D], and D.

    `resnet18` is timm's ResNet-18 (11,176,512 parameters, D = 512). `narrow` is timm's class with one block
    per stage of 24 to 192 channels behind a deep stem of three 3 x 3 convolutions, for images of 64 pixels:
    some 10 million multiply-adds, D = 192.

    Args:
        kind: Which one; it is randomly initialised.
    """
    import timm
    from timm.models.resnet import BasicBlock, ResNet

    network: nn.Module
    if kind == "resnet18":
        network = timm.create_model("resnet18", pretrained=False, num_classes=0)
        return network, 512
    channels = (24, 48, 96, 192)
    # A last batch norm that starts at zero, timm's default, learns too slowly in a few hundred steps.
    network = ResNet(
        cast(Any, BasicBlock),  # timm annotates an instance where it wants the class
        (1, 1, 1, 1),
        num_classes=0,
        stem_type="deep",
        stem_width=8,
        channels=channels,
        zero_init_last=False,
    )
    return network, channels[-1]


@cache
def open_pretrained(name: str) -> Pretrained:
    """Read pretrained weights; nothing in them is executed.

    Args:
        name: Path of a safetensors file or of a PyTorch state dict (alone or under `state_dict`, `model` or
            `model_state_dict`), a tower of this package (`clip-tiny-neutral`, whose residual network is
            `narrow`), or a name timm knows, such as `resnet18.a1_in1k` or `hf-hub:organisation/model`.

    Raises:
        UsageError: Neither a file nor a name timm knows.
        DataError: The file is not readable or holds no state dict, or the download failed.
    """
    path = Path(name).expanduser()
    if path.suffix in SUFFIXES or path.exists():
        return Pretrained(_read(path), file_hash(path), None)
    from fer_bench.methods.cafe.tiny import TINY, open_trunk

    return open_trunk(name) if name in TINY else _from_timm(name)


def load_backbone(network: nn.Module, weights: Pretrained, name: str) -> None:
    """Load pretrained weights into a backbone, all of them; classifiers and counters of batches do not count.

    Args:
        network: A backbone.
        weights: What `open_pretrained` returned.
        name: Where they came from, for the message.

    Raises:
        DataError: A tensor is missing, left over or of another shape.
    """
    given = {key: value for key, value in weights.state.items() if not key.startswith(HEADS)}
    own = network.state_dict()
    counters = {key for key in own if key.endswith("num_batches_tracked")}
    for key in sorted((own.keys() | given.keys()) - counters):
        if key not in given or key not in own:
            raise DataError(
                f"the weights {'lack' if key not in given else 'hold'} a tensor that this backbone "
                f"{'has' if key not in given else 'lacks'}",
                file=name,
                value=key,
            )
        if given[key].shape != own[key].shape:
            raise DataError(
                f"{key} has shape {list(given[key].shape)}, and this backbone's has {list(own[key].shape)}",
                file=name,
            )
    network.load_state_dict({key: given.get(key, own[key]) for key in own})


@cache
def fitting_backbone(kind: Backbone, weights: str) -> str:
    """Return the hash of pretrained weights after trying them on, so that no run starts in vain.

    Args:
        kind: Which backbone.
        weights: See `open_pretrained`.

    Raises:
        UsageError: Neither a file nor a name that is known.
        DataError: Not readable, or of another network.
    """
    given = open_pretrained(weights)
    load_backbone(build_backbone(kind)[0], given, weights)
    return given.sha256


def read_state(path: Path) -> dict[str, Tensor]:
    """Read a state dict from a safetensors or PyTorch file, without executing anything in it.

    Raises:
        DataError: The file is absent, unreadable or holds no state dict.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            content: object = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise DataError("there is no such weights file", file=path) from None
    except Exception as error:
        # Damaged files end in errors of many kinds (zip, pickle, header); all mean the same here.
        kind = (
            "holds more than plain weights"
            if isinstance(error, pickle.UnpicklingError)
            else "is not readable"
        )
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(f"the weights file {kind}: {reason}", file=path) from None
    if isinstance(content, dict):
        for key in ("state_dict", "model", "model_state_dict"):
            if isinstance(content.get(key), dict):
                content = content[key]
                break
    if not isinstance(content, dict) or not content:
        raise DataError("the weights file holds no state dict", file=path, value=type(content).__name__)
    state = {str(key): value for key, value in content.items() if isinstance(value, Tensor)}
    if len(state) < len(content):
        strange = next(key for key, value in content.items() if not isinstance(value, Tensor))
        raise DataError("the state dict holds something that is no tensor", file=path, value=strange)
    return state


def _read(path: Path) -> dict[str, Tensor]:
    state = read_state(path)
    for prefix in PREFIXES:
        if all(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def _from_timm(name: str) -> Pretrained:
    import timm

    if not name.startswith("hf-hub:") and not timm.is_model_pretrained(name):
        raise UsageError(
            "no such weights file, and timm has no pretrained model of that name",
            value=name,
            hint=nearest(name, timm.list_pretrained(f"{name.split('.')[0]}*") or ["resnet18.a1_in1k"]),
        )
    try:
        model = timm.create_model(name, pretrained=True, num_classes=0)
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"the weights cannot be downloaded: {str(error).splitlines()[0]}",
            value=name,
            hint="without network, copy them here and name the file: --set method.weights=FILE",
        ) from None
    state = model.state_dict()
    tags = name.split(":")[-1].replace(".", "_").split("_")
    trained_on = " and ".join(TRAINED_ON[tag] for tag in tags if tag in TRAINED_ON) or None
    return Pretrained(state, state_hash(state), trained_on)
