"""The network of CAFE: a trained residual network chooses channels of a frozen image tower."""

from __future__ import annotations

from functools import cache
from typing import Any, Literal, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fer_bench.config import InputSpec
from fer_bench.data.loading.features import encode
from fer_bench.errors import UsageError, nearest
from fer_bench.methods.backbones import Backbone, as_named_by_timm, build_backbone, load_backbone
from fer_bench.methods.weights import SHIPPED, Pretrained, open_weights, shipped

MaskKind = Literal["sigmoid", "linear", "none", "alone"]
DEFAULT_TOWER = "vit_base_patch32_clip_quickgelu_224.openai"
"""The authors' tower. OpenAI trained it with QuickGELU, which timm lists under a separate name."""
TINY_INPUT = InputSpec(size=64)
"""The pictures that the shipped towers were trained on."""


class TinyTower(nn.Module):
    """The shipped towers: the narrow residual network and a projection into the space shared with captions.

    690,568 + 36,864 parameters.
    """

    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.width = build_backbone("narrow")
        self.project = nn.Linear(self.width, self.width, bias=False)

    def forward(self, image: Tensor) -> Tensor:
        """Return embeddings [B, 192], not of unit length, of normalised images [B, 3, H, W]."""
        embedding: Tensor = self.project(self.trunk(image))
        return embedding


def tower_spec(name: str) -> InputSpec:
    """Return the pictures that a tower was trained on: their size, mean and standard deviation.

    Raises:
        UsageError: Neither a tower of the package nor a CLIP tower of timm.
    """
    if name in SHIPPED:
        return TINY_INPUT
    config = _timm_config(name)
    mean, std = (cast(tuple[float, float, float], tuple(map(float, v))) for v in (config.mean, config.std))
    return InputSpec(size=config.input_size[1], mean=mean, std=std)


def build_tower(name: str) -> tuple[nn.Module, int]:
    """Return a tower with random weights, from images [B, 3, H, W] to embeddings [B, D], and D.

    Args:
        name: `clip-tiny`, `clip-tiny-neutral`, or a CLIP tower of timm whose head is the projection into the
            space shared with texts, such as `vit_base_patch32_clip_quickgelu_224.openai` (D = 512).

    Raises:
        UsageError: No such tower.
    """
    if name in SHIPPED:
        tower = TinyTower()
        return tower, tower.width
    import timm

    width = int(_timm_config(name).num_classes)
    return timm.create_model(name, pretrained=False), width


@cache
def open_tower(name: str) -> Pretrained:
    """Read the weights of a tower without executing anything in them.

    Args:
        name: A tower of the package, or see `open_weights`.

    Raises:
        UsageError: Neither a file, a folder nor a name that is known.
        DataError: Not readable, no state dict, or the download failed.
        StoreError: The package's own file is damaged.
    """
    return shipped(name).open() if name in SHIPPED else open_weights(name, "tower", setting="clip_weights")


def load_tower(tower: nn.Module, given: Pretrained, name: str) -> None:
    """Load weights into a tower, with the tensor names of timm, open_clip or OpenAI.

    Args:
        tower: What `build_tower` returned.
        given: What `open_tower` returned.
        name: Where the weights came from, for messages.

    Raises:
        DataError: A tensor is missing, left over or of another shape.
    """
    if isinstance(tower, TinyTower):
        state = {k.removeprefix("tower."): v.float() for k, v in given.state.items() if k != "prompts"}
    else:
        state = as_named_by_timm(tower, given.state, name)
    inner = {f"tower.{key}": value.float() for key, value in state.items() if isinstance(value, Tensor)}
    # The prefix keeps `head.`, which is the projection here, from being skipped as a classifier.
    load_backbone(nn.ModuleDict({"tower": tower}), Pretrained(inner, given.sha256), name)


@cache
def fitting_tower(name: str, weights: str) -> str:
    """Return the hash of a tower's weights after a trial load, so that a misfit shows before any run starts.

    Args:
        name: See `build_tower`.
        weights: See `open_tower`.

    Raises:
        UsageError: No such tower, or neither a file, a folder nor a name that is known.
        DataError: Not readable, or of another network.
    """
    tower_spec(name)  # whether there is such a tower, before its weights are searched for
    given = open_tower(weights)
    load_tower(build_tower(name)[0], given, weights)
    return given.sha256


