"""Train the alternatives of `benchmarks/gcn_defaults.yaml` on the development population.

    python benchmarks/gcn_defaults.py --runs-dir runs-development
    python benchmarks/evidence_gcn.py --development runs-development

What the paper leaves open is chosen by validation rows of people and cameras that the benchmark never shows.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from fer_bench.runs.launchers.local import LocalLauncher
from fer_bench.runs.plan import Workspace
from fer_bench.runs.store import Store
from fer_bench.runs.sweep import expand, read_sweep
from fer_bench.sources import DataRoots
from fer_bench.terminal import Preparation, SweepDisplay

SWEEP = Path(__file__).with_suffix(".yaml")


def main() -> None:
    """Run what the store lacks."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs-dir", type=Path, default=Path("runs-development"))
    parser.add_argument("--jobs", type=int, default=None, help="runs at a time (default: all cores)")
    given = parser.parse_args()
    display = Preparation()
    workspace = Workspace(DataRoots(None, {}, "development"), population="development", announce=display)
    planned, _ = expand(read_sweep(SWEEP), workspace)
    display.close()
    workspace.announce = None
    with SweepDisplay(planned) as watch:
        LocalLauncher(given.jobs).run(planned, Store(given.runs_dir), workspace, watch)


if __name__ == "__main__":
    main()
