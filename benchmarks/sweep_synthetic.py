"""Train a sweep on another synthetic stand-in than the one `fer-bench sweep` draws.

    python benchmarks/sweep_synthetic.py ablation_cafe --size full --runs-dir runs-evidence
    python benchmarks/sweep_synthetic.py gcn_defaults --population development --runs-dir runs-development
    python benchmarks/sweep_synthetic.py gcn_evidence --people 80 --seed 0 --seed 1 --runs-dir runs-evidence

`full` has as many people and sequences as the real datasets; the development population is made of people and
cameras that the benchmark never shows, for choosing what a paper leaves open. `--people` is for Oulu-CASIA,
with sequences like those of size `quick` (`more_people.py`).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from more_people import drawn_people

from fer_bench.cli.terminal import Preparation, SweepDisplay
from fer_bench.config import RunOptions
from fer_bench.results.store import Store
from fer_bench.runs.launchers.local import LocalLauncher
from fer_bench.runs.plan import plan_sweep
from fer_bench.runs.sweepfile import read_sweep
from fer_bench.synthetic.layouts.writing import SIZES
from fer_bench.workspace.sources import DataRoots, find_roots
from fer_bench.workspace.workspace import Workspace


def main() -> None:
    """Run what the store lacks."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sweep", help="name of a sweep of the package, or a file")
    parser.add_argument("--runs-dir", type=Path, required=True)
    parser.add_argument("--size", choices=SIZES, default="quick")
    parser.add_argument("--population", choices=("benchmark", "development"), default="benchmark")
    parser.add_argument("--people", type=int, default=None, help="drawn people of Oulu-CASIA")
    parser.add_argument("--seed", type=int, action="append", help="repetitions, instead of the file's")
    parser.add_argument("--jobs", type=int, default=None, help="runs at a time (default: all cores)")
    given = parser.parse_args()
    display = Preparation()
    roots = DataRoots(None, {}, f"the synthetic stand-in ({given.size}, {given.population})")
    if given.people is not None:
        roots = find_roots(str(drawn_people(given.people)))
    workspace = Workspace(roots, size=given.size, population=given.population, announce=display)
    changes = {} if given.seed is None else {"seeds": given.seed}
    planned, _ = plan_sweep(read_sweep(given.sweep, changes), workspace)
    display.close()
    workspace.announce = None
    with SweepDisplay(planned) as progress:
        LocalLauncher(RunOptions(jobs=given.jobs)).run(planned, Store(given.runs_dir), workspace, progress)


if __name__ == "__main__":
    main()
