"""What a method brings to load its training rows: changes of batches, and loaders of its own."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fer_bench.data.loading.batches import EpochBatches, EpochRows, Rows
from fer_bench.errors import UsageError


class ChangedRows(Rows):
    """Batches of rows after a change.

    Args:
        rows: Rows, indexed by a whole batch at once.
        change: Called on each batch.
    """

    def __init__(self, rows: Rows, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> None:
        self.rows, self.change = rows, change

    def __getitem__(self, wanted: EpochRows) -> dict[str, Tensor]:
        """Return the batch of index positions in their epoch."""
        return self.change(self.rows[wanted])


def seed_epoch(seed: int, epoch: int, rank: int) -> None:
    """Seed the generators of torch, numpy and Python for what a process draws in an epoch."""
    number = (seed * 1_000_003 + epoch + 1) * 1_009 + rank
    torch.manual_seed(number)
    np.random.seed(number % 2**32)
    random.seed(number)


def seeded_loader(loader: Any, batches: Sequence[EpochBatches], seed: Callable[[], int]) -> Any:
    """Return a method's loader as a Trainer can use it; one with our own batches is returned as it is.

    Args:
        loader: What `train_loader` returned.
        batches: Batches of ours that it may have been made from.
        seed: Seeds the generators for the current epoch, and returns its number.

    Raises:
        UsageError: It cannot be iterated over several times.
    """
    if isinstance(getattr(loader, "sampler", None), EpochBatches):
        return loader
    if not isinstance(loader, Iterable) or isinstance(loader, Iterator):
        raise UsageError(
            "train_loader must return what can be iterated over once per epoch, such as a DataLoader",
            value=type(loader).__name__,
            hint="data.training_loader(change=...) changes batches; a generator yields one epoch only",
        )
    return (SizedLoader if isinstance(loader, Sized) else SeededLoader)(loader, batches, seed)


class SeededLoader:
    """A loader whose draws from the generators depend on (seed, epoch) only, not on what else draws.

    A Trainer asks for an iterator, and perhaps for a first batch, before an epoch begins or after, depending
    on whether the run was resumed.

    Args:
        loader: Any iterable of batches.
        batches: Batches of ours that it may have been made from; they learn the epoch.
        seed: Seeds the generators for the current epoch, and returns its number.
    """

    def __init__(self, loader: Any, batches: Sequence[EpochBatches], seed: Callable[[], int]) -> None:
        self.loader, self.batches, self.seed = loader, batches, seed

    def __iter__(self) -> Iterator[Any]:
        own = _Generators()
        with own:
            epoch = self.seed()
            for each in self.batches:
                each.set_epoch(epoch)
            iterator = iter(self.loader)
        return _Apart(iterator, own)


class SizedLoader(SeededLoader):
    """A `SeededLoader` whose length is known."""

    def __len__(self) -> int:
        return len(self.loader)


class _Apart:
    """An iterator that draws from generators of its own."""

    def __init__(self, iterator: Iterator[Any], own: _Generators) -> None:
        self.iterator, self.own = iterator, own

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        with self.own:
            return next(self.iterator)


class _Generators:
    """States of the generators of torch, numpy and Python that are in force within a `with` block."""

    def __init__(self) -> None:
        self.kept = self._now()

    def __enter__(self) -> None:
        self._swap()

    def __exit__(self, *details: object) -> None:
        self._swap()

    def _now(self) -> tuple[Tensor, Any, Any]:
        return torch.get_rng_state(), np.random.get_state(), random.getstate()

    def _swap(self) -> None:
        now = self._now()
        torch.set_rng_state(self.kept[0])
        np.random.set_state(self.kept[1])
        random.setstate(self.kept[2])
        self.kept = now
