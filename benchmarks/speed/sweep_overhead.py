"""Measure what a sweep adds to the time of its runs, and how large the store of the full paper sweep gets.

Runs on the synthetic stand-in are done one after another, as `fer-bench sweep --jobs 1` does: expand the
sweep, look at the store, start a process per run and wait for it. This time is divided by the sum of the
runs' own times, each from the start of its process's work to its record (`timing.attempt`).
`ratio_of_training_and_predicting` divides by less: by the time of epochs and predictions alone, without what
any training has to set up. Drawing and packing pictures, done once per dataset, and importing the libraries
do not count.

The size of the paper sweep's store is computed: the files of a run as measured here, in proportion to the
rows predicted, and for each method the checkpoint of its paper network, written and measured here. Weights
that are never trained are in the store once.

    python benchmarks/speed/sweep_overhead.py --runs 4 --epochs 24

Exit code 1 when the sweep adds more than 3 %, or the paper store would be larger than 60 GB.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from fer_bench import methods
from fer_bench.config import RunOptions, SweepConfig
from fer_bench.data.batch import Task
from fer_bench.emotions import LABEL_SETS
from fer_bench.results.store import FROZEN, Store
from fer_bench.runs.completeness import is_complete
from fer_bench.runs.launchers.local import LocalLauncher
from fer_bench.runs.plan import plan_sweep, prepare_targets
from fer_bench.runs.resolve import resolve_settings
from fer_bench.runs.training.checkpoints import save_weights
from fer_bench.workspace.sources import DataRoots
from fer_bench.workspace.workspace import Workspace

RATIO, STORE_BYTES = 1.03, 60e9
PAPER_RUNS_PER_METHOD = (10 * 3 + 4) * 3
"""Three lab datasets of ten folds and four with a split, three seeds."""
PAPER_ROWS = 60_000
"""Rows predicted per run on the real test sets, rounded up; file sizes are assumed proportional."""


def main() -> None:
    """Measure and print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=24)
    given = parser.parse_args()
    found = overhead(given.runs, given.epochs)
    weights, frozen = paper_weights()
    per_run = found["bytes_beside_weights"] * PAPER_ROWS / found["predicted_rows"]
    store_bytes = frozen + sum(PAPER_RUNS_PER_METHOD * (size + per_run) for size in weights.values())
    found |= {
        "paper_checkpoint_bytes": weights,
        "paper_frozen_bytes": frozen,
        "paper_runs": PAPER_RUNS_PER_METHOD * len(weights),
        "paper_store_gigabytes": round(store_bytes / 1e9, 2),
    }
    print(json.dumps(found, indent=2))
    if found["ratio"] > RATIO or store_bytes > STORE_BYTES:
        sys.exit(1)


def overhead(runs: int, epochs: int) -> dict[str, Any]:
    """Return the ratios of a sweep of some runs, and the size of the files of a run."""
    sweep = SweepConfig(
        methods=("resemotenet",),
        datasets=("rafdb",),
        seeds=tuple(range(runs)),
        set=(f"train.max_epochs={epochs}",),
    )
    roots = DataRoots(None, {}, "the synthetic stand-in")
    once = Workspace(roots)
    prepare_targets(plan_sweep(sweep, once)[0], once)  # draws and packs
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        started = time.perf_counter()
        workspace = Workspace(roots)
        planned, _ = plan_sweep(sweep, workspace)
        planned = prepare_targets(planned, workspace)
        to_do = [run for run in planned if not is_complete(run, store, workspace)]
        LocalLauncher(RunOptions(jobs=1)).run(to_do, store, workspace, lambda event: None)
        took = time.perf_counter() - started
        records = store.records()
        assert [record.status for record in records] == ["done"] * runs
        whole = sum(record.timing["attempt"] for record in records)
        inner = sum(record.timing["train"] + record.timing["evaluate"] for record in records)
        sizes = [
            sum(f.stat().st_size for f in run.path.rglob("*") if f.is_file() and f.suffix != ".pt")
            for run in store.run_dirs()
        ]
    return {
        "runs": runs,
        "epochs": epochs,
        "ratio": round(took / whole, 4),
        "ratio_of_training_and_predicting": round(took / inner, 4),
        "bytes_beside_weights": round(sum(sizes) / runs),
        "predicted_rows": sum(score.n for score in records[0].scores),
    }


def paper_weights() -> tuple[dict[str, int], int]:
    """Return the size of the checkpoint that a finished run of each method keeps, and of shared weights."""
    found: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        frozen = Path(folder) / FROZEN
        for name in methods.names():
            settings, train = resolve_settings(name, "paper")
            classes = tuple(emotion.value for emotion in LABEL_SETS["7"])
            task = Task(classes=classes, class_counts=(100,) * len(classes), has_reference=True)
            file = Path(folder) / f"{name}.pt"
            save_weights(methods.get(name)(task, settings, train), file, frozen=frozen)
            found[name] = file.stat().st_size
        return found, sum(file.stat().st_size for file in frozen.glob("*"))


if __name__ == "__main__":
    main()
