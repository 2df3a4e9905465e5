"""Batches of a union: every dataset with equal probability, whatever its size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_bench.data.loading.batches import EpochBatches, drawn_rows
from fer_bench.data.loading.datamodule import FaceDataModule
from fer_bench.data.loading.sending import BatchLoader
from fer_bench.data.loading.union import UnionDataset
from fer_bench.data.packs.joined import join_packs
from fer_bench.data.packs.pack import Pack, open_pack
from fer_bench.data.reading.dataset import FaceDataset

EPOCH_CAP = 50_000
"""Rows of an epoch at most."""


def make_datamodule(dataset: FaceDataset, **options: Any) -> FaceDataModule:
    """Return the LightningDataModule of a dataset or a union.

    Args:
        dataset: The dataset or union.
        options: See `FaceDataModule`.

    Raises:
        UsageError: Options that do not fit the dataset, see `FaceDataModule.resolve`.
        DataError: The dataset is damaged.
    """
    if isinstance(dataset, UnionDataset):
        data: FaceDataModule = UnionDataModule(dataset, **options)
    else:
        data = FaceDataModule(dataset, **options)
    data.resolve()
    return data


class UnionBatches(EpochBatches):
    """Batches of an epoch in which every row is from any member with equal probability.

    For each place the member is drawn from (seed, epoch); the row is the next one of the member's own
    permutation of its rows, see `drawn_rows`. A member that is used up is permuted anew.

    Args:
        rows: Index positions.
        starts: Index position of each member's first row, and the number of rows.
        names: Names of the members.
        batch_size: Rows per step over all processes.
        seed: Repetition.
        options: See `EpochBatches`.
    """

    def __init__(
        self,
        rows: NDArray[np.int64],
        starts: NDArray[np.int64],
        names: Sequence[str],
        batch_size: int,
        *,
        seed: int,
        **options: Any,
    ) -> None:
        super().__init__(rows, batch_size, seed=seed, **options)
        self.pools = np.split(rows, np.searchsorted(rows, starts[1:-1]))
        self.names, self.key, self.total = tuple(names), seed, int(starts[-1])

    def order(self, epoch: int) -> NDArray[np.int64]:
        """Return the rows of an epoch over all processes, in their order, numbered as `PackedRows` wants."""
        pools = dict(zip(self.names, self.pools, strict=True))
        how: dict[str, Any] = {"seed": self.key, "epoch": epoch, "purpose": "union"}
        return drawn_rows(pools, self.count, **how, count=self.total)


class UnionDataModule(FaceDataModule):
    """Training, validation and test batches of a union; validation has one loader per member.

    Args:
        dataset: The union.
        epoch_rows: Rows per training epoch at most, and never more than 50,000.
        options: See `FaceDataModule`.
    """

    def __init__(self, dataset: UnionDataset, *, epoch_rows: int | None = None, **options: Any) -> None:
        self.union = dataset
        super().__init__(dataset, epoch_rows=min(epoch_rows or EPOCH_CAP, EPOCH_CAP), **options)

    def member_rows(self, name: str, role: str) -> NDArray[np.int64]:
        """Return the rows of a role that are from one member, as positions in the member's own index."""
        number = self.union.members.index(self.union.member(name))
        start, end = self.union.starts[number : number + 2]
        rows = self.rows(role)
        first, last = np.searchsorted(rows, (start, end))
        own: NDArray[np.int64] = rows[first:last] - start
        return own

    def val_dataloader(self) -> list[BatchLoader]:
        """Return the validation batches of each member, in index order."""
        return [
            self._evaluation_loader(self.member_rows(member.card.name, "val") + start)
            for member, start in zip(self.union.members, self.union.starts, strict=False)
        ]

    def _open_pack(self) -> Pack:
        return join_packs(
            {member.card.name: open_pack(member, self.spec.size) for member in self.union.members}
        )

    def _training_batches(self, **place: Any) -> EpochBatches:
        return UnionBatches(
            self.rows("train"),
            self.union.starts,
            [member.card.name for member in self.union.members],
            self.batch_size,
            seed=self.seed,
            limit=self.epoch_rows,
            **place,
        )
