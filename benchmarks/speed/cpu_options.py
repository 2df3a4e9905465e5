"""Measure what the options of a CPU bring to training and prediction, from which the defaults were chosen.

    python -m benchmarks.speed.cpu_options

The defaults: freed memory is kept (`fer_bench.allocator`), the layout is channels-last, float32, one thread
per run, no `torch.compile`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from benchmarks.speed.forked import Way, Workers
from benchmarks.speed.harness import Ratio, Report, Table, alternate, median_ratio, run_benchmark
from benchmarks.speed.steps import TrainingStep
from fer_bench import arithmetic
from fer_bench.data.loading.datamodule import EVAL_BATCH
from fer_bench.runs.environment import has_bf16

PROFILES: dict[str, int | None] = {"quick": None, "paper": 8}
"""Rows of a batch; None are the profile's own. Those of `paper` are fewer than its own, to save time."""
METHODS = ("erm", "gcn", "cafe", "resemotenet", "ssmfar")
OTHERS = (16, 64, 128)
"""Rows that are predicted at a time instead of those of runs."""
DEFAULT, SYSTEM, USUAL, BF16, THREADS = (
    "default",
    "allocator of the system",
    "usual layout",
    "bfloat16",
    "two threads",
)
TEXT = """CPU time of a step with another option over that with the defaults: freed memory is kept, the
layout is channels-last, float32, one thread. Above 1 the default is faster. Cores are filled with runs of
one thread each, so that the CPU time of both cores counts where two threads share a step. One layout serves
all methods and profiles: that of `quick`, whose networks are what is trained on CPUs. Steps of `paper` have
{} pictures here. All use the fastest instructions that this processor has, not the portable arithmetic
(float32 and AVX2) of `quick` runs. On a shared machine, differences below a fifth mean little.
A run of `quick` has some hundred steps, in which compiling does not pay. {}"""
NAMED = (("resemotenet", "paper"), ("resemotenet", "quick"), ("erm", "quick"))
"""Methods whose figures with the allocator of the system are compared with the stored ones."""


def usual_layout(name: str, profile: str, rows: int | None) -> TrainingStep:
    """Return a step of a network in torch's usual layout, a channel after the other."""
    step = TrainingStep(name, profile, rows=rows)
    step.method.to(memory_format=torch.contiguous_format)
    return step


def compiled(name: str) -> TrainingStep:
    """Return a step whose network is compiled at the first call."""
    os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"  # else other processes compile, whose time is not seen
    os.environ["TORCHINDUCTOR_FORCE_DISABLE_CACHES"] = "1"  # nor what was compiled earlier
    step = TrainingStep(name, "quick")
    step.method.get_submodule("network").compile()
    return step


def ways_of(name: str, profile: str, rows: int | None) -> dict[str, Way]:
    """Return the ways in which a step of a method is timed; slow ones of `paper` where they can pay alone."""
    make = partial(TrainingStep, name, profile, rows=rows)
    found = {
        DEFAULT: Way(make),
        SYSTEM: Way(make, keeps=False),
        USUAL: Way(partial(usual_layout, name, profile, rows)),
    }
    if profile == "quick" or has_bf16():
        found |= {BF16: Way(partial(make, bf16=True)), THREADS: Way(make, threads=2)}
    return found


def prediction(name: str) -> Callable[[], object]:
    """Return what predicts 32 pictures with the quick network ten times."""
    step = TrainingStep(name, "quick", rows=32)

    def predict() -> None:
        for _ in range(10):
            step.predict()

    return predict


def in_pieces(name: str, rows: int) -> Callable[[], object]:
    """Return what predicts `EVAL_BATCH` pictures with the quick network, some rows at a time."""
    return partial(TrainingStep(name, "quick", rows=EVAL_BATCH).predict, rows)


