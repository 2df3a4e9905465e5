"""The method's contract: what a method must provide, and everything it gets for it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from lightning import LightningModule
from lightning.pytorch.trainer.states import TrainerFn
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from torchmetrics.classification import MulticlassConfusionMatrix

from fer_bench.config import InputSpec, MethodSettings, ProfileSettings, TrainSettings
from fer_bench.data.batch import Batch, Task
from fer_bench.emotions import ABAW_EXPRESSIONS
from fer_bench.errors import DivergedError
from fer_bench.methods.affect_score import AffectScore

if TYPE_CHECKING:
    from fer_bench.data.packs.pack import Pack

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
    learns_soft_labels: ClassVar[bool] = False
    """Whether its classification loss takes the batch's `soft_label` where there is one."""
    weight_settings: ClassVar[tuple[str, ...]] = ()
    """Settings that only name pretrained weights; the run key has the hashes of `weights` instead."""

    def __init__(self, task: Task, settings: MethodSettings, train: TrainSettings) -> None:
        super().__init__()
        self.task = task
        self.settings = settings
        self.train_settings = train
        self.confusions = nn.ModuleList([self._fresh_confusion()])
        whole = self.predicts_affect and task.has_va and task.has_au
        self.affect = AffectScore() if whole and len(task.classes) == ABAW_EXPRESSIONS else None

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
    def adaptation(cls, task: Task, settings: MethodSettings) -> str | None:
        """Return how the method is adapted to data that lack something it was designed for, or None."""
        return None

    @abstractmethod
    def forward(self, image: Tensor) -> Prediction:
        """Predict from normalised images [B, 3, H, W]."""

    def use_pack(self, pack: Pack, rows: NDArray[np.int64]) -> None:
        """Prepare for `predict_batch` on rows of a pack, for example by opening cached features."""

    def predict_batch(self, batch: Batch) -> Prediction:
        """Predict from a batch of validation, or of rows that `use_pack` announced, as `forward` would."""
        prediction: Prediction = self(batch["image"])
        return prediction

    @abstractmethod
    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of a batch, after `log_losses` of its parts."""

    def log_losses(self, batch_size: int, **losses: Tensor) -> None:
        """Log the parts of the loss as epoch means over all processes, under `train/<name>`.

        Nothing here waits for the device.
        """
        named = {f"train/{name}": value.detach() for name, value in losses.items()}
        self.log_dict(named, on_step=False, on_epoch=True, batch_size=batch_size, sync_dist=True)

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
            if self.affect is not None:
                self.affect.reset()

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Count what a batch adds to the scores of the epoch."""
        found = self.predict_batch(batch)
        self._confusion(dataloader_idx).update(found.logits.argmax(dim=1), batch["label"])
        if self.affect is not None and found.va is not None and found.au is not None:
            self.affect.update(found.va, found.au, batch["va"], batch["au"])

    def on_validation_epoch_end(self) -> None:
        """Log `val/uar` and `val/accuracy`, and tell plateau schedulers.

        UAR is over the classes present; with several validation loaders it is the mean of theirs. A method
        with the three outputs of the ABAW challenge also logs `val/abaw`, the sum by which that ranks.
        """
        counters = [self._confusion(number) for number in range(len(self.confusions))]
        each = torch.stack([counter.compute().double() for counter in counters])
        counts = each.sum(dim=0)
        scores = {
            "val/uar": torch.stack([uar_of_confusion(one) for one in each]).mean(),
            "val/accuracy": counts.diagonal().sum() / counts.sum().clamp(min=1),
        }
        if self.affect is not None:
            scores["val/abaw"] = f1_of_confusion(counts) + self.affect.compute()
        self.log_dict(scores)
        for config in self.trainer.lr_scheduler_configs:
            # In `fit` the stage is validation here, so `trainer.training` would be false.
            watched = config.monitor in scores and self.trainer.state.fn == TrainerFn.FITTING
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
    return _mean_present(counts.diagonal() / counts.sum(dim=1).clamp(min=1), counts)


def f1_of_confusion(counts: Tensor) -> Tensor:
    """Return the unweighted mean F1 over classes with at least one true row.

    Args:
        counts: [C, C], true class by predicted class.

    Returns:
        Scalar in [0, 1]; 0 where no row is labelled.
    """
    asked = counts.sum(dim=1) + counts.sum(dim=0)
    return _mean_present(2 * counts.diagonal() / asked.clamp(min=1), counts)


def _mean_present(scores: Tensor, counts: Tensor) -> Tensor:
    """Return the mean of the scores [C] of classes with at least one true row; 0 without any."""
    present = counts.sum(dim=1) > 0
    return scores[present].mean() if bool(present.any()) else counts.new_zeros(())


def classification_loss(logits: Tensor, label: Tensor, soft_label: Tensor | None = None) -> Tensor:
    """Return the mean cross-entropy over labelled rows; 0 without any.

    Args:
        logits: [B, C].
        label: int64 [B], -1 = missing.
        soft_label: float [B, C], distributions that replace the label where they are not zero: such a row
            costs -sum_c soft_label_c log p_c (the cross-entropy loss of FERPlus, arXiv:1608.01041).
    """
    rows = (label >= 0).sum().clamp(min=1)
    if soft_label is None:
        return F.cross_entropy(logits.float(), label, ignore_index=-1, reduction="sum") / rows
    given = (soft_label > 0).any(dim=1)
    hard = F.cross_entropy(logits.float(), label, ignore_index=-1, reduction="none")
    soft = -(soft_label * F.log_softmax(logits.float(), dim=1)).sum(dim=1)
    return torch.where(given & (label >= 0), soft, hard).sum() / rows


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
