"""A small gcn and batches for it."""

from __future__ import annotations

import torch

from fer_bench.config import TrainSettings
from fer_bench.data.batch import Batch, Task
from fer_bench.methods.gcn.method import GCN
from fer_bench.methods.gcn.settings import GCNSettings

SEVEN = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger")


def make(classes: tuple[str, ...] = SEVEN, epochs: int = 1, **settings: object) -> GCN:
    torch.manual_seed(0)
    chosen = GCNSettings(**{"width": 0.1, "hidden": 16, **settings})
    train = TrainSettings(max_epochs=epochs, batch_size=8)
    return GCN(Task(classes, (1,) * len(classes), has_reference=True), chosen, train)


def make_batch(rows: int = 4) -> Batch:
    generator = torch.Generator().manual_seed(3)
    image, reference = torch.rand(2, rows, 1, 64, 64, generator=generator).repeat(1, 1, 3, 1, 1) * 2 - 1
    return {
        "image": image,
        "reference": reference,
        "has_reference": torch.ones(rows, dtype=torch.bool),
        "label": torch.arange(rows) % len(SEVEN),
    }
