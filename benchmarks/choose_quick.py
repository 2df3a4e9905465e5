"""Choose the quick profile's settings on the development population and write down every trial.

The `quick` profile has few epochs and small networks, for which the papers say nothing. Its settings are
chosen here, by validation UAR on people and cameras that the benchmark never shows (another seed), the same
number of trials for every method. Test rows take no part. Run it again with:

    python benchmarks/choose_quick.py --out docs/quick-defaults.md
"""

from __future__ import annotations

import argparse
from pathlib import Path

from fer_bench.cli.terminal import Preparation, SweepDisplay
from fer_bench.config import RunOptions, SweepConfig
from fer_bench.methods import BUILT_IN
from fer_bench.results.store import Store
from fer_bench.runs.launchers.local import LocalLauncher
from fer_bench.runs.plan import PlannedRun, plan_sweep
from fer_bench.workspace.sources import DataRoots
from fer_bench.workspace.workspace import Workspace

DATASETS = ("ckplus", "oulu", "rafdb")
TRIALS: dict[str, tuple[str, ...]] = {
    "cafe": (
        "method.lr=1e-3",
        "method.lr=3e-3",
        "method.lr=6e-3",
        "method.lr=3e-3 train.batch_size=16",
        "method.lr=3e-3 train.augmentation.crop_pad=4",
        "method.lr=3e-3 train.augmentation.brightness=0.3 train.augmentation.contrast=0.3",
    ),
    "gcn": (
        "method.lr=2e-3",
        "method.lr=5e-3",
        "method.lr=1e-2",
        "method.lr=5e-3 train.batch_size=32",
        "method.lr=5e-3 train.augmentation.brightness=0.3 train.augmentation.contrast=0.3",
        "method.lr=5e-3 method.distance=absolute",
    ),
    "resemotenet": (
        "method.lr=1e-3",
        "method.lr=3e-3",
        "method.lr=1e-2",
        "method.lr=3e-3 train.batch_size=16",
        "method.lr=3e-3 train.augmentation.brightness=0.3 train.augmentation.contrast=0.3",
        "method.lr=3e-3 method.head_dropout=0.2",
    ),
    "ssmfar": (
        "method.lr=1e-3",
        "method.lr=3e-3",
        "method.lr=6e-3",
        "method.lr=3e-3 train.batch_size=16",
        "method.lr=3e-3 train.augmentation.brightness=0.3 train.augmentation.contrast=0.3",
        "method.lr=3e-3 method.feature_scale=1",
    ),
}


def main() -> None:
    """Run all trials that the store lacks and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("docs/quick-defaults.md"))
    parser.add_argument("--runs-dir", type=Path, default=Path("runs-development"))
    parser.add_argument(
        "--methods", nargs="+", choices=list(BUILT_IN), default=list(BUILT_IN), help="train these alone"
    )
    parser.add_argument("--jobs", type=int, default=None, help="runs at a time (default: all cores)")
    arguments = parser.parse_args()
    display = Preparation()
    workspace = Workspace(DataRoots(None, {}, "development"), population="development", announce=display)
    plans = {
        (method, trial, dataset): _plan(workspace, method, trial, dataset)
        for method in BUILT_IN
        for trial in TRIALS[method]
        for dataset in DATASETS
    }
    display.close()
    workspace.announce = None
    store = Store(arguments.runs_dir)
    to_do = [
        plan
        for (method, _, _), plan in plans.items()
        if method in arguments.methods and _val_uar(store, plan) is None
    ]
    with SweepDisplay(to_do) as progress:
        LocalLauncher(RunOptions(jobs=arguments.jobs)).run(to_do, store, workspace, progress)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(_page(plans, store))
    print(f"wrote {arguments.out}")


def _plan(workspace: Workspace, method: str, trial: str, dataset: str) -> PlannedRun:
    sweep = SweepConfig(
        profile="quick", methods=(method,), datasets=(dataset,), set=tuple(trial.split()), targets="none"
    )
    (run,), _ = plan_sweep(sweep, workspace)
    return run


def _val_uar(store: Store, plan: PlannedRun) -> float | None:
    record = store.run_dir(plan.config.method, plan.config.dataset, plan.key).read_record()
    return record.selection["val"].val_uar if record is not None and record.status == "done" else None


def _page(plans: dict[tuple[str, str, str], PlannedRun], store: Store) -> str:
    lines = [
        "# How the quick settings were chosen",
        "",
        "**SYNTHETIC DATA**, development population (people and cameras the benchmark never shows). Best",
        "validation UAR in %, fold 1 of 4 or the carved validation part, one seed. Test rows took no part.",
        "Written by `python benchmarks/choose_quick.py`. What a line does not name is as in quick,",
        "epochs too. More alternatives of gcn were tried on the same population, see its README.",
        "",
    ]
    for method in BUILT_IN:
        lines += [
            f"## {method}",
            "",
            f"| settings | {' | '.join(DATASETS)} | mean |",
            f"|---|{'--:|' * (len(DATASETS) + 1)}",
        ]
        for trial in TRIALS[method]:
            found = [_val_uar(store, plans[method, trial, dataset]) for dataset in DATASETS]
            cells = ["-" if value is None else f"{100 * value:.1f}" for value in found]
            known = [value for value in found if value is not None]
            mean = f"{100 * sum(known) / len(known):.1f}" if len(known) == len(found) else "-"
            lines.append(f"| `{trial}` | {' | '.join(cells)} | {mean} |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
