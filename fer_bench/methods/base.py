"""The method contract: what a method provides, and what it gets in return."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from inspect import isabstract
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ClassVar, Generic, Self, cast

import numpy as np
import torch
from lightning import LightningModule
from lightning.pytorch.trainer.states import TrainerFn
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR, ReduceLROnPlateau
from typing_extensions import TypeVar

from fer_bench import methods
from fer_bench.config import InputSpec, MethodSettings, ProfileSettings, TrainSettings, build
from fer_bench.data.batch import Batch, Task
from fer_bench.emotions import ABAW_EXPRESSIONS
from fer_bench.errors import DivergedError, UsageError, nearest
from fer_bench.methods.epoch_losses import EpochLosses
from fer_bench.methods.epoch_scores import EpochScores
from fer_bench.methods.plain_file import is_local_file, read_method_name, refuse_misfit
from fer_bench.methods.shared_step import step_mean

if TYPE_CHECKING:
    from fer_bench.data.loading.datamodule import FaceDataModule
    from fer_bench.data.packs.pack import Pack

__all__ = ["Batch", "Classes", "Method", "OptimizerConfig", "Prediction", "Task"]

S = TypeVar("S", bound=MethodSettings, default=Any)
Classes = Task | Sequence[str] | Mapping[str, Any]
"""What a method is built for: a task, class names alone, or the fields of a stored task."""
OptimizerConfig = Any
"""What `configure_optimizers` may return, see Lightning."""


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

    def tensors(self) -> dict[str, Tensor]:
        """Return all tensors by name, those that are None left out."""
        named = {"logits": self.logits, "va": self.va, "au": self.au}
        return {name: value for name, value in named.items() if value is not None} | self.extras


class Method(LightningModule, ABC, Generic[S]):
    """A method: its settings, network, losses and optimiser.

    A subclass `class MyMethod(Method[MySettings])` provides

    - the class attributes `name`, `settings_type`, `profiles` and those below that differ from their default;
    - `__init__`, which calls this one and then builds `self.network` from `self.task` and `self.settings`;
    - `input_spec`, `forward`, `training_step` and `configure_optimizers`.

    It gets validation, test and prediction steps, the scores `val/uar`, `val/accuracy`, `test/uar` and
    `test/accuracy`, hyperparameters in its checkpoints, and all that runs, sweeps and the leaderboard do.
    Override what else has a default here where a method needs more. As a LightningModule like any other,
    `Trainer(max_epochs=9).fit(GCN(["anger", "fear"]), loader)`, it takes loaders of dicts as `Batch` is.

    Args:
        classes: Class names in the order of the outputs, or a `Task`, which also says what the training rows
            offer. Names alone mean equally frequent classes and no other labels.
        settings: An instance of `settings_type`, or its fields; None takes those of the `paper` profile.
        train: Epochs, batch size and augmentation; None takes those of the `paper` profile. A Trainer used
            directly decides the epochs itself: give it `max_epochs=method.train_settings.max_epochs`.

    Raises:
        UsageError: An unknown setting or one out of range, or no `paper` profile where its values are wanted.
    """

    name: ClassVar[str]
    settings_type: ClassVar[type[MethodSettings]]
    profiles: ClassVar[dict[str, ProfileSettings]]
    """For each profile, what it changes in the method's settings, and the training settings."""
    needs_reference: ClassVar[bool] = False
    needs_strong: ClassVar[bool] = False
    uses_unlabelled: ClassVar[bool] = False
    """Whether it learns from training rows without an expression label."""
    predicts_affect: ClassVar[bool] = False
    """Whether it predicts valence and arousal or action units where the training rows have them."""
    learns_soft_labels: ClassVar[bool] = False
    """Whether its classification loss takes the batch's `soft_label` where it has one."""
    weight_settings: ClassVar[tuple[str, ...]] = ()
    """Settings that only name pretrained weights; the run key has the hashes of `weights` instead."""
    settings: S

    def __init__(
        self,
        classes: Classes,
        settings: S | Mapping[str, Any] | None = None,
        train: TrainSettings | Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if isinstance(settings, Mapping):
            settings = self.build_settings(settings)
        if isinstance(train, Mapping):
            train = build(TrainSettings, train, f"training settings of {self.name}")
        self.task = _task_of(classes)
        self.settings = self.profile()[0] if settings is None else settings
        self.train_settings = self.profile()[1] if train is None else train
        self.save_hyperparameters(
            {
                "method": self.name,
                "classes": asdict(self.task),
                "settings": self.settings.model_dump(mode="json"),
                "train": self.train_settings.model_dump(mode="json"),
            }
        )
        whole = self.predicts_affect and self.task.has_va and self.task.has_au
        count = len(self.task.classes)
        self.epoch_losses = EpochLosses()
        self.epoch_scores = EpochScores(count, with_affect=whole and count == ABAW_EXPRESSIONS)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; directly the name of the current hook, which Lightning sets 50 times a step."""
        if name == "_current_fx_name":
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)

    @classmethod
    def build_settings(cls, values: Mapping[str, Any], where: str | None = None) -> S:
        """Return typed settings made of plain values; settings that are not named have their default.

        Args:
            values: By name of the setting.
            where: What the values came from, for messages.

        Raises:
            UsageError: An unknown setting, or a value out of range.
        """
        return cast(S, build(cls.settings_type, values, where or f"settings of {cls.name}"))

    @classmethod
    def profile(cls, name: str = "paper") -> tuple[S, TrainSettings]:
        """Return the settings and training settings of a profile.

        Raises:
            UsageError: The method has no such profile.
        """
        if name not in cls.profiles:
            raise UsageError(f"{cls.name} has no such profile", value=name, hint=nearest(name, cls.profiles))
        chosen = cls.profiles[name]
        return cls.build_settings(chosen.method, f"profile {name} of {cls.name}"), chosen.train

    @classmethod
    def load_from_checkpoint(
        cls,
        checkpoint_path: str | Path | IO[Any],
        map_location: Any = None,
        hparams_file: str | Path | None = None,
        strict: bool | None = None,
        weights_only: bool | None = True,
        **changes: Any,
    ) -> Self:
        """Rebuild a method from a checkpoint that Lightning wrote; nothing in it is executed.

        Called on `Method` itself it takes the class whose name is in the checkpoint, and needs a path. See
        Lightning for the arguments.

        Raises:
            DataError: Not a readable checkpoint of a method.
            UsageError: The method's name is not registered.
        """
        kind = cls
        if is_local_file(checkpoint_path) and weights_only:
            name = read_method_name(checkpoint_path, cls.CHECKPOINT_HYPER_PARAMS_KEY)
            kind = cast(type[Self], methods.get(name)) if isabstract(cls) else cls
        load = super(Method, kind).load_from_checkpoint
        with refuse_misfit(kind.name, checkpoint_path):
            loaded: Self = load(checkpoint_path, map_location, hparams_file, strict, weights_only, **changes)
        return loaded

    @classmethod
    def import_checkpoint(cls, path: str | Path, classes: Sequence[str] | None = None) -> Self:
        """Return the method with the weights of a checkpoint of its authors' code, in evaluation mode.

        Args:
            path: The authors' file; nothing in it is executed.
            classes: Classes of the result, in order; None takes all that the checkpoint knows.

        Raises:
            UsageError: The method cannot read foreign checkpoints, or the checkpoint does not know a class.
            DataError: The file is unreadable or holds other weights.
        """
        raise UsageError("this method cannot read checkpoints of its authors' code", value=cls.name)

    @classmethod
    @abstractmethod
    def input_spec(cls, settings: S) -> InputSpec:
        """Return size and normalisation of the images that `forward` wants."""

    @classmethod
    def resolve_train(cls, settings: S, train: TrainSettings) -> TrainSettings:
        """Return training settings with what the method's own settings imply about them."""
        return train

    @classmethod
    def weights(cls, settings: S) -> dict[str, str]:
        """Return the SHA-256 of the pretrained weights that the settings name, by part of the network.

        Raises:
            DataError: Weights that are absent or unreadable.
        """
        return {}

    @classmethod
    def pretraining(cls, settings: S) -> dict[str, str]:
        """Return what these were trained on, by part: scores on datasets that are named are not compared."""
        return {}

    @classmethod
    def pretraining_people(cls, settings: S) -> dict[str, frozenset[str]]:
        """Return marks of the people in it by dataset, see `fer_bench.runs.seen_people`."""
        return {}

    @classmethod
    def caveats(cls, settings: S) -> tuple[str, ...]:
        """Return what a reader of a number should know about a run with these settings."""
        return ()

    def load_pretrained(self) -> None:
        """Load the weights that the settings name into a fresh method; a checkpoint holds all by itself."""

    @classmethod
    def adaptation(cls, task: Task, settings: S) -> str | None:
        """Return how the method is adapted to data that lack something it was designed for, or None."""
        return None

    @abstractmethod
    def forward(self, image: Tensor) -> Prediction:
        """Predict from normalised images [B, 3, H, W]."""

    def use_pack(self, pack: Pack, rows: NDArray[np.int64]) -> None:
        """Prepare for `predict_batch` on rows of a pack, for example by opening cached features."""

    def predict_batch(self, batch: Batch) -> Prediction:
        """Predict from a validation batch, or from rows that `use_pack` announced, as `forward` would."""
        prediction: Prediction = self(batch["image"])
        return prediction

    @abstractmethod
    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of a batch, after `log_losses` of its parts."""

    def train_loader(self, data: FaceDataModule) -> Iterable[Any]:
        """Return the training batches; override it to bring a sampler, transforms or a loader.

        - A sampler or transforms: `return data.training_loader(choose=..., change=...)`, made from
          `data.rows("train")` and `data.labels("train")`.
        - A loader: a `DataLoader`, or whatever else yields dicts with `image` and what `training_step` uses,
          once per epoch. Float images [B, 3, H, W] are taken as they are; uint8 [B, H, W, 3] with `row` are
          augmented and normalised. In a run on several processes each yields its own part
          (`self.global_rank` of `self.trainer.world_size`), and all yield equally many batches.

        Draws from the generators of torch, numpy and Python depend on (seed, epoch).
        """
        loader: Iterable[Any] = data.train_dataloader()
        return loader

    def log_losses(self, batch_size: int, **losses: Tensor) -> None:
        """Log parts of the loss as epoch means under `train/<name>`, without waiting; 0 is a warning."""
        self.epoch_losses.add(batch_size, {f"train/{name}": value for name, value in losses.items()})

    def log_shares(self, batch_size: int, **shares: Tensor) -> None:
        """Log other means over rows in the same way, under `share/<name>`; they may be 0."""
        self.epoch_losses.add(batch_size, {f"share/{name}": value for name, value in shares.items()})

    def one_cycle(self, optimizer: Optimizer) -> OptimizerConfig:
        """Return an optimiser with a one-cycle schedule over all steps, whose peak is its learning rate."""
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = OneCycleLR(optimizer, optimizer.defaults["lr"], total_steps=steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_validation_epoch_start(self) -> None:
        """Start counting."""
        self.epoch_scores.start(_count_loaders(self.trainer.val_dataloaders), self.device)

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Count what a batch adds to the scores of the epoch."""
        self._count(batch, dataloader_idx)

    def on_validation_epoch_end(self) -> None:
        """Log `val/uar`, `val/accuracy`, with all outputs of ABAW `val/abaw`; step plateau schedulers."""
        scores = self._logged_scores("val")
        for config in self.trainer.lr_scheduler_configs:
            # In `fit` the stage is validation here, so `trainer.training` would be false.
            watched = config.monitor in scores and self.trainer.state.fn == TrainerFn.FITTING
            if watched and isinstance(config.scheduler, ReduceLROnPlateau):
                config.scheduler.step(float(scores[str(config.monitor)]))

    def on_test_epoch_start(self) -> None:
        """Start counting."""
        self.epoch_scores.start(_count_loaders(self.trainer.test_dataloaders), self.device)

    def test_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Count what a batch adds to the scores."""
        self._count(batch, dataloader_idx)

    def on_test_epoch_end(self) -> None:
        """Log `test/uar`, `test/accuracy` and, for methods with all outputs of ABAW, `test/abaw`."""
        self._logged_scores("test")

    def predict_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> dict[str, Tensor]:
        """Return the tensors of the prediction by name, and the batch's `row` where it has one."""
        rows = {"row": batch["row"]} if "row" in batch else {}
        return {**rows, **self.predict_batch(batch).tensors()}

    def _count(self, batch: Batch, loader: int) -> None:
        found, scores = self.predict_batch(batch), self.epoch_scores
        scores.update(loader, found.logits, batch["label"])
        if scores.affect is not None and found.va is not None and found.au is not None:
            scores.affect.update(found.va, found.au, batch["va"], batch["au"])

    def _logged_scores(self, stage: str) -> dict[str, Tensor]:
        scores = {f"{stage}/{name}": value for name, value in self.epoch_scores.compute().items()}
        self.log_dict(scores)
        return scores

    def lr_scheduler_step(self, scheduler: LRScheduler | ReduceLROnPlateau, metric: Any | None) -> None:
        """Step a scheduler, except those that watch a plateau: these are stepped at the end of validation.

        Lightning steps them after writing the epoch's checkpoint, so that a resumed run would lose the step.
        """
        if not isinstance(scheduler, ReduceLROnPlateau):
            super().lr_scheduler_step(scheduler, metric)

    def on_train_epoch_end(self) -> None:
        """Log the means of the losses, and stop a run whose loss is not finite.

        Raises:
            DivergedError: A loss of this epoch, or a parameter, is NaN or infinite.
        """
        named = self.epoch_losses.take(lambda sums: self.trainer.strategy.reduce(sums, reduce_op="sum"))
        self.log_dict(named)
        bad = [name for name, value in named.items() if not torch.isfinite(value)]
        values = [p for p in self.parameters() if p.numel() and (p.is_floating_point() or p.is_complex())]
        if bad or not torch.isfinite(get_total_norm(values, torch.inf)):
            what = bad[0] if bad else "a parameter"
            raise DivergedError(f"{what} became NaN or infinite in epoch {self.current_epoch}")


def _task_of(classes: Classes) -> Task:
    if isinstance(classes, Task):
        return replace(classes, classes=tuple(map(str, classes.classes)))
    if isinstance(classes, Mapping):
        return Task(**{name: _as_tuples(value) for name, value in classes.items()})
    return Task(tuple(map(str, classes)), (1,) * len(classes))


def _as_tuples(value: Any) -> Any:
    """Return the value with tuples for lists, which is what JSON makes of tuples."""
    return tuple(map(_as_tuples, value)) if isinstance(value, list | tuple) else value


def _count_loaders(loaders: Any) -> int:
    return len(loaders) if isinstance(loaders, list | tuple | dict) else 1


def classification_loss(logits: Tensor, label: Tensor, soft_label: Tensor | None = None) -> Tensor:
    """Return the mean cross-entropy over the labelled rows of the step; 0 without any.

    Args:
        logits: [B, C].
        label: int64 [B], -1 = missing.
        soft_label: float [B, C], distributions that replace the label where they are not zero: such a row
            costs -sum_c soft_label_c log p_c (the cross-entropy loss of FERPlus, arXiv:1608.01041).
    """
    known = label >= 0
    each = F.cross_entropy(logits.float(), label, ignore_index=-1, reduction="none")
    if soft_label is not None:
        given = (soft_label > 0).any(dim=1)
        soft = -(soft_label * F.log_softmax(logits.float(), dim=1)).sum(dim=1)
        each = torch.where(given & known, soft, each)
    return step_mean(each, known)
