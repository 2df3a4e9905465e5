"""Batches of a union: every dataset with equal probability, whatever its size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader

from fer_bench.data.card import Protocol
from fer_bench.data.crops.recipe import CropRecipe
from fer_bench.data.loading.datamodule import EpochBatches, FaceDataModule, PackedRows
from fer_bench.data.loading.union import UnionDataset
from fer_bench.data.packs.pack import Pack, open_pack
from fer_bench.data.protocols import member_protocol
from fer_bench.files import short_hash

EPOCH_CAP = 50_000
"""Rows of an epoch at most."""


class JoinedPixels:
    """The crops of several packs as if they were one array; nothing is copied but what is asked for.

    Args:
        parts: uint8 [N_i, size, size, 3] of each pack.
    """

    def __init__(self, parts: Sequence[NDArray[np.uint8]]) -> None:
        self.parts = tuple(parts)
        self.starts = np.cumsum([0, *map(len, self.parts)])
        self.rows = int(self.starts[-1])
        self.shape = (self.rows, *self.parts[0].shape[1:])
        self.dtype = self.parts[0].dtype

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the crops at positions [B] as a new array [B, size, size, 3]."""
        found = np.empty((len(rows), *self.shape[1:]), np.uint8)
        owner = np.searchsorted(self.starts, rows, side="right") - 1
        for number in np.unique(owner):
            mine = owner == number
            found[mine] = self.parts[number][rows[mine] - self.starts[number]]
        return found


class JoinedRecipe(CropRecipe):
    """How the faces of a union are cut out: each member's way, which `kind` and its like do not tell.

    Attributes:
        members: Recipe of each member.
    """

    members: dict[str, CropRecipe]

    @property
    def text(self) -> str:
        """Return the members' recipes on one line."""
        return "; ".join(f"{name}: {recipe.text}" for name, recipe in self.members.items())


def join_packs(packs: Mapping[str, Pack]) -> Pack:
    """Return the packs of a union's members as one, reading from theirs.

    Args:
        packs: Pack of each member, in the order of the union's index.
    """
    found: dict[str, int] = {}
    for pack in packs.values():
        for way, count in pack.found.items():
            found[way] = found.get(way, 0) + count
    recipes = {name: pack.recipe for name, pack in packs.items()}
    first = next(iter(recipes.values()))
    return Pack(
        pixels=cast(Any, JoinedPixels([pack.pixels for pack in packs.values()])),
        fingerprint=short_hash([[name, pack.fingerprint] for name, pack in packs.items()]),
        pixel_hash=short_hash([[name, pack.pixel_hash] for name, pack in packs.items()]),
        recipe=JoinedRecipe(kind=first.kind, size=first.size, members=recipes),
        found=found,
        weak=np.concatenate([pack.weak for pack in packs.values()]),
    )


class UnionRows(PackedRows):
    """Training rows of a union, each with the turn in which it comes.

    A row that comes a second time within an epoch has the length of the index added to its number, twice
    it the third time, so that it is augmented anew.
    """

    def __getitem__(self, rows: Any) -> dict[str, Tensor]:
        """Return the batch of the given numbers; `row` keeps them."""
        numbers = np.asarray(rows, np.int64)
        batch = super().__getitem__(numbers % len(self.labels))
        batch["row"] = torch.from_numpy(numbers)
        return batch


class UnionBatches(EpochBatches):
    """Batches of an epoch in which every row is of any member with equal probability.

    For each place the member is drawn from (seed, epoch); then comes the next row of the member's own
    permutation of its rows. A member that is used up is permuted anew.

    Args:
        rows: Index positions.
        starts: Index position of each member's first row, and the number of rows.
        batch_size: Rows per step over all processes.
        seed: Repetition.
        limit: Rows per epoch at most.
        rank: This process.
        world: Number of processes.
    """

    def __init__(
        self,
        rows: NDArray[np.int64],
        starts: NDArray[np.int64],
        batch_size: int,
        *,
        seed: int,
        limit: int | None = None,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        super().__init__(rows, batch_size, seed=seed, limit=limit, rank=rank, world=world)
        self.pools = np.split(rows, np.searchsorted(rows, starts[1:-1]))
        self.key, self.total = seed, int(starts[-1])

    def _order(self) -> NDArray[np.int64]:
        who = np.random.default_rng([self.key, self.epoch]).integers(len(self.pools), size=self.count)
        order = np.empty(self.count, np.int64)
        for number, pool in enumerate(self.pools):
            places = np.flatnonzero(who == number)
            for turn, start in enumerate(range(0, len(places), len(pool))):
                rng = np.random.default_rng([self.key, self.epoch, number, turn])
                now = places[start : start + len(pool)]
                order[now] = rng.permutation(pool)[: len(now)] + turn * self.total
        return order


class UnionDataModule(FaceDataModule):
    """Training, validation and test batches of a union; validation has one loader per member.

    Args:
        dataset: The union, or use `UnionDataset.datamodule`.
        epoch_rows: Rows per training epoch at most, 50,000 in any case.
        options: As of `FaceDataModule`.
    """

    rows_type = UnionRows

    def __init__(self, dataset: UnionDataset, *, epoch_rows: int | None = None, **options: Any) -> None:
        self.union = dataset
        super().__init__(dataset, epoch_rows=min(epoch_rows or EPOCH_CAP, EPOCH_CAP), **options)

    @property
    def pack(self) -> Pack:
        """The members' packed crops, built on first use."""
        if self._pack is None:
            self._pack = join_packs(
                {
                    member.card.name: open_pack(member, self.spec.size, cache=self.cache)
                    for member in self.union.members
                }
            )
        return self._pack

    def member_rows(self, name: str, role: str) -> NDArray[np.int64]:
        """Return the rows of a role that are of one member, as positions in the member's own index."""
        number = self.union.members.index(self.union.member(name))
        start, end = self.union.starts[number : number + 2]
        rows = self.rows(role)
        first, last = np.searchsorted(rows, (start, end))
        own: NDArray[np.int64] = rows[first:last] - start
        return own

    def member_protocol(self, name: str) -> Protocol:
        """Return the protocol that deals the rows of a member."""
        return member_protocol(self.union.member(name).card, self.protocol)

    def val_dataloader(self) -> list[DataLoader[dict[str, Tensor]]]:
        """Return the validation batches of each member, in index order."""
        return [
            self._loader("val", wanted=self.member_rows(member.card.name, "val") + start)
            for member, start in zip(self.union.members, self.union.starts, strict=False)
        ]

    def on_after_batch_transfer(self, batch: dict[str, Tensor], dataloader_idx: int) -> dict[str, Tensor]:
        """Augment and normalise; afterwards `row` is the index position."""
        batch = super().on_after_batch_transfer(batch, dataloader_idx)
        batch["row"] = batch["row"] % int(self.union.starts[-1])
        return batch

    def _batches(self, wanted: NDArray[np.int64], seed: int | None) -> EpochBatches:
        if seed is None:
            return super()._batches(wanted, seed)
        rank, world = self._place()
        return UnionBatches(
            wanted,
            self.union.starts,
            self.batch_size,
            seed=seed,
            limit=self.epoch_rows,
            rank=rank,
            world=world,
        )
