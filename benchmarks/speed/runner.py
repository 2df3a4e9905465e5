"""Measure what the runner adds to training: epochs through `fit` against a plain loop over the same batches.

The plain loop is what one would write by hand: batches, loss, backward, step and schedule, then a pass over
the validation rows that counts right answers. It keeps no checkpoint and no history. Network, batches, draws
and precision are the same, and so are the weights at the end, which is checked. Both train at the same time
in processes of their own, so that what else the machine does slows down both.

    python -m benchmarks.speed.runner
"""

from __future__ import annotations

import cProfile
import multiprocessing
import os
import pstats
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import chain, pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks.speed.harness import Ratio, Report, run_benchmark
from fer_bench import allocator, arithmetic
from fer_bench.config import RunConfig, SweepConfig
from fer_bench.data.loading.brought import seed_epoch
from fer_bench.methods.base import Method
from fer_bench.methods.weights import state_hash
from fer_bench.runs.plan import plan_sweep
from fer_bench.runs.spent import SpentClock
from fer_bench.runs.training.fit import build_data, build_method, fit
from fer_bench.runs.training.probes import quiet
from fer_bench.workspace.sources import find_roots
from fer_bench.workspace.workspace import Workspace

CASES = {"erm": "rafdb", "gcn": "oulu", "cafe": "rafdb", "resemotenet": "rafdb", "ssmfar": "affwild2"}
"""Each method on a dataset with what it learns from: references, valence, arousal and action units."""
EPOCHS = 13
"""All but the first are timed: it sets up what it uses."""
TRAININGS = 4
"""How often both train, at most."""
PROFILED_EPOCHS = 4
WANTED = 1.05
NOTE = (
    "{added:.0f} ms are added to the {plain:.0f} of an epoch, validation included: {saving:.0f} by writing "
    "checkpoints, the rest by Lightning's calls around steps and epochs (profile)"
)
COLUMNS = (
    "method",
    "steps of an epoch",
    "writing checkpoints, share of the runner's time",
    "single trainings",
)
LINES = 30


class Trained(NamedTuple):
    """A training.

    Attributes:
        marks: CPU-seconds at the end of each epoch.
        weights: Hash of the weights at the end.
        saving: Share of the time that writes weights and the state to resume from.
    """

    marks: list[float]
    weights: str
    saving: float = 0.0


class PlainTrainer:
    """What methods ask of a trainer, for a loop without one."""

    def __init__(self, data: Any) -> None:
        self.datamodule, self.current_epoch, self.estimated_stepping_batches = data, 0, 0
        self.world_size, self.global_rank = 1, 0
        self.precision_plugin = SimpleNamespace(forward_context=nullcontext)
        self.strategy = SimpleNamespace(reduce=lambda values, reduce_op: values)
        self.barebones = True  # what is logged goes nowhere


def without_lightning(config: RunConfig, workspace: Workspace) -> tuple[Any, Method[Any]]:
    """Return a run's data, and its method with what it asks of a trainer."""
    data = build_data(config, workspace)
    method = build_method(config, data.task)
    trainer: Any = PlainTrainer(data)
    method._trainer = trainer
    return data, method


def plain_loop(config: RunConfig, workspace: Workspace) -> Trained:
    """Train by hand."""
    data, method = without_lightning(config, workspace)
    trainer: Any = method.trainer
    batches, checked = method.train_loader(data), data.val_dataloader()
    trainer.estimated_stepping_batches = config.train.max_epochs * len(batches)
    step_optimizer = _optimizer_of(method)
    method.on_train_start()
    marks = []
    for epoch in range(config.train.max_epochs):
        trainer.current_epoch = epoch
        seed_epoch(config.seed, epoch, 0)
        method.train()
        method.on_train_epoch_start()
        for number, batch in enumerate(batches):
            loss = method.training_step(batch, number)
            step_optimizer(loss)
        step_optimizer(None)
        _count_right(method, checked)
        method.train()
        method.on_train_epoch_end()
        marks.append(time.process_time())
    method.on_train_end()
    return Trained(marks, state_hash(method.state_dict()))


def _optimizer_of(method: Method[Any]) -> Callable[[Tensor | None], None]:
    """Return a function that takes a step with a loss, and ends an epoch with None."""
    found: Any = method.configure_optimizers()
    found = found if isinstance(found, dict) else {"optimizer": found}
    optimizer, schedule = found["optimizer"], found.get("lr_scheduler")
    schedule = schedule if isinstance(schedule, dict | None) else {"scheduler": schedule}

    def step(loss: Tensor | None) -> None:
        interval = "epoch" if schedule is None else schedule.get("interval", "epoch")
        if loss is not None:
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            method.on_before_optimizer_step(optimizer)
            optimizer.step()
        if schedule is not None and interval == ("epoch" if loss is None else "step"):
            schedule["scheduler"].step()

    return step


def _count_right(method: Method[Any], batches: Any) -> float:
    """Return the accuracy on validation batches."""
    right = rows = 0
    method.eval()
    with torch.no_grad():
        for batch in batches:
            answers = method.predict_batch(batch).logits.argmax(dim=1)
            right += int((answers == batch["label"]).sum())
            rows += len(answers)
    return right / rows


def through_runner(config: RunConfig, workspace: Workspace) -> Trained:
    """Train as a run does, with history, checkpoints and a report of each step."""
    data = build_data(config, workspace)
    method = build_method(config, data.task)
    marks: list[float] = []
    clock = SpentClock()

    def on_epoch(*_: object) -> None:
        marks.append(time.process_time())

    with tempfile.TemporaryDirectory() as folder:
        fit(
            method,
            data,
            config,
            Path(folder) / "checkpoints",
            on_epoch=on_epoch,
            on_step=lambda *_: None,
            clock=clock,
        )
    share = clock.seconds["save"] / clock.seconds.total()
    return Trained(marks, state_hash(method.state_dict()), share)


