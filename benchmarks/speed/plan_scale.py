"""Measure how long planning a large sweep against a large store takes, and how much memory it needs.

Expands a sweep of many runs on the synthetic stand-in, with a record of each of them in the store, and
matches and orders them as `fer-bench sweep --dry-run` does. Records are as large as real ones: with seven
targets, their scores and details. Time and memory for importing the libraries do not count.

    python benchmarks/speed/plan_scale.py --runs 10000

Exit code 1 when planning takes more than 10 s or 500 MiB.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from fer_bench import methods
from fer_bench.config import SweepConfig
from fer_bench.datasets import MAIN_SEVEN
from fer_bench.results.store import Store
from fer_bench.results.summary import stamp_of, summarise
from fer_bench.runs.completeness import match
from fer_bench.runs.execute import execute
from fer_bench.runs.plan import PlannedRun, plan_sweep
from fer_bench.workspace.sources import DataRoots
from fer_bench.workspace.workspace import Workspace

LIMIT_SECONDS, LIMIT_BYTES = 10.0, 500 * 2**20


def fill(store: Store, planned: list[PlannedRun], workspace: Workspace) -> int:
    """Train one run as briefly as possible, and copy its record for all; return a record's size.

    Records and their summaries are written as `RunDir.write_record` does, without flushing each to disk.
    """
    first = planned[0]
    real = execute(first, store, workspace)
    assert real.status == "done", real.error
    run = store.run_dir(first.config.method, first.config.dataset, first.key)
    record = run.read_record()
    assert record is not None
    for plan in planned[1:]:
        config, folder = plan.config, store.run_dir(plan.config.method, plan.config.dataset, plan.key)
        own = {
            "key": plan.key,
            "method": config.method,
            "dataset": config.dataset,
            "protocol": config.protocol,
            "fold": config.fold,
            "seed": config.seed,
            "key_fields": plan.key_fields,
        }
        (folder.path / "predictions").mkdir(parents=True)
        other = record.model_copy(update=own)
        folder.record_file.write_text(json.dumps(other.model_dump(mode="json"), indent=2))
        summary = summarise(other, stamp_of(folder.record_file.stat()))
        folder.summary_file.write_text(summary.model_dump_json(indent=2))
        for target in (config.dataset, *config.targets):
            folder.predictions_file(target, "val").touch()
    return run.record_file.stat().st_size


def main() -> None:
    """Measure and print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--size", default="tiny", help="size of the synthetic stand-in")
    given = parser.parse_args()
    found = planning(given.runs, given.size)
    print(json.dumps(found, indent=2))
    if found["seconds"] > LIMIT_SECONDS or found["mebibytes"] * 2**20 > LIMIT_BYTES:
        sys.exit(1)


def planning(runs: int, size: str = "tiny") -> dict[str, Any]:
    """Return seconds and memory of planning a sweep whose runs are all in the store.

    Args:
        runs: How many.
        size: Of the synthetic stand-in.
    """
    folds = 10 * 3 + 4  # of the paper's protocols: three lab datasets of ten folds, four with a split
    seeds = -(-runs // (2 * folds))
    sweep = SweepConfig(
        profile="quick",
        methods=("gcn", "resemotenet"),
        datasets=MAIN_SEVEN,
        folds="all",
        seeds=tuple(range(seeds)),
        targets="all",
        set=("train.max_epochs=1", "train.epoch_rows=32"),
    )
    for name in sweep.methods:
        methods.get(name)
    roots = DataRoots(None, {}, "the synthetic stand-in")
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        workspace = Workspace(roots, size=size)
        planned, missing = plan_sweep(sweep, workspace)
        more = -(-runs // len(planned))
        sweep = sweep.model_copy(update={"seeds": tuple(range(seeds * more))})
        planned, missing = plan_sweep(sweep, workspace)
        planned = planned[:runs]
        record_bytes = fill(store, planned, workspace)
        del planned
        fresh = Workspace(roots, size=size)
        before = _resident()
        started = time.perf_counter()
        planned, _ = plan_sweep(sweep, fresh)
        expanded = time.perf_counter()
        known = store.summaries()
        read = time.perf_counter()
        plan = match(planned[:runs], store, fresh)
        ended = time.perf_counter()
        used = max(0, _peak() - before)
    return {
        "runs": len(plan),
        "records": len(known),
        "record_bytes": record_bytes,
        "done": sum(p.state == "done" for p in plan),
        "missing": missing,
        "seconds": round(ended - started, 2),
        "seconds_expand": round(expanded - started, 2),
        "seconds_read": round(read - expanded, 2),
        "seconds_match": round(ended - read, 2),
        "mebibytes": round(used / 2**20),
    }


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


if __name__ == "__main__":
    main()
