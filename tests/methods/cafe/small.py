"""A small cafe and batches for it."""

from __future__ import annotations

import torch
from torch import nn

from fer_bench.config import TrainSettings
from fer_bench.data.batch import Batch, Task
from fer_bench.methods.cafe.method import CAFE
from fer_bench.methods.cafe.settings import CAFESettings

SEVEN = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
THREE = SEVEN[:3]


def make(classes: tuple[str, ...] = THREE, *, seed: int = 0, **settings: object) -> CAFE:
    torch.manual_seed(seed)
    chosen = CAFESettings(**{"tower": "clip-tiny", "backbone": "narrow", "size": 32, **settings})
    train = TrainSettings(max_epochs=1, batch_size=8)
    return CAFE(Task(classes, (4,) * len(classes)), chosen, train)


def make_batch(rows: int = 8, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    return {
        "image": torch.randn(rows, 3, 32, 32, generator=generator),
        "label": torch.arange(rows) % 3,
        "row": torch.arange(rows),
    }


def state_of(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}