WAYS = {"runner": through_runner, "plain": plain_loop}


def added_by(config: RunConfig, workspace: Workspace) -> str:
    """Return the functions that take more time of their own through the runner than in the plain loop."""
    spent = {}
    for name, train in WAYS.items():
        with cProfile.Profile(time.process_time) as profiler:
            train(config, workspace)
        spent[name] = vars(pstats.Stats(profiler))["stats"]
    nothing = (0, 0, 0.0, 0.0, {})
    more = {
        where: (own - spent["plain"].get(where, nothing)[2], calls - spent["plain"].get(where, nothing)[1])
        for where, (_, calls, own, *_) in spent["runner"].items()
    }
    epochs = config.train.max_epochs
    ordered = sorted(more.items(), key=lambda each: -each[1][0])[:LINES]
    lines = [
        f"{1e3 * own / epochs:8.2f} {calls / epochs:8.0f}  {Path(file).name}:{line} {function}"
        for (file, line, function), (own, calls) in ordered
    ]
    title = f"{config.method}, {epochs} epochs of quick: what the runner adds to an epoch, under a profiler"
    return "\n".join([title, "      ms    calls  function", *lines, ""])


def planned(method: str, dataset: str, epochs: int, workspace: Workspace) -> RunConfig:
    """Return the settings of a run of the profile quick without targets, on a CPU."""
    sweep = SweepConfig(
        methods=(method,),
        datasets=(dataset,),
        targets=(),
        set=(f"train.max_epochs={epochs}",),
        device="cpu",
    )
    (found,), _ = plan_sweep(sweep, workspace)
    return found.config


@dataclass(frozen=True)
class Compared:
    """Both ways of training.

    Attributes:
        epochs: CPU-seconds of the timed epochs of each training, by way.
        saving: Share of the runner's time that writes weights and the state to resume from.
        steps: Steps of an epoch.
    """

    epochs: dict[str, list[list[float]]]
    saving: float
    steps: int

    @property
    def ratios(self) -> list[float]:
        """The runner's time of all epochs over the plain loop's, of each training."""
        pairs = zip(self.epochs["runner"], self.epochs["plain"], strict=True)
        return [sum(runner) / sum(plain) for runner, plain in pairs]

    @property
    def ratio(self) -> float:
        """Their median."""
        return statistics.median(self.ratios)

    def note(self) -> str:
        """Return what is added to an epoch."""
        plain = statistics.median(chain(*self.epochs["plain"])) * 1e3
        added = (self.ratio - 1) * plain
        return NOTE.format(added=added, plain=plain, saving=self.saving * self.ratio * plain)


def _on_core(core: int, train: Callable[[], Trained]) -> Trained:
    """Train on one of the cores, where the system lets a process choose."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[core % len(cores)]})
    return train()


def in_processes(*calls: Callable[[], Any]) -> list[Any]:
    """Call functions at the same time, each in a fork of its own; return what they return."""
    with ProcessPoolExecutor(len(calls), multiprocessing.get_context("fork")) as pool:
        return [each.result() for each in [pool.submit(call) for call in calls]]


def compare(config: RunConfig, workspace: Workspace, trainings: int) -> Compared:
    """Train in both ways at the same time, and make sure that they end with the same weights."""
    epochs: dict[str, list[list[float]]] = {name: [] for name in WAYS}
    shares = []
    for number in range(trainings):
        ways = (partial(train, config, workspace) for train in WAYS.values())
        found = in_processes(*(partial(_on_core, number + core, way) for core, way in enumerate(ways)))
        if len({trained.weights for trained in found}) > 1:
            raise SystemExit(f"{config.method}: the two ways of training end with other weights")
        for name, trained in zip(WAYS, found, strict=True):
            epochs[name].append([after - before for before, after in pairwise(trained.marks)])
        shares.append(found[0].saving)
    data, method = without_lightning(config, workspace)
    return Compared(epochs, statistics.median(shares), len(method.train_loader(data)))


def measure(rounds: int) -> Report:
    """Time both ways of training, for every method under the profile quick."""
    arithmetic.choose_portable()
    allocator.keep_memory()  # as every run does
    workspace = Workspace(find_roots(None))
    ratios, rows, figures, profile = [], [], {}, ""
    with quiet():
        for method, dataset in CASES.items():
            config, few = (planned(method, dataset, count, workspace) for count in (EPOCHS, PROFILED_EPOCHS))
            found = compare(config, workspace, min(TRAININGS, rounds))
            note = found.note() if found.ratio > WANTED else ""
            ratios.append(Ratio(f"{method}: runner / plain loop", found.ratio, WANTED, "lower", note))
            single = ", ".join(f"{ratio:.2f}" for ratio in sorted(found.ratios))
            rows.append([method, str(found.steps), f"{found.saving:.1%}", single])
            figures[method] = {
                way: [[round(second, 3) for second in each] for each in trainings]
                for way, trainings in found.epochs.items()
            }
            profile += in_processes(partial(added_by, few, workspace))[0] + "\n"
    return Report(
        title="Runner",
        text="An epoch through the runner (Lightning, scores, history, checkpoints) against a plain PyTorch "
        "loop over the same batches with the same network and precision; both end with the same weights. "
        "They train at the same time, each on its own core, and swap cores in every other training. A figure "
        "is the median of single trainings; their spread, and any value below 1, comes from other work on a "
        "shared machine.",
        ratios=tuple(ratios),
        figures=figures,
        tables=(("What the runner adds", COLUMNS, rows),),
        profile=profile,
    )


if __name__ == "__main__":
    run_benchmark(__doc__, measure)
