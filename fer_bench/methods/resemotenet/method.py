"""ResEmoteNet as a LightningModule: its settings, recipes and optimiser."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau

from fer_bench.config import Augmentation, InputSpec, MethodSettings, ProfileSettings, TrainSettings
from fer_bench.methods.base import Batch, Method, OptimizerConfig, Prediction, Task, classification_loss
from fer_bench.methods.resemotenet.network import SIZE, Baseline, BaselineNetwork, ResEmoteNetwork

REPO_EARLY_STOP = 15
"""Epochs without a better score after which the authors' code stops."""


class ResEmoteNetSettings(MethodSettings):
    """Settings of resemotenet.

    Attributes:
        architecture: `resemotenet`, or one of the authors' baselines without residual blocks: `plain`,
            `plain-se` with the squeeze-and-excitation block, or `se`, see `network.BaselineNetwork`.
        width: Factor on all channels and hidden units; 1 is the authors' network.
        stem_dropout: Dropout after the first two convolutions (authors' code: 0.2).
        head_dropout: Dropout after each hidden fully connected layer (authors' code: 0.5).
        recipe: `paper`: plain SGD, learning rate divided by ten when validation accuracy stalls. `repo`: SGD
            with momentum 0.9 and weight decay 1e-4 at a constant rate, stopped early after 15 epochs without
            a better score unless `train.early_stop` says otherwise. `one-cycle`: AdamW on a one-cycle
            schedule, for trainings of a few epochs; not from the source.
        lr: Learning rate; the highest one of `one-cycle`.
        plateau_patience: Epochs without better validation accuracy before `paper` lowers the rate (unknown
            in the source).
    """

    architecture: Literal["resemotenet"] | Baseline = "resemotenet"
    width: float = Field(default=1.0, gt=0, le=2)
    stem_dropout: float = Field(default=0.2, ge=0, lt=1)
    head_dropout: float = Field(default=0.5, ge=0, lt=1)
    recipe: Literal["paper", "repo", "one-cycle"] = "paper"
    lr: float = Field(default=1e-3, gt=0)
    plateau_patience: int = Field(default=5, ge=0)


class ResEmoteNet(Method):
    """Convolutions, one squeeze-and-excitation block and three residual blocks (Roy et al., 2024).

    Args:
        task: Classes and what the training rows offer.
        settings: A `ResEmoteNetSettings`.
        train: Epochs, batch size and augmentation.
    """

    name = "resemotenet"
    settings_type = ResEmoteNetSettings
    learns_soft_labels = True
    profiles: ClassVar[dict[str, ProfileSettings]] = {
        "quick": ProfileSettings(
            train=TrainSettings(
                max_epochs=24, batch_size=32, epoch_rows=400, augmentation=Augmentation(flip=0.5, crop_pad=4)
            ),
            method={
                "width": 0.125,
                "stem_dropout": 0.0,
                "head_dropout": 0.0,
                "recipe": "one-cycle",
                "lr": 3e-3,
            },
        ),
        "paper": ProfileSettings(
            train=TrainSettings(max_epochs=80, batch_size=16, augmentation=Augmentation(flip=0.5)),
        ),
    }

    settings: ResEmoteNetSettings

    def __init__(self, task: Task, settings: ResEmoteNetSettings, train: TrainSettings) -> None:
        super().__init__(task, settings, train)
        self.network = build_network(len(task.classes), settings).to(memory_format=torch.channels_last)

    @classmethod
    def input_spec(cls, settings: MethodSettings) -> InputSpec:
        """Return 64 x 64 grey images, repeated to three channels, with ImageNet's mean and deviation."""
        return InputSpec(size=SIZE, grey=True)

    @classmethod
    def resolve_train(cls, settings: MethodSettings, train: TrainSettings) -> TrainSettings:
        """Return training settings with the early stop that the `repo` recipe implies."""
        assert isinstance(settings, ResEmoteNetSettings)
        if settings.recipe == "repo" and train.early_stop is None:
            return train.model_copy(update={"early_stop": REPO_EARLY_STOP})
        return train

    def forward(self, image: Tensor) -> Prediction:
        """Predict from normalised images [B, 3, 64, 64]."""
        return Prediction(self.network(image).float())

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the mean cross-entropy over labelled rows, with the batch's targets where it has them."""
        label = batch["label"]
        total = classification_loss(self(batch["image"]).logits, label, batch.get("soft_label"))
        self.log_losses(len(label), cls=total, total=total)
        return total

    def configure_optimizers(self) -> OptimizerConfig:
        """Return optimiser and schedule of the recipe."""
        lr, recipe = self.settings.lr, self.settings.recipe
        if recipe == "repo":
            return torch.optim.SGD(self.parameters(), lr=lr, momentum=0.9, weight_decay=1e-4)
        if recipe == "paper":
            sgd = torch.optim.SGD(self.parameters(), lr=lr)
            plateau = ReduceLROnPlateau(sgd, mode="max", factor=0.1, patience=self.settings.plateau_patience)
            # Not strict: protocols without a validation part keep the first rate.
            config = {"scheduler": plateau, "monitor": "val/accuracy", "strict": False}
            return {"optimizer": sgd, "lr_scheduler": config}
        adam = torch.optim.AdamW(self.parameters(), lr=lr)
        cycle = OneCycleLR(adam, max_lr=lr, total_steps=int(self.trainer.estimated_stepping_batches))
        return {"optimizer": adam, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}


def build_network(classes: int, settings: ResEmoteNetSettings) -> ResEmoteNetwork | BaselineNetwork:
    """Return the network of the chosen architecture, randomly initialised."""
    sizes = {
        "width": settings.width,
        "stem_dropout": settings.stem_dropout,
        "head_dropout": settings.head_dropout,
    }
    if settings.architecture == "resemotenet":
        return ResEmoteNetwork(classes, **sizes)
    return BaselineNetwork(classes, settings.architecture, **sizes)
