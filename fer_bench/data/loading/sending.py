"""How batches come from loader processes: small tensors within the message, large ones in shared memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, default_convert, get_worker_info

SMALL = 1 << 18
"""Bytes up to which a tensor is sent within the message. PyTorch shares each tensor's memory as a file of its
own, for which the receiver asks the sender, however small it is."""
PLAIN = (torch.bool, torch.uint8, torch.int32, torch.int64, torch.float16, torch.float32, torch.float64)
"""Types that numpy has as well."""


class Sent:
    """A small tensor within a message.

    Args:
        value: A contiguous tensor on the CPU, of a type in `PLAIN`.
    """

    def __init__(self, value: Tensor) -> None:
        self.array = value.numpy()

    def received(self) -> Tensor:
        """Return the tensor."""
        return torch.from_numpy(self.array)

    def pin_memory(self) -> Tensor:
        """Return the tensor in pinned memory, as the loader's thread for that asks."""
        return self.received().pin_memory()


class BatchLoader(DataLoader[dict[str, Tensor]]):
    """A `DataLoader` of batches that its dataset makes whole; it wants `collate_fn=as_sent`."""

    def __iter__(self) -> Iterator[dict[str, Tensor]]:  # type: ignore[override]
        """Return the batches of an epoch."""
        batches = super().__iter__()
        return map(as_received, batches) if self.num_workers else batches


def as_sent(batch: Any) -> Any:
    """Return a batch as tensors, and in a loader process as what it sends."""
    batch = default_convert(batch)  # type: ignore[no-untyped-call]
    if get_worker_info() is None:
        return batch
    return {name: Sent(value) if _is_small(value) else value for name, value in batch.items()}


def as_received(batch: dict[str, Any]) -> dict[str, Tensor]:
    """Return the batch of which `as_sent` made a message."""
    return {name: value.received() if isinstance(value, Sent) else value for name, value in batch.items()}


def _is_small(value: Any) -> bool:
    """Return whether a value is a small tensor whose layout a message keeps."""
    return (
        isinstance(value, Tensor)
        and value.nbytes <= SMALL
        and value.device.type == "cpu"
        and value.dtype in PLAIN
        and value.is_contiguous()
        and not value.requires_grad
    )
