"""Measure what 8 bits cost the stored runs of each method: the table in `docs/export.md`, and its numbers.

Nothing is trained: the runs are those of a sweep of all methods, such as `fer-bench sweep quick`. Each
headline checkpoint is exported in float32 and in 8 bits, as `fer-bench export --int8` does.

    python benchmarks/int8.py --runs-dir runs --dataset rafdb --seed 0
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pandas as pd
from readme_section import csv_text, figure_table, write_section

from fer_bench import arithmetic
from fer_bench.errors import StoreError
from fer_bench.evaluation.intervals import Value
from fer_bench.evaluation.statistics import Interval
from fer_bench.files import write_text
from fer_bench.inference.exporting import export
from fer_bench.inference.model_card import Int8Report
from fer_bench.inference.opening import open_checkpoint
from fer_bench.leaderboard.markup import signed_percent, with_interval
from fer_bench.results.record import Record
from fer_bench.results.store import Store
from fer_bench.workspace.sources import find_roots

ROOT = Path(__file__).parents[1]
METHODS = ("gcn", "erm", "cafe", "resemotenet", "ssmfar")
Found = list[tuple[Record, Int8Report]]


def chosen(records: Iterable[Record], dataset: str, seed: int) -> list[Record]:
    """Return the finished run of each method on a dataset with a seed.

    Raises:
        StoreError: A method has no such run, or several.
    """
    held = [r for r in records if r.status == "done" and r.dataset == dataset and r.seed == seed]
    runs = []
    for method in METHODS:
        own = [record for record in held if record.method == method]
        if len(own) != 1:
            raise StoreError(
                f"the store has {len(own)} runs of {method} on {dataset} with seed {seed}, and one is needed",
                hint="fer-bench sweep quick",
            )
        runs += own
    return runs


def measure(
    store: Store, records: Sequence[Record], data_root: str | None
) -> Iterator[tuple[Record, Int8Report]]:
    """Yield each run with what 8 bits cost it."""
    roots = find_roots(data_root)
    with tempfile.TemporaryDirectory() as folder:
        for record in records:
            run = store.run_dir(record.method, record.dataset, record.key)
            opened = open_checkpoint(run.checkpoints / f"{record.headline}.pt", "cpu")
            report = export(opened, roots, Path(folder, f"{record.method}.onnx"), int8=True).int8
            assert report is not None
            yield record, report
            print(record.method, report, flush=True)


def numbers(found: Found) -> str:
    """Return every number as CSV, a row per method."""
    header = ["data_kind", "dataset", "method", "seed", "profile", "rows", "calibration_rows"]
    header += ["bytes_float32", "bytes_int8", "time_batch_1", "time_batch_32"]
    header += ["uar_float32", "uar_int8", "change", "change_low", "change_high", "same_answer", "processor"]
    rows = []
    for record, one in found:
        change, ends = one.uar_change
        rows.append(
            [
                *(record.data_kind, record.dataset, record.method, record.seed, record.profile),
                *(one.validation_rows, one.calibration_rows, *one.size, one.latency[1], one.latency[32]),
                *(*one.uar, change, *(ends or (None, None)), one.same_answer, one.processor),
            ]
        )
    return csv_text(pd.DataFrame(rows, columns=header))


def section(found: Found) -> str:
    """Return the section of the page."""
    first, report = found[0]
    drawn = "**SYNTHETIC DATA** (drawn faces; this says nothing about real ones), " * (
        first.data_kind == "synthetic"
    )
    rows = {one.validation_rows for _, one in found}
    counted = f"{min(rows)}" if len(rows) == 1 else f"{min(rows)} to {max(rows)}"
    lines = figure_table(
        [
            *("method", "MiB in float32", "in 8 bits", "time at batch 1", "at batch 32", "UAR in float32, %"),
            *("change, points [95 %]", "same answer, %"),
        ],
        [[record.method, *_cells(one)] for record, one in found],
    )
    head = (
        f"{drawn}written by `python benchmarks/int8.py`: {first.dataset}, profile {first.profile}, seed "
        f"{first.seed}, {counted} validation rows. Time is a share of float32's ({report.processor}; both in "
        "turn). Every number is in [int8.csv](int8.csv)."
    )
    return "\n".join([head, "", *lines])


def _cells(one: Int8Report) -> list[str]:
    change, ends = one.uar_change
    changed = Value(change, None if ends is None else Interval(*ends))
    return [
        *(f"{size / 2**20:.2f}" for size in one.size),
        *(f"{one.latency[size]:.2f}" for size in (1, 32)),
        f"{100 * one.uar[0]:.1f}",
        with_interval(changed, signed_percent),
        f"{100 * one.same_answer:.1f}",
    ]


def main() -> None:
    """Measure and write section and numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    parser.add_argument("--dataset", default="rafdb")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data-root", help="Default: the synthetic stand-in.")
    parser.add_argument("--out", type=Path, default=ROOT / "docs")
    given = parser.parse_args()
    arithmetic.choose_portable()
    store = Store(given.runs_dir)
    runs = chosen(store.records(), given.dataset, given.seed)
    found = list(measure(store, runs, given.data_root))
    write_text(given.out / "int8.csv", numbers(found))
    write_section(given.out / "export.md", "int8", section(found))


if __name__ == "__main__":
    main()