def measure(rounds: int) -> Report:
    """Time every way in turn with the default."""
    torch.set_num_threads(1)
    rows: list[list[str]] = []
    ratios: list[Ratio] = []
    figures: dict[str, Any] = {}
    for name in METHODS:
        for profile, size in PROFILES.items():
            with Workers(ways_of(name, profile, size)) as workers:
                few = rounds if profile == "quick" else min(rounds, 3)
                seconds = alternate(workers.steps, few, workers.spent)
            times = {way: median_ratio(seconds, way, DEFAULT) for way in seconds}
            more = workers.memory[DEFAULT] / workers.memory[SYSTEM]
            cells = (f"{times[way]:.2f}" if way in times else "" for way in (SYSTEM, USUAL, BF16, THREADS))
            rows.append([f"{name}, {profile}", *cells, f"{more:.2f}"])
            figures[f"{name} {profile}"] = {way: min(found) for way, found in seconds.items()}
            if (name, profile) in NAMED:
                ratios.append(
                    Ratio(f"allocator of the system / kept memory, {name} {profile}", times[SYSTEM])
                )
    return Report(
        title="Options of a CPU",
        text=TEXT.format(PROFILES["paper"], _about_bf16()),
        ratios=ratios,
        figures=figures,
        tables=[
            (
                "Training",
                ("method, profile", SYSTEM, USUAL, BF16, THREADS, "memory, kept / system"),
                rows,
            ),
            _predictions(rounds),
            _compile_table(rounds),
            _at_once(rounds),
        ],
    )


def _predictions(rounds: int) -> tuple[str, tuple[str, ...], list[list[str]]]:
    """Return what the allocator brings to the prediction of small networks."""
    rows = []
    for name in METHODS:
        make = partial(prediction, name)
        with Workers({DEFAULT: Way(make), SYSTEM: Way(make, keeps=False)}) as workers:
            seconds = alternate(workers.steps, rounds, workers.spent)
        rows.append([f"{name}, quick", f"{median_ratio(seconds, SYSTEM, DEFAULT):.2f}"])
    return "Prediction in batches of 32", ("method, profile", SYSTEM), rows


def _at_once(rounds: int) -> Table:
    """Return how long prediction takes by the number of rows that are predicted at a time."""
    rows = []
    for name in METHODS:
        ways = {str(count): Way(partial(in_pieces, name, count)) for count in (*OTHERS, EVAL_BATCH)}
        with Workers(ways) as workers:
            seconds = alternate(workers.steps, rounds, workers.spent)
        found = (median_ratio(seconds, str(count), str(EVAL_BATCH)) for count in OTHERS)
        rows.append([f"{name}, quick", *(f"{ratio:.2f}" for ratio in found)])
    heading = f"Prediction by rows at a time, beside {EVAL_BATCH} at a time"
    return heading, ("method, profile", *(f"{count} at a time" for count in OTHERS)), rows


def _compile_table(rounds: int) -> tuple[str, tuple[str, ...], list[list[str]]]:
    """Return what `torch.compile` brings, and how many steps its compilation takes to pay."""
    heading = "torch.compile", ("method, profile", "time per step", "compiling, in steps", "pays after steps")
    if shutil.which("c++") is None and shutil.which("g++") is None:
        return (*heading, [[f"{name}, quick", "no compiler", "", ""] for name in METHODS])
    rows = []
    for name in METHODS:
        ways = {
            DEFAULT: Way(partial(TrainingStep, name, "quick")),
            "compiled": Way(partial(compiled, name)),
        }
        with Workers(ways) as workers:
            seconds = alternate(workers.steps, rounds, workers.spent)
        ratio, step = median_ratio(seconds, "compiled", DEFAULT), min(seconds[DEFAULT])
        spent = workers.first["compiled"] / step
        pays = f"{spent / (1 - ratio):,.0f}" if ratio < 1 else "never"
        rows.append([f"{name}, quick", f"{ratio:.2f}", f"{spent:,.0f}", pays])
    return (*heading, rows)


def _about_bf16() -> str:
    if has_bf16():
        return (
            "This processor has instructions for bfloat16, which `--precision bf16-mixed` uses. It is not "
            "the default even where it pays: scores would then depend on the kind of processor."
        )
    return f"This processor ({arithmetic.processor_level()}) has no bfloat16 instructions: it is emulated."


if __name__ == "__main__":
    run_benchmark(__doc__, measure)
