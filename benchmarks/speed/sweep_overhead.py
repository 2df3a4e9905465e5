"""Measure what a sweep adds to the time of its runs, and how large the store of the full paper sweep gets.

Works off runs on the synthetic stand-in one after another, as `fer-bench sweep --jobs 1` does, and divides
what the sweep took by the sum of what its runs took themselves (training and predicting, as their records
have it). The size of the paper sweep's store is computed: files of a run as measured here, with weights of
the size that each method's paper network has.

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

from fer_bench import methods
from fer_bench.config import SweepConfig
from fer_bench.data.batch import Task
from fer_bench.emotions import LABEL_SETS
from fer_bench.runs.launchers.local import LocalLauncher
from fer_bench.runs.plan import Workspace, resolve_settings
from fer_bench.runs.store import Store
from fer_bench.runs.sweep import expand, prepare_targets
from fer_bench.sources import DataRoots

RATIO, STORE_BYTES = 1.03, 60e9
PAPER_RUNS_PER_METHOD = (10 * 3 + 4) * 3
"""Three lab datasets of ten folds and four with a split, three seeds."""


def main() -> None:
    """Measure and print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=24)
    given = parser.parse_args()
    sweep = SweepConfig(
        methods=("resemotenet",),
        datasets=("rafdb",),
        seeds=tuple(range(given.runs)),
        set=(f"train.max_epochs={given.epochs}",),
    )
    workspace = Workspace(DataRoots(None, {}, "the synthetic stand-in"))
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        planned, _ = expand(sweep, workspace)
        planned = prepare_targets(planned, workspace)
        workspace.announce = None
        started = time.perf_counter()
        LocalLauncher(jobs=1).run(planned, store, workspace, lambda event: None)
        took = time.perf_counter() - started
        records = store.records()
        assert all(record.status == "done" for record in records)
        own = sum(record.timing["train"] + record.timing["evaluate"] for record in records)
        sizes = [
            sum(f.stat().st_size for f in run.path.rglob("*") if f.is_file() and f.suffix != ".pt")
            for run in store.run_dirs()
        ]
        rows = sum(score.n for score in records[0].scores)
        beside = sum(sizes) / len(sizes)
    weights = {name: paper_weights(name) for name in methods.names()}
    store_bytes = sum(
        PAPER_RUNS_PER_METHOD * (size + beside * PAPER_ROWS / rows) for size in weights.values()
    )
    found = {
        "runs": len(records),
        "ratio": round(took / own, 4),
        "bytes_beside_weights": round(beside),
        "predicted_rows": rows,
        "paper_weights_bytes": weights,
        "paper_runs": PAPER_RUNS_PER_METHOD * len(weights),
        "paper_store_gigabytes": round(store_bytes / 1e9, 2),
    }
    print(json.dumps(found, indent=2))
    if took / own > RATIO or store_bytes > STORE_BYTES:
        sys.exit(1)


PAPER_ROWS = 60_000
"""Rows predicted per run on the real test sets, rounded up; files are taken to grow in proportion."""


def paper_weights(name: str) -> int:
    """Return the bytes of the weights that a finished run of a method keeps under the paper profile."""
    settings, train = resolve_settings(name, "paper")
    kind = methods.get(name)
    classes = tuple(emotion.value for emotion in LABEL_SETS["7"])
    task = Task(classes=classes, class_counts=(100,) * len(classes), has_reference=True)
    method = kind(task, settings, train)
    return sum(value.numel() * value.element_size() for value in method.state_dict().values())


if __name__ == "__main__":
    main()
