"""The network of CAFE: a trained residual network chooses channels of a frozen image tower."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fer_bench.config import InputSpec
from fer_bench.methods.backbones import Backbone, build_backbone
from fer_bench.methods.cafe.towers import build_tower

MaskKind = Literal["sigmoid", "linear", "none", "alone"]


class Outputs(NamedTuple):
    """What the network returns.

    Attributes:
        logits: Of the head, float32 [B, C].
        feature: What the head sees, float32 [B, D].
        mask: What the tower's feature was multiplied by [B, D], None without.
    """

    logits: Tensor
    feature: Tensor
    mask: Tensor | None


class FrozenTower(nn.Module):
    """An image tower that never learns: no gradients, always in evaluation mode.

    Args:
        name: Which tower, see `towers.build_tower`.
        given: Normalisation of the images it is given.
        wanted: Normalisation it shall see; None leaves images as they are.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, name: str, *, given: InputSpec, wanted: InputSpec | None = None) -> None:
        super().__init__()
        self.encoder, self.width = build_tower(name)
        self.requires_grad_(False)
        own = wanted or given
        mean, std, own_mean, own_std = (
            torch.tensor(values).view(1, 3, 1, 1) for values in (given.mean, given.std, own.mean, own.std)
        )
        self.register_buffer("scale", std / own_std, persistent=False)
        self.register_buffer("shift", (mean - own_mean) / own_std, persistent=False)
        self.train(False)

    def train(self, mode: bool = True) -> FrozenTower:
        """Stay in evaluation mode, whatever is asked for."""
        return super().train(False)

    def forward(self, image: Tensor) -> Tensor:
        """Return features [B, D] of images [B, 3, H, W], not of unit length, as the authors' code."""
        with torch.no_grad():
            feature: Tensor = self.encoder(image * self.scale + self.shift)
        return feature


class CAFENetwork(nn.Module):
    """CAFE as in the authors' code (ours_CAFE.py).

    With ResNet-18, CLIP ViT-B/32 and 7 classes 11,180,103 parameters learn.

    Args:
        classes: Number of classes C.
        tower: The frozen tower.
        backbone: Network of the mask.
        mask: `sigmoid` is the method; `linear` leaves the sigmoid out; `none` classifies the frozen feature
            as it is; `alone` classifies the residual network's feature without a tower.
        given: Normalisation of the images.
        wanted: Normalisation that the tower shall see; None: the same.
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
            frozen: What the tower returns for them [B, D], where that is known already.
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


def fit_width(feature: Tensor, width: int) -> Tensor:
    """Return features [B, D] with as many channels as wanted: means of neighbours, as in the paper.

    Fewer channels than wanted are repeated.
    """
    if feature.shape[1] == width:
        return feature
    return F.adaptive_avg_pool1d(feature[:, None], width)[:, 0]
