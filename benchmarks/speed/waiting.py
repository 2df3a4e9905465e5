"""How much of training is loading batches or waiting for them, for every method under the profile quick."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

from lightning import Trainer
from lightning.pytorch.profilers import Profiler

from benchmarks.speed.harness import Table
from benchmarks.speed.runner import CASES, planned
from benchmarks.speed.steps import BARE
from fer_bench.config import RunConfig
from fer_bench.runs.training.fit import build_data, build_method
from fer_bench.runs.training.probes import quiet
from fer_bench.workspace.sources import find_roots
from fer_bench.workspace.workspace import Workspace

EPOCHS = 3
"""The first of which does not count: it starts what loads."""
EPOCH, NEXT = "run_training_epoch", "[_TrainingEpochLoop].train_dataloader_next"
FINISH = ".on_after_batch_transfer"
FIRST = "first batch"
"""Of an epoch, for which processes begin to load only then."""
ROUNDS = 3
"""How often all methods are trained, at most."""


class Clock(Profiler):
    """Adds up the seconds of what a Trainer does, from the second epoch on.

    Args:
        clock: Returns seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self.clock, self.epochs, self.waited = clock, 0, False
        self.began: dict[str, float] = {}
        self.seconds: dict[str, float] = {}

    def start(self, action_name: str) -> None:
        """Note when something begins."""
        self.waited = self.waited and action_name != EPOCH
        self.began[action_name] = self.clock()

    def stop(self, action_name: str) -> None:
        """Note what it took."""
        took, name = self.clock() - self.began.pop(action_name), action_name
        if action_name.endswith(NEXT) and not self.waited:
            self.waited, name = True, FIRST
        self.seconds[name] = self.seconds.get(name, 0.0) + took
        if action_name == EPOCH:
            self.epochs += 1
            if self.epochs == 1:
                self.seconds.clear()

    def share(self, ending: str) -> float:
        """Return the share of the epochs of whatever has a name with an ending."""
        took = sum(seconds for name, seconds in self.seconds.items() if name.endswith(ending))
        return took / self.seconds[EPOCH]


def train(config: RunConfig, workspace: Workspace, workers: int, clock: Callable[[], float]) -> Clock:
    """Train a few epochs without validation.

    Args:
        config: The run.
        workspace: Its data.
        workers: Processes that load; 0 loads in this one.
        clock: Returns seconds.
    """
    data = build_data(config, workspace)
    data.workers = workers
    found = Clock(clock)
    trainer = Trainer(max_epochs=EPOCHS, accelerator="cpu", profiler=found, **BARE)
    trainer.fit(build_method(config, data.task), datamodule=data)
    return found


def measure_methods(rounds: int) -> tuple[Table, dict[str, float], dict[str, float]]:
    """Return a table of shares by method, and those of loading in the process that trains, and of waiting.

    All are medians over rounds, in each of which every method is trained in both ways.
    """
    workspace, rows, loading, waiting = Workspace(find_roots(None)), [], {}, {}
    shares: dict[str, list[tuple[float, ...]]] = {method: [] for method in CASES}
    with quiet():
        for _ in range(min(rounds, ROUNDS)):
            for method, dataset in CASES.items():
                config = planned(method, dataset, EPOCHS, workspace)
                alone = train(config, workspace, 0, time.process_time)
                beside = train(config, workspace, 2, time.perf_counter)
                in_process = alone.share(FIRST) + alone.share(NEXT)
                found = in_process, alone.share(FINISH), beside.share(FIRST), beside.share(NEXT)
                shares[method].append((*found, found[2] + found[3]))
    for method, found in shares.items():
        loading[method], *others, waiting[method] = (median(each) for each in zip(*found, strict=True))
        rows.append((method, *(f"{share:.1%}" for share in (loading[method], *others))))
    names = (
        "method",
        "loading in the process",
        "augmentation",
        "two processes load: getting the first batch (elapsed time)",
        "getting the others",
    )
    return ("Share of an epoch of the profile quick", names, rows), loading, waiting
