"""How batches come from loader processes: small tensors within the message, large ones in shared memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, get_worker_info

SMALL = 1 << 18
"""Bytes up to which a tensor is sent within the message. PyTorch shares the memory of each tensor as a file of
its own, for which the receiver asks the sender: that takes half a millisecond, whatever the size."""


class BatchLoader(DataLoader[dict[str, Tensor]]):
    """A `DataLoader` of batches that its dataset makes whole; it wants `collate_fn=as_sent`."""

    def __iter__(self) -> Iterator[dict[str, Tensor]]:  # type: ignore[override]
        """Return the batches of an epoch."""
        return map(as_received, super().__iter__())


def as_sent(batch: Any) -> dict[str, Any]:
    """Return what a loader process sends of a batch; a batch that is not sent stays as it is."""
    if get_worker_info() is None:
        return dict(batch)
    return {name: _message(value) for name, value in batch.items()}


def as_received(batch: dict[str, Any]) -> dict[str, Tensor]:
    """Return the batch of tensors that `as_sent` was given."""
    return {
        name: torch.from_numpy(value) if isinstance(value, np.ndarray) else value
        for name, value in batch.items()
    }


def _message(value: Any) -> Any:
    if not isinstance(value, Tensor) or value.nbytes > SMALL:
        return value
    try:
        return value.numpy()
    except (TypeError, RuntimeError):  # numpy lacks the type, or it is on a device or has a gradient
        return value
