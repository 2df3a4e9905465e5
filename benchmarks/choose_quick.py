"""Choose the quick profile's settings: one written tuning budget for all methods.

The `quick` profile has few epochs and small networks, for which the papers say nothing. Every method gets as
many candidates, epochs, rows, datasets and seeds as every other (`quick_candidates.py`), on people and
cameras that the benchmark never shows, and the best mean validation UAR decides. Test rows take no part.

    python benchmarks/choose_quick.py --runs-dir runs-development           # train what the store lacks
    python benchmarks/choose_quick.py --runs-dir runs-development --table   # train nothing

Both write `docs/quick-defaults.csv`, a row per run, and `docs/quick-defaults.md`. A killed command goes on
where it was. Everything with the first seed comes before anything with the second, so that a search that is
stopped has given every method the same.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd
from quick_candidates import BATCH, DATASETS, EPOCHS, OWN, POPULATION, ROWS, SEEDS, Candidate, candidates
from readme_section import figure_table
from sweep_runs import finished_runs, runs_of_variant

from fer_bench.cli.terminal import Preparation, SweepDisplay
from fer_bench.config import RunOptions, SweepConfig
from fer_bench.errors import StoreError
from fer_bench.files import write_text
from fer_bench.methods import BUILT_IN
from fer_bench.results.record import Record
from fer_bench.results.store import Store
from fer_bench.runs.launchers.local import LocalLauncher
from fer_bench.runs.plan import PlannedRun, plan_sweep
from fer_bench.workspace.sources import DataRoots
from fer_bench.workspace.workspace import Workspace

DOCS = Path(__file__).parents[1] / "docs"
PAGE, TABLE, SCRIPT = "quick-defaults.md", "quick-defaults.csv", "choose_quick.py"
ANY = next(iter(BUILT_IN))
"""Any method: all have as many candidates."""
Tried = Callable[[str], Sequence[Candidate]]


@dataclass(frozen=True)
class Trial:
    """A run of the search: a line of the table.

    Attributes:
        method: Method name.
        candidate: Name of the candidate.
        settings: Its settings, separated by blanks.
        dataset: Source.
        seed: Repetition.
        val_uar: Validation UAR of the chosen epoch, in [0, 1].
        epoch: The chosen epoch, from 0.
        multiply_adds: Of one picture's forward pass.
        generator_version: Version of the drawn faces.
        key: Key of the run.
    """

    method: str
    candidate: str
    settings: str
    dataset: str
    seed: int
    val_uar: float
    epoch: int
    multiply_adds: int
    generator_version: int
    key: str


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what the store lacks and write table and page."""
    parser = search_options(__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="repetitions, the same for all")
    given = parser.parse_args(arguments)
    store = Store(given.runs_dir)
    if not given.table:
        train(store, given.seeds, given.jobs)
    trials = read_trials(store, given.seeds)
    given.out.mkdir(parents=True, exist_ok=True)
    write_text(given.out / TABLE, to_csv(trials))
    write_text(given.out / PAGE, page(pd.read_csv(given.out / TABLE)))
    print(f"wrote {given.out / TABLE} and {given.out / PAGE}")


def search_options(description: str | None) -> argparse.ArgumentParser:
    """Return the options of a search on the development population.

    Args:
        description: What its script does.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs-dir", type=Path, default=Path("runs-development"))
    parser.add_argument("--out", type=Path, default=DOCS, help="folder of the table and the page")
    parser.add_argument("--table", action="store_true", help="train nothing")
    parser.add_argument("--jobs", type=int, default=None, help="runs at a time (default: all cores)")
    return parser


def train(store: Store, seeds: Sequence[int], jobs: int | None = None, tried: Tried | None = None) -> None:
    """Train what the store lacks, everything with the first seed before anything with the second."""
    display = Preparation()
    workspace = Workspace(
        DataRoots(None, {}, f"the {POPULATION} population"), population=POPULATION, announce=display
    )
    tried = tried or candidates
    planned = [
        plan(workspace, method, tried(method)[number].settings, dataset, seed)
        for seed in seeds
        for number in range(len(tried(ANY)))
        for dataset in DATASETS
        for method in BUILT_IN
    ]
    display.close()
    workspace.announce = None
    with SweepDisplay(planned) as progress:
        LocalLauncher(RunOptions(jobs=jobs)).run(planned, store, workspace, progress)


def plan(workspace: Workspace, method: str, settings: Sequence[str], dataset: str, seed: int) -> PlannedRun:
    """Return one run of the search."""
    sweep = SweepConfig(
        profile="quick",
        methods=(method,),
        datasets=(dataset,),
        seeds=(seed,),
        set=tuple(settings),
        targets="none",
        device="cpu",
    )
    (run,), _ = plan_sweep(sweep, workspace)
    return run


def read_trials(
    store: Store, seeds: Sequence[int] = SEEDS, tried: Tried | None = None, *, script: str = SCRIPT
) -> list[Trial]:
    """Return the stored runs of the search, whatever code trained them; of several alike the last one.

    Args:
        store: Where the runs are.
        seeds: Repetitions.
        tried: Returns what was tried for a method, by default the candidates.
        script: What trains them, for messages.

    Raises:
        StoreError: A run is absent, or runs are of different versions of the drawn faces.
    """
    found: list[Trial] = []
    tried = tried or candidates
    for method in BUILT_IN:
        sweep = SweepConfig(profile="quick", seeds=tuple(seeds))
        records = [
            record
            for record in finished_runs(store, method, sweep)
            if record.generator is not None and record.generator["population"] == POPULATION
        ]
        for candidate in tried(method):
            alike = {(r.dataset, r.seed): r for r in runs_of_variant(records, sweep, candidate.settings)}
            for dataset in DATASETS:
                for seed in seeds:
                    if (dataset, seed) not in alike:
                        raise StoreError(
                            f"the store has no finished run of {method}, {candidate.name}, on {dataset}",
                            file=store.root,
                            value=f"seed {seed}",
                            hint=f"python benchmarks/{script} --runs-dir {store.root}",
                        )
                    found.append(_trial(alike[dataset, seed], candidate.name, " ".join(candidate.settings)))
    if len(versions := {trial.generator_version for trial in found}) > 1:
        raise StoreError(
            "the runs are of different versions of the drawn faces", file=store.root, value=sorted(versions)
        )
    return found


def _trial(record: Record, name: str, settings: str) -> Trial:
    chosen = record.selection["val"]
    assert chosen.val_uar is not None
    assert record.generator is not None
    return Trial(
        record.method,
        name,
        settings,
        record.dataset,
        record.seed,
        chosen.val_uar,
        chosen.epoch,
        record.multiply_adds,
        int(record.generator["generator_version"]),
        record.key,
    )


def to_csv(trials: Sequence[Trial]) -> str:
    """Return the table as text."""
    frame = pd.DataFrame([asdict(trial) for trial in trials], columns=[f.name for f in fields(Trial)])
    text: str = frame.to_csv(index=False, float_format="%.6f", lineterminator="\n")
    return text


def best(table: pd.DataFrame, method: str) -> str:
    """Return the name of a method's best candidate: the highest mean, the earlier one on ties."""
    return str(means(table, method).idxmax())


