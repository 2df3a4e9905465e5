"""Measure what a second process buys: for one run (DDP over gloo), and for two at a time, forked or in Ray.

    python -m benchmarks.speed.scaling

The figures are of CPU time, which other work on the machine hardly changes: what the work takes in one
process, divided by what it takes in two, exchange of gradients and second copies of everything included. Ray
runs already, as on a cluster, and its own processes count as well.
Wall-clock speed-ups are in the result file with the load of the machine; they mean something only where it
was idle.
"""

from __future__ import annotations

import importlib.util
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from statistics import median

from benchmarks.speed import paper_hours
from benchmarks.speed.harness import Ratio, Report, alternate, cpu_of_descendants, median_ratio, run_benchmark
from fer_bench import arithmetic
from fer_bench.config import RunOptions, SweepConfig
from fer_bench.files import usable_cores
from fer_bench.results.record import Record
from fer_bench.results.store import Store
from fer_bench.runs.launchers.base import Launcher
from fer_bench.runs.launchers.local import LocalLauncher
from fer_bench.runs.launchers.ray import RayLauncher
from fer_bench.runs.plan import PlannedRun, plan_sweep, prepare_targets
from fer_bench.runs.rates import measured
from fer_bench.workspace.sources import DataRoots
from fer_bench.workspace.workspace import Workspace

METHOD = "erm"
EPOCHS, LONGER, ROUNDS = 8, 24, 4
"""Epochs of a run, of a longer one, and how often all are timed."""
COMPARED = (
    ("a run in 2 processes (DDP, gloo)", "1 process", "2 processes"),
    ("2 runs at a time", "2 runs in turn", "2 runs at a time"),
    ("2 runs at a time as tasks of Ray", "2 runs in turn", "2 Ray tasks at a time"),
)
"""What the table calls it, and the two ways."""
RAY = (
    "Ray was running, with the workers of an earlier sweep; its own processes, which are never quite idle, "
    "count in all rows."
)
NO_RAY = "Ray is not installed here (`pip install '.[ray]'`) and not measured."
TEXT = (
    "Whole runs of {method}'s `quick` network ({epochs} epochs on drawn rafdb) on {cores} cores. Efficiency "
    "is the CPU time of the work in one process over that in two; 100 % means no loss. Wall-clock speed-ups "
    "include other work on the machine. {ray} Then the profile `paper` on the published sizes, "
    "computed from the rates of one core of {processor}; reading and packing pictures the first time is not "
    "included. No GPU was measured: hours on GPUs rest on the **assumption** that one does the work of "
    "{assumed} such cores. A run takes one GPU; where the longest limits, `--devices` shares it."
)


def planned(seeds: int, devices: int, workspace: Workspace, epochs: int = EPOCHS) -> tuple[PlannedRun, ...]:
    """Return the runs of `METHOD` on drawn faces, whose rows are packed."""
    sweep = SweepConfig(
        methods=(METHOD,),
        datasets=("rafdb",),
        seeds=tuple(range(seeds)),
        targets=(),
        set=(f"train.max_epochs={epochs}",),
        device="cpu",
        devices=devices,
    )
    return tuple(prepare_targets(plan_sweep(sweep, workspace)[0], workspace))


