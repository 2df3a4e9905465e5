"""The settings of ssmfar."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from fer_bench.config import MethodSettings
from fer_bench.methods.backbones import Backbone
from fer_bench.methods.ssmfar import losses


class SSMFARSettings(MethodSettings):
    """Settings of ssmfar.

    Attributes:
        backbone: `resnet18` (the authors'), or `narrow` for small images on a CPU.
        weights: Pretrained weights of the backbone: a file, a name timm knows, or for `narrow` a tower of
            this package, such as `clip-tiny-neutral`; None initialises at random.
        weights_trained_on: What they were trained on, if their name does not say.
        size: Height and width of the input in pixels (authors' code: 224).
        dropout: Dropout on the pooled feature (authors' code: 0.5).
        feature_scale: Length of the feature that the heads get (authors' code: 1). The D values of a feature
            of length 1 are about 1 / sqrt(D), so that the heads learn almost nothing for a few hundred steps.
        consistency_scope: Rows of the consistency loss, see `losses.consistency_rows`.
        batches: `separate`: each batch has a labelled and an unlabelled half (Ada-CM's released code), see
            `sampling.SeparateOrder`. `mixed`: rows with and without a label as they fall (authors' code).
        unlabelled_rows: What rows without an expression label teach. `pseudo`: the method. Two controls, for
            separate batches: `oracle` takes their hidden labels as pseudo-labels, all believed; `skip` leaves
            these rows out of the same batches, so that labelled rows come as often as with them.
        recipe: `paper`: Adam at a constant rate. `one-cycle`: Adam on a one-cycle schedule, for trainings of
            a few epochs; not from the source.
        lr: Learning rate, for `one-cycle` the highest.
    """

    backbone: Backbone = "resnet18"
    weights: str | None = None
    weights_trained_on: str | None = None
    size: int = Field(default=224, ge=32, le=512)
    dropout: float = Field(default=0.5, ge=0, lt=1)
    feature_scale: float = Field(default=1.0, gt=0)
    batches: Literal["separate", "mixed"] = "separate"
    unlabelled_rows: Literal["pseudo", "oracle", "skip"] = "pseudo"
    consistency_scope: losses.ConsistencyScope = "unlabelled_nonconfident"
    recipe: Literal["paper", "one-cycle"] = "paper"
    lr: float = Field(default=5e-4, gt=0)

    @model_validator(mode="after")
    def _check_control(self) -> Self:
        if self.batches == "mixed" and self.unlabelled_rows != "pseudo":
            raise ValueError(f"unlabelled_rows={self.unlabelled_rows} is a control of batches=separate")
        return self

    @property
    def strong_alone(self) -> bool:
        """Whether only rows without a label go through the network a second time, in their strong view."""
        return self.batches == "separate" and self.consistency_scope == "unlabelled_nonconfident"
