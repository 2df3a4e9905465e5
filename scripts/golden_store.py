"""Make the store of this version's records that the tests keep: a few tiny runs on drawn faces.

    python scripts/golden_store.py

A release keeps the store of each earlier minor version beside it, in `tests/golden`, and never writes those
again: what they hold has to load, score and render.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from pathlib import Path

from fer_bench.config import RunOptions
from fer_bench.distribution import version
from fer_bench.results.store import Store
from fer_bench.runs.launchers.local import LocalLauncher
from fer_bench.runs.plan import plan_sweep
from fer_bench.runs.sweepfile import check_sweep
from fer_bench.workspace.sources import DataRoots
from fer_bench.workspace.workspace import Workspace

GOLDEN = Path(__file__).parents[1] / "tests" / "golden"
DROPPED = ("checkpoints", "frozen", "log.txt", "progress.json", "*lock*")
SWEEPS = (
    {"methods": ["resemotenet"], "datasets": ["oulu"], "targets": ["rafdb"], "seeds": [0, 1]},
    {"methods": ["resemotenet"], "datasets": ["rafdb"], "targets": ["oulu"], "seeds": [0]},
    {"methods": ["ssmfar"], "datasets": ["affwild2"], "targets": ["rafdb"], "seeds": [0]},
)
SETTINGS = ["train.max_epochs=1", "train.batch_size=16"]
OWN = {"resemotenet": ["method.width=0.03"], "ssmfar": []}


def main() -> None:
    """Train the runs and keep their records, predictions, settings and metrics."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    minor = ".".join(version().split(".")[:2])
    parser.add_argument("--out", type=Path, default=GOLDEN / minor)
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FER_BENCH_CACHE"] = f"{folder}/cache"
        roots = DataRoots(None, {}, "the synthetic stand-in (tiny)")
        workspace, store = Workspace(roots, size="tiny"), Store(Path(folder) / "runs")
        for sweep in SWEEPS:
            changes = [*SETTINGS, *OWN[sweep["methods"][0]]]
            config = check_sweep({**sweep, "profile": "quick", "device": "cpu", "set": changes})
            planned, _ = plan_sweep(config, workspace)
            LocalLauncher(RunOptions(jobs=1)).run(planned, store, workspace, lambda event: None)
        statuses = [record.status for record in store.records()]
        if statuses != ["done"] * len(statuses):
            raise SystemExit(f"a run did not end well: {statuses}")
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(store.root, out, ignore=shutil.ignore_patterns(*DROPPED))
    size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    print(f"wrote {len(statuses)} runs to {out}, {size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
