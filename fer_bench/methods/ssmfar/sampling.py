"""Separate labelled and unlabelled rows in every batch, as Ada-CM's released code has them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fer_bench.data.loading.batches import drawn_rows
from fer_bench.data.loading.datamodule import FaceDataModule
from fer_bench.data.loading.union_module import UnionDataModule
from fer_bench.errors import UsageError

Pools = dict[str, NDArray[np.int64]]
"""Index positions by dataset; a union has several."""


@dataclass(frozen=True)
class SeparateOrder:
    """The rows of an epoch: in each batch first labelled rows, then unlabelled ones.

    Each part runs through its own rows in random order, and through them again once all have come; a row that
    comes again is augmented anew. Labelled rows are half of a batch, or more where there are not as many
    unlabelled rows as half a batch has: those come at most once per batch, unless there are fewer than two
    per process. An epoch has as many whole batches as all rows, or `limit` of them, fill, and at least one.
    In a union every member is drawn with equal probability, of those that have such rows.

    Attributes:
        labelled: Rows with an expression label.
        unlabelled: Rows without one.
        batch_size: Rows per step over all processes.
        limit: Rows per epoch at most.
        world: Number of processes. Each gets its share of both parts.
        seed: Repetition; the order depends on it and on the epoch only.

    Raises:
        UsageError: A process would have fewer than two rows of a part.
    """

    labelled: Pools
    unlabelled: Pools
    batch_size: int
    limit: int | None
    world: int
    seed: int

    def __post_init__(self) -> None:
        if self.batch_size < 4 * self.world:
            raise UsageError(
                "a batch with a labelled and an unlabelled part needs four rows per process",
                value=self.batch_size,
                hint=f"--set train.batch_size={4 * self.world} or more, or --set method.batches=mixed",
            )

    @property
    def parts(self) -> tuple[int, int]:
        """Labelled and unlabelled rows of a batch."""
        there = sum(map(len, self.unlabelled.values()))
        few = max(min(self.batch_size // 2, there), 2 * self.world)
        return self.batch_size - few, few

    @property
    def steps(self) -> int:
        """Batches of an epoch."""
        rows = sum(map(len, [*self.labelled.values(), *self.unlabelled.values()]))
        return max(1, min(rows, self.limit or rows) // self.batch_size)

    def __call__(self, epoch: int) -> NDArray[np.int64]:
        """Return the index positions of an epoch in their order, int64 [steps x batch_size]."""
        parts = []
        for purpose, pools, size in zip(
            ("labelled", "unlabelled"), (self.labelled, self.unlabelled), self.parts, strict=True
        ):
            rows = drawn_rows(pools, self.steps * size, seed=self.seed, epoch=epoch, purpose=purpose)
            parts.append(rows.reshape(self.steps, size))
        return np.concatenate(parts, axis=1).reshape(-1)


def separate_order(data: FaceDataModule, world: int) -> SeparateOrder | None:
    """Return the order for the training rows of a data module; None where one of the parts has no rows.

    Args:
        data: The data of a run.
        world: Number of processes.

    Raises:
        UsageError: See `SeparateOrder`.
    """
    rows, known = data.rows("train"), data.labels("train") >= 0
    if known.all() or not known.any():
        return None
    labelled, unlabelled = (_by_member(data, rows[of]) for of in (known, ~known))
    return SeparateOrder(labelled, unlabelled, data.batch_size, data.epoch_rows, world, data.seed)


def keep_labelled(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a batch without its unlabelled rows."""
    known = batch["label"] >= 0
    return {name: value[known] for name, value in batch.items()}


class RevealHidden:
    """Add `hidden_label` to batches: the class of rows whose label is hidden, -1 for all others.

    Args:
        data: The data of a run.
    """

    def __init__(self, data: FaceDataModule) -> None:
        position = {name: number for number, name in enumerate(data.classes)}
        names = data.dataset.index["label"].map(position)  # missing labels and foreign ones become NaN
        known = names.fillna(-1).to_numpy(np.int64)
        self.truth = torch.from_numpy(np.where(data.hidden, known, -1))

    def __call__(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the batch with `hidden_label`, int64 [B]."""
        return {**batch, "hidden_label": self.truth[batch["row"] % len(self.truth)]}


def _by_member(data: FaceDataModule, rows: NDArray[np.int64]) -> Pools:
    if not isinstance(data, UnionDataModule):
        return {data.dataset.card.name: rows}
    names = [member.card.name for member in data.union.members]
    parts = np.split(rows, np.searchsorted(rows, data.union.starts[1:-1]))
    return {name: part for name, part in zip(names, parts, strict=True) if len(part)}
