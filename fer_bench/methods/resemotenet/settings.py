"""The settings of resemotenet."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from fer_bench.config import MethodSettings
from fer_bench.methods.resemotenet.network import Baseline


class ResEmoteNetSettings(MethodSettings):
    """Settings of resemotenet.

    Attributes:
        architecture: `resemotenet`, or one of the authors' baselines without residual blocks: `plain`,
            `plain-se` with the squeeze-and-excitation block, or `se`, see `network.BaselineNetwork`.
        width: Factor on all channels and hidden units; 1 is the authors' network.
        stem_dropout: Dropout after the first two convolutions (authors' code: 0.2).
        head_dropout: Dropout after each hidden fully connected layer (authors' code: 0.5).
        recipe: `paper`: SGD, learning rate divided by ten when validation accuracy stalls (paper). `repo`:
            SGD at a constant rate, stopped early after 15 epochs without a better score unless
            `train.early_stop` says otherwise (authors' code). `one-cycle`: AdamW on a one-cycle schedule, for
            trainings of a few epochs; not from the source.
        lr: Learning rate, for `one-cycle` the highest.
        momentum: Of SGD (authors' code: 0.9; the paper does not mention any).
        weight_decay: Of SGD (authors' code: 1e-4; the paper does not mention any).
        plateau_patience: Epochs without better validation accuracy before `paper` lowers the rate (unknown
            in the source).
    """

    architecture: Literal["resemotenet"] | Baseline = "resemotenet"
    width: float = Field(default=1.0, gt=0, le=2)
    stem_dropout: float = Field(default=0.2, ge=0, lt=1)
    head_dropout: float = Field(default=0.5, ge=0, lt=1)
    recipe: Literal["paper", "repo", "one-cycle"] = "paper"
    lr: float = Field(default=1e-3, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=1e-4, ge=0)
    plateau_patience: int = Field(default=5, ge=0)
