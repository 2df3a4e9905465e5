"""Show where the CPU time of the runs of `make bench` goes: by part of a run, and by operation of a step.

One run of each method on drawn RAF-DB, with all its targets, as the sweep `quick` has them. Profiles of the
training steps are kept as text.

    python -m benchmarks.speed.quick_runs
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from benchmarks.speed.harness import Report, run_benchmark
from benchmarks.speed.scaling import carry_out
from benchmarks.speed.steps import TrainingStep, profiled, shares_of
from fer_bench import allocator, arithmetic
from fer_bench.config import RunOptions
from fer_bench.runs.launchers.local import LocalLauncher
from fer_bench.runs.plan import plan_sweep, prepare_targets
from fer_bench.runs.spent import PARTS, PREFIX
from fer_bench.runs.sweepfile import read_sweep
from fer_bench.workspace.sources import find_roots
from fer_bench.workspace.workspace import Workspace

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
    "such a table for its own runs. Training is most of it, and most of training is the network's own "
    "operations, which the same numbers need. That `make bench` should fall to 60 % is therefore missed: "
    "these five runs took 173 CPU-seconds at commit f16f0b2, before it was made faster, and 160 at b35238c, "
    "one after the other on an idle machine. Training shorter would reach it, with worse scores: "
    "[how long quick trains](quick-epochs.md)."
)


def spent() -> dict[str, dict[str, float]]:
    """Train a run of each method, and return its CPU-seconds by part."""
    arithmetic.choose_portable()  # so that runs are forked, as in a sweep
    workspace = Workspace(find_roots(None))
    sweep = read_sweep("quick", {"datasets": [DATASET], "seeds": [0]})
    runs = tuple(prepare_targets(plan_sweep(sweep, workspace)[0], workspace))
    return {
        record.method: {part: record.timing.get(f"{PREFIX}{part}", 0.0) for part in PARTS}
        for record in carry_out(runs, LocalLauncher(RunOptions(jobs=1)), workspace)
    }


def operations(name: str) -> tuple[dict[str, float], str]:
    """Return the CPU time of a method's training steps by kind of operation, and the profile as text."""
    found = profiled(TrainingStep(name, "quick"), STEPS)
    taken = dict.fromkeys([*KINDS, OTHER], 0.0)
    for event in found.key_averages():
        kind = next((kind for kind, parts in KINDS.items() if any(p in event.key for p in parts)), OTHER)
        taken[kind] += event.self_cpu_time_total
    return taken, shares_of(f"{name}, quick", found, STEPS)


def measure(rounds: int) -> Report:
    """Train each method once, and profile some steps of each."""
    seconds = spent()
    torch.set_num_threads(1)
    allocator.keep_memory()
    parts, kinds, profiles = [], [], []
    for name, found in sorted(seconds.items()):
        parts.append([name, *_percentages(found)])
        taken, text = operations(name)
        kinds.append([name, *_percentages(taken)])
        profiles.append(text)
    return Report(
        title="Runs of make bench",
        text=TEXT,
        figures={"CPU-seconds": seconds},
        tables=[
            ("Parts of a run", ("method", *PARTS), parts),
            ("Operations of a training step", ("method", *KINDS, OTHER), kinds),
        ],
        profile="\n".join(profiles),
    )


def _percentages(found: Mapping[str, float]) -> list[str]:
    whole = sum(found.values())
    return [f"{each / whole:.0%}" for each in found.values()]


if __name__ == "__main__":
    run_benchmark(__doc__, measure)
