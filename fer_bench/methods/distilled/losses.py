"""What a student learns from a teacher: its softened answers, and which faces it finds alike."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["imitation_loss", "similarity_loss"]


def imitation_loss(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return T^2 KL(teacher || student) of the softmax at temperature T, averaged over rows.

    Hinton, Vinyals and Dean (arXiv:1503.02531), section 2; the factor T^2 keeps the size of the gradients.

    Args:
        student: Logits [B, C].
        teacher: Logits [B, C], constants.
        temperature: T > 0.
    """
    wanted = F.log_softmax(teacher.float() / temperature, dim=1)
    given = F.log_softmax(student.float() / temperature, dim=1)
    return temperature**2 * F.kl_div(given, wanted, reduction="batchmean", log_target=True)


def similarity_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Return how differently student and teacher say which faces of a batch are alike, in [0, 4].

    The similarity-preserving loss of Tung and Mori (arXiv:1907.09682), equations 1 to 4: the rows of each
    Gram matrix at unit length, and the mean over rows of their squared distance. The paper divides by the
    square of the batch size instead and has a weight of thousands. Features may differ in size.

    Args:
        student: Features [B, D].
        teacher: Features [B, E], constants.
    """
    with torch.autocast(student.device.type, enabled=False):
        grams = [F.normalize(f.float() @ f.float().T, dim=1) for f in (student, teacher)]
        return (grams[0] - grams[1]).square().sum(dim=1).mean()
