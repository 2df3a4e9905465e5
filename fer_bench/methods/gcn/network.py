"""The network of gcn: a generator of the reference face, a shared contrastive encoder and a classifier."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SIZE = 64
"""Height and width of the input (Fig. 3 of the paper)."""

STAGES = (32, 64, 96)
"""Channels of the three encoder stages (Fig. 3); each ends in a pooling by two, so the code is 8 x 8 x 96."""

Pool = Literal["max", "average"]
Unpool = Literal["nearest", "positions"]
Distance = Literal["absolute", "squared", "signed"]
GeneratorName = Literal["ae", "vae", "gan", "none"]


class Gaussian(NamedTuple):
    """A diagonal normal distribution per image.

    Attributes:
        mean: float32 [B, c, h, w].
        log_variance: float32 [B, c, h, w].
    """

    mean: Tensor
    log_variance: Tensor


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
        generator: `ae` and `gan` are auto-encoders, `vae` has a stochastic code; `none` leaves the generator
            out and classifies the feature of the input, as if that of the reference were zero.
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
        return Generated(self.decoder1(code, positions), latent)

    def compare(self, image: Tensor, generated: Generated) -> Flows:
        """Return logits and both flows of images [B, 1, 64, 64] and their generated references."""
        face = generated.face.to(image.dtype)
        if self.encoder2_reference is not None:
            query, reference = _codes(*self.encoder2(image)), _codes(*self.encoder2_reference(face))
        else:
            # One batch for both flows: separate batch statistics would hide how the reference differs.
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
