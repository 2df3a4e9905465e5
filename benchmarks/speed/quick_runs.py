"""Show where the CPU time of the runs of `make bench` goes, and what it was before the suite was made faster.

One run of each method on drawn RAF-DB, with all its targets, as the sweep `quick` has them, with this code
and with that of the commit `BEFORE`, in turn. Profiles of the training steps are kept as text.

    python -m benchmarks.speed.quick_runs
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch

from benchmarks.speed.harness import Ratio, Report, run_benchmark
from benchmarks.speed.steps import TrainingStep, profiled, shares_of
from fer_bench import allocator, arithmetic, methods
from fer_bench.datasets import MAIN_SEVEN
from fer_bench.files import usable_cores
from fer_bench.runs.spent import PARTS, PREFIX

HERE = Path(__file__).parents[2]
BEFORE = "f16f0b2b04d7df28da6c426720ffa5639bec70fa"
"""The commit whose speed the goal of 60 % is a share of."""
WANTED, SEEDS, MINUTES = 0.6, 3, 12
DATASET = "rafdb"
STEPS = 20
KINDS = {
    "convolutions": ("convolution",),
    "batch norms": ("batch_norm",),
    "pooling": ("pool",),
    "matrix products": ("mm",),
    "optimiser": ("fused_adam", "_foreach"),
}
"""Operations whose names contain one of these; the first kind that fits counts."""
OTHER = "other"
TEXT = (
    "CPU time of one run of each method on drawn RAF-DB with all targets, as in `make bench`, which prints "
    "such a table for its own runs; with this code, and with that of commit {before}, before it was made "
    "faster. Each was trained once with either, and on a shared machine the time of one run differs by a "
    "tenth or more when it is trained again."
)
NOTE = (
    "training is {training:.0%} of the time, and most of that the networks' own operations (second table), "
    "which cannot be left out without changing the scores; training shorter would reach it, with worse "
    "scores: [how long quick trains](quick-epochs.md). For the same reason {seeds} seeds do not fit into "
    "{limit} minutes of {cores} cores: if every dataset costs what RAF-DB does, their {runs} runs take "
    "{minutes:.0f}"
)


@contextmanager
def tree_before() -> Iterator[Path | None]:
    """Check out the older code into a temporary folder; None if this is not a clone that has the commit."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "before"
        git = ("git", "-C", str(HERE), "worktree")
        subprocess.run([*git, "prune"], capture_output=True, check=False)  # of benchmarks that were killed
        made = subprocess.run([*git, "add", "--detach", str(tree), BEFORE], capture_output=True, check=False)
        try:
            yield tree if made.returncode == 0 else None
        finally:
            if made.returncode == 0:
                subprocess.run([*git, "remove", "--force", str(tree)], capture_output=True, check=True)


def spent(tree: Path, method: str) -> dict[str, float]:
    """Train a run with the code of a folder, and return its CPU-seconds by part."""
    with tempfile.TemporaryDirectory() as store:
        what = ("--method", method, "--dataset", DATASET, "--seed", "0", "--jobs", "1", "--runs-dir", store)
        command = [sys.executable, "-m", "fer_bench.cli.main", "sweep", "quick", *what]
        environment = {**os.environ, "PYTHONPATH": str(tree)}
        subprocess.run(command, cwd=tree, env=environment, stdout=subprocess.DEVNULL, check=True)
        (file,) = Path(store).glob("*/*/*/record.json")
        timing = json.loads(file.read_text(encoding="utf-8"))["timing"]
    return {part: timing.get(f"{PREFIX}{part}", 0.0) for part in PARTS}


def operations(name: str) -> tuple[dict[str, float], str]:
    """Return the CPU time of a method's training steps by kind of operation, and the profile as text."""
    found = profiled(TrainingStep(name, "quick"), STEPS)
    taken = dict.fromkeys([*KINDS, OTHER], 0.0)
    for event in found.key_averages():
        kind = next((kind for kind, parts in KINDS.items() if any(p in event.key for p in parts)), OTHER)
        taken[kind] += event.self_cpu_time_total
    return taken, shares_of(f"{name}, quick", found, STEPS)


def measure(rounds: int) -> Report:
    """Train each method once with either code, and profile some steps of each."""
    seconds: dict[str, dict[str, float]] = {}
    before: dict[str, dict[str, float]] = {}
    spent(HERE, min(methods.BUILT_IN))  # draws and packs, which the runs that follow find
    with tree_before() as tree:
        for name in sorted(methods.BUILT_IN):
            seconds[name] = spent(HERE, name)
            before |= {name: spent(tree, name)} if tree is not None else {}
    torch.set_num_threads(1)
    arithmetic.choose_portable()  # as quick runs do
    allocator.keep_memory()
    parts, kinds, profiles = [], [], []
    for name, found in seconds.items():
        older = f"{_sum(before[name]):.0f}" if before else "not measured"
        parts.append([name, f"{_sum(found):.0f}", older, *_percentages(found)])
        taken, text = operations(name)
        kinds.append([name, *_percentages(taken)])
        profiles.append(text)
    whole = sum(map(_sum, seconds.values()))
    ratios = []
    if before:
        training = sum(found["train"] for found in seconds.values()) / whole
        runs = len(seconds) * len(MAIN_SEVEN) * SEEDS
        minutes = whole * len(MAIN_SEVEN) * SEEDS / usable_cores() / 60
        note = NOTE.format(
            training=training,
            seeds=SEEDS,
            limit=MINUTES,
            cores=usable_cores(),
            runs=runs,
            minutes=minutes,
        )
        share = whole / sum(map(_sum, before.values()))
        ratios.append(Ratio(f"runs of all methods, now / at {BEFORE[:7]}", share, WANTED, "lower", note))
    return Report(
        title="Runs of make bench",
        text=TEXT.format(before=BEFORE[:7]),
        ratios=ratios,
        figures={"CPU-seconds": seconds, f"CPU-seconds at {BEFORE[:7]}": before},
        tables=[
            ("A run", ("method", "CPU-seconds", f"at {BEFORE[:7]}", *PARTS), parts),
            ("Operations of a training step", ("method", *KINDS, OTHER), kinds),
        ],
        profile="\n".join(profiles),
    )


def _sum(found: Mapping[str, float]) -> float:
    return sum(found.values())


def _percentages(found: Mapping[str, float]) -> list[str]:
    whole = _sum(found)
    return [f"{each / whole:.0%}" for each in found.values()]


if __name__ == "__main__":
    run_benchmark(__doc__, measure)
