"""ssmfar as a LightningModule: its profiles, losses, thresholds and optimiser."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from fer_bench.config import Augmentation, InputSpec, ProfileSettings, TrainSettings
from fer_bench.data.loading.datamodule import FaceDataModule
from fer_bench.errors import UsageError
from fer_bench.methods.backbones import fitting_backbone, load_backbone, open_pretrained
from fer_bench.methods.base import Batch, Classes, Method, OptimizerConfig, Prediction, Task
from fer_bench.methods.shared_step import step_mean
from fer_bench.methods.ssmfar import losses
from fer_bench.methods.ssmfar.network import Outputs, SSMFARNetwork
from fer_bench.methods.ssmfar.sampling import RevealHidden, keep_labelled, separate_order
from fer_bench.methods.ssmfar.settings import SSMFARSettings
from fer_bench.methods.weights import described, told_or_unknown

CONTROLS = {
    "oracle": "a control, not a result: rows whose label is hidden were trained with that label",
    "skip": "a control: rows without an expression label were left out of the batches",
}


class SSMFAR(Method[SSMFARSettings]):
    """Learn expressions, valence-arousal and action units together, also from rows without expression label.

    Gera et al., arXiv:2207.09012. See `Method` for the arguments; heads exist only for what the task offers.
    """

    name = "ssmfar"
    settings_type = SSMFARSettings
    needs_strong = True
    uses_unlabelled = True
    predicts_affect = True
    weight_settings = ("weights", "weights_trained_on")
    profiles: ClassVar[dict[str, ProfileSettings]] = {
        "quick": ProfileSettings(
            train=TrainSettings(
                max_epochs=24, batch_size=32, epoch_rows=400, augmentation=Augmentation(flip=0.5, crop_pad=4)
            ),
            method={
                "backbone": "narrow",
                "weights": "clip-tiny-neutral",
                "size": 64,
                "dropout": 0.1,
                "feature_scale": 14.0,
                "recipe": "one-cycle",
                "lr": 3e-3,
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
                "backbone": "narrow",
                "size": 64,
                "dropout": 0.1,
                "feature_scale": 14.0,
                "recipe": "one-cycle",
                "lr": 3e-3,
            },
        ),
        "paper": ProfileSettings(
            train=TrainSettings(
                max_epochs=50, batch_size=256, augmentation=Augmentation(flip=0.5, crop_pad=8)
            ),
            method={"batches": "mixed"},
        ),
    }

    class_weights: Tensor
    au_weights: Tensor
    thresholds: Tensor

    def __init__(
        self, classes: Classes, settings: SSMFARSettings | None = None, train: TrainSettings | None = None
    ) -> None:
        super().__init__(classes, settings, train)
        task, settings = self.task, self.settings
        self.network = SSMFARNetwork(
            len(task.classes),
            backbone=settings.backbone,
            dropout=settings.dropout,
            scale=settings.feature_scale,
            with_va=task.has_va,
            with_au=task.has_au,
        ).to(memory_format=torch.channels_last)
        self.register_buffer("class_weights", losses.class_weights(task.class_counts))
        self.register_buffer("au_weights", losses.au_weights(task.au_counts))
        self.register_buffer("thresholds", torch.full((len(task.classes),), losses.FLOOR))

    @classmethod
    def input_spec(cls, settings: SSMFARSettings) -> InputSpec:
        """Return colour images of the wanted size with ImageNet's mean and deviation."""
        return InputSpec(size=settings.size)

    @classmethod
    def weights(cls, settings: SSMFARSettings) -> dict[str, str]:
        """Return the hash of the backbone's pretrained weights, after a trial load."""
        return {"backbone": fitting_backbone(settings.backbone, settings.weights)} if settings.weights else {}

    @classmethod
    def pretraining(cls, settings: SSMFARSettings) -> dict[str, str]:
        """Return what the backbone's weights were trained on."""
        return (
            {"backbone": described(settings.weights, settings.weights_trained_on)} if settings.weights else {}
        )

    @classmethod
    def caveats(cls, settings: SSMFARSettings) -> tuple[str, ...]:
        """Return which weights the backbone starts from, and whether the run is a control."""
        controls = () if settings.unlabelled_rows == "pseudo" else (CONTROLS[settings.unlabelled_rows],)
        if settings.weights is None:
            text = "the backbone starts from random weights; the authors' was trained on MS-Celeb-1M faces"
            return (text, *controls)
        data = told_or_unknown(settings.weights, settings.weights_trained_on, setting="weights_trained_on")
        return (f"the backbone starts from {settings.weights}, trained on {data}", *controls)

    @classmethod
    def adaptation(cls, task: Task, settings: SSMFARSettings) -> str | None:
        """Return what the training rows lack: a task, or rows without an expression label."""
        lacking = [
            text
            for text, there in (
                ("no valence and arousal: without that head", task.has_va),
                ("no action units: without these heads", task.has_au),
                ("every row has an expression label: the supervised part alone", task.unlabelled > 0),
            )
            if not there
        ]
        return "; ".join(lacking) or None

    def load_pretrained(self) -> None:
        """Load the backbone's pretrained weights."""
        if name := self.settings.weights:
            load_backbone(self.network.backbone, open_pretrained(name), name)

    def forward(self, image: Tensor) -> Prediction:
        """Predict from normalised images [B, 3, H, W]; valence and arousal are clamped to [-1, 1]."""
        found: Outputs = self.network(image)
        va = None if found.va is None else found.va.float().clamp(-1, 1)
        return Prediction(found.expression.float(), va, None if found.au is None else found.au.float())

    def train_loader(self, data: FaceDataModule) -> Iterable[Any]:
        """Return the training batches, with a labelled and an unlabelled part where there are such rows."""
        settings = self.settings
        strong: Literal["all", "unlabelled"] = "unlabelled" if settings.strong_alone else "all"
        order = separate_order(data, self.trainer.world_size) if settings.batches == "separate" else None
        if order is None:
            return data.training_loader(strong=strong)
        if settings.unlabelled_rows == "skip":
            return data.training_loader(choose=order, change=keep_labelled, strong="none")
        reveal = RevealHidden(data) if settings.unlabelled_rows == "oracle" else None
        return data.training_loader(choose=order, change=reveal, strong=strong)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return L_EXPR + L_VA + L_AU."""
        parts, rows = self.losses(batch), len(batch["label"])
        if "believed" in parts:
            self.log_shares(rows, believed=parts.pop("believed"))
        total = torch.stack([parts[name] for name in ("expr", "va", "au") if name in parts]).sum()
        self.log_losses(rows, **parts, total=total)
        return total

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the losses of a training batch by name, and the share of believed pseudo-labels.

        `expr` is made of `labelled` and, if the batch has a strong view, of `unlabelled` and `consistency`.
        `va` and `au` are present if the network has these heads.
        """
        label = batch["label"]
        weak: Outputs = self.network(batch["image"])
        supervised = losses.labelled_loss(weak.expression, label, self.class_weights)
        parts = {"expr": supervised, "labelled": supervised}
        if "strong" in batch:
            parts = self._with_unlabelled(batch, weak.expression, supervised)
        if weak.va is not None:
            parts["va"] = losses.affect_loss(weak.va, batch["va"])
        if weak.au is not None:
            parts["au"] = losses.action_unit_loss(weak.au, batch["au"], self.au_weights)
        return parts

    def _with_unlabelled(self, batch: Batch, weak: Tensor, supervised: Tensor) -> dict[str, Tensor]:
        """Return the losses of the expressions of a batch that has strong views.

        Args:
            batch: The batch.
            weak: Logits of the weak view [B, C].
            supervised: L_lab.
        """
        missing = batch["label"] < 0
        strong = self._strong(batch["strong"], missing)
        oracle = self.settings.unlabelled_rows == "oracle"
        if oracle:
            hidden = batch["hidden_label"]
            answer, believed = hidden.clamp(min=0), missing & (hidden >= 0)
        else:
            answer, believed = losses.pseudo_labels(weak, self.thresholds, missing)
        unsupervised = losses.unlabelled_loss(strong, answer, believed, missing, self.class_weights)
        parts = {"labelled": supervised, "unlabelled": unsupervised}
        consistency = torch.zeros_like(supervised)
        if not oracle:
            rows = losses.consistency_rows(missing, believed, self.settings.consistency_scope)
            parts["consistency"] = consistency = losses.consistency_loss(weak, strong, rows)
            parts["believed"] = step_mean(believed.float(), missing)
        parts["expr"] = losses.expression_loss(supervised, unsupervised, consistency, missing)
        return parts

    def _strong(self, images: Tensor, missing: Tensor) -> Tensor:
        """Return logits of strong views [B, C]; of unlabelled rows alone where no loss reads the others'."""
        if not self.settings.strong_alone:
            found: Outputs = self.network(images)
            return found.expression
        rows = missing.nonzero().squeeze(1)
        logits = torch.zeros(len(missing), len(self.task.classes), device=images.device)
        if not len(rows):
            return logits
        return logits.index_copy(0, rows, self.network(images[rows]).expression.float())

    def on_train_epoch_end(self) -> None:
        """Stop a diverged run; set and log the thresholds of the next epoch."""
        super().on_train_epoch_end()
        if self.task.unlabelled and self.settings.unlabelled_rows == "pseudo":
            self.thresholds.copy_(losses.adaptive_thresholds(*self._confidence(), self.current_epoch + 1))
            named = zip(self.task.classes, self.thresholds, strict=True)
            self.log_dict({f"threshold/{name}": value for name, value in named})

    def _confidence(self) -> tuple[Tensor, Tensor]:
        """Return the summed confidence and the number of right answers per class, over all processes.

        Each labelled training row (at most `epoch_rows`) is predicted once in evaluation mode, in the view
        that this epoch showed.
        """
        data = getattr(self.trainer, "datamodule", None)
        if not isinstance(data, FaceDataModule):
            raise UsageError(
                "ssmfar sets its thresholds on the rows of a FaceDataModule, and the Trainer has none"
            )
        sums = torch.zeros(2, len(self.task.classes), device=self.device)
        self.network.eval()
        with torch.no_grad():
            for batch in data.labelled_views(self.device):
                with self.trainer.precision_plugin.forward_context():
                    logits = self(batch["image"]).logits
                sure, answer = logits.softmax(dim=1).max(dim=1)
                right = (answer == batch["label"]).float()
                sums.index_add_(1, answer, torch.stack([right * sure, right]))
        self.network.train()
        confidence, count = self.trainer.strategy.reduce(sums, reduce_op="sum")
        return confidence, count

    def configure_optimizers(self) -> OptimizerConfig:
        """Return Adam, with the schedule of the recipe."""
        adam = torch.optim.Adam(self.parameters(), lr=self.settings.lr, fused=True)
        return adam if self.settings.recipe == "paper" else self.one_cycle(adam)
