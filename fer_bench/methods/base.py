"""The method's contract: what a method must provide, and everything it gets for it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from lightning import LightningModule
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from torchmetrics.classification import MulticlassConfusionMatrix

from fer_bench.config import InputSpec, MethodSettings, ProfileSettings, TrainSettings
from fer_bench.data.batch import Batch, Task
from fer_bench.errors import DivergedError

__all__ = [
    "Batch",
    "Method",
    "OptimizerConfig",
    "Prediction",
    "Task",
    "count_parameters",
    "multiply_adds",
    "uar_of_confusion",
]


@dataclass
class Prediction:
    """What `forward` returns.

    Attributes:
        logits: float [B, C], not soft-maxed.
        va: float [B, 2] or None.
        au: float [B, 12] logits or None.
        extras: Further named tensors, for example the generated `reference` face [B, 1, H, W].
    """

    logits: Tensor
    va: Tensor | None = None
    au: Tensor | None = None
    extras: dict[str, Tensor] = field(default_factory=dict)


class Method(LightningModule, ABC):
    """A method: its network, losses and optimiser. Validation, metrics and logging names are the base's.

    A subclass sets the class attributes, builds its network in `__init__` and implements `forward`,
    `training_step` and `configure_optimizers`.

    Args:
        task: Classes and what the training rows offer.
        settings: The method's own settings, an instance of `settings_type`.
        train: Epochs, batch size and augmentation.
    """

    name: ClassVar[str]
    settings_type: ClassVar[type[MethodSettings]]
    profiles: ClassVar[dict[str, ProfileSettings]]
    """For each profile, what it changes in the method's settings and in the training settings."""
    needs_reference: ClassVar[bool] = False
    needs_strong: ClassVar[bool] = False
    uses_unlabelled: ClassVar[bool] = False
    """Whether it learns from training rows without an expression label."""
    predicts_affect: ClassVar[bool] = False
    """Whether it predicts valence and arousal or action units where the training rows have them."""
    weight_settings: ClassVar[tuple[str, ...]] = ()
    """Settings that only name pretrained weights; the run key has the hashes of `weights` instead."""

    def __init__(self, task: Task, settings: MethodSettings, train: TrainSettings) -> None:
        super().__init__()
        self.task = task
        self.settings = settings
        self.train_settings = train
        self.confusions = nn.ModuleList([self._fresh_confusion()])

    @classmethod
    @abstractmethod
    def input_spec(cls, settings: MethodSettings) -> InputSpec:
        """Return size and normalisation of the images that `forward` wants."""

    @classmethod
    def resolve_train(cls, settings: MethodSettings, train: TrainSettings) -> TrainSettings:
        """Return training settings with what the method's own settings imply about them."""
        return train

    @classmethod
    def weights(cls, settings: MethodSettings) -> dict[str, str]:
        """Return the SHA-256 of the pretrained weights that the settings name, by part of the network.

        Raises:
            DataError: Weights that are absent or unreadable.
        """
        return {}

    @classmethod
    def caveats(cls, settings: MethodSettings) -> tuple[str, ...]:
        """Return what a reader of a number should know about a run with these settings."""
        return ()

    def load_pretrained(self) -> None:
        """Load the pretrained weights that the settings name.

        Called on a fresh method only: a stored checkpoint holds all weights, so that restoring one needs no
        other file.
        """

    @classmethod
    def adaptation(cls, task: Task) -> str | None:
        """Return how the method is adapted to data that lack something it was designed for, or None."""
        return None

    @abstractmethod
    def forward(self, image: Tensor) -> Prediction:
        """Predict from normalised images [B, 3, H, W]."""

    @abstractmethod
    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of a batch, after `log_losses` of its parts."""

    def log_losses(self, batch_size: int, **losses: Tensor) -> None:
        """Log the parts of the loss as epoch means under `train/<name>`, without waiting for the device."""
        named = {f"train/{name}": value.detach() for name, value in losses.items()}
        self.log_dict(named, on_step=False, on_epoch=True, batch_size=batch_size)

    def _fresh_confusion(self) -> MulticlassConfusionMatrix:
        return MulticlassConfusionMatrix(len(self.task.classes), ignore_index=-1)

    def _confusion(self, loader: int) -> MulticlassConfusionMatrix:
        found = self.confusions[loader]
        assert isinstance(found, MulticlassConfusionMatrix)
        return found

    def on_validation_epoch_start(self) -> None:
        """Keep the confusions of each validation loader apart; a union of datasets has one per member."""
        loaders = self.trainer.val_dataloaders
        with torch.inference_mode(False):  # else `Trainer.validate` leaves counts that `fit` may not change
            while isinstance(loaders, list) and len(self.confusions) < len(loaders):
                self.confusions.append(self._fresh_confusion().to(self.device))
            for number in range(len(self.confusions)):
                self._confusion(number).reset()

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Count the confusions of a batch."""
        logits = self(batch["image"]).logits
        self._confusion(dataloader_idx).update(logits.argmax(dim=1), batch["label"])

    def on_validation_epoch_end(self) -> None:
        """Log `val/uar` and `val/accuracy`, and tell plateau schedulers.

        UAR is over the classes present; with several validation loaders it is the mean of theirs.
        """
        counters = [self._confusion(number) for number in range(len(self.confusions))]
        each = torch.stack([counter.compute().double() for counter in counters])
        counts = each.sum(dim=0)
        scores = {
            "val/uar": torch.stack([uar_of_confusion(one) for one in each]).mean(),
            "val/accuracy": counts.diagonal().sum() / counts.sum().clamp(min=1),
        }
        self.log_dict(scores)
        for config in self.trainer.lr_scheduler_configs:
            watched = config.monitor in scores and self.trainer.training
            if watched and isinstance(config.scheduler, ReduceLROnPlateau):
                config.scheduler.step(float(scores[str(config.monitor)]))

    def lr_scheduler_step(self, scheduler: LRScheduler | ReduceLROnPlateau, metric: Any | None) -> None:
        """Step a scheduler when Lightning says so, except those that watch a plateau.

        Lightning steps these after it has written the epoch's checkpoint, so that a resumed run would forget
        the step; they are stepped at the end of validation instead.
        """
        if not isinstance(scheduler, ReduceLROnPlateau):
            super().lr_scheduler_step(scheduler, metric)

    def on_train_epoch_end(self) -> None:
        """Stop a run whose loss is no number any more.

        Raises:
            DivergedError: A logged loss of this epoch, or a parameter, is NaN or infinite.
        """
        metrics = self.trainer.callback_metrics
        bad = [
            name for name, value in metrics.items() if name.startswith("train/") and not torch.isfinite(value)
        ]
        if bad or not all(torch.isfinite(p).all() for p in self.parameters()):
            what = bad[0] if bad else "a parameter"
            raise DivergedError(f"{what} became NaN or infinite in epoch {self.current_epoch}")