def carry_out(runs: tuple[PlannedRun, ...], launcher: Launcher, workspace: Workspace) -> list[Record]:
    """Work on runs in processes, in a store that is deleted; return their records."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        launcher.run(list(runs), store, workspace, lambda event: None)
        records = list(store.records())
    assert {record.status for record in records} == {"done"}
    return records


@contextmanager
def ray_cluster() -> Iterator[None]:
    """Start Ray on this machine, as the launcher does where none runs."""
    import ray

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(
        address="local",
        num_cpus=usable_cores(),
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
    )
    try:
        yield
    finally:
        ray.shutdown()


def measure(rounds: int) -> Report:
    """Train in one process and in two, one run after another and two at a time."""
    arithmetic.choose_portable()  # so that runs are forked, as a sweep does
    workspace = Workspace(DataRoots(None, {}, "the synthetic stand-in"))
    wall: dict[str, list[float]] = defaultdict(list)
    alone, pair, shared = (planned(*how, workspace) for how in ((1, 1), (2, 1), (1, 2)))
    one, two = (LocalLauncher(RunOptions(jobs=jobs)) for jobs in (1, 2))
    work: dict[str, tuple[tuple[PlannedRun, ...], Launcher]] = {
        "1 process": (alone, one),
        "2 processes": (shared, one),
        "1 process, longer": (planned(1, 1, workspace, LONGER), one),
        "2 processes, longer": (planned(1, 2, workspace, LONGER), one),
        "2 runs in turn": (pair, one),
        "2 runs at a time": (pair, two),
    }
    with_ray = importlib.util.find_spec("ray") is not None
    if with_ray:
        work["2 Ray tasks at a time"] = (pair, RayLauncher(RunOptions(jobs=2)))
    steps = {name: _timed(wall[name], *how, workspace) for name, how in work.items()}
    with ray_cluster() if with_ray else nullcontext():
        seconds = alternate(steps, rounds=min(rounds, ROUNDS), clock=cpu_of_descendants)
    ratios, rows = [], []
    for what, apart, together in COMPARED:
        if together not in work:
            rows.append([what, "not measured", "not measured"])
            continue
        value = median_ratio(seconds, apart, together)
        note = _of_epochs(seconds) if together == "2 processes" else ""
        ratios.append(Ratio(f"CPU time: {apart} / {together}", value, note=note))
        faster = median(wall[apart][1:]) / median(wall[together][1:])
        rows.append([what, f"{100 * value:.0f} %", f"{faster:.2f}"])
    return Report(
        title="Scaling",
        text=TEXT.format(
            method=METHOD,
            epochs=EPOCHS,
            cores=usable_cores(),
            ray=RAY if with_ray else NO_RAY,
            processor=measured().processor,
            assumed=paper_hours.CORES_PER_GPU,
        ),
        ratios=ratios,
        figures={
            "load": list(os.getloadavg()),
            "cpu_seconds": {name: [round(each, 2) for each in found] for name, found in seconds.items()},
            "wall_seconds": {name: median(found[1:]) for name, found in wall.items()},
        },
        tables=(
            ("On this machine", ("what", "efficiency", "speed-up on the clock"), rows),
            ("Core-hours of a run of `paper` with all targets (computed)", *paper_hours.per_run()),
            (
                f"All datasets, folds and {paper_hours.SEEDS} seeds of `paper` (computed; GPUs assumed)",
                *paper_hours.on_gpus(),
            ),
        ),
    )


def _of_epochs(seconds: Mapping[str, Sequence[float]]) -> str:
    """Return how much of the loss is in the epochs, and how much in starting a second process."""
    ways = ("1 process", "2 processes")
    short, long = ({way: median(seconds[way + more]) for way in ways} for more in ("", ", longer"))
    epoch = {way: (long[way] - short[way]) / (LONGER - EPOCHS) for way in ways}
    start = {way: short[way] - EPOCHS * epoch[way] for way in ways}
    more = (start["2 processes"] - start["1 process"]) / epoch["1 process"]
    starting = (
        f"takes as long as {more:.1f} epochs of one process" if more >= 1 else "is below what these runs show"
    )
    return (
        f"by runs of {EPOCHS} and {LONGER} epochs, an epoch alone has an efficiency of "
        f"{epoch['1 process'] / epoch['2 processes']:.0%}: a process takes half of each batch, and gradients "
        "are exchanged in every step; starting the second process, which opens the data and builds the "
        f"network again, {starting}"
    )


def _timed(
    found: list[float], runs: tuple[PlannedRun, ...], launcher: Launcher, workspace: Workspace
) -> Callable[[], None]:
    def call() -> None:
        began = time.perf_counter()
        carry_out(runs, launcher, workspace)
        found.append(time.perf_counter() - began)

    return call


if __name__ == "__main__":
    run_benchmark(__doc__, measure)
