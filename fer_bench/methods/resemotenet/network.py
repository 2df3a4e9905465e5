"""The network of ResEmoteNet: three convolutions, a squeeze-and-excitation block, three residual blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

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
    """Weigh channels by a gate computed from their means; its two layers have no bias.

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
            nn.Conv2d(before, after, 3, stride=2, padding=1),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            nn.Conv2d(after, after, 3, padding=1),
            nn.BatchNorm2d(after),
        )
        self.shortcut = nn.Sequential(nn.Conv2d(before, after, 1, stride=2), nn.BatchNorm2d(after))

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps [B, after, H / 2, W / 2] of maps [B, before, H, W]."""
        return torch.relu(self.body(maps) + self.shortcut(maps))


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
      behind the fifth convolution; 11,131,399 parameters.
    - `se` (the same file since commit 165af1e): a block for 512 channels and other hidden layers. As released
      it stops with an error, because the block stands behind the 1024 channels of the fifth convolution; here
      the fifth convolution is left out. 5,262,855 parameters; with the 4,721,664 that are left out, the
      authors' class counts 9,984,519.

    Args:
        classes: Number of classes C.
        kind: Which of them.
        width: Factor on all channels and hidden units.
        stem_dropout: Dropout after each convolution but one that a squeeze-and-excitation block follows.
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
