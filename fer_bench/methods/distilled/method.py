"""distilled as a LightningModule: erm's student and optimiser, with a teacher beside the labels."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from fer_bench.config import Augmentation, ProfileSettings, TrainSettings
from fer_bench.errors import UsageError
from fer_bench.methods.base import Batch, Classes
from fer_bench.methods.distilled.losses import imitation_loss, similarity_loss
from fer_bench.methods.distilled.settings import DistilledSettings
from fer_bench.methods.distilled.teacher import Teacher, open_teacher, teacher_hash, teacher_origin
from fer_bench.methods.erm import losses as erm_losses
from fer_bench.methods.erm.method import ERM

STUDENT_OF = "teacher"
"""Name of the teacher among the weights that a run starts from."""


class Distilled(ERM):
    """Train a small network on labels and on what a trained teacher answers.

    The teacher sees the same augmented images as the student. Its weights are neither in the student's
    checkpoints nor trained. See `Method` for the arguments.

    Raises:
        UsageError: No such backbone, settings that contradict each other, or a linear probe.
    """

    name = "distilled"
    settings_type = DistilledSettings
    settings: DistilledSettings
    uses_unlabelled = True
    weight_settings = (*ERM.weight_settings, "teacher")  # type: ignore[assignment]
    profiles: ClassVar[dict[str, ProfileSettings]] = {
        "quick": ProfileSettings(
            train=TrainSettings(
                max_epochs=40,
                batch_size=16,
                epoch_rows=400,
                augmentation=Augmentation(flip=0.5, crop_pad=3, brightness=0.3, contrast=0.3),
            ),
            method={"mode": "scratch", "size": 64, "lr": 3e-3, "weight_decay": 0.02, "warmup": 0.15},
        ),
        "small": ProfileSettings(
            train=ERM.profiles["small"].train,
            method={"mode": "scratch", "size": 64, "lr": 3e-3, "weight_decay": 0.02, "warmup": 0.15},
        ),
        "paper": ERM.profiles["paper"],
    }

    def __init__(
        self,
        classes: Classes,
        settings: DistilledSettings | None = None,
        train: TrainSettings | None = None,
    ) -> None:
        super().__init__(classes, settings, train)
        if self.settings.mode == "linear-probe":
            raise UsageError(
                "a student of whose network only the last layer learns cannot take over features",
                value="method.mode=linear-probe",
                hint="--set method.mode=fine-tune, or scratch",
            )
        self._teacher: Teacher | None = None

    @classmethod
    def weights(cls, settings: Any) -> dict[str, str]:
        """Return the hashes of the backbone's pretrained weights and of the teacher's.

        Raises:
            UsageError: No teacher is named.
            DataError: Its file is absent, or not a checkpoint of a method.
        """
        file = _teacher_file(settings)
        inherited = {f"{STUDENT_OF}'s {part}": sha for part, sha in _told(file, "weights").items()}
        return {**super().weights(settings), STUDENT_OF: teacher_hash(file), **inherited}

    @classmethod
    def pretraining(cls, settings: Any) -> dict[str, str]:
        """Return what the weights of the backbone, of the teacher and of its own start were trained on."""
        file = _teacher_file(settings)
        told = {f"{STUDENT_OF}'s {part}": text for part, text in _told(file, "pretrained").items()}
        text = "the training rows of this run" if teacher_origin(file) else "unknown data"
        return {**super().pretraining(settings), STUDENT_OF: text, **told}

    @classmethod
    def caveats(cls, settings: Any) -> tuple[str, ...]:
        """Return which teacher the student learns from."""
        name = teacher_origin(_teacher_file(settings)).get("name", "a teacher of unknown origin")
        return (*super().caveats(settings), f"the student learns from {name}")

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the sum of cross-entropy, imitation of the teacher's answers and of its similarities.

        Rows without a label are learned from the teacher alone.
        """
        parts = self.losses(batch)
        settings = self.settings
        total = (1 - settings.imitation) * parts["cls"] + settings.imitation * parts["imitation"]
        if "similarity" in parts:
            total = total + settings.similarity * parts["similarity"]
        self.log_losses(len(batch["label"]), **parts, total=total)
        return total

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the losses of a training batch, unweighted scalars by name."""
        settings, image, label = self.settings, batch["image"], batch["label"]
        wanted = erm_losses.targets(
            label, len(self.task.classes), batch.get("soft_label"), settings.label_smoothing
        )
        if settings.mixup:
            mix = erm_losses.draw_mix(settings.mixup, label)
            image, wanted = mix.apply(image), mix.apply(wanted)
        lesson = self.teacher.answer(image)
        features = self.network.backbone(image)
        logits = self.network(image, features)
        parts = {
            "cls": erm_losses.cross_entropy(logits, wanted),
            "imitation": imitation_loss(logits, lesson.logits, settings.temperature),
        }
        if settings.similarity:
            parts["similarity"] = similarity_loss(features, lesson.features)
        return parts

    @property
    def teacher(self) -> Teacher:
        """The teacher, read on first use."""
        if self._teacher is None:
            file = _teacher_file(self.settings)
            self._teacher = open_teacher(file, self.task.classes, self.input_spec(self.settings))
        return self._teacher

    def on_train_end(self) -> None:
        """Drop the teacher."""
        super().on_train_end()
        self._teacher = None


def _teacher_file(settings: DistilledSettings) -> str:
    """Return the teacher's file.

    Raises:
        UsageError: None is named.
    """
    if settings.teacher is None:
        raise UsageError(
            "a student needs a teacher", hint="name it: fer-bench distill CHECKPOINT --student NAME"
        )
    return settings.teacher


def _told(file: str, what: str) -> dict[str, str]:
    """Return what a teacher's file says about the weights that the teacher itself started from."""
    found = teacher_origin(file).get(what)
    return {str(part): str(text) for part, text in found.items()} if isinstance(found, dict) else {}
