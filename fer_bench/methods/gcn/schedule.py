"""The learning rate of gcn: a cycle over the whole training, or one over each of two steps."""

from __future__ import annotations

import math


def cycle_share(step: int, steps: int) -> float:
    """Return the share of the highest learning rate at a step, 0 before and after the cycle.

    As in torch's OneCycleLR: up from 1/25 over the first 30 %, then down to 1/250,000, along cosines.

    Args:
        step: From 0.
        steps: Length of the cycle, at least 1.
    """
    if not 0 <= step < steps:
        return 0.0
    top = 0.3 * steps - 1
    if step <= top:
        return _cosine(1 / 25, 1.0, step / top if top > 0 else 1.0)
    return _cosine(1.0, 1 / 250_000, (step - top) / (steps - 1 - top))


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))
