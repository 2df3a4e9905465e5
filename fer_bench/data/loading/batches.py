"""Rows of a pack as batches: what a batch contains, and in which order rows come."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data import DistributedSampler

from fer_bench.data.index import stack_au
from fer_bench.data.loading.transforms import Finish
from fer_bench.data.packs.pack import Pack
from fer_bench.data.reading.dataset import FaceDataset
from fer_bench.emotions import Emotion
from fer_bench.errors import UsageError

Rows = TorchDataset[dict[str, Tensor]]


def reference_rows(index: pd.DataFrame, hidden: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
    """Return the index position of each row's reference, -1 where it has none: int64 [N].

    Args:
        index: The dataset's index.
        hidden: bool [N], rows whose label is hidden. A reference that was chosen because of its neutral label
            would reveal that label, so such a row is not used as one; neutral first frames are.
    """
    ids = index["reference_id"].to_numpy(object)
    found: NDArray[np.int64] = pd.Index(index["sample_id"]).get_indexer(ids).astype(np.int64)
    if hidden is not None:
        revealed = hidden & ~index["is_neutral_frame"].to_numpy(bool)
        found[(found >= 0) & revealed[found]] = -1
    return found


def enrolled_rows(index: pd.DataFrame, *, elsewhere: bool) -> NDArray[np.int64]:
    """Return the index position of a real neutral picture of each row's person, -1 where there is none.

    Only first frames of sequences that begin at rest count, never a row that was chosen because its label is
    neutral: in validation and test that label is not known.

    Args:
        index: The dataset's index.
        elsewhere: Take the first frame of the person's next sequence (of the same variant) instead of the
            row's own. Where neutral is a class, the own one would be the very picture that is classified.

    Returns:
        int64 [N].
    """
    neutral = index["is_neutral_frame"].to_numpy(bool)
    if not elsewhere:
        return reference_rows(index, np.ones(len(index), np.bool_))
    found = np.full(len(index), -1, np.int64)
    sequences = index["sequence"].to_numpy(object)
    people = index[["subject", "variant"]].reset_index(drop=True).groupby(["subject", "variant"])
    for group in people.indices.values():  # rows of nobody are in none
        here = np.asarray(group, np.int64)
        frames = here[neutral[here]]
        order = {sequences[row]: number for number, row in enumerate(frames)}
        for row in here:
            own = order.get(sequences[row], -1)
            if len(frames) > (own >= 0):
                found[row] = frames[(own + 1) % len(frames)]
    return found


class EpochRows(list[int]):
    """Index positions of a batch, with the epoch they are for: loader processes learn it this way.

    Args:
        rows: Index positions.
        epoch: Epoch from 0.
    """

    def __init__(self, rows: Iterable[int], epoch: int) -> None:
        super().__init__(rows)
        self.epoch = epoch


class PackedRows(Rows):
    """Rows of a pack with their labels, indexed by a whole batch at once.

    Args:
        pack: The crops.
        dataset: The dataset they come from.
        classes: Ordered classes; other labels become -1.
        with_reference: Also deliver the neutral frame of the same person.
        enrolled: Deliver the neutral picture that `enrolled_rows` finds instead.
        hidden: bool [N], rows whose label becomes -1 as well.
        soft_labels: float32 [N, C], distributions to learn instead of the labels.
        with_sides: Also deliver how large each face is in its picture, for `transforms.finish_batch`.
    """

    def __init__(
        self,
        pack: Pack,
        dataset: FaceDataset,
        classes: Sequence[str],
        *,
        with_reference: bool = False,
        enrolled: bool = False,
        hidden: NDArray[np.bool_] | None = None,
        soft_labels: NDArray[np.float32] | None = None,
        with_sides: bool = False,
    ) -> None:
        index = dataset.index
        position = {name: i for i, name in enumerate(classes)}
        self.pixels = pack.pixels
        self.labels = torch.tensor(
            [position.get(v, -1) if isinstance(v, str) else -1 for v in index["label"]]
        )
        if hidden is not None:
            self.labels[torch.from_numpy(hidden)] = -1
        self.va = torch.from_numpy(index[["valence", "arousal"]].to_numpy(np.float32))
        self.au = torch.from_numpy(stack_au(index).astype(np.int64))
        self.soft_labels = None if soft_labels is None else torch.from_numpy(soft_labels)
        self.sides = torch.from_numpy(pack.sides) if with_sides else None
        self.reference = None
        if enrolled:
            self.reference = enrolled_rows(index, elsewhere=Emotion.NEUTRAL in position)
        elif with_reference:
            self.reference = reference_rows(index, hidden)

    def __getitem__(self, rows: Any) -> dict[str, Tensor]:
        """Return the batch of the given index positions, pictures still uint8 [B, H, W, 3].

        A row that comes a second time within an epoch has the length of the index added to its position,
        twice that the third time, so that it is augmented differently. The batch's `row` keeps these numbers.
        """
        numbers = np.asarray(rows, np.int64)
        where = numbers % len(self.labels)
        at = torch.from_numpy(where)
        batch = {
            "image": torch.from_numpy(self.pixels[where]),
            "label": self.labels[at],
            "va": self.va[at],
            "au": self.au[at],
            "row": torch.from_numpy(numbers),
        }
        if self.soft_labels is not None:
            batch["soft_label"] = self.soft_labels[at]
        if self.sides is not None:
            batch["sides"] = self.sides[at]
        if self.reference is not None:
            partner = self.reference[where]
            pictures = self.pixels[np.maximum(partner, 0)]
            pictures[partner < 0] = 0
            batch["reference"] = torch.from_numpy(pictures)
            batch["has_reference"] = torch.from_numpy(partner >= 0)
        return batch


class FinishedRows(Rows):
    """Batches of rows as network input, for loops without a Trainer.

    Args:
        rows: Rows, indexed by a whole batch at once.
        finish: Turns a batch into network input.
    """

    def __init__(self, rows: Rows, finish: Finish) -> None:
        self.rows, self.finish = rows, finish

    def __getitem__(self, wanted: EpochRows) -> dict[str, Tensor]:
        """Return the batch of index positions in their epoch."""
        return self.finish(self.rows[wanted], wanted.epoch)


def number_turns(rows: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return an order of rows as `PackedRows` wants it where a row comes several times.

    Args:
        rows: Index positions [n].
        count: Rows of the index.
    """
    turns = pd.Series(rows).groupby(rows).cumcount().to_numpy(np.int64)
    numbered: NDArray[np.int64] = rows + turns * count
    return numbered


