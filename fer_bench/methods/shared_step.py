"""Means and draws of a training step that several processes share.

Each process has a part of the step's rows. A mean over some of them, such as those with a label, is not the
mean of the processes' own means: one may have fewer such rows, or none. These functions count over all
processes, so that losses and gradients are those of one process with all rows. Every process must call them
equally often in a step, whatever its own rows are.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["of_first_process", "step_mean", "step_sum"]


def processes() -> int:
    """Return how many processes share the steps of this one."""
    from torch import distributed

    together = distributed.is_available() and distributed.is_initialized()
    return distributed.get_world_size() if together else 1


def step_sum(own: Tensor, rows: int) -> Tensor:
    """Return the sum of a tensor over all processes of the step; alone, the tensor itself.

    The gradient goes to this process's part. Runs weight the gradient of a process by its share of the
    step's rows, times the number of processes, and average (`RowWeightingCallback`); the gradient here is
    divided by that share, so that what comes out is the gradient of the sum.

    Args:
        own: This process's part, of the same shape in all.
        rows: Rows of the step that this process has.

    Returns:
        float32, of the shape of `own`.
    """
    if processes() == 1:
        return own
    from torch import distributed

    flat = torch.cat([own.detach().float().flatten(), own.new_tensor([rows], dtype=torch.float32)])
    distributed.all_reduce(flat)
    whole = flat[:-1].view_as(own)
    if not own.requires_grad:
        return whole
    return whole + (own.float() - own.detach().float()) * (flat[-1] / rows)


def step_mean(values: Tensor, counts: Tensor) -> Tensor:
    """Return the mean of the values that count in the step; 0, with a gradient of 0, if none does.

    Args:
        values: float [B, ...], of this process's rows.
        counts: bool [B, ...].
    """
    kept = torch.where(counts, values, 0.0).sum()
    if processes() == 1:
        return kept / counts.sum().clamp(min=1)
    both = step_sum(torch.stack([kept.float(), counts.sum().float()]), len(values))
    return both[0] / both[1].clamp(min=1)


def of_first_process(draw: Tensor) -> Tensor:
    """Return a random draw as the first process made it, so that one holds for the whole step."""
    if processes() > 1:
        from torch import distributed

        draw = draw.contiguous()
        distributed.broadcast(draw, src=0)
    return draw
