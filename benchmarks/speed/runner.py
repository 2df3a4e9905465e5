"""Measure what the runner adds to training: epochs through `fit` against a plain loop over the same batches.

The plain loop is what one would write by hand: batches, loss, backward, step and schedule, then a pass over
the validation rows that counts right answers. It keeps no checkpoint and no history. Network, batches, draws
and precision are the same, and so are the weights at the end, which is checked.

    python -m benchmarks.speed.runner
"""

from __future__ import annotations

import cProfile
import pstats
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from benchmarks.speed.harness import Ratio, Report, median_ratio, run_benchmark
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
EPOCHS = 7
"""All but the first are timed: it sets up what it uses."""
WANTED = 1.05
NOTE = (
    "half of the rounds are between {low:.2f} and {high:.2f}; {step:.1f} ms are added to a step of "
    "{plain:.0f} ms, of which writing checkpoints takes {saving:.1f} ms, and most of the rest is Lightning's "
    "calls of hooks (profile): it does not grow with the network"
)
COLUMNS = (
    "method",
    "writing checkpoints, share of the runner's time",
    "runner without it / plain loop",
)
PROFILED = ("erm", "cafe")
LINES = 30


class PlainTrainer:
    """What methods ask of a trainer, for a loop without one."""

    def __init__(self, data: Any) -> None:
        self.datamodule, self.current_epoch, self.estimated_stepping_batches = data, 0, 0
        self.world_size, self.global_rank = 1, 0
        self.precision_plugin = SimpleNamespace(forward_context=nullcontext)
        self.strategy = SimpleNamespace(reduce=lambda values, reduce_op: values)
        self.barebones = True  # what is logged goes nowhere


def plain_loop(config: RunConfig, workspace: Workspace) -> tuple[list[float], str, float]:
    """Train by hand.

    Returns:
        The CPU-seconds at the end of each epoch, a hash of the weights, and the share of saving, which is 0.
    """
    data = build_data(config, workspace)
    method = build_method(config, data.task)
    trainer: Any = PlainTrainer(data)
    method._trainer = trainer
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
    return marks, state_hash(method.state_dict()), 0.0


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


def through_runner(config: RunConfig, workspace: Workspace) -> tuple[list[float], str, float]:
    """Train as a run does, with history, checkpoints and a report of each step; return as `plain_loop`."""
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
    return marks, state_hash(method.state_dict()), share


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
    """Both ways of training, in turn.

    Attributes:
        seconds: CPU-seconds of the timed epochs in each round, by way.
        saving: Share of the runner's time that writes weights and the state to resume from.
        steps: Steps of the timed epochs.
    """

    seconds: dict[str, list[float]]
    saving: float
    steps: int

    @property
    def ratio(self) -> float:
        """The runner's time over the plain loop's."""
        return median_ratio(self.seconds, "runner", "plain")

    def note(self) -> str:
        """Return how the rounds scatter, and what is added to a step."""
        rounds = [a / b for a, b in zip(self.seconds["runner"], self.seconds["plain"], strict=True)]
        low, _, high = statistics.quantiles(rounds, n=4)
        runner, plain = (statistics.median(self.seconds[way]) * 1e3 / self.steps for way in WAYS)
        return NOTE.format(low=low, high=high, step=runner - plain, plain=plain, saving=self.saving * runner)


def compare(config: RunConfig, workspace: Workspace, rounds: int) -> Compared:
    """Train in both ways in turn, and make sure that they end with the same weights."""
    seconds: dict[str, list[float]] = {name: [] for name in WAYS}
    shares = []
    for number in range(rounds):
        found = {}
        for name in list(WAYS)[:: 1 if number % 2 == 0 else -1]:
            marks, found[name], share = WAYS[name](config, workspace)
            seconds[name].append(marks[-1] - marks[0])
            shares += [share] if name == "runner" else []
        if found["runner"] != found["plain"]:
            raise SystemExit(f"{config.method}: the two ways of training end with other weights")
    data = build_data(config, workspace)
    steps = len(build_method(config, data.task).train_loader(data)) * (config.train.max_epochs - 1)
    return Compared(seconds, statistics.median(shares), steps)


def measure(rounds: int) -> Report:
    """Time both ways of training in turn, for every method under the profile quick."""
    arithmetic.choose_portable()
    allocator.keep_memory()  # as every run does
    workspace = Workspace(find_roots(None))
    ratios, rows, figures, profile = [], [], {}, ""
    with quiet():
        for method, dataset in CASES.items():
            config = planned(method, dataset, EPOCHS, workspace)
            found = compare(config, workspace, rounds)
            name = f"{method}: runner / plain loop"
            ratios.append(Ratio(name, found.ratio, WANTED, "lower", found.note()))
            without = f"{found.ratio * (1 - found.saving):.2f}"
            rows.append((method, f"{found.saving:.0%}", without))
            figures[method] = {
                way: [round(second, 3) for second in each] for way, each in found.seconds.items()
            }
            if method in PROFILED:
                profile += added_by(config, workspace) + "\n"
    return Report(
        title="Runner",
        text="An epoch through the runner (Lightning, scores, history, checkpoints) against a plain PyTorch "
        "loop over the same batches with the same network and precision; both end with the same weights.",
        ratios=tuple(ratios),
        figures=figures,
        tables=(("What the runner adds", COLUMNS, rows),),
        profile=profile,
    )


if __name__ == "__main__":
    run_benchmark(__doc__, measure)
