"""A small ssmfar and batches for it."""

from __future__ import annotations

import torch

from fer_bench.config import TrainSettings
from fer_bench.data.batch import Batch, Task
from fer_bench.methods.ssmfar.method import SSMFAR
from fer_bench.methods.ssmfar.settings import SSMFARSettings

EIGHT = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "other")
THREE = EIGHT[:3]
NAN = float("nan")


def make(task: Task | None = None, **settings: object) -> SSMFAR:
    torch.manual_seed(0)
    chosen = SSMFARSettings(**{"backbone": "narrow", "size": 32, "dropout": 0.0, **settings})
    return SSMFAR(task or full_task(), chosen, TrainSettings(max_epochs=1, batch_size=8))


def full_task(classes: tuple[str, ...] = THREE, unlabelled: int = 4) -> Task:
    return Task(
        classes,
        (4,) * len(classes),
        has_va=True,
        has_au=True,
        au_counts=((6, 2),) * 12,
        unlabelled=unlabelled,
    )


def make_batch(rows: int = 8, seed: int = 0) -> Batch:
    """Return a batch whose last half has no label, whose first row has neither affect nor units."""
    generator = torch.Generator().manual_seed(seed)
    label = torch.arange(rows) % 3
    label[rows // 2 :] = -1
    va = torch.rand(rows, 2, generator=generator) * 2 - 1
    va[0] = NAN
    au = torch.randint(0, 2, (rows, 12), generator=generator)
    au[0] = -1
    return {
        "image": torch.randn(rows, 3, 32, 32, generator=generator),
        "strong": torch.randn(rows, 3, 32, 32, generator=generator),
        "label": label,
        "va": va,
        "au": au,
        "row": torch.arange(rows),
    }
