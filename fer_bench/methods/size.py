"""How large a network is: its parameters, and the multiply-adds of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from fer_bench.methods.base import Method


def count_parameters(module: nn.Module) -> int:
    """Return the number of trainable parameters."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def multiply_adds(method: Method) -> int:
    """Return the multiply-adds of one image's forward pass: half of what torch's FlopCounterMode counts."""
    from torch.utils.flop_counter import FlopCounterMode

    size = method.input_spec(method.settings).size
    was_training = method.training
    method.eval()
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        method(torch.zeros(1, 3, size, size, device=method.device))
    method.train(was_training)
    return int(counter.get_total_flops()) // 2