def stream(seed: int, epoch: int, purpose: str) -> np.random.Generator:
    """Return a generator of its own for a purpose within an epoch, such as the draws of one dataset.

    Args:
        seed: Repetition.
        epoch: Epoch from 0.
        purpose: Any text; other texts give unrelated draws.
    """
    # As a spawn key: entropy lists that differ by zeros at their end give the same draws.
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(epoch, *purpose.encode())))


def drawn_rows(
    pools: Mapping[str, NDArray[np.int64]],
    wanted: int,
    *,
    seed: int,
    epoch: int,
    purpose: str,
    count: int = 0,
) -> NDArray[np.int64]:
    """Return so many rows, each of any pool with equal probability.

    A pool's rows come once each, in random order, before any comes again. Each pool has a random stream of
    its own, named after it: its order neither follows from which pools were drawn nor depends on which others
    there are.

    Args:
        pools: Index positions by name, at least one each.
        wanted: How many to return.
        seed: Repetition.
        epoch: Epoch from 0.
        purpose: Other purposes have other streams.
        count: Rows of the index, which are added to the number of a row at each further turn, as `PackedRows`
            wants; 0 for plain index positions.
    """
    who = stream(seed, epoch, purpose).integers(len(pools), size=wanted)
    drawn = np.empty(wanted, np.int64)
    for number, (name, rows) in enumerate(pools.items()):
        places = np.flatnonzero(who == number)
        rng = stream(seed, epoch, f"{purpose}/{name}")
        for turn, start in enumerate(range(0, len(places), len(rows))):
            now = places[start : start + len(rows)]
            drawn[now] = rng.permutation(rows)[: len(now)] + turn * count
    return drawn


