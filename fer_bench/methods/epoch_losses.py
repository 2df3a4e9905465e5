"""Means of the parts of the loss over an epoch, summed as they come and read once."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor


class EpochLosses:
    """Sum the parts of the loss over the batches of an epoch; every row weighs alike.

    Lightning's own logging gives the same means, with bookkeeping at each step that a small network feels.
    """

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._rows: dict[str, int] = {}

    def add(self, rows: int, losses: Mapping[str, Tensor]) -> None:
        """Add a batch, without waiting for the device.

        Args:
            rows: Rows of the batch.
            losses: Its parts by name, each the mean over the rows: float [].
        """
        for name, value in losses.items():
            weighted = value.detach().float() * rows
            self._sums[name] = self._sums[name] + weighted if name in self._sums else weighted
            self._rows[name] = self._rows.get(name, 0) + rows

    def take(self, add_processes: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
        """Return the means by name, float [], and forget them.

        Args:
            add_processes: Adds up a tensor over the processes of the run.
        """
        if not self._sums:
            return {}
        names = sorted(self._sums)
        sums = torch.stack([self._sums[name] for name in names])
        rows = sums.new_tensor([self._rows[name] for name in names])
        self._sums, self._rows = {}, {}
        sums, rows = add_processes(torch.stack([sums, rows]))
        return dict(zip(names, (sums / rows).unbind(), strict=True))
