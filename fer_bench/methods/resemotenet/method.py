"""ResEmoteNet as a LightningModule: its profiles, recipes and the import of the authors' checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau

from fer_bench.config import Augmentation, InputSpec, ProfileSettings, TrainSettings
from fer_bench.errors import UsageError
from fer_bench.methods.base import Batch, Classes, Method, OptimizerConfig, Prediction, Task
from fer_bench.methods.resemotenet.losses import classification_loss
from fer_bench.methods.resemotenet.network import (
    AUTHORS_CLASSES,
    SIZE,
    BaselineNetwork,
    ResEmoteNetwork,
    architecture_of,
    translate,
)
from fer_bench.methods.resemotenet.settings import ResEmoteNetSettings
from fer_bench.methods.weights import read_state

REPO_EARLY_STOP = 15
"""Epochs without a better score after which the authors' code stops."""


class ResEmoteNet(Method[ResEmoteNetSettings]):
    """Convolutions, one squeeze-and-excitation block and three residual blocks (Roy et al., 2024).

    See `Method` for the arguments.
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
                "lr": 1e-3,
            },
        ),
        "small": ProfileSettings(
            train=TrainSettings(
                max_epochs=40,
                batch_size=32,
                epoch_rows=16_000,
                augmentation=Augmentation(flip=0.5, crop_pad=4),
            ),
            method={
                "width": 0.25,
                "stem_dropout": 0.0,
                "head_dropout": 0.0,
                "recipe": "one-cycle",
                "lr": 1e-3,
            },
        ),
        "paper": ProfileSettings(
            train=TrainSettings(max_epochs=80, batch_size=16, augmentation=Augmentation(flip=0.5)),
        ),
    }

    def __init__(
        self,
        classes: Classes,
        settings: ResEmoteNetSettings | None = None,
        train: TrainSettings | None = None,
    ) -> None:
        super().__init__(classes, settings, train)
        self.network = _build(len(self.task.classes), self.settings).to(memory_format=torch.channels_last)

    @classmethod
    def import_checkpoint(cls, path: str | Path, classes: Sequence[str] | None = None) -> ResEmoteNet:
        """Return the method with the weights of a checkpoint of the authors' code, in evaluation mode.

        Args:
            path: A state dict, alone (as `best_model.pth` is saved) or under `model_state_dict` (as the
                authors' evaluation code expects it); nothing in it is executed.
            classes: Classes of the result, in order, from `AUTHORS_CLASSES`; None takes all seven.

        Raises:
            DataError: The file is unreadable or not a checkpoint of one of the four architectures.
            UsageError: A class the authors' models do not know.
        """
        classes = AUTHORS_CLASSES if classes is None else classes
        for name in classes:
            if name not in AUTHORS_CLASSES:
                raise UsageError(
                    "the authors' models do not know this class",
                    value=str(name),
                    hint=f"known: {', '.join(AUTHORS_CLASSES)}",
                )
        path = Path(path)
        state = read_state(path)
        settings = ResEmoteNetSettings(architecture=architecture_of(state))
        with torch.device("meta"):
            expected = _build(len(AUTHORS_CLASSES), settings).state_dict()
        found = translate(state, settings.architecture, expected, path)
        rows = [AUTHORS_CLASSES.index(name) for name in classes]
        for part in ("weight", "bias"):
            found[f"head.9.{part}"] = found[f"head.9.{part}"][rows]
        method = cls(Task(tuple(classes), (0,) * len(classes)), settings)
        method.network.load_state_dict(found)
        return method.eval()

    @classmethod
    def input_spec(cls, settings: ResEmoteNetSettings) -> InputSpec:
        """Return 64 x 64 grey images, repeated to three channels, with ImageNet's mean and deviation."""
        return InputSpec(size=SIZE, grey=True)

    @classmethod
    def resolve_train(cls, settings: ResEmoteNetSettings, train: TrainSettings) -> TrainSettings:
        """Return training settings with the early stop that the `repo` recipe implies."""
        if settings.recipe == "repo" and train.early_stop is None:
            return train.model_copy(update={"early_stop": REPO_EARLY_STOP})
        return train

    def forward(self, image: Tensor) -> Prediction:
        """Predict from normalised images [B, 3, 64, 64]."""
        return Prediction(self.network(image).float())

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the mean cross-entropy over labelled rows, against soft labels where the batch has them."""
        label = batch["label"]
        total = classification_loss(self(batch["image"]).logits, label, batch.get("soft_label"))
        self.log_losses(len(label), cls=total, total=total)
        return total

    def configure_optimizers(self) -> OptimizerConfig:
        """Return optimiser and schedule of the recipe."""
        settings = self.settings
        if settings.recipe == "one-cycle":
            return self.one_cycle(torch.optim.AdamW(self.parameters(), lr=settings.lr, fused=True))
        sgd = torch.optim.SGD(
            self.parameters(),
            lr=settings.lr,
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
            fused=True,
        )
        if settings.recipe == "repo":
            return sgd
        plateau = ReduceLROnPlateau(sgd, mode="max", factor=0.1, patience=settings.plateau_patience)
        # Not strict: protocols without a validation part keep the first rate.
        config = {"scheduler": plateau, "monitor": "val/accuracy", "strict": False}
        return {"optimizer": sgd, "lr_scheduler": config}


def _build(classes: int, settings: ResEmoteNetSettings) -> ResEmoteNetwork | BaselineNetwork:
    """Return the network of the chosen architecture, randomly initialised."""
    sizes = {
        "width": settings.width,
        "stem_dropout": settings.stem_dropout,
        "head_dropout": settings.head_dropout,
    }
    if settings.architecture == "resemotenet":
        return ResEmoteNetwork(classes, **sizes)
    return BaselineNetwork(classes, settings.architecture, **sizes)
