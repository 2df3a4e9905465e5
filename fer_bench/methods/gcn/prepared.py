"""What a training batch means for the losses of gcn."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from fer_bench.data.batch import Batch
from fer_bench.methods.gcn import losses


class PreparedBatch(NamedTuple):
    """A training batch as the losses want it.

    Attributes:
        image: [B, 1, 64, 64].
        reference: What the generator should draw [B, 1, 64, 64].
        has_reference: bool [B], rows whose reference is known.
        is_real: bool [B], rows whose reference is another picture of the person than the input.
        label: int64 [B].
        is_neutral: bool [B].
        soft_label: [B, C], distributions over the classes, or None.
    """

    image: Tensor
    reference: Tensor
    has_reference: Tensor
    is_real: Tensor
    label: Tensor
    is_neutral: Tensor
    soft_label: Tensor | None = None


def prepare(batch: Batch, neutral: int | None, *, hide_pairs: bool) -> PreparedBatch:
    """Return a training batch as the losses want it.

    Args:
        batch: A training batch, with or without references.
        neutral: Number of the class neutral, None where there is none.
        hide_pairs: Whether to take no row's reference.
    """
    image, label = batch["image"][:, :1], batch["label"]
    is_neutral = label == neutral if neutral is not None else torch.zeros_like(label).bool()
    has, reference = torch.zeros_like(is_neutral), image
    if "reference" in batch and not hide_pairs:
        has, reference = batch["has_reference"], batch["reference"][:, :1]
    reference, known = losses.true_reference(image, reference, has, is_neutral)
    return PreparedBatch(image, reference, known, has, label, is_neutral, batch.get("soft_label"))
