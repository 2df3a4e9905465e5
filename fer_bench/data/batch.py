"""What methods get from the data: batches, and a summary of what the training rows offer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from torch import Tensor


class Batch(TypedDict, total=False):
    """What a training, validation or test step gets.

    Attributes:
        image: float [B, 3, H, W], augmented in training, normalised as the method's `InputSpec` says.
        strong: float [B, 3, H, W], a second, strongly augmented view; present in training if the method asks
            for it and there are training rows without a label.
        reference: float [B, 3, H, W], the neutral face of the same person under the same geometric
            augmentation, zeros if it is missing; present in training if the method asks for it, and in
            validation and test if its settings say that it sees an enrolled picture.
        generated: float [B, 3, H, W], a neutral face that the method has drawn of `image` itself, under the
            same geometric augmentation; present in training if the method brings it.
        has_reference: bool [B], whether `reference` is real.
        label: int64 [B], position in the method's classes, -1 = missing.
        soft_label: float32 [B, C], the soft label; a row sums to one, or is zero if it has none. Present in
            training if `TrainSettings.soft_labels` asks for it.
        hidden_label: int64 [B], the class of a row whose label is hidden, else -1; present if a method's own
            loader adds it.
        va: float [B, 2], valence and arousal in [-1, 1], NaN = missing.
        au: int64 [B, 12], 0/1 in the order of `ACTION_UNITS`, -1 = missing.
        row: int64 [B], position in the dataset's index.
    """

    image: Tensor
    strong: Tensor
    reference: Tensor
    generated: Tensor
    has_reference: Tensor
    label: Tensor
    soft_label: Tensor
    hidden_label: Tensor
    va: Tensor
    au: Tensor
    row: Tensor


@dataclass(frozen=True)
class Task:
    """What the training rows offer; checkpoints store it, so that a model can be rebuilt without data.

    Attributes:
        classes: Ordered class names.
        class_counts: Labelled training rows per class.
        has_va: Whether training rows carry valence and arousal.
        has_au: Whether training rows carry action units.
        has_reference: Whether training rows carry neutral frames of the same person.
        reference_share: Share of the training rows that do, in [0, 1].
        reference_by_label: Whether these include frames that are labelled neutral, and not only first frames
            of sequences that begin with a neutral face.
        au_counts: (negative, positive) training rows per action unit; empty without AUs.
        unlabelled: Training rows without an expression label.
    """

    classes: tuple[str, ...]
    class_counts: tuple[int, ...]
    has_va: bool = False
    has_au: bool = False
    has_reference: bool = False
    reference_share: float = 1.0
    reference_by_label: bool = False
    au_counts: tuple[tuple[int, int], ...] = ()
    unlabelled: int = 0
