"""The settings of cafe."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from fer_bench.config import MethodSettings
from fer_bench.methods.backbones import Backbone
from fer_bench.methods.cafe import losses
from fer_bench.methods.cafe.network import DEFAULT_TOWER, MaskKind


class CAFESettings(MethodSettings):
    """Settings of cafe.

    Attributes:
        tower: The frozen image tower: a CLIP tower of timm (the authors': ViT-B/32 with OpenAI's weights), or
            `clip-tiny` or `clip-tiny-neutral`, which come with the package and were trained on drawn faces.
        clip_weights: The tower's weights: a file, a folder, or a name timm can fetch; None for those that the
            tower is named after.
        clip_trained_on: What they were trained on, if their name does not say.
        backbone: Network of the mask: `resnet18` (the authors'), or `narrow` for small images on a CPU.
        mask_weights: Its pretrained weights, a file or a name timm knows; None initialises at random.
        mask_trained_on: What these were trained on, if their name does not say.
        size: Height and width of the input in pixels, which the tower must take (authors' code: 224).
        normalisation: Of the tower's input: `imagenet`, as for the mask network (authors' code), or `clip`,
            with which it was trained.
        mask: How the tower's channels are chosen, see `CAFENetwork`.
        separation: Weight of the separation loss (authors' code: 1.5).
        diversity: Weight of the diversity loss (authors' code: 5).
        diversity_mean: Normalisation of the diversity loss, see `losses.diversity_loss`.
        dropped: Share of each group's channels that the separation loss drops.
        inference: Whether the `head` (authors' code) or the maxima of the `groups` classify.
        feature_cache: Cache the tower's features where augmentation allows.
        recipe: `paper`: Adam, the rate times 0.9 after every epoch. `one-cycle`: Adam on a one-cycle
            schedule, for a few epochs; not from the source.
        lr: Learning rate, for `one-cycle` the highest.
        weight_decay: Weight decay of Adam.
    """

    tower: str = DEFAULT_TOWER
    clip_weights: str | None = None
    clip_trained_on: str | None = None
    backbone: Backbone = "resnet18"
    mask_weights: str | None = None
    mask_trained_on: str | None = None
    size: int = Field(default=224, ge=32, le=1024)
    normalisation: Literal["imagenet", "clip"] = "imagenet"
    mask: MaskKind = "sigmoid"
    separation: float = Field(default=1.5, ge=0)
    diversity: float = Field(default=5.0, ge=0)
    diversity_mean: losses.Normalisation = "code"
    dropped: float = Field(default=losses.DROPPED, ge=0, lt=1)
    inference: Literal["head", "groups"] = "head"
    feature_cache: bool = True
    recipe: Literal["paper", "one-cycle"] = "paper"
    lr: float = Field(default=2e-4, gt=0)
    weight_decay: float = Field(default=1e-4, ge=0)

    @property
    def tower_weights(self) -> str:
        """Where the tower's weights come from."""
        return self.clip_weights or self.tower
