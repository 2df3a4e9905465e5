"""gcn as a LightningModule: its settings, losses and optimiser."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import torch
from pydantic import Field, field_validator
from torch import Tensor
from torch.nn import functional as F
from torch.optim.lr_scheduler import OneCycleLR

from fer_bench.config import Augmentation, InputSpec, MethodSettings, ProfileSettings, TrainSettings
from fer_bench.emotions import Emotion
from fer_bench.methods.base import Batch, Method, OptimizerConfig, Prediction, Task, classification_loss
from fer_bench.methods.gcn.network import SIZE, Distance, Flows, GCNNetwork, Pool


class GCNSettings(MethodSettings):
    """Settings of gcn. Only the sizes behind `width` are the paper's; the rest is unknown in the source.

    Attributes:
        width: Factor on the channels 32-64-96 of the paper's Fig. 3.
        kernel: Side of the convolution kernels, odd.
        hidden: Units of the hidden fully connected layer.
        pool: Kind of pooling in the encoders.
        batch_norm: Whether there is a batch norm before every ReLU of encoders and decoders.
        distance: Element-wise distance of the two features.
        generation: Weight of the generation loss.
        reconstruction: Weight of the reconstruction loss.
        contrastive: Weight of the contrastive loss.
        margin: Distance beyond which an expressive face is far enough from its reference. Features are
            unit-length and not negative, so distances lie between 0 and sqrt(2).
        lr: Highest learning rate of the one-cycle schedule.
        weight_decay: Decoupled weight decay.
    """

    width: float = Field(default=1.0, gt=0, le=4)
    kernel: int = Field(default=3, ge=1, le=9)
    hidden: int = Field(default=512, ge=1)
    pool: Pool = "max"
    batch_norm: bool = True
    distance: Distance = "absolute"
    generation: float = Field(default=1.0, ge=0)
    reconstruction: float = Field(default=1.0, ge=0)
    contrastive: float = Field(default=0.1, ge=0)
    margin: float = Field(default=1.0, gt=0, lt=2)
    lr: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=1e-4, ge=0)

    @field_validator("kernel")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError("kernel must be odd, so that the size of the image is kept")
        return value


class Losses(NamedTuple):
    """The four losses of the paper's Fig. 1, unweighted scalars."""

    cls: Tensor
    gen: Tensor
    con: Tensor
    rec: Tensor


