"""The network of gcn: a generator of the reference face, a shared contrastive encoder and a classifier."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

SIZE = 64
"""Height and width of the input (Fig. 3 of the paper)."""

STAGES = (32, 64, 96)
"""Channels of the three encoder stages (Fig. 3); each ends in a pooling by two, so the code is 8 x 8 x 96."""

Pool = Literal["max", "average"]
Distance = Literal["absolute", "squared"]


class Flows(NamedTuple):
    """All that the losses need of one forward pass.

    Attributes:
        logits: float32 [B, C].
        reference: Generated reference face [B, 1, 64, 64], on the scale of the input.
        query_code: Encoder2 of the input [B, c, 8, 8], not normalised.
        reference_code: Encoder2 of the generated reference [B, c, 8, 8], not normalised.
        query_feature: `query_code` at unit length, float32 [B, 64 c].
        reference_feature: `reference_code` at unit length, float32 [B, 64 c].
    """

    logits: Tensor
    reference: Tensor
    query_code: Tensor
    reference_code: Tensor
    query_feature: Tensor
    reference_feature: Tensor


class GCNNetwork(nn.Module):
    """The generative-contrastive network (Fig. 1 and Fig. 3 of the paper).

    Encoder1 and Decoder1 draw the reference face of the person in the input. The contrastive Encoder2, one
    set of weights for both flows, describes input and reference by unit-length features; their element-wise
    distance is classified by two fully connected layers. Decoder2 is there for the reconstruction loss only:
    `forward` never runs it.

    Args:
        classes: Number of classes C.
        width: Factor on the channels of Fig. 3.
        kernel: Side of the convolution kernels, odd.
        hidden: Units of the hidden fully connected layer.
        pool: Kind of pooling in the encoders.
        batch_norm: Whether there is a batch norm before every ReLU of encoders and decoders.
        distance: Element-wise distance of the two features.
    """

    def __init__(
        self,
        classes: int,
        *,
        width: float = 1.0,
        kernel: int = 3,
        hidden: int = 512,
        pool: Pool = "max",
        batch_norm: bool = True,
        distance: Distance = "absolute",
    ) -> None:
        super().__init__()
        stages = tuple(max(4, round(c * width)) for c in STAGES)
        self.encoder1 = encoder(stages, kernel, pool, batch_norm)
        self.decoder1 = decoder(stages, kernel, batch_norm)
        self.encoder2 = encoder(stages, kernel, pool, batch_norm)
        self.decoder2 = decoder(stages, kernel, batch_norm)
        self.distance = distance
        values = stages[-1] * (SIZE // 2 ** len(stages)) ** 2
        self.classifier = nn.Sequential(nn.Linear(values, hidden), nn.ReLU(), nn.Linear(hidden, classes))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits [B, C] and the generated reference [B, 1, 64, 64] of grey images [B, 1, 64, 64]."""
        flows = self.flows(image)
        return flows.logits, flows.reference

    def flows(self, image: Tensor) -> Flows:
        """Return logits and everything on the way to them, for grey images [B, 1, 64, 64]."""
        reference = self.decoder1(self.encoder1(image))
        # One batch for both flows: batch statistics of its own would hide how the reference differs.
        codes = self.encoder2(torch.cat([image, reference.to(image.dtype)]))
        query_code, reference_code = codes[: image.shape[0]], codes[image.shape[0] :]
        query, generated = unit_features(query_code), unit_features(reference_code)
        delta = contrast(query, generated, self.distance)
        logits = self.classifier(delta).float()
        return Flows(logits, reference, query_code, reference_code, query, generated)

    def reconstruct(self, code: Tensor) -> Tensor:
        """Return the images [B, 1, 64, 64] that Decoder2 draws from codes [B, c, 8, 8] (training only)."""
        image: Tensor = self.decoder2(code)
        return image


def unit_features(code: Tensor) -> Tensor:
    """Return codes [B, c, h, w] flattened to [B, c h w] and scaled to unit length, in float32.

    Half precision would round away the small differences that are classified, so autocast is off here.
    """
    with torch.autocast(code.device.type, enabled=False):
        features: Tensor = nn.functional.normalize(code.float().flatten(1), dim=1, eps=1e-6)
        return features


def contrast(query: Tensor, reference: Tensor, distance: Distance) -> Tensor:
    """Return the element-wise distance of two unit-length features, scaled to values around one.

    A value of a unit-length feature with D values is about 1 / sqrt(D), too small an input for a layer with
    ordinary initial weights. Absolute distances are multiplied by sqrt(D), squared ones by D; this only
    changes the unit of the hidden layer's weights.

    Args:
        query: Features of the input, float32 [B, D].
        reference: Features of the reference, float32 [B, D].
        distance: `absolute` is |q - r|, `squared` is (q - r)^2.

    Returns:
        The contrastive representation, float32 [B, D].
    """
    with torch.autocast(query.device.type, enabled=False):
        scaled = (query - reference).abs() * math.sqrt(query.shape[1])
        return scaled if distance == "absolute" else scaled.square()


def encoder(stages: tuple[int, ...], kernel: int, pool: Pool, batch_norm: bool) -> nn.Sequential:
    """Return stages of convolution, pooling by two, batch norm and ReLU: [B, 1, 64, 64] to [B, c, 8, 8]."""
    layers: list[nn.Module] = []
    before = 1
    for channels in stages:
        convolution, *rest = _convolution(before, channels, kernel, batch_norm)
        # Pooling first costs a quarter of the normalisation, and max pooling commutes with ReLU.
        layers += [convolution, nn.MaxPool2d(2) if pool == "max" else nn.AvgPool2d(2), *rest]
        before = channels
    return nn.Sequential(*layers)


def decoder(stages: tuple[int, ...], kernel: int, batch_norm: bool) -> nn.Sequential:
    """Return the mirror of `encoder`: doubling and convolution, [B, c, 8, 8] to [B, 1, 64, 64].

    The last convolution draws the image and is linear.
    """
    layers: list[nn.Module] = []
    for before, after in zip(reversed(stages), (*reversed(stages[:-1]), 1), strict=True):
        layers.append(nn.Upsample(scale_factor=2, mode="nearest"))
        if after == 1:
            layers.append(nn.Conv2d(before, 1, kernel, padding=kernel // 2))
        else:
            layers += _convolution(before, after, kernel, batch_norm)
    return nn.Sequential(*layers)


def _convolution(before: int, after: int, kernel: int, batch_norm: bool) -> list[nn.Module]:
    convolution = nn.Conv2d(before, after, kernel, padding=kernel // 2, bias=not batch_norm)
    return [convolution, *([nn.BatchNorm2d(after)] if batch_norm else []), nn.ReLU()]
