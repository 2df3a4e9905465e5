"""What predicting costs the methods of a store: one JSON file per device, from one measurement."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from fer_bench.results.measured import read_measured, write_measured
from fer_bench.schema import Frozen

FOLDER = "efficiency"
"""Folder of these files in a store."""
BATCHES = (1, 32)
"""Pictures per call that are measured."""


class Predicting(Frozen):
    """What one trained model takes to predict.

    Attributes:
        key: Run whose headline checkpoint was measured.
        checkpoint: SHA-256 of its weights.
        size: Side of its input, in pixels.
        parameters: Parameters that predicting reads; those that only training needs are not among them.
        seconds: Median seconds of a call, by pictures per call: CPU time of the one thread, or time until the
            answer of a GPU. On a CPU only their ratios within one measurement mean anything.
        memory: Most bytes that a call holds beyond those before the model was opened, weights included, by
            pictures per call; empty where the system does not tell.
    """

    key: str
    checkpoint: str
    size: int
    parameters: int
    seconds: dict[int, float]
    memory: dict[int, int] = {}


class Efficiency(Frozen):
    """One measurement, in which all models took turns.

    Attributes:
        device: `cpu` or `cuda`.
        processor: Name of the CPU or GPU.
        threads: Threads of a call on the CPU.
        rounds: Turns of each model, by pictures per call.
        environment: Versions and hardware, see `runs.environment.describe`.
        models: What was measured.
        failed: Why a run could not be measured, by its key.
    """

    device: Literal["cpu", "cuda"]
    processor: str
    threads: int
    rounds: dict[int, int]
    environment: dict[str, Any]
    models: tuple[Predicting, ...]
    failed: dict[str, str] = {}


def write_efficiency(root: Path, found: Efficiency) -> Path:
    """Write a measurement into a store, over the last one on such a device, and return its path.

    Args:
        root: The store.
        found: What was measured.
    """
    return write_measured(root / FOLDER, found, found.device)


def read_efficiencies(root: Path) -> list[Efficiency]:
    """Return the measurements of a store, that on the CPU first.

    Raises:
        StoreError: A damaged file.
    """
    return read_measured(root / FOLDER, Efficiency, "measurement of efficiency", "fer-bench efficiency")
