"""The settings of erm."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from fer_bench.config import MethodSettings
from fer_bench.errors import UsageError
from fer_bench.methods.erm.network import TIMM_SOURCES

Mode = Literal["fine-tune", "linear-probe", "scratch"]


class ERMSettings(MethodSettings):
    """Settings of erm.

    Attributes:
        backbone: Any network of timm (`resnet18`, `convnext_tiny.fb_in22k`), or one of this package: `small`,
            four convolutions, or `narrow`, a residual network for 64 pixels.
        mode: `fine-tune`: all weights learn, from pretrained ones. `linear-probe`: the pretrained backbone
            stays as it is, and only the last layer learns, from cached features. `scratch`: all weights
            learn, from random ones.
        weights: Pretrained weights: a file, a folder, a name that timm or the hub knows, or a tower of this
            package (for `narrow`); None takes those that timm has for the backbone.
        weights_trained_on: What they were trained on, if their name does not say.
        size: Height and width of the input in pixels.
        width: Channels of the first convolution of `small`.
        dropout: Dropout on the features.
        label_smoothing: Share of each label that is spread evenly over all classes.
        mixup: Parameter of the beta distribution from which mixing weights are drawn (Zhang et al., 2018,
            arXiv:1710.09412); 0 mixes nothing.
        balanced: Draw training rows so that all classes come equally often.
        ema: Factor by which an average of the weights forgets at each step; the average is validated, stored
            and tested. 0: no average.
        lr: Highest learning rate of AdamW.
        weight_decay: Weight decay of AdamW; biases and normalisation layers have none.
        warmup: Share of the steps in which the rate rises, before it falls along a cosine to zero.
    """

    backbone: str = "resnet18"
    mode: Mode = "fine-tune"
    weights: str | None = None
    weights_trained_on: str | None = None
    size: int = Field(default=224, ge=16, le=1024)
    width: int = Field(default=16, ge=1, le=256)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    mixup: float = Field(default=0.0, ge=0)
    balanced: bool = False
    ema: float = Field(default=0.0, ge=0, lt=1)
    lr: float = Field(default=1e-4, gt=0)
    weight_decay: float = Field(default=0.05, ge=0)
    warmup: float = Field(default=0.05, ge=0, lt=1)

    @property
    def pretrained(self) -> bool:
        """Whether training starts from pretrained weights."""
        return self.mode != "scratch"


def refuse_conflicts(settings: ERMSettings) -> None:
    """Raise a UsageError where settings contradict each other."""
    if settings.backbone.startswith(TIMM_SOURCES):
        raise UsageError(
            "method.backbone is the name of an architecture, and weights from the hub are named apart",
            value=settings.backbone,
            hint=f"--set method.backbone=resnet18 --set method.weights={settings.backbone}",
        )
    if settings.mode == "scratch" and settings.weights is not None:
        raise UsageError(
            "method.mode=scratch starts from random weights, and method.weights names pretrained ones",
            value=settings.weights,
            hint="--set method.mode=fine-tune",
        )
    if settings.mode == "linear-probe":
        for name, why in (
            ("mixup", "mixup blends pictures, and a linear probe learns from the features of whole ones"),
            ("ema", "a linear probe has one layer to learn, and averaging is for networks that move"),
        ):
            if getattr(settings, name):
                raise UsageError(why, value=f"method.{name}={getattr(settings, name)}", hint=_off(name))


def _off(name: str) -> str:
    return f"--set method.{name}=0, or method.mode=fine-tune"
