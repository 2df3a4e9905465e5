"""The network of erm: a backbone of timm or of this package, dropout, and a linear layer."""

from __future__ import annotations

from functools import cache
from typing import Any, cast

import torch
from torch import Tensor, nn

from fer_bench.config import InputSpec
from fer_bench.data.loading.features import encode
from fer_bench.errors import UsageError, nearest, one_line
from fer_bench.methods.backbones import build_backbone, timm_start

OWN = ("small", "narrow")
"""Backbones of this package."""
TIMM_SOURCES = ("hf-hub:", "hf_hub:", "local-dir:")
"""What a name begins with that timm looks up elsewhere than in its list of architectures."""
HALVINGS = 4


class SmallBackbone(nn.Module):
    """Four 3 x 3 convolutions, each with batch norm, ReLU and max pooling, for faces of some 48 pixels.

    Every picture is standardised first: zero mean and unit deviation over its pixels and channels. With 16
    channels at 48 pixels: 97,680 parameters, 9.0 million multiply-adds, D = 1152.

    Args:
        size: Height and width of the input, at least 16.
        width: Channels of the first convolution; each further one has twice as many.
    """

    def __init__(self, size: int, width: int = 16) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for channels in (width * 2**number for number in range(HALVINGS)):
            layers += [
                nn.Conv2d(before, channels, 3, padding=1, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU(inplace=True),
                nn.MaxPool2d(2),
            ]
            before = channels
        self.features = nn.Sequential(*layers, nn.Flatten())
        self.num_features = before * (size // 2**HALVINGS) ** 2

    def forward(self, image: Tensor) -> Tensor:
        """Return features [B, D] of images [B, 3, H, W]."""
        features: Tensor = self.features(standardise(image))
        return features


def standardise(image: Tensor) -> Tensor:
    """Return pictures [B, 3, H, W] with zero mean and unit deviation each."""
    deviation = image.std((1, 2, 3), keepdim=True)
    return (image - image.mean((1, 2, 3), keepdim=True)) / (deviation + 1e-4)


class ERMNetwork(nn.Module):
    """A backbone, dropout and a linear layer.

    With ResNet-18 and seven classes: 11,176,512 + 3,591 parameters.

    Args:
        classes: Number of classes C.
        backbone: A name of timm, `small` or `narrow`.
        size: Height and width of the input.
        width: Channels of the first convolution of `small`.
        dropout: Dropout on the features.
        frozen: Whether the backbone stays in evaluation mode and gets no gradients.

    Raises:
        UsageError: No such backbone, or it does not take pictures of this size.
    """

    def __init__(
        self,
        classes: int,
        *,
        backbone: str,
        size: int,
        width: int = 16,
        dropout: float = 0.0,
        frozen: bool = False,
    ) -> None:
        super().__init__()
        self.backbone, features = build_any_backbone(backbone, size, width)
        self.frozen = frozen
        if frozen:
            self.backbone.requires_grad_(False)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(features, classes)
        self.train(self.training)

    def train(self, mode: bool = True) -> ERMNetwork:
        """Set the mode; a frozen backbone stays in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self

    def forward(self, image: Tensor, known: Tensor | None = None) -> Tensor:
        """Return logits [B, C] of normalised images [B, 3, H, W].

        Args:
            image: The images.
            known: Features of the backbone for them [B, D], if they are known already.
        """
        if known is None:
            known = encode(self.backbone, image) if self.frozen else self.backbone(image)
        features = known
        logits: Tensor = self.head(self.dropout(features))
        return logits


def build_any_backbone(name: str, size: int, width: int = 16) -> tuple[nn.Module, int]:
    """Return a randomly initialised backbone from images [B, 3, H, W] to features [B, D], and D.

    Args:
        name: A name of timm, `small` or `narrow`.
        size: Height and width of the input.
        width: Channels of the first convolution of `small`.

    Raises:
        UsageError: No such backbone, or it does not take pictures of this size.
    """
    if name == "small":
        small = SmallBackbone(size, width)
        return small, small.num_features
    if name == "narrow":
        return build_backbone("narrow")
    import timm

    _refuse_unknown(name)
    try:
        how = timm_options(name, size) | timm_start(name)
        network: Any = timm.create_model(name, pretrained=False, num_classes=0, **how)
    except (AssertionError, ValueError, RuntimeError) as error:
        raise UsageError(
            f"{name} cannot be built for pictures of {size} pixels: {one_line(error)}", value=size
        ) from None
    return network, int(getattr(network, "head_hidden_size", network.num_features))


def timm_options(name: str, size: int) -> dict[str, Any]:
    """Return what timm must be told to build a backbone for pictures of a size."""
    import timm

    config = timm.get_pretrained_cfg(name, allow_unregistered=True) if name not in OWN else None
    return {"img_size": size} if config is not None and config.fixed_input_size else {}


def weights_of(name: str) -> str | None:
    """Return the full name of the pretrained weights that timm has for a backbone, None without any."""
    import timm

    if name in OWN or not timm.is_model_pretrained(name):
        return None
    config = timm.get_pretrained_cfg(name)
    return f"{config.architecture}.{config.tag}" if config is not None and config.tag else name


def picture_spec(name: str, size: int) -> InputSpec:
    """Return size, mean and deviation of the pictures that a backbone wants.

    Those of timm's weights; ImageNet's for the backbones of this package, and for networks without weights.
    """
    if name in OWN:
        return InputSpec(size=size)
    import timm

    config = timm.get_pretrained_cfg(name, allow_unregistered=True) if timm.is_model(name) else None
    if config is None or not config.has_weights:
        return InputSpec(size=size)
    mean, std = (cast(tuple[float, float, float], tuple(map(float, v))) for v in (config.mean, config.std))
    return InputSpec(size=size, mean=mean, std=std)


@cache
def check_backbone(name: str, size: int, width: int) -> None:
    """Build a backbone and show it one picture, so that a misfit shows before any run starts.

    Raises:
        UsageError: No such backbone, or it does not take pictures of this size.
    """
    network, features = build_any_backbone(name, size, width)
    try:
        with torch.no_grad():
            found = network.eval()(torch.zeros(1, 3, size, size))
    except (AssertionError, ValueError, RuntimeError) as error:
        raise UsageError(
            f"{name} does not take pictures of {size} pixels: {one_line(error)}",
            value=size,
            hint="--set method.size=224",
        ) from None
    if found.shape != (1, features):
        raise UsageError(
            f"{name} does not end in one feature vector per picture", value=f"output {list(found.shape)}"
        )


def _refuse_unknown(name: str) -> None:
    import timm

    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        near = nearest(name, [*OWN, *timm.list_models()])
        others = f"{' or '.join(OWN)}, or a name of timm: python -c 'import timm; print(timm.list_models())'"
        raise UsageError("no such backbone", value=name, hint=others if near.startswith("known") else near)
    tags = [known.partition(".")[2] for known in timm.list_pretrained(f"{architecture}.*")]
    if tag and tag not in tags:
        near = nearest(name, [f"{architecture}.{known}" for known in tags] or [architecture])
        raise UsageError(f"timm has no such weights of {architecture}", value=name, hint=near)
