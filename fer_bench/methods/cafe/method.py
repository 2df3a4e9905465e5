"""cafe as a LightningModule: its profiles, losses, cached features and optimiser."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim.lr_scheduler import ExponentialLR

from fer_bench.config import Augmentation, InputSpec, ProfileSettings, TrainSettings
from fer_bench.errors import UsageError
from fer_bench.methods.backbones import fitting_backbone, load_backbone, open_pretrained
from fer_bench.methods.base import Batch, Classes, Method, OptimizerConfig, Prediction, classification_loss
from fer_bench.methods.cafe import losses
from fer_bench.methods.cafe.network import (
    CAFENetwork,
    Outputs,
    fitting_tower,
    load_tower,
    open_tower,
    tower_spec,
)
from fer_bench.methods.cafe.settings import CAFESettings
from fer_bench.methods.frozen import FeatureCache
from fer_bench.methods.shared_step import of_first_process
from fer_bench.methods.weights import described, told_or_unknown

if TYPE_CHECKING:
    from fer_bench.data.packs.pack import Pack

DECAY = 0.9
"""Factor on the learning rate after every epoch (authors' code)."""


class CAFE(Method[CAFESettings]):
    """Choose channels of a frozen CLIP feature by a learned mask (Zhang et al., arXiv:2408.10614).

    See `Method` for the arguments. The tower is random until `load_pretrained`.

    Raises:
        UsageError: More classes than channels, or no such tower.
    """

    name = "cafe"
    settings_type = CAFESettings
    learns_soft_labels = True
    weight_settings = ("clip_weights", "clip_trained_on", "mask_weights", "mask_trained_on")
    profiles: ClassVar[dict[str, ProfileSettings]] = {
        "quick": ProfileSettings(
            train=TrainSettings(
                max_epochs=24, batch_size=16, epoch_rows=400, augmentation=Augmentation(flip=0.5)
            ),
            method={
                "tower": "clip-tiny",
                "backbone": "narrow",
                "size": 64,
                "recipe": "one-cycle",
                "lr": 6e-3,
            },
        ),
        "small": ProfileSettings(
            train=TrainSettings(
                max_epochs=40, batch_size=32, epoch_rows=16_000, augmentation=Augmentation(flip=0.5)
            ),
            method={"backbone": "narrow", "size": 64, "recipe": "one-cycle", "lr": 6e-3},
        ),
        "paper": ProfileSettings(
            train=TrainSettings(
                max_epochs=60,
                batch_size=32,
                augmentation=Augmentation(flip=0.5, erase=0.5, noise=0.5, noise_std=math.sqrt(30)),
            ),
        ),
    }

    def __init__(
        self, classes: Classes, settings: CAFESettings | None = None, train: TrainSettings | None = None
    ) -> None:
        super().__init__(classes, settings, train)
        settings = self.settings
        wanted = tower_spec(settings.tower) if settings.normalisation == "clip" else None
        self.network = CAFENetwork(
            len(self.task.classes),
            tower=settings.tower,
            backbone=settings.backbone,
            mask=settings.mask,
            given=self.input_spec(settings),
            wanted=wanted,
        ).to(memory_format=torch.channels_last)
        if self.network.width < len(self.task.classes):
            raise UsageError("cafe needs at least one channel per class", value=self.network.width)
        self._cache: FeatureCache | None = None
        if self.network.tower is not None and settings.feature_cache:
            identity = [settings.tower, settings.normalisation]
            self._cache = FeatureCache(self.network.tower, self.input_spec(settings), identity)

    @classmethod
    def input_spec(cls, settings: CAFESettings) -> InputSpec:
        """Return colour images of the wanted size with ImageNet's mean and deviation."""
        return InputSpec(size=settings.size)

    @classmethod
    def weights(cls, settings: CAFESettings) -> dict[str, str]:
        """Return the hashes of the weights of the tower and of the mask network, after a trial load."""
        found = {}
        if settings.mask != "alone":
            found["tower"] = fitting_tower(settings.tower, settings.tower_weights)
        if settings.mask != "none" and settings.mask_weights is not None:
            found["mask"] = fitting_backbone(settings.backbone, settings.mask_weights)
        return found

    @classmethod
    def pretraining(cls, settings: CAFESettings) -> dict[str, str]:
        """Return what the weights of the tower and of the mask network were trained on."""
        found = {}
        if settings.mask != "alone":
            found["tower"] = described(settings.tower_weights, settings.clip_trained_on)
        if settings.mask != "none" and settings.mask_weights is not None:
            found["mask"] = described(settings.mask_weights, settings.mask_trained_on)
        return found

    @classmethod
    def caveats(cls, settings: CAFESettings) -> tuple[str, ...]:
        """Return which weights the tower and the mask network start from."""
        found = []
        if settings.mask != "alone":
            found.append(_about_tower(settings))
        if settings.mask == "none":
            return tuple(found)
        if settings.mask_weights is None:
            found.append("the mask network starts from random weights; the authors' saw MS-Celeb-1M faces")
        else:
            name = settings.mask_weights
            data = told_or_unknown(name, settings.mask_trained_on, setting="mask_trained_on")
            found.append(f"the mask network starts from {name}, trained on {data}")
        return tuple(found)

    def load_pretrained(self) -> None:
        """Load the weights of the tower and of the mask network."""
        if self.network.tower is not None:
            source = self.settings.tower_weights
            load_tower(self.network.tower.encoder, open_tower(source), source)
        if self.network.backbone is not None and (name := self.settings.mask_weights):
            load_backbone(self.network.backbone, open_pretrained(name), name)

    def forward(self, image: Tensor) -> Prediction:
        """Predict from normalised images [B, 3, H, W]; the extra `mask` [B, D] weights the channels."""
        return self._predict(self.network(image))

    def predict_batch(self, batch: Batch) -> Prediction:
        """Predict from a batch, with the tower's features from the cache if they are there."""
        frozen = self._cache.look_up(batch) if self._cache is not None else None
        return self._predict(self.network(batch["image"], frozen))

    def _predict(self, found: Outputs) -> Prediction:
        logits = found.logits
        if self.settings.inference == "groups":
            logits = losses.group_maxima(found.feature, len(self.task.classes))
        return Prediction(logits, extras={} if found.mask is None else {"mask": found.mask})

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return cls + separation * sep + diversity * div."""
        parts = self.losses(batch)
        weights = {"cls": 1.0, "sep": self.settings.separation, "div": self.settings.diversity}
        total = torch.stack([weights[name] * loss for name, loss in parts.items()]).sum()
        self.log_losses(len(batch["label"]), **parts, total=total)
        return total

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the losses of a training batch by name, without those whose weight is 0."""
        settings, label, classes = self.settings, batch["label"], len(self.task.classes)
        frozen = self._cache.look_up_training(batch, self) if self._cache is not None else None
        found: Outputs = self.network(batch["image"], frozen)
        soft_label = batch.get("soft_label")
        parts = {"cls": classification_loss(found.logits, label, soft_label)}
        with torch.autocast(label.device.type, enabled=False):
            if settings.separation:
                drawn = losses.draw_kept(self.network.width, classes, label.device, settings.dropped)
                kept = of_first_process(drawn)
                parts["sep"] = losses.separation_loss(found.feature, label, classes, kept, soft_label)
            if settings.diversity:
                parts["div"] = losses.diversity_loss(found.feature, classes, settings.diversity_mean)
        return parts

    def on_train_start(self) -> None:
        """Open the cached features of the tower, see `FeatureCache.open_training`."""
        if self._cache is not None:
            self._cache.open_training(self.trainer)

    def on_train_end(self) -> None:
        """Drop the features, which belong to the training pack."""
        if self._cache is not None:
            self._cache.close()

    def use_pack(self, pack: Pack, rows: NDArray[np.int64]) -> None:
        """Open the cached features of the tower for rows that are about to be predicted."""
        if self._cache is not None:
            self._cache.open(pack, rows)

    def configure_optimizers(self) -> OptimizerConfig:
        """Return Adam on the trainable parameters, with the schedule of the recipe."""
        settings = self.settings
        trainable = [parameter for parameter in self.parameters() if parameter.requires_grad]
        adam = torch.optim.Adam(trainable, lr=settings.lr, weight_decay=settings.weight_decay, fused=True)
        if settings.recipe == "paper":
            return {"optimizer": adam, "lr_scheduler": ExponentialLR(adam, DECAY)}
        return self.one_cycle(adam)


def _about_tower(settings: CAFESettings) -> str:
    name, source = settings.tower, settings.tower_weights
    if source == "clip-tiny":
        return (
            "backbone saw this generator's labels: the frozen tower clip-tiny was trained on drawn faces (of "
            "other people and cameras) with captions that name the expression"
        )
    if source == "clip-tiny-neutral":
        return (
            "the frozen tower clip-tiny-neutral was trained on drawn faces (of other people and cameras) and "
            "captions without expression words"
        )
    data = told_or_unknown(source, settings.clip_trained_on, setting="clip_trained_on")
    return f"the frozen tower {name} has weights of {source}, trained on {data}"
