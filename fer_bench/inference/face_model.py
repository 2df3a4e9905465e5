"""What every model does that predicts faces, wherever its weights come from. Imports no torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_bench.inference.card import DeploymentCard

Crops = NDArray[np.uint8]
"""RGB uint8 [B, S, S, 3]."""


@dataclass(frozen=True)
class Answers:
    """What a model answers for a batch of faces.

    Attributes:
        logits: float32 [B, K], in the order of the card's classes, not corrected.
        va: float32 [B, 2], valence and arousal, None where the model has none.
        au: float32 [B, 12], logits of action units, None where the model has none.
        features: float32 [B, D], what the last linear layer saw, None where nobody asked.
    """

    logits: NDArray[np.float32]
    va: NDArray[np.float32] | None = None
    au: NDArray[np.float32] | None = None
    features: NDArray[np.float32] | None = None

    @classmethod
    def joined(cls, parts: Sequence[Answers]) -> Answers:
        """Return the answers for several batches as those for one."""
        columns = ([getattr(part, field.name) for part in parts] for field in fields(cls))
        values: list[Any] = [None if each[0] is None else np.concatenate(each) for each in columns]
        return cls(*values)


class FaceModel(ABC):
    """A trained model, ready to predict.

    Attributes:
        path: File that it was read from.
        sha256: Hash of its weights.
        card: What it is.
        device: Where it computes, `cpu` or `cuda`.
        wants_neutral: Whether it learned beside real neutral pictures of each person.
    """

    path: Path
    sha256: str
    card: DeploymentCard
    device: str
    wants_neutral: bool = False

    @abstractmethod
    def answer(self, crops: Crops) -> Answers:
        """Return the answers for crops uint8 [B, S, S, 3], RGB, of the size that the card's recipe says."""
