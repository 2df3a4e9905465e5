"""Measure what corruptions cost the runs of a store: `docs/robustness.md`, its numbers and its picture.

The runs are those of a sweep of all methods, such as `fer-bench sweep quick`. What they lack is measured and
kept in the store; the page is written from the store.

    python benchmarks/robustness.py --runs-dir runs --dataset rafdb --dataset oulu
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from readme_section import csv_text, write_section
from sweep_runs import finished_on

from fer_bench.data.crops.corruptions import CORRUPTIONS, STRENGTHS, VERSION
from fer_bench.evaluation.intervals import Value
from fer_bench.files import write_text
from fer_bench.inference.corrupted_sheet import draw_sheet
from fer_bench.inference.robustness import measure, plan
from fer_bench.leaderboard.markup import percent, table
from fer_bench.leaderboard.robustness import Robustness, measured
from fer_bench.leaderboard.variants import variants
from fer_bench.results.store import Store
from fer_bench.workspace.sources import find_roots

ROOT = Path(__file__).parents[1]
PICTURE = "figures/robustness.jpg"
Found = dict[str, list[tuple[str, Robustness]]]
"""Methods and what they lose, by dataset."""


def read(store: Store, datasets: Sequence[str]) -> Found:
    """Return what the finished runs of a store lose on their own test rows, by dataset."""
    found: Found = {}
    for label, usual, group in variants(finished_on(store, datasets)):
        one = measured(store, group)[0] if usual else []
        if one:
            found.setdefault(group[0].dataset, []).append((label, one[0]))
    return {name: found[name] for name in datasets if name in found}


def numbers(found: Found) -> str:
    """Return every number as CSV, a row per dataset, method and corruption."""
    rows = []
    for dataset, methods in found.items():
        for label, one in methods:
            start = [one.records[0].data_kind, dataset, label, len(one.records), one.n]
            for name, drop in {"mean": one.mean, **one.drops}.items():
                ends = drop.relative.interval if drop.relative else None
                values = [one.clean.value, drop.uar.value, drop.relative.value if drop.relative else None]
                values += [ends.low, ends.high] if ends else [None, None]
                rows.append([*start, name, VERSION, *values, *(value.value for value in drop.by_strength)])
    header = ["data_kind", "dataset", "method", "runs", "rows", "corruption", "version"]
    header += ["clean_uar", "uar", "drop", "drop_low", "drop_high"]
    header += [f"uar_{strength}" for strength in range(1, STRENGTHS + 1)]
    return csv_text(pd.DataFrame(rows, columns=header))


def _methods_table(methods: Sequence[tuple[str, Robustness]]) -> str:
    header = ["corruption", *(label for label, _ in methods)]
    rows = [["*UAR as they are, %*", *(percent(one.clean) for _, one in methods)]]
    rows.append(["**mean of all**", *(percent(one.mean.relative) for _, one in methods)])
    for name, corruption in CORRUPTIONS.items():
        rows.append([corruption.title, *(_lost(one, name) for _, one in methods)])
    return table(header, rows)


def _lost(one: Robustness, name: str) -> str:
    return percent(one.drops[name].relative) if name in one.drops else "-"


def _said(methods: Sequence[tuple[str, Robustness]]) -> str:
    """Return which corruption costs each method most and least."""

    def lost(one: Robustness, name: str) -> Value:
        found = one.drops[name].relative
        assert found is not None
        return found

    parts = []
    for label, one in methods:
        ordered = sorted(one.drops, key=lambda name: lost(one, name).value)
        worst, least = ordered[-1], ordered[0]
        parts.append(
            f"{label} {CORRUPTIONS[worst].title} ({100 * lost(one, worst).value:.0f} %) and "
            f"{CORRUPTIONS[least].title} ({100 * lost(one, least).value:.0f} %)"
        )
    return f"What costs most and least: {'; '.join(parts)}."


def constants() -> str:
    """Return the table of corruptions with their constants."""
    rows = [[one.title, *(f"{value:g}" for value in one.constants), one.unit] for one in CORRUPTIONS.values()]
    return table(["corruption", "1", "2", "3", "4", "5", "unit"], rows)


def costs(found: Found) -> str:
    """Return a section per dataset: what each corruption costs each method."""
    parts = []
    for dataset, methods in found.items():
        first = methods[0][1]
        record = first.records[0]
        drawn = ", **synthetic data**" if record.data_kind == "synthetic" else ""
        heading = (
            f"### {dataset}: {first.n} rows, {len(first.records)} runs per method, profile {record.profile}"
        )
        parts += [f"{heading}{drawn}", _methods_table(methods), _said(methods)]
    return "\n\n".join(parts)


def main() -> None:
    """Measure what is missing and write page, numbers and picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    parser.add_argument("--dataset", action="append", help="Default: rafdb.")
    parser.add_argument("--data-root", help="Default: the synthetic stand-in.")
    parser.add_argument("--out", type=Path, default=ROOT / "docs")
    arguments = parser.parse_args()
    datasets, store = arguments.dataset or ["rafdb"], Store(arguments.runs_dir)
    runs = [store.run_dir(r.method, r.dataset, r.key) for r in finished_on(store, datasets)]
    works = plan(store, runs, find_roots(arguments.data_root), tuple(CORRUPTIONS.values()))
    measure(works, announce=lambda label, done, total: print(f"{label}: {done} of {total}", flush=True))
    largest = max(works, key=lambda work: work.pack.recipe.size)
    draw_sheet(largest, tuple(CORRUPTIONS.values()), arguments.out / PICTURE)
    found = read(store, datasets)
    write_text(arguments.out / "robustness.csv", numbers(found))
    write_section(arguments.out / "robustness.md", "constants", constants())
    write_section(arguments.out / "robustness.md", "costs", costs(found))


if __name__ == "__main__":
    main()