class GCN(Method):
    """Compare a face with the generated reference face of the same person (Kim et al., arXiv:1703.07140).

    Args:
        task: Classes and what the training rows offer.
        settings: A `GCNSettings`.
        train: Epochs, batch size and augmentation.
    """

    name = "gcn"
    settings_type = GCNSettings
    needs_reference = True
    profiles: ClassVar[dict[str, ProfileSettings]] = {
        "quick": ProfileSettings(
            train=TrainSettings(
                max_epochs=14, batch_size=16, epoch_rows=400, augmentation=Augmentation(flip=0.5, crop_pad=4)
            ),
            method={"width": 0.25, "hidden": 128, "lr": 5e-3},
        ),
        "paper": ProfileSettings(
            train=TrainSettings(
                max_epochs=100, batch_size=32, augmentation=Augmentation(flip=0.5, crop_pad=4)
            ),
        ),
    }

    settings: GCNSettings

    def __init__(self, task: Task, settings: GCNSettings, train: TrainSettings) -> None:
        super().__init__(task, settings, train)
        self.network = GCNNetwork(
            len(task.classes),
            width=settings.width,
            kernel=settings.kernel,
            hidden=settings.hidden,
            pool=settings.pool,
            batch_norm=settings.batch_norm,
            distance=settings.distance,
        ).to(memory_format=torch.channels_last)
        self.neutral = task.classes.index(Emotion.NEUTRAL) if Emotion.NEUTRAL in task.classes else None

    @classmethod
    def input_spec(cls, settings: MethodSettings) -> InputSpec:
        """Return 64 x 64 grey images with values in [-1, 1]."""
        return InputSpec(size=SIZE, grey=True, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))

    @classmethod
    def adaptation(cls, task: Task) -> str | None:
        """Return how the generator learns where no row has a neutral frame of the same person."""
        if task.has_reference:
            return None
        if Emotion.NEUTRAL in task.classes:
            return (
                "no neutral frames of the same person: the generator learns from rows labelled neutral, "
                "each its own reference"
            )
        return (
            "neither neutral frames of the same person nor rows labelled neutral: the generator learns only "
            "through the contrastive and classification losses"
        )

    def forward(self, image: Tensor) -> Prediction:
        """Predict from normalised images [B, 3, 64, 64]; the extra `reference` is the generated face."""
        logits, reference = self.network(image[:, :1])
        return Prediction(logits, extras={"reference": reference})

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return cls + generation * gen + contrastive * con + reconstruction * rec."""
        settings = self.settings
        parts = self.losses(batch)
        total = (
            parts.cls
            + settings.generation * parts.gen
            + settings.contrastive * parts.con
            + settings.reconstruction * parts.rec
        )
        self.log_losses(len(batch["label"]), **parts._asdict(), total=total)
        return total

    def losses(self, batch: Batch) -> Losses:
        """Return the four losses of a training batch."""
        image, label = batch["image"][:, :1], batch["label"]
        is_neutral = label == self.neutral if self.neutral is not None else torch.zeros_like(label).bool()
        target, has_target = reference_target(
            image, batch["reference"][:, :1], batch["has_reference"], is_neutral
        )
        flows: Flows = self.network.flows(image)
        codes = torch.cat([flows.query_code, flows.reference_code])
        drawn_query, drawn_reference = self.network.reconstruct(codes).chunk(2)
        return Losses(
            cls=classification_loss(flows.logits, label),
            gen=generation_loss(flows.reference, target, has_target),
            con=contrastive_loss(
                flows.query_feature, flows.reference_feature, label >= 0, is_neutral, self.settings.margin
            ),
            rec=reconstruction_loss(drawn_query, image, drawn_reference, target, has_target),
        )

    def configure_optimizers(self) -> OptimizerConfig:
        """Return AdamW on a one-cycle schedule over the whole training."""
        optimizer = torch.optim.AdamW(
            self.parameters(), lr=self.settings.lr, weight_decay=self.settings.weight_decay
        )
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = OneCycleLR(optimizer, max_lr=self.settings.lr, total_steps=steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def reference_target(
    image: Tensor, reference: Tensor, has_reference: Tensor, is_neutral: Tensor
) -> tuple[Tensor, Tensor]:
    """Return what the generator should draw, and for which rows that is known.

    Args:
        image: [B, 1, H, W].
        reference: Neutral face of the same person [B, 1, H, W].
        has_reference: bool [B], whether `reference` is real.
        is_neutral: bool [B]; such a row without a real reference is its own.

    Returns:
        Targets [B, 1, H, W] and bool [B].
    """
    target = torch.where(has_reference[:, None, None, None], reference, image)
    return target, has_reference | is_neutral


def generation_loss(generated: Tensor, target: Tensor, has_target: Tensor) -> Tensor:
    """Return the mean squared error of generated references over rows whose reference is known (L_Gen).

    Args:
        generated: [B, 1, H, W].
        target: [B, 1, H, W].
        has_target: bool [B].
    """
    return masked_mean(row_mse(generated, target), has_target)


def reconstruction_loss(
    drawn_query: Tensor, image: Tensor, drawn_reference: Tensor, target: Tensor, has_target: Tensor
) -> Tensor:
    """Return the mean squared errors of both flows through Decoder2, added up (L_Recon).

    Args:
        drawn_query: Decoder2 of the input's code [B, 1, H, W].
        image: The input [B, 1, H, W].
        drawn_reference: Decoder2 of the generated reference's code [B, 1, H, W].
        target: The true reference [B, 1, H, W].
        has_target: bool [B], rows that count in the second term.
    """
    return row_mse(drawn_query, image).mean() + masked_mean(row_mse(drawn_reference, target), has_target)


def contrastive_loss(
    query: Tensor, reference: Tensor, is_labelled: Tensor, is_neutral: Tensor, margin: float
) -> Tensor:
    """Return the margin loss on the distance d of a face to its generated reference (L_Contr).

    A neutral face should be at its reference, d^2; an expressive one at least `margin` away,
    max(0, margin - d)^2; the mean is over labelled rows.

    Args:
        query: Unit-length features of the input, float32 [B, D].
        reference: Unit-length features of the generated reference, float32 [B, D].
        is_labelled: bool [B].
        is_neutral: bool [B].
        margin: In (0, 2).
    """
    with torch.autocast(query.device.type, enabled=False):
        squared = (query - reference).square().sum(dim=1)
        # The root has no finite slope at 0, where a face equals its reference.
        apart = F.relu(margin - squared.clamp(min=1e-12).sqrt()).square()
        return masked_mean(torch.where(is_neutral, squared, apart), is_labelled)


def row_mse(drawn: Tensor, target: Tensor) -> Tensor:
    """Return the mean squared error of each image, float32 [B]."""
    return (drawn.float() - target.float()).square().flatten(1).mean(dim=1)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of the values [B] whose mask is set; 0, still with a gradient of 0, when none is."""
    return torch.where(mask, values, 0.0).sum() / mask.sum().clamp(min=1)