def uar_of_confusion(counts: Tensor) -> Tensor:
    """Return the unweighted average recall over classes with at least one true row.

    Args:
        counts: [C, C], true class by predicted class.

    Returns:
        Scalar in [0, 1]; 0 where no row is labelled.
    """
    support = counts.sum(dim=1)
    present = support > 0
    if not bool(present.any()):
        return counts.new_zeros(())
    return (counts.diagonal()[present] / support[present]).mean()


def classification_loss(logits: Tensor, label: Tensor) -> Tensor:
    """Return the mean cross-entropy over labelled rows; 0 without any.

    Args:
        logits: [B, C].
        label: int64 [B], -1 = missing.
    """
    summed = F.cross_entropy(logits.float(), label, ignore_index=-1, reduction="sum")
    return summed / (label >= 0).sum().clamp(min=1)


def count_parameters(module: nn.Module) -> int:
    """Return the number of trainable parameters."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def multiply_adds(method: Method) -> int:
    """Return the multiply-adds of one image's forward pass: half of what torch's FlopCounterMode counts."""
    from torch.utils.flop_counter import FlopCounterMode

    size = method.input_spec(method.settings).size
    was_training = method.training
    method.eval()
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        method(torch.zeros(1, 3, size, size, device=method.device))
    method.train(was_training)
    return int(counter.get_total_flops()) // 2


OptimizerConfig = Any
"""What `configure_optimizers` may return, see Lightning."""
