"""The network of gcn: a generator of the reference face, a shared contrastive encoder and a classifier."""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple, cast

import torch
from torch import Tensor, nn

from fer_bench.methods.gcn.layers import Decoder, Encoder, Gaussian, Latent, Pool, Unpool

SIZE = 64
"""Height and width of the input (Fig. 3 of the paper)."""

STAGES = (32, 64, 96)
"""Channels of the three encoder stages (Fig. 3); each ends in a pooling by two, so the code is 8 x 8 x 96."""

Distance = Literal["absolute", "squared", "signed"]
GeneratorName = Literal["ae", "vae", "gan", "none"]


class Generated(NamedTuple):
    """What the generator made of a batch.

    Attributes:
        face: The reference face [B, 1, 64, 64], on the scale of the input.
        latent: Distribution of the code, of a VAE only.
    """

    face: Tensor
    latent: Gaussian | None


class Codes(NamedTuple):
    """What Encoder2 made of one flow.

    Attributes:
        code: Not normalised [B, c, 8, 8].
        positions: Where the maxima of each stage were, when the decoder needs it.
        feature: The code at unit length, float32 [B, 64 c].
    """

    code: Tensor
    positions: list[Tensor]
    feature: Tensor


class Flows(NamedTuple):
    """All that the losses need of one forward pass; without a generator there is but the query.

    Attributes:
        logits: float32 [B, C].
        query: The input through Encoder2.
        generated: The generated reference face.
        reference: The generated reference face through Encoder2.
    """

    logits: Tensor
    query: Codes
    generated: Generated | None
    reference: Codes | None


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
        unpool: Kind of unpooling in the decoders; `positions` needs max pooling.
        batch_norm: Whether there is a batch norm before every ReLU of encoders and decoders.
        distance: Element-wise distance of the two features.
        generator: `ae` and `gan` are auto-encoders, `vae` has a stochastic code; `none` leaves the generator
            out and classifies the feature of the input, as if that of the reference were zero.
        shared: Whether both flows have the same Encoder2; else the reference has one of its own.
        reconstructs: Whether there is a Decoder2.
    """

    def __init__(
        self,
        classes: int,
        *,
        width: float = 1.0,
        kernel: int = 3,
        hidden: int = 512,
        pool: Pool = "max",
        unpool: Unpool = "nearest",
        batch_norm: bool = True,
        distance: Distance = "absolute",
        generator: GeneratorName = "ae",
        shared: bool = True,
        reconstructs: bool = True,
    ) -> None:
        super().__init__()
        self.stages = tuple(max(4, round(c * width)) for c in STAGES)
        self.distance = distance
        positions = unpool == "positions"
        draws = generator != "none"

        def encoder(*, decoded: bool) -> Encoder:
            return Encoder(self.stages, kernel, pool, batch_norm, positions=positions and decoded)

        def decoder() -> Decoder:
            return Decoder(self.stages, kernel, batch_norm)

        self.encoder1 = encoder(decoded=True) if draws else None
        self.decoder1 = decoder() if draws else None
        self.latent = Latent(self.stages[-1]) if generator == "vae" else None
        self.encoder2 = encoder(decoded=reconstructs)
        self.encoder2_reference = encoder(decoded=reconstructs) if draws and not shared else None
        self.decoder2 = decoder() if reconstructs else None
        values = self.stages[-1] * (SIZE // 2 ** len(self.stages)) ** 2
        self.classifier = nn.Sequential(nn.Linear(values, hidden), nn.ReLU(), nn.Linear(hidden, classes))

    def compile(self, *arguments: Any, **named: Any) -> None:
        """Compile every part: training calls them one by one, and not this module's `forward`."""
        for part in self.children():
            part.compile(*arguments, **named)

    def generator_parts(self) -> list[nn.Module]:
        """Return the modules that draw the reference face; none without a generator."""
        return [part for part in (self.encoder1, self.latent, self.decoder1) if part is not None]

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return logits [B, C] and the generated reference [B, 1, 64, 64] of grey images [B, 1, 64, 64]."""
        flows = self.flows(image)
        return flows.logits, flows.generated.face if flows.generated is not None else None

    def flows(self, image: Tensor) -> Flows:
        """Return logits and everything on the way to them, for grey images [B, 1, 64, 64]."""
        if self.decoder1 is None:
            query = _codes(*self.encoder2(image))
            return Flows(self._classify(query.feature, torch.zeros_like(query.feature)), query, None, None)
        return self.compare(image, self.generate(image))

    def generate(self, image: Tensor) -> Generated:
        """Return the reference faces that the generator draws of grey images [B, 1, 64, 64]."""
        assert self.encoder1 is not None
        assert self.decoder1 is not None
        code, positions = self.encoder1(image)
        latent = None
        if self.latent is not None:
            code, latent = self.latent(code)
        return Generated(self.decoder1(code, positions), latent)

    def compare(self, image: Tensor, generated: Generated) -> Flows:
        """Return logits and both flows of images [B, 1, 64, 64] and their generated references."""
        face = generated.face.to(image.dtype)
        if self.encoder2_reference is not None:
            query, reference = _codes(*self.encoder2(image)), _codes(*self.encoder2_reference(face))
        else:
            # One batch for both flows: batch statistics of its own would hide how the reference differs.
            code, positions = self.encoder2(torch.cat([image, face]))
            rows = image.shape[0]
            query = _codes(code[:rows], [at[:rows] for at in positions])
            reference = _codes(code[rows:], [at[rows:] for at in positions])
        return Flows(self._classify(query.feature, reference.feature), query, generated, reference)

    def reconstruct(self, query: Codes, reference: Codes) -> tuple[Tensor, Tensor]:
        """Return the images [B, 1, 64, 64] that Decoder2 draws from both flows (training only)."""
        assert self.decoder2 is not None
        code = torch.cat([query.code, reference.code])
        positions = [torch.cat(pair) for pair in zip(query.positions, reference.positions, strict=True)]
        drawn_query, drawn_reference = self.decoder2(code, positions).chunk(2)
        return drawn_query, drawn_reference

    def _classify(self, query: Tensor, reference: Tensor) -> Tensor:
        weight = cast(nn.Linear, self.classifier[0]).weight
        logits: Tensor = self.classifier(contrast(query, reference, self.distance).to(weight.dtype))
        return logits.float()


def _codes(code: Tensor, positions: list[Tensor]) -> Codes:
    return Codes(code, positions, unit_features(code))


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
    ordinary initial weights. Differences are multiplied by sqrt(D), squared ones by D; this only changes the
    unit of the hidden layer's weights.

    Args:
        query: Features of the input, float32 [B, D].
        reference: Features of the reference, float32 [B, D].
        distance: `absolute` is |q - r|, `squared` is (q - r)^2, `signed` is q - r itself, which also says in
            which of the two a feature is stronger.

    Returns:
        The contrastive representation, float32 [B, D].
    """
    with torch.autocast(query.device.type, enabled=False):
        scaled = (query - reference) * math.sqrt(query.shape[1])
        if distance == "signed":
            return scaled
        return scaled.abs() if distance == "absolute" else scaled.square()
