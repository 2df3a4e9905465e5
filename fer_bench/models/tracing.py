"""Trace networks in processes that fork runs later."""

from __future__ import annotations

import torch


def ready_autograd() -> None:
    """Let autograd look for devices now, before `torch.export` shows it a GPU that is not there.

    Tracing replaces an absent GPU by a stand-in. Autograd starts a thread for each device it finds in a
    process's first backward pass, after which forked processes cannot compute gradients: where that pass
    came after tracing, all runs that are forked later fail. Where there is a GPU, nothing is replaced.
    """
    if torch.cuda.is_available():
        return
    torch.autograd.backward(torch.zeros(1, requires_grad=True).sum())
