"""The layers of gcn: encoders, decoders, the stochastic code and the discriminator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Pool = Literal["max", "average"]


class Gaussian(NamedTuple):
    """A diagonal normal distribution per image.

    Attributes:
        mean: float32 [B, c, h, w].
        log_variance: float32 [B, c, h, w].
    """

    mean: Tensor
    log_variance: Tensor


class Encoder(nn.Module):
    """Stages of convolution, pooling by two, batch norm and ReLU.

    Args:
        stages: Channels of the stages.
        kernel: Side of the convolution kernels, odd.
        pool: Kind of pooling.
        batch_norm: Whether there is a batch norm before every ReLU.
        positions: Whether to return where each maximum was, for a decoder that unpools to there.
    """

    def __init__(
        self, stages: Sequence[int], kernel: int, pool: Pool, batch_norm: bool, *, positions: bool = False
    ) -> None:
        super().__init__()
        self.pool: nn.Module = nn.AvgPool2d(2) if pool == "average" else nn.MaxPool2d(2)
        self.positions = positions
        self.convolutions = nn.ModuleList()
        self.activations = nn.ModuleList()
        for before, after in zip((1, *stages[:-1]), stages, strict=True):
            self.convolutions.append(_convolution(before, after, kernel, batch_norm))
            self.activations.append(_activation(after, batch_norm))

    def forward(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the code [B, c, H/8, W/8] of images [B, 1, H, W], and the positions of each stage."""
        code, positions = image, []
        for convolution, activation in zip(self.convolutions, self.activations, strict=True):
            code = convolution(code)
            # Pooling first makes normalisation four times cheaper, and max pooling commutes with ReLU.
            if self.positions:
                code, at = F.max_pool2d(code, 2, return_indices=True)
                positions.append(at)
            else:
                code = self.pool(code)
            code = activation(code)
        return code, positions


class Decoder(nn.Module):
    """The mirror of `Encoder`: unpooling by two and convolution; the last stage is linear.

    Args:
        stages: Channels of the encoder's stages.
        kernel: Side of the convolution kernels, odd.
        batch_norm: Whether there is a batch norm before every ReLU.
    """

    def __init__(self, stages: Sequence[int], kernel: int, batch_norm: bool) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList()
        self.activations = nn.ModuleList()
        for before, after in zip(reversed(stages), (*reversed(stages[:-1]), 1), strict=True):
            last = after == 1
            self.convolutions.append(_convolution(before, after, kernel, batch_norm and not last))
            self.activations.append(nn.Identity() if last else _activation(after, batch_norm))

    def start_at_zero(self) -> None:
        """Let the first pictures be exactly zero; the last layer learns from the first step on."""
        last = cast(nn.Conv2d, self.convolutions[-1])
        nn.init.zeros_(last.weight)
        if last.bias is not None:
            nn.init.zeros_(last.bias)

    def forward(self, code: Tensor, positions: Sequence[Tensor] = ()) -> Tensor:
        """Return images [B, 1, H, W].

        Args:
            code: [B, c, H/8, W/8].
            positions: Where the encoder's maxima were, first stage first; values go there and the rest is
                zero. Without them each value is repeated.
        """
        for depth, (convolution, activation) in enumerate(
            zip(self.convolutions, self.activations, strict=True)
        ):
            if positions:
                code = convolution(F.max_unpool2d(code, positions[-1 - depth], [2, 2]))
            elif depth < len(self.convolutions) - 1:
                code = convolution(F.interpolate(code, scale_factor=2.0, mode="nearest"))
            else:
                code = convolve_doubled(code, cast(nn.Conv2d, convolution))
            code = activation(code)
        return code


def convolve_doubled(image: Tensor, convolution: nn.Conv2d) -> Tensor:
    """Return the convolution of an image enlarged by repeating each value 2 x 2, computed at the small size.

    Kernel taps that meet the same value are summed beforehand, for each of the four places in a 2 x 2 block;
    the places become output channels (Shi et al., arXiv:1609.07009). The result is the same up to rounding.
    This pays in the last layer of a decoder: convolutions with one output channel and many pixels are slow,
    above all on CPUs.

    Args:
        image: [B, c, H, W].
        convolution: Odd square kernel of side k, padded by k // 2.

    Returns:
        [B, C, 2 H, 2 W].
    """
    kernel = convolution.kernel_size[0]
    radius = kernel // 2
    reach = (radius + 1) // 2

    def met(weight: Tensor, place: int) -> Tensor:
        """Return the taps along the last axis, summed by the value that they meet from this place."""
        before = 2 * reach + place - radius
        padded = F.pad(weight, (before, 4 * reach + 2 - kernel - before))
        return padded.reshape(*padded.shape[:-1], -1, 2).sum(dim=-1)

    across = torch.stack([met(convolution.weight, x) for x in (0, 1)], dim=1).transpose(-1, -2)
    places = torch.stack([met(across, y) for y in (0, 1)], dim=1).transpose(-1, -2)
    bias = None if convolution.bias is None else convolution.bias.repeat_interleave(4)
    return F.pixel_shuffle(F.conv2d(image, places.flatten(0, 2), bias, padding=reach), 2)


class Latent(nn.Module):
    """The stochastic code of a variational auto-encoder (Kingma and Welling, arXiv:1312.6114).

    Two convolutions of size one give the mean and the log-variance of every value of the code. Training
    draws from the distribution; evaluation takes the mean.

    Args:
        channels: Channels of the code.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mean = nn.Conv2d(channels, channels, 1)
        self.log_variance = nn.Conv2d(channels, channels, 1)

    def forward(self, code: Tensor) -> tuple[Tensor, Gaussian]:
        """Return the code to decode [B, c, h, w], and its distribution."""
        # Beyond these bounds exp over- or underflows in half precision.
        spread = self.log_variance(code).float().clamp(-10.0, 10.0)
        latent = Gaussian(self.mean(code).float(), spread)
        if not self.training:
            return latent.mean.to(code.dtype), latent
        drawn = latent.mean + torch.exp(0.5 * spread) * torch.randn_like(latent.mean)
        return drawn.to(code.dtype), latent


class Discriminator(nn.Module):
    """Tell, patch by patch, whether a face is the real reference of the person in another picture.

    It sees both pictures, so that a neutral face of another person is wrong as well. It has no batch norm,
    because real and generated faces come in different batches.

    Args:
        stages: Channels of the stages, each halving the picture.
    """

    def __init__(self, stages: Sequence[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in zip((2, *stages[:-1]), stages, strict=True):
            layers += [nn.Conv2d(before, after, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(stages[-1], 1, 3, padding=1))

    def forward(self, image: Tensor, reference: Tensor) -> Tensor:
        """Return logits [B, 1, H/8, W/8], positive for real, of pairs of images [B, 1, H, W]."""
        logits: Tensor = self.layers(torch.cat([image, reference.to(image.dtype)], dim=1))
        return logits


def _convolution(before: int, after: int, kernel: int, batch_norm: bool) -> nn.Conv2d:
    return nn.Conv2d(before, after, kernel, padding=kernel // 2, bias=not batch_norm)


def _activation(channels: int, batch_norm: bool) -> nn.Module:
    return nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU()) if batch_norm else nn.ReLU()
