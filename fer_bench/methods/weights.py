"""Weights as files and as content: hashes that name what a network holds, whatever file it came from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor


def state_hash(state: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of weights: of names, shapes, types and values, not of a file."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        value = tensor.detach().cpu().contiguous()
        digest.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
        digest.update(value.view(-1).view(torch.uint8).numpy().tobytes() if value.numel() else b"")
    return digest.hexdigest()