class EpochBatches(DistributedSampler[EpochRows]):
    """Batches of an epoch: an order drawn from (seed, epoch), dealt to the processes of a run.

    Every row comes exactly once per epoch over all processes: none is padded, repeated or dropped. With a
    limit, each epoch is another random part of the rows. A last batch that would leave a process fewer than
    two rows is merged into the one before, because batch normalisation needs two rows and all processes must
    take the same number of steps.

    It is a `DistributedSampler`, so that a Trainer on several devices does not deal its batches again.

    Args:
        rows: Index positions.
        batch_size: Rows per step over all processes.
        seed: Seed of the order, None for the order given.
        limit: Rows per epoch at most.
        rank: Number of this process.
        world: Number of processes.
        advances: Whether each pass is the next epoch, for loops that do not set it.

    Raises:
        UsageError: A step would leave a process fewer than two rows.
    """

    def __init__(
        self,
        rows: NDArray[np.int64],
        batch_size: int,
        *,
        seed: int | None,
        limit: int | None = None,
        rank: int = 0,
        world: int = 1,
        advances: bool = False,
    ) -> None:
        if batch_size < 2 * world:
            raise UsageError(
                f"{world} process(es) need at least {2 * world} rows per step",
                value=batch_size,
                hint=f"--set train.batch_size={2 * world} or more",
            )
        super().__init__(cast(Any, rows), num_replicas=world, rank=rank)
        self.rows, self.batch_size, self.order_seed, self.advances = rows, batch_size, seed, advances
        self.count = len(rows) if limit is None else min(limit, len(rows))

    def __len__(self) -> int:
        return len(self._cuts()) + 1 if self.count > self.rank else 0

    def _cuts(self) -> list[int]:
        cuts = list(range(self.batch_size, self.count, self.batch_size))
        if cuts and self.count - cuts[-1] < 2 * self.num_replicas:
            cuts.pop()
        return cuts

    def __iter__(self) -> Iterator[EpochRows]:
        epoch = self.epoch
        if self.advances:
            self.epoch += 1
        for batch in np.split(self.order(epoch)[: self.count], self._cuts()):
            mine = batch[self.rank :: self.num_replicas]
            if len(mine):
                yield EpochRows(mine.tolist(), epoch)

    def order(self, epoch: int) -> NDArray[np.int64]:
        """Return the rows of an epoch over all processes, in their order; `count` of them are used."""
        if self.order_seed is None:
            return self.rows
        return np.random.default_rng([self.order_seed, epoch]).permutation(self.rows)


class OrderedBatches(EpochBatches):
    """Batches of an epoch in an order that is given.

    Args:
        choose: Returns the index positions of an epoch, in their order; equally many in each epoch, and the
            same in all processes. A row can come several times.
        allowed: Index positions of the rows that may be trained on.
        count: Rows of the index.
        batch_size: Rows per step over all processes.
        options: See `EpochBatches`.

    Raises:
        UsageError: What was chosen is not index positions, holds a row that may not be trained on, or is of
            another length than the first time.
    """

    def __init__(
        self,
        choose: Callable[[int], Any],
        allowed: NDArray[np.int64],
        count: int,
        batch_size: int,
        **options: Any,
    ) -> None:
        self.choose, self.allowed, self.index_rows = choose, allowed, count
        super().__init__(self._chosen(0), batch_size, seed=None, **options)

    def order(self, epoch: int) -> NDArray[np.int64]:
        """Return the rows of an epoch over all processes, in their order, numbered by `number_turns`."""
        rows = self._chosen(epoch)
        if len(rows) != len(self.rows):
            raise UsageError(
                f"choose returns {len(self.rows)} rows in epoch 0 and another number in epoch {epoch}",
                value=len(rows),
            )
        return number_turns(rows, self.index_rows)

    def _chosen(self, epoch: int) -> NDArray[np.int64]:
        rows = np.asarray(self.choose(epoch))
        if rows.ndim != 1 or not len(rows) or not np.issubdtype(rows.dtype, np.integer):
            raise UsageError(
                "choose returns a list of index positions, such as data.rows('train')",
                value=f"{rows.dtype} {list(rows.shape)}",
            )
        if (foreign := ~np.isin(rows, self.allowed)).any():
            raise UsageError(
                f"choose may return training rows only; {int(foreign.sum())} of {len(rows)} are others",
                value=int(rows[foreign][0]),
                hint="take them from data.rows('train')",
            )
        return rows.astype(np.int64)
