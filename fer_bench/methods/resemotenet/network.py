"""The network of ResEmoteNet: three convolutions, a squeeze-and-excitation block, three residual blocks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

SIZE = 64
"""Height and width to which the authors' code resizes."""

STEM = (64, 128, 256)
RESIDUAL = (512, 1024, 2048)
HEAD = (1024, 512, 256)
REDUCTION = 16


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
        layers: list[nn.Module] = []
        for before, after in zip((residual[-1], *head[:-1]), head, strict=True):
            layers += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(head_dropout)]
        self.head = nn.Sequential(*layers, nn.Linear(head[-1], classes))

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
