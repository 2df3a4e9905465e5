"""The network of gcn: a generator of the reference face, a shared contrastive encoder and a classifier."""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fer_bench.methods.gcn.layers import Decoder, Encoder, Gaussian, Latent, Pool

SIZE = 64
"""Height and width of the input (Fig. 3 of the paper)."""

STAGES = (32, 64, 96)
"""Channels of the three encoder stages (Fig. 3); each ends in a pooling by two, so the code is 8 x 8 x 96."""

Unpool = Literal["nearest", "positions"]
Distance = Literal["absolute", "squared", "signed"]
GeneratorName = Literal["residual", "ae", "vae", "gan", "none"]

CHANGE = 1.0
"""Largest change of a pixel that a residual generator draws, of values in [-1, 1]."""


class Generated(NamedTuple):
    """The generator's output for a batch.

    Attributes:
        face: The reference face [B, 1, 64, 64], on the scale of the input.
        latent: Distribution of the code, for a VAE only.
    """

    face: Tensor
    latent: Gaussian | None


class Codes(NamedTuple):
    """Encoder2's output for one flow.

    Attributes:
        code: Not normalised [B, c, 8, 8].
        positions: Where the maxima of each stage were, if the decoder needs that.
        feature: The code at unit length, float32 [B, 64 c].
    """

    code: Tensor
    positions: list[Tensor]
    feature: Tensor


class Flows(NamedTuple):
    """The outputs of a forward pass that the losses need; without a generator only those of the query.

    Attributes:
        logits: float32 [B, C].
        query: The input through Encoder2.
        generated: The generated reference face.
        reference: The reference face through Encoder2: the generated one, or a real one in its place.
        neutral: The true neutral frame through Encoder2, where it is a flow of its own.
        neutral_logits: float32 [B, C], beside the true neutral frame.
    """

    logits: Tensor
    query: Codes
    generated: Generated | None
    reference: Codes | None
    neutral: Codes | None = None
    neutral_logits: Tensor | None = None


class GCNNetwork(nn.Module):
    """The generative-contrastive network (Fig. 1 and Fig. 3 of the paper).

    Encoder1 and Decoder1 draw the reference face of the person in the input. The contrastive Encoder2, one
    set of weights for both flows, describes input and reference by unit-length features; their element-wise
    distance is classified by two fully connected layers. Decoder2 serves the reconstruction loss only;
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
        generator: `residual` draws a bounded change that is added to the input, and starts as the identity;
            `ae` and `gan` are auto-encoders, `vae` has a stochastic code; `none` leaves the generator out and
            classifies the feature of the input, as if that of the reference were zero.
        shared: Whether both flows share one Encoder2; else the reference has a separate one.
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
        draws, self.adds = generator != "none", generator == "residual"

        def encoder(*, decoded: bool) -> Encoder:
            return Encoder(self.stages, kernel, pool, batch_norm, positions=positions and decoded)

        def decoder() -> Decoder:
            return Decoder(self.stages, kernel, batch_norm)

        self.encoder1 = encoder(decoded=True) if draws else None
        self.decoder1 = decoder() if draws else None
        if self.decoder1 is not None and self.adds:
            self.decoder1.start_at_zero()
        self.latent = Latent(self.stages[-1]) if generator == "vae" else None
        self.encoder2 = encoder(decoded=reconstructs)
        self.encoder2_reference = encoder(decoded=reconstructs) if draws and not shared else None
        self.decoder2 = decoder() if reconstructs else None
        values = self.stages[-1] * (SIZE // 2 ** len(self.stages)) ** 2
        self.classifier = nn.Sequential(nn.Linear(values, hidden), nn.ReLU(), nn.Linear(hidden, classes))

    def compile(self, *arguments: Any, **named: Any) -> None:
        """Compile each part, because training calls the parts and not this module's `forward`."""
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
        """Return logits and intermediate results for grey images [B, 1, 64, 64]."""
        if self.decoder1 is None:
            query = _codes(*self.encoder2(image))
            return Flows(self._classify(query.feature, torch.zeros_like(query.feature)), query, None, None)
        return self.compare(image, self.generate(image))

    def generate(self, image: Tensor) -> Generated:
        """Return the reference faces that the generator draws from grey images [B, 1, 64, 64]."""
        assert self.encoder1 is not None
        assert self.decoder1 is not None
        code, positions = self.encoder1(image)
        latent = None
        if self.latent is not None:
            code, latent = self.latent(code)
        drawn = self.decoder1(code, positions)
        return Generated(image + CHANGE * torch.tanh(drawn) if self.adds else drawn, latent)

    def compare(
        self,
        image: Tensor,
        generated: Generated,
        *,
        instead: Tensor | None = None,
        neutral: Tensor | None = None,
    ) -> Flows:
        """Return logits and the flows of images [B, 1, 64, 64] and their references.

        Args:
            image: The input.
            generated: The generated references.
            instead: References that are compared instead of the generated ones.
            neutral: True neutral frames, as a third flow.
        """
        faces = [(generated.face if instead is None else instead).to(image.dtype)]
        faces += [] if neutral is None else [neutral]
        rows, apart = image.shape[0], self.encoder2_reference
        if apart is not None:
            flows = [_codes(*self.encoder2(image)), *_split(apart(torch.cat(faces)), rows, len(faces))]
        else:
            # One batch for all flows: separate batch statistics would hide how the reference differs.
            flows = _split(self.encoder2(torch.cat([image, *faces])), rows, 1 + len(faces))
        query, reference, *true = flows
        logits = self._classify(query.feature, reference.feature)
        if not true:
            return Flows(logits, query, generated, reference)
        beside = self._classify(query.feature, true[0].feature)
        return Flows(logits, query, generated, reference, true[0], beside)

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


def _split(encoded: tuple[Tensor, list[Tensor]], rows: int, flows: int) -> list[Codes]:
    """Return the codes of flows that were encoded as one batch, of equally many rows each."""
    code, positions = encoded
    parts = [slice(flow * rows, (flow + 1) * rows) for flow in range(flows)]
    return [_codes(code[part], [at[part] for at in positions]) for part in parts]


def unit_features(code: Tensor) -> Tensor:
    """Return codes [B, c, h, w] flattened to [B, c h w] and scaled to unit length, in float32.

    Half precision would round away the small differences that are classified, so autocast is off here.
    """
    with torch.autocast(code.device.type, enabled=False):
        features: Tensor = F.normalize(code.float().flatten(1), dim=1, eps=1e-6)
        return features


def contrast(query: Tensor, reference: Tensor, distance: Distance) -> Tensor:
    """Return the element-wise distance of two unit-length features, scaled to values around one.

    A value of a unit-length feature of size D is about 1 / sqrt(D), too small an input for a layer with
    ordinary initial weights. Differences are multiplied by sqrt(D), squared ones by D, which only changes the
    scale of the hidden layer's weights.

    Args:
        query: Features of the input, float32 [B, D].
        reference: Features of the reference, float32 [B, D].
        distance: `absolute` is |q - r|, `squared` is (q - r)^2, `signed` is q - r, which also says in
            which of the two a feature is stronger.

    Returns:
        The contrastive representation, float32 [B, D].
    """
    with torch.autocast(query.device.type, enabled=False):
        scaled = (query - reference) * math.sqrt(query.shape[1])
        if distance == "signed":
            return scaled
        return scaled.abs() if distance == "absolute" else scaled.square()