def _timm_config(name: str) -> Any:
    """Return timm's description of a CLIP tower."""
    import timm

    architecture, _, tag = name.partition(".")
    tags = {known.partition(".")[2] for known in timm.list_pretrained(f"{architecture}.*")}
    known = timm.is_model(architecture) and (not tag or tag in tags)
    if not known or "clip" not in name or "_ft_" in tag:
        why = "a tower fine-tuned as a classifier has no projection" if "_ft_" in tag else None
        options = [*SHIPPED, *(n for n in timm.list_pretrained("*clip*") if "_ft_" not in n)]
        raise UsageError("no such CLIP tower", value=name, hint=why or nearest(name, options))
    config = timm.get_pretrained_cfg(name)
    if config is None or config.num_classes < 1:
        raise UsageError("this tower has no projection into the space shared with texts", value=name)
    return config


class Outputs(NamedTuple):
    """What the network returns.

    Attributes:
        logits: Of the head, float32 [B, C].
        feature: What the head sees, float32 [B, D].
        mask: What the tower's feature was multiplied by [B, D], or None.
    """

    logits: Tensor
    feature: Tensor
    mask: Tensor | None


class FrozenTower(nn.Module):
    """An image tower that is never trained: no gradients, always in evaluation mode and in 32 bits.

    It gets pictures of the size that it was trained on; others are resized.

    Args:
        name: Which tower, see `build_tower`.
        given: Normalisation of the images that come in.
        wanted: Normalisation that the encoder gets; None leaves images as they are.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, name: str, *, given: InputSpec, wanted: InputSpec | None = None) -> None:
        super().__init__()
        self.encoder, self.width = build_tower(name)
        self.side = tower_spec(name).size
        self.requires_grad_(False)
        own = wanted or given
        mean, std, own_mean, own_std = (
            torch.tensor(values).view(1, 3, 1, 1) for values in (given.mean, given.std, own.mean, own.std)
        )
        self.register_buffer("scale", std / own_std, persistent=False)
        self.register_buffer("shift", (mean - own_mean) / own_std, persistent=False)
        self.train(False)

    def train(self, mode: bool = True) -> FrozenTower:
        """Stay in evaluation mode, whatever the mode asked for."""
        return super().train(False)

    def forward(self, image: Tensor) -> Tensor:
        """Return features [B, D] of images [B, 3, H, W], not of unit length, as in the authors' code."""
        return encode(self.encoder, resized(image * self.scale + self.shift, self.side))


class CAFENetwork(nn.Module):
    """CAFE as in the authors' code (ours_CAFE.py).

    With ResNet-18, CLIP ViT-B/32 and 7 classes it has 11,180,103 trainable parameters.

    Args:
        classes: Number of classes C.
        tower: The frozen tower.
        backbone: Network of the mask.
        mask: `sigmoid` is the method; `linear` leaves the sigmoid out; `none` classifies the frozen feature
            as it is; `alone` classifies the residual network's feature without a tower.
        given: Normalisation of the images.
        wanted: Normalisation that the tower gets; None: the same.
    """

    def __init__(
        self,
        classes: int,
        *,
        tower: str,
        backbone: Backbone,
        mask: MaskKind = "sigmoid",
        given: InputSpec,
        wanted: InputSpec | None = None,
    ) -> None:
        super().__init__()
        self.kind = mask
        self.tower = FrozenTower(tower, given=given, wanted=wanted) if mask != "alone" else None
        self.backbone: nn.Module | None = None
        width = self.tower.width if self.tower is not None else 0
        if mask != "none":
            self.backbone, found = build_backbone(backbone)
            width = width or found
        self.width = width
        self.head = nn.Linear(width, classes)

    def forward(self, image: Tensor, frozen: Tensor | None = None) -> Outputs:
        """Return the outputs of normalised images [B, 3, H, W].

        Args:
            image: The images.
            frozen: The tower's output for them [B, D], if it is known already.
        """
        mask: Tensor | None = None
        if self.backbone is not None:
            mask = fit_width(self.backbone(image).float(), self.width)
            if self.kind == "sigmoid":
                mask = mask.sigmoid()
        if self.tower is None:
            assert mask is not None
            feature, mask = mask, None
        else:
            frozen = self.tower(image) if frozen is None else frozen
            feature = frozen.float() if mask is None else frozen.float() * mask
        return Outputs(self.head(feature).float(), feature, mask)


def resized(image: Tensor, side: int) -> Tensor:
    """Return images [B, 3, H, W] scaled to squares of a side, averaging pixels when shrinking."""
    height, width = image.shape[-2:]
    if height == width == side:
        return image
    shrinking = max(height, width) > side
    return F.interpolate(image, (side, side), mode="bilinear", antialias=shrinking)


def fit_width(feature: Tensor, width: int) -> Tensor:
    """Return features [B, D] resized to the wanted width by means of neighbours, as in the paper.

    Fewer channels than wanted are repeated.
    """
    if feature.shape[1] == width:
        return feature
    return F.adaptive_avg_pool1d(feature[:, None], width)[:, 0]
