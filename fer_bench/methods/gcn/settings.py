"""The settings of gcn."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from fer_bench.config import MethodSettings
from fer_bench.methods.gcn.layers import Pool
from fer_bench.methods.gcn.losses import PixelLoss
from fer_bench.methods.gcn.network import Distance, GeneratorName, Unpool

Variant = Literal["S0R0", "S1R0", "S0R1", "S1R1"]
Similarity = Literal["contrastive", "sharing"]
Schedule = Literal["end-to-end", "two-step"]
Reference = Literal["generated", "enrolled"]


class GCNSettings(MethodSettings):
    """Settings of gcn. Only the sizes that `width` scales are from the paper; it does not state the rest.

    Attributes:
        variant: The paper's four variants. R is the reconstruction loss; `similarity` says what S is.
        similarity: What S0 removes: the `contrastive` loss, or the `sharing` of Encoder2 by both flows.
        generator: `ae` (auto-encoder), `vae` (with a stochastic code), `gan` (auto-encoder against a
            discriminator), `residual` (the input and a bounded change of it), or `none`: the encoder and
            classifier alone, trained by cross-entropy.
        generator_weights: Generator to start from: one of this package (`neutral-tiny`) or a file of
            `fer-bench pretrain-generator`; None starts from random weights.
        fixed_generator: Whether a generator from `generator_weights` stays as it is.
        start_encoder: Whether Encoder2 starts from the encoder of `generator_weights`. With `generator=none`
            this is the control: the same pairs, and no reference.
        reference: What a face is compared with: the `generated` reference, or the `enrolled` one: a real
            neutral picture of the person, in training, validation and test. Rows without one have the
            generated one.
        neutral_flow: Weight of the losses of a third flow, the true neutral frame, in training; 0 leaves it
            out.
        schedule: `end-to-end` trains everything at once; `two-step` trains the generator first, then the rest
            with a fixed generator.
        step_one: Share of the epochs that the first of the two steps takes.
        width: Factor on the channels 32-64-96 of the paper's Fig. 3.
        kernel: Side of the convolution kernels, odd.
        hidden: Units of the hidden fully connected layer.
        pool: Kind of pooling in the encoders.
        unpool: `nearest` repeats each value; `positions` puts it where the encoder's maximum was.
        batch_norm: Whether there is a batch norm before every ReLU of encoders and decoders.
        distance: Element-wise distance of the two features; `signed` keeps the sign of the difference.
        pixel_loss: Squared or absolute errors in generation and reconstruction.
        generation: Weight of the generation loss.
        reconstruction: Weight of the reconstruction loss.
        contrastive: Weight of the contrastive loss.
        margin: Distance at which an expressive face is far enough from its reference. Features have unit
            length and are not negative, so distances are between 0 and sqrt(2); the loss acts on a row as
            long as its distance is smaller. `share/within_margin` says on how many.
        divergence: Weight of the VAE's divergence.
        adversarial: Weight of the GAN generator's adversarial loss.
        hide_pairs: Train as if no row had a neutral frame of the same person, to measure what that costs.
        lr: Highest learning rate of the one-cycle schedule.
        weight_decay: Decoupled weight decay.
    """

    variant: Variant = "S1R1"
    similarity: Similarity = "contrastive"
    generator: GeneratorName = "ae"
    generator_weights: str | None = None
    fixed_generator: bool = False
    start_encoder: bool = True
    reference: Reference = "generated"
    neutral_flow: float = Field(default=0.0, ge=0)
    schedule: Schedule = "end-to-end"
    step_one: float = Field(default=0.5, gt=0, lt=1)
    width: float = Field(default=1.0, gt=0, le=4)
    kernel: int = Field(default=3, ge=1, le=9)
    hidden: int = Field(default=512, ge=1)
    pool: Pool = "max"
    unpool: Unpool = "nearest"
    batch_norm: bool = True
    distance: Distance = "absolute"
    pixel_loss: PixelLoss = "absolute"
    generation: float = Field(default=100.0, ge=0)
    reconstruction: float = Field(default=0.1, ge=0)
    contrastive: float = Field(default=0.1, ge=0)
    margin: float = Field(default=1.2, gt=0, lt=2)
    divergence: float = Field(default=1.0, ge=0)
    adversarial: float = Field(default=0.1, ge=0)
    hide_pairs: bool = False
    lr: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=1e-4, ge=0)

    @field_validator("kernel")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError("kernel must be odd, so that the size of the image is kept")
        return value

    @model_validator(mode="after")
    def _fits(self) -> GCNSettings:
        if self.unpool == "positions" and self.pool != "max":
            raise ValueError("unpool=positions needs pool=max: averages have no position")
        if self.reference == "enrolled" and not self.generates:
            raise ValueError("reference=enrolled needs a generator, for rows without a neutral picture")
        if self.keeps_generator and self.schedule == "two-step":
            raise ValueError("a fixed generator has no step to train: schedule=end-to-end")
        if self.generator_weights and self.generator == "none" and not self.start_encoder:
            raise ValueError("generator=none takes nothing of generator_weights unless start_encoder=true")
        return self

    @property
    def enrolled(self) -> bool:
        """Whether validation and test batches carry a real neutral picture of the person."""
        return self.reference == "enrolled"

    @property
    def keeps_generator(self) -> bool:
        """Whether the generator is a pretrained one that is not trained on."""
        return self.generates and self.generator_weights is not None and self.fixed_generator

    @property
    def generates(self) -> bool:
        """Whether there is a generator."""
        return self.generator != "none"

    @property
    def reconstructs(self) -> bool:
        """Whether there is a reconstruction loss."""
        return self.generates and self.variant.endswith("R1")

    @property
    def shares(self) -> bool:
        """Whether both flows have the same Encoder2."""
        return self.similarity == "contrastive" or self.variant.startswith("S1")

    @property
    def contrasts(self) -> bool:
        """Whether there is a contrastive loss."""
        return self.generates and (self.similarity == "sharing" or self.variant.startswith("S1"))

    def first_epochs(self, max_epochs: int) -> int:
        """Return how many epochs train the generator alone."""
        if not self.generates or self.schedule == "end-to-end":
            return 0
        return min(max(1, round(self.step_one * max_epochs)), max_epochs - 1)
