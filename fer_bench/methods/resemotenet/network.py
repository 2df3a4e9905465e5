"""The networks of ResEmoteNet and its baselines, and the layer names of the authors' checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fer_bench.emotions import Emotion
from fer_bench.errors import DataError

SIZE = 64
"""Height and width to which the authors' code resizes."""

STEM = (64, 128, 256)
RESIDUAL = (512, 1024, 2048)
HEAD = (1024, 512, 256)
REDUCTION = 16

Baseline = Literal["plain", "plain-se", "se"]


class ResEmoteNetwork(nn.Module):
    """ResEmoteNet as in the authors' code (approach/ResEmoteNet.py): 80,238,599 parameters at 7 classes.

    Args:
        classes: Number of classes C.
        width: Factor on all channels and hidden units.
        stem_dropout: Dropout after the first two convolutions.
        head_dropout: Dropout after each hidden fully connected layer.
    """

    def __init__(
        self, classes: int, *, width: float = 1.0, stem_dropout: float = 0.2, head_dropout: float = 0.5
    ) -> None:
        super().__init__()
        stem, residual, head = (tuple(scaled(c, width) for c in sizes) for sizes in (STEM, RESIDUAL, HEAD))
        self.stem = nn.Sequential(
            *_stem_stage(3, stem[0]),
            nn.Dropout(stem_dropout),
            *_stem_stage(stem[0], stem[1]),
            nn.Dropout(stem_dropout),
            *_stem_stage(stem[1], stem[2]),
        )
        self.attention = SqueezeExcitation(stem[2], max(1, stem[2] // REDUCTION))
        inputs = (stem[2], *residual[:-1])
        self.blocks = nn.Sequential(*(ResidualBlock(i, o) for i, o in zip(inputs, residual, strict=True)))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = _head(residual[-1], head, classes, head_dropout)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits [B, C] of images [B, 3, 64, 64]."""
        maps = self.blocks(self.attention(self.stem(image)))
        logits: Tensor = self.head(self.pool(maps).flatten(1))
        return logits


class SqueezeExcitation(nn.Module):
    """Weight channels by a gate computed from their means; its two layers have no bias.

    Args:
        channels: Channels c of the input.
        squeezed: Units of the hidden layer.
    """

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.Linear(channels, squeezed, bias=False),
            nn.ReLU(),
            nn.Linear(squeezed, channels, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps [B, c, H, W], each channel times its gate."""
        gate: Tensor = self.gate(maps.mean(dim=(2, 3)))
        return maps * gate[:, :, None, None]


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions that halve the size, added to a 1 x 1 convolution of the input.

    Args:
        before: Input channels.
        after: Output channels.
    """

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            Convolution(before, after, 3, stride=2, padding=1),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            Convolution(after, after, 3, padding=1),
            nn.BatchNorm2d(after),
        )
        self.shortcut = nn.Sequential(nn.Conv2d(before, after, 1, stride=2), nn.BatchNorm2d(after))

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps [B, after, H / 2, W / 2] of maps [B, before, H, W]."""
        return torch.relu(self.body(maps) + self.shortcut(maps))


class Convolution(nn.Conv2d):
    """A convolution with a square kernel, computed as a matrix product where it is large and gives one pixel.

    The last block has maps of 2 x 2 and 1 x 1 pixels, where five and eight of a kernel's nine taps only meet
    padding. With 2,048 channels the gradients of these, and the copies of kernels that oneDNN makes for such
    small maps, take most of a training step. The result is the same up to rounding.
    """

    LARGE = 2**20
    """Weights from which on it pays; networks of an eighth of the width keep their convolutions."""

    def forward(self, input: Tensor) -> Tensor:
        """Return maps [B, out, H', W'] of maps [B, in, H, W]."""
        height, width = input.shape[-2:]
        taps, stride, edge = self.kernel_size[0], self.stride[0], int(self.padding[0])
        one_pixel = all((side + 2 * edge - taps) // stride == 0 for side in (height, width))
        if self.weight.numel() < self.LARGE or not one_pixel:
            return super().forward(input)
        # Of kernels that lie in memory as [out, k, k, in]: the gradient then needs no copy in another order.
        met = self.weight.permute(0, 2, 3, 1)[:, edge : edge + height, edge : edge + width]
        maps = input[..., : taps - edge, : taps - edge].permute(0, 2, 3, 1)
        return F.linear(maps.flatten(1), met.flatten(1), self.bias)[:, :, None, None]


def scaled(channels: int, width: float) -> int:
    """Return the channels at a width factor, at least 4."""
    return max(4, round(channels * width))


def _stem_stage(before: int, after: int) -> list[nn.Module]:
    return [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2)]


class BaselineNetwork(nn.Module):
    """The authors' networks without residual blocks, as the commits of their repository have them.

    - `plain` (approach/baseline.py): five convolutions of 64 to 1024 channels; 11,000,327 parameters at 7
      classes.
    - `plain-se` (approach/baseline_se.py, commit 043ece8): the same with a squeeze-and-excitation block
      after the fifth convolution; 11,131,399 parameters.
    - `se` (the same file since commit 165af1e): a block for 512 channels and other hidden layers. As released
      it stops with an error, because the block gets the 1024 channels of the fifth convolution; here that
      convolution is left out. 5,262,855 parameters; with the 4,721,664 that are left out, the authors' class
      has 9,984,519.

    Args:
        classes: Number of classes C.
        kind: Which of them.
        width: Factor on all channels and hidden units.
        stem_dropout: Dropout after each convolution except one followed by a squeeze-and-excitation block.
        head_dropout: Dropout after each hidden fully connected layer.
    """

    def __init__(
        self,
        classes: int,
        kind: Baseline = "plain",
        *,
        width: float = 1.0,
        stem_dropout: float = 0.2,
        head_dropout: float = 0.5,
    ) -> None:
        super().__init__()
        attention = kind != "plain"
        channels = [scaled(c, width) for c in (64, 128, 256, 512, 1024)[: 4 if kind == "se" else 5]]
        hidden = [scaled(c, width) for c in ((1024, 2048, 512) if kind == "se" else (2048, 1024, 512))]
        layers: list[nn.Module] = []
        for before, after in zip((3, *channels[:-1]), channels, strict=True):
            layers += [*_stem_stage(before, after), nn.Dropout(stem_dropout)]
        self.stem = nn.Sequential(*(layers[:-1] if attention else layers))
        last = channels[-1]
        self.attention = SqueezeExcitation(last, max(1, last // REDUCTION)) if attention else nn.Identity()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = _head(last, hidden, classes, head_dropout)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits [B, C] of images [B, 3, 64, 64]."""
        logits: Tensor = self.head(self.pool(self.attention(self.stem(image))).flatten(1))
        return logits


def _head(inputs: int, hidden: Sequence[int], classes: int, dropout: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in zip((inputs, *hidden[:-1]), hidden, strict=True):
        layers += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers, nn.Linear(hidden[-1], classes))


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

_HEAD = {"head.0": "fc1", "head.3": "fc2", "head.6": "fc3", "head.9": "fc4"}
_SE = {"attention.gate.0": "fc.0", "attention.gate.2": "fc.2"}
_BLOCK = {
    "body.0": "conv1",
    "body.1": "bn1",
    "body.3": "conv2",
    "body.4": "bn2",
    "shortcut.0": "shortcut.0",
    "shortcut.1": "shortcut.1",
}


def _stem_names(stages: int) -> dict[str, str]:
    names: dict[str, str] = {}
    for number in range(stages):  # convolution, batch norm, ReLU, pooling, dropout
        names |= {f"stem.{5 * number}": f"conv{number + 1}", f"stem.{5 * number + 1}": f"bn{number + 1}"}
    return names


LAYERS: dict[str, dict[str, str]] = {
    "resemotenet": {
        **_stem_names(3),
        **{ours: f"se.{theirs}" for ours, theirs in _SE.items()},
        **{
            f"blocks.{n}.{ours}": f"res_block{n + 1}.{theirs}"
            for n in range(3)
            for ours, theirs in _BLOCK.items()
        },
        **_HEAD,
    },
    "plain": {**_stem_names(5), **_HEAD},
    "plain-se": {**_stem_names(5), **{ours: f"se.{theirs}" for ours, theirs in _SE.items()}, **_HEAD},
    "se": {**_stem_names(4), **{ours: f"se1.{theirs}" for ours, theirs in _SE.items()}, **_HEAD},
}
"""For each architecture, the authors' layer names by ours (the classes in their folder approach/)."""

UNUSED = {"se": ("conv5.", "bn5.")}
"""Layers of the authors' classes that are left out, see `BaselineNetwork`."""


def architecture_of(state: Mapping[str, Tensor]) -> str:
    """Return the architecture of a state dict by its layer names, which are the authors'."""
    if any(key.startswith("res_block") for key in state):
        return "resemotenet"
    if any(key.startswith("se.") for key in state):
        return "plain-se"
    return "se" if any(key.startswith("se1.") for key in state) else "plain"


def translate(
    state: Mapping[str, Tensor], architecture: str, expected: Mapping[str, Tensor], path: Path
) -> dict[str, Tensor]:
    """Return a state dict with our layer names instead of the authors'.

    Args:
        state: Tensors by the authors' names.
        architecture: See `LAYERS`.
        expected: Tensors of the right shapes by our names.
        path: For messages.

    Raises:
        DataError: A tensor is missing, left over or of another shape.
    """
    layers = LAYERS[architecture]
    ours = {theirs: name for name, theirs in layers.items()}
    found = {}
    for key, value in state.items():
        layer, _, part = key.rpartition(".")
        if layer in ours:
            found[f"{ours[layer]}.{part}"] = value
        elif not key.startswith(UNUSED.get(architecture, ("\0",))):
            raise DataError(
                "the checkpoint holds a layer that the authors' network lacks", file=path, value=key
            )
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
    return found
