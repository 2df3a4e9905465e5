"""gcn as a LightningModule: its profiles, the training step and the optimiser."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from fer_bench.config import Augmentation, InputSpec, ProfileSettings, TrainSettings
from fer_bench.emotions import Emotion
from fer_bench.errors import UsageError
from fer_bench.methods.base import (
    Batch,
    Classes,
    Method,
    OptimizerConfig,
    Prediction,
    Task,
    classification_loss,
)
from fer_bench.methods.gcn import losses
from fer_bench.methods.gcn.drawn import DrawnOnce
from fer_bench.methods.gcn.generator import fitting_generator, load_generator
from fer_bench.methods.gcn.layers import Discriminator
from fer_bench.methods.gcn.network import SIZE, Codes, Flows, GCNNetwork, Generated
from fer_bench.methods.gcn.prepared import PreparedBatch, prepare
from fer_bench.methods.gcn.schedule import cycle_share
from fer_bench.methods.gcn.settings import GCNSettings
from fer_bench.methods.shared_step import processes

if TYPE_CHECKING:
    from fer_bench.data.loading.datamodule import FaceDataModule

PART = "generator"
"""The part of the network that can be pretrained."""
PAIRED = 0.95
"""Share of training rows with a neutral frame above which a source counts as paired: lab sets have stills."""


class GCN(Method[GCNSettings]):
    """Compare a face with a generated reference face of the same person (Kim et al., arXiv:1703.07140).

    See `Method` for the arguments. Batches without references train like data without neutral frames.
    """

    name = "gcn"
    settings_type = GCNSettings
    needs_reference = True
    learns_soft_labels = True
    weight_settings = ("generator_weights",)
    profiles: ClassVar[dict[str, ProfileSettings]] = {
        "quick": ProfileSettings(
            train=TrainSettings(
                max_epochs=24, batch_size=16, epoch_rows=400, augmentation=Augmentation(flip=0.5, crop_pad=4)
            ),
            method={
                "width": 0.375,
                "hidden": 128,
                "lr": 5e-3,
                "distance": "signed",
                "variant": "S1R0",
                "generator": "residual",
                "generator_weights": "neutral-tiny",
                "fixed_generator": True,
            },
        ),
        "small": ProfileSettings(
            train=TrainSettings(
                max_epochs=40,
                batch_size=32,
                epoch_rows=16_000,
                augmentation=Augmentation(flip=0.5, crop_pad=4),
            ),
            method={"width": 0.5, "hidden": 256, "lr": 5e-3, "distance": "signed"},
        ),
        "paper": ProfileSettings(
            train=TrainSettings(
                max_epochs=100, batch_size=32, augmentation=Augmentation(flip=0.5, crop_pad=4)
            ),
        ),
    }

    def __init__(
        self, classes: Classes, settings: GCNSettings | None = None, train: TrainSettings | None = None
    ) -> None:
        super().__init__(classes, settings, train)
        settings, names = self.settings, self.task.classes
        self.network = GCNNetwork(
            len(names),
            width=settings.width,
            kernel=settings.kernel,
            hidden=settings.hidden,
            pool=settings.pool,
            unpool=settings.unpool,
            batch_norm=settings.batch_norm,
            distance=settings.distance,
            generator=settings.generator,
            shared=settings.shares,
            reconstructs=settings.reconstructs,
        ).to(memory_format=torch.channels_last)
        adversary = Discriminator(self.network.stages) if settings.generator == "gan" else None
        self.discriminator = adversary.to(memory_format=torch.channels_last) if adversary else None
        self.neutral = names.index(Emotion.NEUTRAL) if Emotion.NEUTRAL in names else None
        self.first_epochs = settings.first_epochs(self.train_settings.max_epochs)

    @classmethod
    def input_spec(cls, settings: GCNSettings) -> InputSpec:
        """Return 64 x 64 grey images with values in [-1, 1]."""
        return InputSpec(size=SIZE, grey=True, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))

    @classmethod
    def resolve_train(cls, settings: GCNSettings, train: TrainSettings) -> TrainSettings:
        """Return the training settings as they are.

        Raises:
            UsageError: The schedule has two steps and the training one epoch.
        """
        if settings.generates and settings.schedule == "two-step" and train.max_epochs < 2:
            raise UsageError(
                "two steps need two epochs at least",
                value=f"train.max_epochs={train.max_epochs}",
                hint="--set method.schedule=end-to-end",
            )
        return train

    @classmethod
    def weights(cls, settings: GCNSettings) -> dict[str, str]:
        """Return the hash of the pretrained generator, after checking that it fits."""
        return {PART: fitting_generator(settings).sha256} if settings.generator_weights else {}

    @classmethod
    def pretraining(cls, settings: GCNSettings) -> dict[str, str]:
        """Return what the generator was trained on before."""
        return {PART: fitting_generator(settings).trained_on} if settings.generator_weights else {}

    @classmethod
    def pretraining_people(cls, settings: GCNSettings) -> dict[str, frozenset[str]]:
        """Return marks of the people whose faces the generator was trained on before, by dataset."""
        return fitting_generator(settings).people if settings.generator_weights else {}

    @classmethod
    def caveats(cls, settings: GCNSettings) -> tuple[str, ...]:
        """Return what the generator started from, and whether real neutral pictures are seen in the test."""
        found = []
        if settings.generator_weights:
            what = "Encoder2 starts" if not settings.generates else "the generator starts"
            what = "the generator stays as it is" if settings.keeps_generator else what
            also = (
                "; Encoder2 starts from its encoder" if settings.generates and settings.start_encoder else ""
            )
            told = fitting_generator(settings).trained_on
            found.append(f"{what}: {settings.generator_weights}, trained on {told}{also}")
        if settings.enrolled:
            found.append(
                "enrolled: a real neutral picture of the person is seen beside each face, in the test too"
            )
        return tuple(found)

    def load_pretrained(self) -> None:
        """Load the pretrained generator, and start Encoder2 from its encoder."""
        if self.settings.generator_weights:
            given = fitting_generator(self.settings)
            load_generator(self.network, given, start_encoder=self.settings.start_encoder)

    @classmethod
    def adaptation(cls, task: Task, settings: GCNSettings) -> str | None:
        """Return how the generator learns from rows without a neutral frame of the same person."""
        if not settings.generates:
            return None
        if task.has_reference and not settings.hide_pairs:
            if task.reference_by_label:
                return (
                    "the reference is the nearest frame of the same person and video that is labelled neutral"
                )
            if task.reference_share >= PAIRED:
                return None
            return (
                f"{task.reference_share:.0%} of the training rows have a neutral frame of the same person; "
                "others are their own reference when labelled neutral, else they teach the generator nothing"
            )
        why = "hidden" if task.has_reference else "no"
        if Emotion.NEUTRAL in task.classes:
            return (
                f"{why} neutral frames of the same person: the generator learns from rows labelled neutral, "
                "each its own reference"
            )
        return (
            f"{why} neutral frames of the same person and no neutral rows: the generator learns only "
            "through the contrastive and classification losses"
        )

    def forward(self, image: Tensor) -> Prediction:
        """Predict from normalised images [B, 3, 64, 64]; the extra `reference` is the generated face."""
        logits, reference = self.network(image[:, :1])
        return Prediction(logits, extras={} if reference is None else {"reference": reference})

    def predict_batch(self, batch: Batch) -> Prediction:
        """Predict from a batch; beside the enrolled pictures where the settings ask for them."""
        if not self.settings.enrolled or "reference" not in batch:
            return super().predict_batch(batch)
        image = batch["image"][:, :1]
        generated = self.network.generate(image)
        instead = _instead(generated.face, batch["reference"][:, :1], batch["has_reference"])
        logits = self.network.compare(image, generated, instead=instead).logits
        return Prediction(logits, extras={"reference": instead})

    def train_loader(self, data: FaceDataModule) -> Iterable[Any]:
        """Return the training batches; a fixed generator draws each row once, and not in every step."""
        if not self.settings.keeps_generator or not DrawnOnce.fits(data):
            return super().train_loader(data)
        drawn = DrawnOnce(self.network, data.spec, len(data.roles))
        loader: Iterable[Any] = data.training_loader(change=drawn)
        return loader

    @property
    def step(self) -> Literal["generator", "rest", "all"]:
        """What the current epoch trains."""
        if self.settings.keeps_generator:
            return "rest"
        if not self.first_epochs:
            return "all"
        return "generator" if self.current_epoch < self.first_epochs else "rest"

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the weighted sum of the losses of the current step."""
        parts = self.losses(batch)
        settings = self.settings
        weights = {
            "generation": settings.generation,
            "contrastive": settings.contrastive,
            "reconstruction": settings.reconstruction,
            "divergence": settings.divergence,
            "adversarial": settings.adversarial,
        }
        # Classifier and discriminator share no parameters with other losses, so a weight would do nothing.
        weights |= {"neutral_contrastive": settings.neutral_flow * settings.contrastive}
        weights |= {"neutral_classification": settings.neutral_flow}
        if (share := parts.pop("within_margin", None)) is not None:
            self.log_shares(len(batch["label"]), within_margin=share)
        total = torch.stack([weights.get(name, 1.0) * value for name, value in parts.items()]).sum()
        self.log_losses(len(batch["label"]), **parts, total=total)
        if processes() == 1:
            return total
        # DDP waits for a gradient of every parameter, including those that this step does not train.
        return total + sum(p.sum() for p in self.resting()) * 0.0

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the losses of a training batch in the current step, unweighted scalars by name.

        With them comes `within_margin`, the share of rows that the contrastive loss acts on.
        """
        given = prepare(batch, self.neutral, hide_pairs=self.settings.hide_pairs)
        if not self.settings.generates:
            logits = self.network.flows(given.image).logits
            return {"classification": classification_loss(logits, given.label, given.soft_label)}
        if self.step == "generator":
            return self._generator_losses(given, self.network.generate(given.image))
        if self.step == "rest":
            with torch.no_grad():  # the generator is fixed; its losses are only logged
                drawn = batch.get("generated")
                generated = (
                    self.network.generate(given.image) if drawn is None else Generated(drawn[:, :1], None)
                )
                fixed = self._generator_losses(given, generated)
            return {**self._flow_losses(given, self._compare(given, generated)), **fixed}
        generated = self.network.generate(given.image)
        return {
            **self._flow_losses(given, self._compare(given, generated)),
            **self._generator_losses(given, generated),
        }

    def _compare(self, given: PreparedBatch, generated: Generated) -> Flows:
        instead = None
        if self.settings.enrolled:
            instead = _instead(generated.face, given.reference, given.is_real)
        neutral = given.reference if self.settings.neutral_flow else None
        return self.network.compare(given.image, generated, instead=instead, neutral=neutral)

    def _generator_losses(self, given: PreparedBatch, generated: Generated) -> dict[str, Tensor]:
        """Return L_Gen and what a VAE or GAN adds to it."""
        face, kind = generated.face, self.settings.pixel_loss
        parts = {"generation": losses.generation_loss(face, given.reference, given.has_reference, kind)}
        if generated.latent is not None:
            parts["divergence"] = losses.divergence_loss(generated.latent, SIZE * SIZE)
        if self.discriminator is not None:
            # The generator must not train the discriminator, so its weights are constants here.
            fixed = {name: value.detach() for name, value in self.discriminator.named_parameters()}
            judged = functional_call(self.discriminator, fixed, (given.image, face))
            real = self.discriminator(given.image, given.reference)
            drawn = self.discriminator(given.image, face.detach())
            parts["adversarial"] = losses.adversarial_loss(judged)
            parts["discriminator"] = losses.discriminator_loss(real, drawn, given.has_reference)
        return parts

    def _flow_losses(self, given: PreparedBatch, flows: Flows) -> dict[str, Tensor]:
        """Return L_Cls and, where the variant has them, L_Contr and L_Recon."""
        assert flows.generated is not None
        assert flows.reference is not None
        parts = {"classification": classification_loss(flows.logits, given.label, given.soft_label)}
        if self.settings.contrasts:
            parts["contrastive"] = losses.contrastive_loss(
                flows.query.feature,
                flows.reference.feature,
                given.label >= 0,
                given.is_neutral,
                self.settings.margin,
            )
            expressive = (given.label >= 0) & ~given.is_neutral
            parts["within_margin"] = losses.within_margin(
                flows.query.feature, flows.reference.feature, expressive, self.settings.margin
            )
        if flows.neutral is not None and flows.neutral_logits is not None:
            parts |= self._neutral_losses(given, flows, flows.neutral, flows.neutral_logits)
        if self.settings.reconstructs:
            drawn_query, drawn_reference = self.network.reconstruct(flows.query, flows.reference)
            parts["reconstruction"] = losses.reconstruction_loss(
                drawn_query,
                given.image,
                drawn_reference,
                given.reference,
                given.has_reference,
                self.settings.pixel_loss,
            )
        return parts

    def _neutral_losses(
        self, given: PreparedBatch, flows: Flows, neutral: Codes, logits: Tensor
    ) -> dict[str, Tensor]:
        """Return the losses of the third flow, over rows whose neutral frame is another picture."""
        assert flows.reference is not None
        shown = torch.where(given.is_real, given.label, -1)
        parts = {"neutral_classification": classification_loss(logits, shown, given.soft_label)}
        if self.settings.contrasts:
            parts["neutral_contrastive"] = losses.neutral_flow_loss(
                flows.query.feature,
                flows.reference.feature,
                neutral.feature,
                is_known=given.is_real,
                is_labelled=given.label >= 0,
                is_neutral=given.is_neutral,
                margin=self.settings.margin,
            )
        return parts

    def _groups(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """Return the parameters of the first step, and all others."""
        parts = [*self.network.generator_parts(), *([self.discriminator] if self.discriminator else [])]
        first = [p for part in parts for p in part.parameters()]
        known = {id(p) for p in first}
        return first, [p for p in self.parameters() if id(p) not in known]

    def resting(self) -> list[nn.Parameter]:
        """Return the parameters that the current step does not train."""
        if self.step == "all":
            return []
        first, rest = self._groups()
        return rest if self.step == "generator" else first

    def on_train_epoch_start(self) -> None:
        """Freeze the batch statistics of a fixed generator."""
        for part in self.network.generator_parts():
            part.train(self.step != "rest")

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Drop the zero gradients of resting parameters, so that neither decay nor momentum changes them."""
        if processes() > 1:
            for parameter in self.resting():
                parameter.grad = None

    def configure_optimizers(self) -> OptimizerConfig:
        """Return AdamW on a one-cycle schedule over the whole training, or one over each of two steps.

        Only the rate has a cycle: the momentum of all steps and schedules is AdamW's.
        """
        settings = self.settings
        adamw = partial(torch.optim.AdamW, lr=settings.lr, weight_decay=settings.weight_decay, fused=True)
        steps = int(self.trainer.estimated_stepping_batches)
        if not self.first_epochs:
            optimizer = adamw(self.parameters())
            schedule = LambdaLR(optimizer, lambda step: cycle_share(step, steps))
        else:
            optimizer = adamw([{"params": parameters} for parameters in self._groups()])
            turn = steps * self.first_epochs // self.train_settings.max_epochs
            schedule = LambdaLR(
                optimizer,
                [lambda step: cycle_share(step, turn), lambda step: cycle_share(step - turn, steps - turn)],
            )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _instead(generated: Tensor, real: Tensor, has: Tensor) -> Tensor:
    """Return the real neutral pictures [B, 1, H, W], and the generated ones of rows without."""
    return torch.where(has[:, None, None, None], real.to(generated.dtype), generated)
