"""erm as a LightningModule: its profiles, sampling, loss, averaged weights and optimiser."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from fer_bench.config import Augmentation, InputSpec, ProfileSettings, TrainSettings
from fer_bench.data.loading.datamodule import FaceDataModule
from fer_bench.data.loading.features import enumerable
from fer_bench.data.loading.union_module import UnionDataModule
from fer_bench.errors import UsageError
from fer_bench.methods.backbones import as_named_by_timm, load_backbone, open_pretrained
from fer_bench.methods.base import Batch, Classes, Method, OptimizerConfig, Prediction
from fer_bench.methods.erm import losses
from fer_bench.methods.erm.averaging import KEY, WeightAverage
from fer_bench.methods.erm.network import (
    ERMNetwork,
    build_any_backbone,
    check_backbone,
    picture_spec,
    timm_options,
    weights_of,
)
from fer_bench.methods.erm.sampling import balanced_rows
from fer_bench.methods.erm.settings import ERMSettings, refuse_conflicts
from fer_bench.methods.frozen import FeatureCache
from fer_bench.methods.weights import Pretrained, described, told_or_unknown

if TYPE_CHECKING:
    from fer_bench.data.packs.pack import Pack

MIRRORED_ONLY = Augmentation(flip=0.5)


class ERM(Method[ERMSettings]):
    """Minimise the cross-entropy of one network: the plain baseline, carefully trained.

    See `Method` for the arguments. The backbone is random until `load_pretrained`.

    Raises:
        UsageError: No such backbone, or settings that contradict each other.
    """

    name = "erm"
    settings_type = ERMSettings
    learns_soft_labels = True
    weight_settings = ("weights", "weights_trained_on")
    profiles: ClassVar[dict[str, ProfileSettings]] = {
        "quick": ProfileSettings(
            train=TrainSettings(
                max_epochs=24,
                batch_size=16,
                epoch_rows=400,
                augmentation=Augmentation(flip=0.5, crop_pad=3, brightness=0.3, contrast=0.3),
            ),
            method={
                "backbone": "small",
                "mode": "scratch",
                "size": 48,
                "dropout": 0.3,
                "lr": 3e-3,
                "weight_decay": 0.02,
                "warmup": 0.15,
            },
        ),
        "small": ProfileSettings(
            train=TrainSettings(
                max_epochs=40,
                batch_size=32,
                epoch_rows=16_000,
                augmentation=Augmentation(flip=0.5, crop_pad=4, brightness=0.3, contrast=0.3),
            ),
            method={
                "backbone": "narrow",
                "mode": "scratch",
                "size": 64,
                "dropout": 0.3,
                "lr": 3e-3,
                "weight_decay": 0.02,
                "warmup": 0.15,
            },
        ),
        "paper": ProfileSettings(
            train=TrainSettings(
                max_epochs=40,
                batch_size=64,
                augmentation=Augmentation(flip=0.5, crop_pad=16, erase=0.5, brightness=0.3, contrast=0.3),
            ),
        ),
    }

    def __init__(
        self, classes: Classes, settings: ERMSettings | None = None, train: TrainSettings | None = None
    ) -> None:
        super().__init__(classes, settings, train)
        settings = self.settings
        refuse_conflicts(settings)
        self.network = ERMNetwork(
            len(self.task.classes),
            backbone=settings.backbone,
            size=settings.size,
            width=settings.width,
            dropout=settings.dropout,
            frozen=settings.mode == "linear-probe",
        ).to(memory_format=torch.channels_last)
        self._cache: FeatureCache | None = None
        if settings.mode == "linear-probe":
            self._cache = FeatureCache(
                self.network.backbone, self.input_spec(settings), [settings.backbone, str(settings.size)]
            )
        self._average: WeightAverage | None = None
        self._resumed: dict[str, Any] | None = None

    @classmethod
    def input_spec(cls, settings: ERMSettings) -> InputSpec:
        """Return colour images with the mean and deviation that timm's weights of the backbone want."""
        return picture_spec(settings.backbone, settings.size)

    @classmethod
    def resolve_train(cls, settings: ERMSettings, train: TrainSettings) -> TrainSettings:
        """Return training settings in which a linear probe sees what can be cached: plain and mirrored faces.

        Raises:
            UsageError: Settings that contradict each other, or a probe with augmentation of the user's own.
        """
        refuse_conflicts(settings)
        how = train.augmentation
        if settings.mode != "linear-probe" or enumerable(how):
            return train
        if how not in [profile.train.augmentation for profile in cls.profiles.values()]:
            raise UsageError(
                "a linear probe learns from cached features, of plain and mirrored faces alone",
                value=f"augmentation {how.model_dump(exclude_defaults=True)}",
                hint="--set method.mode=fine-tune, or change nothing of train.augmentation but flip",
            )
        return train.model_copy(update={"augmentation": MIRRORED_ONLY})

    @classmethod
    def weights(cls, settings: ERMSettings) -> dict[str, str]:
        """Return the hash of the backbone's pretrained weights, after a trial with one picture."""
        check_backbone(settings.backbone, settings.size, settings.width)
        if not settings.pretrained:
            return {}
        name = _weights_name(settings)
        return {"backbone": _fitting(name, settings.backbone, settings.size, settings.width)}

    @classmethod
    def pretraining(cls, settings: ERMSettings) -> dict[str, str]:
        """Return what the backbone's weights were trained on."""
        if not settings.pretrained:
            return {}
        return {"backbone": described(_weights_name(settings), settings.weights_trained_on)}

    @classmethod
    def caveats(cls, settings: ERMSettings) -> tuple[str, ...]:
        """Return which weights the backbone starts from, or stays with."""
        if not settings.pretrained:
            return ()
        name = _weights_name(settings)
        data = told_or_unknown(name, settings.weights_trained_on, setting="weights_trained_on")
        if settings.mode == "linear-probe":
            return (f"linear probe: the backbone stays with {name}, trained on {data}",)
        return (f"the backbone starts from {name}, trained on {data}",)

    def load_pretrained(self) -> None:
        """Load the backbone's pretrained weights."""
        if self.settings.pretrained:
            name = _weights_name(self.settings)
            given = open_pretrained(name, **timm_options(self.settings.backbone, self.settings.size))
            _load(self.network.backbone, given, name)

    def forward(self, image: Tensor) -> Prediction:
        """Predict from normalised images [B, 3, H, W]."""
        return Prediction(self.network(image).float())

    def predict_batch(self, batch: Batch) -> Prediction:
        """Predict from a batch; a linear probe takes the features from the cache if they are there."""
        known = self._cache.look_up(batch) if self._cache is not None else None
        return Prediction(self.network(batch["image"], known).float())

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the mean cross-entropy over labelled rows, against soft labels where the batch has them."""
        settings, image, label = self.settings, batch["image"], batch["label"]
        wanted = losses.targets(
            label, len(self.task.classes), batch.get("soft_label"), settings.label_smoothing
        )
        if settings.mixup:
            mix = losses.draw_mix(settings.mixup, label)
            image, wanted = mix.apply(image), mix.apply(wanted)
        known = self._cache.look_up_training(batch, self) if self._cache is not None else None
        total = losses.cross_entropy(self.network(image, known), wanted)
        self.log_losses(len(label), cls=total, total=total)
        return total

    def train_loader(self, data: FaceDataModule) -> Iterable[Any]:
        """Return the training batches; with `balanced`, all classes come equally often.

        In a union, members come equally often as well, and classes within each member.
        """
        if not self.settings.balanced:
            return super().train_loader(data)
        rows, labels = data.rows("train"), data.labels("train")
        starts = data.union.starts[1:-1] if isinstance(data, UnionDataModule) else np.array([], np.int64)
        member = np.searchsorted(starts, rows, side="right")
        count = min(data.epoch_rows or len(rows), len(rows))

        def choose(epoch: int) -> NDArray[np.int64]:
            return balanced_rows(rows, labels, member, count, np.random.default_rng([data.seed, epoch]))

        return data.training_loader(choose=choose)

    def on_train_start(self) -> None:
        """Open cached features; begin or resume the average of the weights."""
        if self._cache is not None:
            self._cache.open_training(self.trainer)
        if self.settings.ema:
            self._average = WeightAverage(self.network, self.settings.ema)
            if self._resumed is not None:
                self._average.restore(self._resumed)
                self._resumed = None

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Let the weights learn again after the average was validated."""
        if self._average is not None:
            self._average.take_out()

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Take the step into the average."""
        if self._average is not None:
            self._average.update()

    def on_validation_epoch_start(self) -> None:
        """Validate the average, where there is one."""
        super().on_validation_epoch_start()
        if self._average is not None:
            self._average.put_in_place()

    def on_train_epoch_end(self) -> None:
        """Stop a diverged run; leave the average in place for what is stored after the epoch."""
        super().on_train_epoch_end()
        if self._average is not None:
            self._average.put_in_place()

    def on_train_end(self) -> None:
        """Drop the features of the training pack; the average stays in place."""
        if self._cache is not None:
            self._cache.close()
        self._average = None

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the average to a state to resume from."""
        if self._average is not None:
            checkpoint[KEY] = self._average.state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the average of a state to resume from until training starts."""
        self._resumed = checkpoint.get(KEY)

    def use_pack(self, pack: Pack, rows: NDArray[np.int64]) -> None:
        """Open the cached features of a linear probe for rows that are about to be predicted."""
        if self._cache is not None:
            self._cache.open(pack, rows)

    def configure_optimizers(self) -> OptimizerConfig:
        """Return AdamW with a linear warm-up and a cosine, both over steps."""
        decayed: list[Tensor] = []
        others: list[Tensor] = []
        for parameter in self.network.parameters():
            if parameter.requires_grad:
                (decayed if parameter.dim() > 1 else others).append(parameter)
        groups = [
            {"params": decayed, "weight_decay": self.settings.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        adamw = torch.optim.AdamW(groups, lr=self.settings.lr, fused=True)
        steps = int(self.trainer.estimated_stepping_batches)
        rising = math.ceil(self.settings.warmup * steps)
        schedule = LambdaLR(adamw, lambda step: rate_at(step, steps, rising))
        return {"optimizer": adamw, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def rate_at(step: int, steps: int, rising: int) -> float:
    """Return the learning rate of a step as a share of the highest.

    Args:
        step: Number of the step, from 0.
        steps: Steps of the training.
        rising: Steps of the linear warm-up; the last of them has the highest rate.
    """
    if step < rising:
        return (step + 1) / rising
    return (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising))) / 2


def _weights_name(settings: ERMSettings) -> str:
    """Return the name of the pretrained weights.

    Raises:
        UsageError: None are named, and timm has none for the backbone.
    """
    name = settings.weights or weights_of(settings.backbone)
    if name is None:
        raise UsageError(
            f"there are no pretrained weights of {settings.backbone}",
            value=f"method.mode={settings.mode}",
            hint="--set method.mode=scratch, or name some: --set method.weights=FILE",
        )
    return name


@cache
def _fitting(name: str, backbone: str, size: int, width: int) -> str:
    """Return the hash of pretrained weights after a trial load, once per network and weights.

    Raises:
        DataError: They are not readable, or of another network.
    """
    given = open_pretrained(name, **timm_options(backbone, size))
    _load(build_any_backbone(backbone, size, width)[0], given, name)
    return given.sha256


def _load(network: torch.nn.Module, given: Pretrained, name: str) -> None:
    """Load pretrained weights into a backbone.

    Raises:
        DataError: They are of another network.
    """
    state = as_named_by_timm(network, given.state, name)
    load_backbone(network, Pretrained(state, given.sha256), name)
