"""What fewer epochs would cost the quick profile, which is what `make bench` trains.

The settings that `choose_quick.py` chose are trained with fewer epochs on the same people, cameras, datasets
and seeds. The learning rate follows its whole schedule in the epochs there are. Test rows take no part.

    python benchmarks/quick_epochs.py --runs-dir runs-development           # train what the store lacks
    python benchmarks/quick_epochs.py --runs-dir runs-development --table   # train nothing
    python benchmarks/quick_epochs.py --page                                # read no run either

All write the page `docs/quick-epochs.md`, the first two after `docs/quick-epochs.csv`, a row per run.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

import choose_quick
import numpy as np
import pandas as pd
from choose_quick import DOCS, best, noise, read_trials, search_options, to_csv, train
from quick_candidates import DATASETS, EPOCHS, POPULATION, SEEDS, Candidate, candidates
from readme_section import figure_table

from fer_bench.errors import StoreError
from fer_bench.files import write_text
from fer_bench.methods import BUILT_IN
from fer_bench.results.store import Store

PAGE, TABLE, SCRIPT = "quick-epochs.md", "quick-epochs.csv", "quick_epochs.py"
FEWER = (8, 12, 16)
PARTS = Path(__file__).parent / "speed" / "results" / "quick_runs.json"
"""CPU time of the parts of a run, measured by `python -m benchmarks.speed.quick_runs`."""
PER_EPOCH = ("train", "validate", "save")
"""Parts of a run that every epoch has."""
LIKE_THIS = "train.max_epochs="


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what the store lacks and write table and page."""
    parser = search_options(__doc__)
    parser.add_argument("--page", action="store_true", help="write the page of the table that is there")
    given = parser.parse_args(arguments)
    store, chosen = Store(given.runs_dir), pd.read_csv(DOCS / choose_quick.TABLE)

    def tried(method: str) -> list[Candidate]:
        return shorter(method, best(chosen, method))

    given.out.mkdir(parents=True, exist_ok=True)
    if not given.page:
        if not given.table:
            train(store, SEEDS, given.jobs, tried)
        trials = read_trials(store, SEEDS, tried, script=SCRIPT)
        write_text(given.out / TABLE, to_csv(trials))
    write_text(given.out / PAGE, page(pd.read_csv(given.out / TABLE), chosen))
    print(f"wrote {given.out / PAGE}")


def shorter(method: str, name: str) -> list[Candidate]:
    """Return a method's candidate of a name with each smaller number of epochs."""
    (usual,) = [each for each in candidates(method) if each.name == name]
    return [
        Candidate(
            f"{epochs} epochs",
            tuple(f"{LIKE_THIS}{epochs}" if text.startswith(LIKE_THIS) else text for text in usual.settings),
        )
        for epochs in FEWER
    ]


INTRODUCTION = (
    "**SYNTHETIC DATA**, generator version {version}, {population} population: people and cameras that the "
    "benchmark never shows. Written by `python benchmarks/quick_epochs.py` from stored runs, each of which "
    "is a line of [{table}]({table}); those with {most} epochs come from "
    "[quick-defaults.csv](quick-defaults.csv).",
    "Fewer epochs would make `make bench` faster, and most methods worse; `quick` keeps {most}. Each number "
    "is the mean validation UAR in %, of each run's best epoch, on {datasets} with {seeds} seeds, of the "
    "settings that [the search](quick-defaults.md) chose with {most} epochs. Two things favour {most}: those "
    "settings won there, and the best of more epochs is a little better by chance. The mean of {runs} runs "
    "varies by {spread:.1f} points (standard deviation), that of all {all} by {all_spread:.1f}.",
)


def page(table: pd.DataFrame, chosen: pd.DataFrame) -> str:
    """Return the page.

    Args:
        table: The runs with fewer epochs.
        chosen: Those of `choose_quick.py`.

    Raises:
        StoreError: The two are of different versions of the drawn faces.
    """
    versions = {*table["generator_version"], *chosen["generator_version"]}
    if len(versions) > 1:
        raise StoreError(
            "the two tables are of different versions of the drawn faces", value=sorted(versions)
        )
    runs = len(DATASETS) * len(SEEDS)
    spread = 100 * noise(pd.concat([table, chosen]))
    values = {
        "version": versions.pop(),
        "population": POPULATION,
        "table": TABLE,
        "most": EPOCHS,
        "datasets": " and ".join(DATASETS),
        "seeds": len(SEEDS),
        "runs": runs,
        "spread": spread / np.sqrt(runs),
        "all": runs * len(BUILT_IN),
        "all_spread": spread / np.sqrt(runs * len(BUILT_IN)),
    }
    paragraphs = [fill(text.format(**values), 116, break_on_hyphens=False) for text in INTRODUCTION]
    scores = np.array(
        [[*(_mean(table, m, f"{e} epochs") for e in FEWER), _chosen(chosen, m)] for m in BUILT_IN]
    )
    rows = [
        [method, *(f"{100 * value:.1f}" for value in each)]
        for method, each in zip(BUILT_IN, scores, strict=True)
    ]
    rows.append(["**all**", *(f"**{100 * value:.1f}**" for value in scores.mean(axis=0))])
    shares = [share_of_time(json.loads(PARTS.read_text(encoding="utf-8")), e) for e in (*FEWER, EPOCHS)]
    rows.append(["CPU time of a run, share", *(f"{share:.0%}" for share in shares)])
    header = ["method", *(f"{epochs} epochs" for epochs in (*FEWER, EPOCHS))]
    end = fill(
        "The last line is an estimate from [the parts of one run of each "
        "method](speed.md#runs-of-make-bench), as if all of training, validation and saving shrank with the "
        "epochs.",
        116,
        break_on_hyphens=False,
    )
    lines = [
        "# How long quick trains",
        "",
        "\n\n".join(paragraphs),
        "",
        *figure_table(header, rows),
        "",
        end,
        "",
    ]
    return "\n".join(lines)


def _mean(table: pd.DataFrame, method: str, name: str) -> float:
    return float(table[(table["method"] == method) & (table["candidate"] == name)]["val_uar"].mean())


def _chosen(chosen: pd.DataFrame, method: str) -> float:
    return _mean(chosen, method, best(chosen, method))


def share_of_time(measured: dict[str, Any], epochs: int) -> float:
    """Return the CPU time of runs with fewer epochs, as a share of that with all.

    Args:
        measured: What `benchmarks.speed.quick_runs` stored.
        epochs: Number of epochs.
    """
    parts = [each for run in measured["figures"]["CPU-seconds"].values() for each in run.items()]
    whole = sum(seconds for _, seconds in parts)
    repeated = sum(seconds for name, seconds in parts if name in PER_EPOCH)
    return float(1 - repeated / whole * (1 - epochs / EPOCHS))


if __name__ == "__main__":
    main()
