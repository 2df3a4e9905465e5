"""How long two models take, measured in turn, because one alone says more about the machine."""

from __future__ import annotations

import time
from collections.abc import Sequence
from statistics import median

from fer_bench.inference.face_model import Crops, FaceModel

BATCHES = (1, 32)
ROUNDS = 30
SECONDS = 3.0
"""Longest measurement of a batch size; at least five rounds are made."""


def latency_ratios(
    model: FaceModel, reference: FaceModel, crops: Crops, batches: Sequence[int] = BATCHES
) -> dict[int, float]:
    """Return the median time of a model divided by that of another, by batch size.

    Both take the same crops in turn, in one process; the first calls are not counted.

    Args:
        model: The model of interest.
        reference: What it is compared with.
        crops: At least one crop, uint8 [N, S, S, 3]; they are repeated to fill a batch.
        batches: Numbers of crops per call.
    """
    return {size: _ratio(model, reference, _filled(crops, size)) for size in batches}


def _filled(crops: Crops, size: int) -> Crops:
    return crops[[place % len(crops) for place in range(size)]]


def _ratio(model: FaceModel, reference: FaceModel, crops: Crops) -> float:
    pair = (model, reference)
    for each in pair * 2:
        each.answer(crops)
    times: tuple[list[float], list[float]] = ([], [])
    started = time.perf_counter()
    for number in range(ROUNDS):
        if number >= 5 and time.perf_counter() - started > SECONDS:
            break
        order = (0, 1) if number % 2 else (1, 0)
        for which in order:
            before = time.perf_counter()
            pair[which].answer(crops)
            times[which].append(time.perf_counter() - before)
    return median(times[0]) / median(times[1])