def means(table: pd.DataFrame, method: str) -> pd.Series[Any]:
    """Return the mean validation UAR of each candidate of a method, in the order of the search."""
    mine = table[table["method"] == method]
    return mine.groupby("candidate", sort=False)["val_uar"].mean().round(6)


def noise(table: pd.DataFrame) -> float:
    """Return the standard deviation of a run over seeds, pooled over all candidates."""
    spread = table.groupby(["method", "candidate", "dataset"])["val_uar"].var(ddof=1)
    return float(np.sqrt(spread.mean()))


INTRODUCTION = (
    "**SYNTHETIC DATA**, generator version {version}, {population} population: people and cameras that the "
    "benchmark never shows. Written by `python benchmarks/choose_quick.py` from stored runs, each of which "
    "is a line of [{table}]({table}). Test rows took no part.",
    "**The budget, the same for every method:** {count} candidates ({common}, and one change that is the "
    "method's own), each trained on {datasets} (fold 1 of 4, and the carved validation part) with {seeds} "
    "seed(s): {runs} runs. Every run has {epochs} epochs of at most {rows} rows, in batches of {batch} where "
    "that is not what is tried. The candidate with the highest mean validation UAR, of each run's best "
    "epoch, is `quick`; a test compares. What an epoch costs differs: multiply-adds per picture are given.",
    "**What it does not equal out:** networks, augmentation and the settings that are not named here were "
    "set earlier, with unequal effort, on older drawn faces; what was tried for gcn is in its README. {noise}"
    "The chosen candidate's own mean is flattered by having been chosen.",
)


def page(table: pd.DataFrame) -> str:
    """Return the page."""
    count, seeds = len(candidates(ANY)), table["seed"].nunique()
    values = {
        "version": table["generator_version"].iloc[0],
        "population": POPULATION,
        "table": TABLE,
        "count": count,
        "common": ", ".join(_common()),
        "datasets": " and ".join(DATASETS),
        "seeds": seeds,
        "runs": count * len(DATASETS) * seeds,
        "epochs": EPOCHS,
        "rows": ROWS,
        "batch": BATCH,
        "noise": _about_noise(table),
    }
    paragraphs = [fill(text.format(**values), 116, break_on_hyphens=False) for text in INTRODUCTION]
    sections = [line for method in BUILT_IN for line in _section(table, method)]
    return "\n".join(["# How the quick settings were chosen", "", "\n\n".join(paragraphs), "", *sections])


def _about_noise(table: pd.DataFrame) -> str:
    if table["seed"].nunique() < 2:
        return "With one seed nothing is known of how much a run varies. "
    runs, spread = len(DATASETS) * table["seed"].nunique(), 100 * noise(table)
    return (
        f"A run varies by {spread:.1f} points (standard deviation over seeds, pooled), the mean of {runs} "
        f"runs by {spread / np.sqrt(runs):.1f}: candidates closer than that are not told apart. "
    )


def _common() -> list[str]:
    own = OWN[ANY][0]
    return [each.name for each in candidates(ANY) if each.name != own]


def _section(table: pd.DataFrame, method: str) -> list[str]:
    mine = table[table["method"] == method]
    chosen, mean, seeds = best(table, method), means(table, method), sorted(table["seed"].unique())
    header = [
        *("candidate", "settings"),
        *(f"{dataset}, seed {seed}" for dataset in DATASETS for seed in seeds),
        "mean",
    ]
    rows = []
    for candidate in candidates(method):
        own = mine[mine["candidate"] == candidate.name].set_index(["dataset", "seed"])["val_uar"]
        cells = [f"{100 * own[dataset, seed]:.1f}" for dataset in DATASETS for seed in seeds]
        mark = "**" if candidate.name == chosen else ""
        rows.append(
            [
                f"{mark}{candidate.name}{mark}",
                f"`{' '.join(candidate.settings[2:])}`",
                *cells,
                f"{mark}{100 * mean[candidate.name]:.1f}{mark}",
            ]
        )
    size = mine["multiply_adds"].iloc[0] / 1e6
    return [
        f"## {method}",
        "",
        f"Validation UAR in %; {size:.1f} million multiply-adds per picture. Chosen: {chosen}.",
        "",
        *figure_table(header, rows),
        "",
    ]


if __name__ == "__main__":
    main()
