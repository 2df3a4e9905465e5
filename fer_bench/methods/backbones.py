"""Backbones: residual networks built by timm, and pretrained weights loaded into them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, cast

from torch import Tensor, nn

from fer_bench.errors import DataError, one_line
from fer_bench.methods.weights import SHIPPED, Pretrained, open_weights, shipped

Backbone = Literal["resnet18", "narrow"]
HEADS = ("fc.", "classifier.", "head.")
RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
"""Networks that torchvision and timm share under one name."""


def build_backbone(kind: Backbone) -> tuple[nn.Module, int]:
    """Return a residual network from normalised images [B, 3, H, W] to pooled features [B, D], and D.

    `resnet18` is timm's ResNet-18 (11,176,512 parameters, D = 512), which starts as torchvision's does, see
    `timm_start`. `narrow` is timm's class with one block per stage of 24 to 192 channels behind a deep stem
    of three 3 x 3 convolutions, for images of 64 pixels: some 10 million multiply-adds, D = 192.

    Args:
        kind: Which one; it is randomly initialised.
    """
    import timm
    from timm.models.resnet import BasicBlock, ResNet

    network: nn.Module
    if kind == "resnet18":
        network = timm.create_model("resnet18", pretrained=False, num_classes=0, **timm_start("resnet18"))
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


def timm_start(name: str) -> dict[str, Any]:
    """Return what timm must be told so that a random residual network starts as torchvision's does.

    Both draw convolutions from He's normal distribution by outputs. timm sets the last batch norm of each
    block to zero besides, so that blocks start as identities; torchvision, and with it the released code of
    the methods here, sets it to one.

    Args:
        name: Name of a network, with or without that of its weights.
    """
    return {"zero_init_last": False} if name.split(".")[0] in RESNETS else {}


@cache
def open_pretrained(name: str, **options: Any) -> Pretrained:
    """Read the pretrained weights of a backbone without executing anything in them.

    Args:
        name: See `open_weights`, or a tower of this package (`clip-tiny-neutral`), whose residual network is
            `narrow`.
        **options: Passed on to `timm.create_model`, where timm fetches them.

    Raises:
        UsageError: Neither a file nor a name that is known.
        DataError: Not readable, no state dict, or the download failed.
    """
    if name not in SHIPPED:
        return open_weights(name, "backbone", setting="weights", num_classes=0, **options)
    tower, prefix = shipped(name).open(), "tower.trunk."
    trunk = {k.removeprefix(prefix): v for k, v in tower.state.items() if k.startswith(prefix)}
    return Pretrained(trunk, tower.sha256)


def as_named_by_timm(network: nn.Module, state: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """Return weights with the tensor names and shapes of one of timm's networks.

    timm knows the names that the authors' own files have, and resizes position embeddings.

    Args:
        network: The network.
        state: Its weights, as the file has them.
        name: Where they came from, for messages.

    Raises:
        DataError: They are of another network.
    """
    convert = getattr(sys.modules[type(network).__module__], "checkpoint_filter_fn", None)
    if convert is None:
        return dict(state)
    try:
        return dict(convert(dict(state), network))
    except (KeyError, RuntimeError, AttributeError, ValueError, IndexError) as error:
        raise DataError(f"these are not the weights of this network: {one_line(error)}", file=name) from None


def load_backbone(network: nn.Module, weights: Pretrained, name: str) -> None:
    """Load pretrained weights into a backbone; classifiers and batch counters may be missing or left over.

    Args:
        network: A backbone.
        weights: What `open_pretrained` returned.
        name: Where they came from, for messages.

    Raises:
        DataError: A tensor is missing, left over or of another shape.
    """
    own = network.state_dict()
    # A norm under `head.` belongs to some of timm's backbones.
    given = {key: value for key, value in weights.state.items() if key in own or not key.startswith(HEADS)}
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
    """Return the hash of pretrained weights after a trial load, so that a misfit shows before any run starts.

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
