"""Commands over stored runs: `status`, `logs`, `rerun` and `diff`; and the options that say how runs run."""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fer_bench.cli.excluded import read_exclude
from fer_bench.cli.options import (
    AsJson,
    DataRoot,
    Exclude,
    FollowLinks,
    RunsDir,
    open_store,
    say,
)
from fer_bench.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fer_bench.runs.plan import PlannedRun

OTHER_ARITHMETIC = (
    "such runs differ as those of two seeds do: between processors with AVX-512 and with AVX2, in-domain "
    "UAR of quick runs moved by 3.4 points on average and 12.1 at most; portable runs (--portable) stay equal"
)
"""What to expect of a repetition with other arithmetic."""
Run = Annotated[str, typer.Argument(metavar="RUN", help="Key of a run, or how it begins.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command(epilog="Examples: fer-bench status; fer-bench status --runs-dir /lab/runs --json")(status)
    app.command(epilog="Examples: fer-bench logs 3f2a; fer-bench logs 3f2a --lines 100")(logs)
    app.command(epilog="Examples: fer-bench rerun 3f2a; fer-bench rerun 3f2a --out again")(rerun)
    app.command(epilog="Examples: fer-bench diff 3f2a 91bc; fer-bench diff 3f2a 91bc --json")(diff)


def status(
    runs_dir: RunsDir = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Show what a store's runs do now, from any shell or machine that sees the store."""
    from fer_bench.cli.terminal import format_seconds
    from fer_bench.results.record import read_record
    from fer_bench.runs.events import read_progress
    from fer_bench.runs.listing import state_of

    store = open_store(runs_dir)
    rows: list[dict[str, Any]] = []
    counts: Counter[str] = Counter()
    for run in store.run_dirs():
        try:
            record = read_record(run.record_file)
        except StoreError:
            counts["damaged"] += 1
            continue
        state = state_of(run, record)
        counts[state] += 1
        if state == "done":
            continue
        row: dict[str, Any] = {"key": record.key, "run": record.name, "state": state}
        if record.error is not None:
            row["why"] = record.error.message.splitlines()[0]
        rows.append({**row, **(read_progress(run) or {})})
    if as_json:
        typer.echo(json.dumps({"counts": dict(sorted(counts.items())), "runs": rows}, indent=2))
        return
    for row in rows:
        what = row.get("why", "")
        if row["state"] == "running":
            what = f"{row.get('phase', 'starts')} {row.get('done', 0)}/{row.get('total', 0)}"
            what += f", {row['rate']:.0f} images/s" if row.get("rate") else ""
            what += f", {row['memory'] / 2**30:.1f} GiB" if row.get("memory") else ""
            if "updated" in row:
                age = format_seconds(max(0.0, time.time() - row["updated"]))
                what += f" on {row.get('host')}, seen {age} ago"
        elif row["state"] == "lost":
            what = "its process is gone; the same sweep or run goes on with it"
        typer.echo(f"{row['state']:12} {row['key']}  {row['run']}  {what}")
    typer.echo(", ".join(f"{number} {state}" for state, number in sorted(counts.items())) or "no runs")


def logs(
    run: Run,
    runs_dir: RunsDir = Path("runs"),
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="Lines from the end.")] = 40,
) -> None:
    """Print the end of a run's log."""
    from fer_bench.runs.supervision import log_tail

    found = open_store(runs_dir).find(run)
    if not found.log_file.exists():
        raise StoreError("the run has no log", file=found.log_file)
    typer.echo(log_tail(found.log_file, lines))


def rerun(
    run: Run,
    runs_dir: RunsDir = Path("runs"),
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Keep the repetition in this store.")
    ] = None,
    tolerance: Annotated[
        float, typer.Option("--tolerance", min=0.0, help="How far apart a number may be, on a GPU.")
    ] = 0.0,
    data_root: DataRoot = None,
    follow_links: FollowLinks = False,
    exclude: Exclude = None,
    as_json: AsJson = False,
) -> None:
    """Repeat a run from its record and compare the predictions.

    Rows that the run left out are left out again; --exclude leaves out others instead.
    Exit code 0 when all predictions are identical, or as close as --tolerance says; 1 otherwise. They are
    identical for portable runs on every x86-64 processor with AVX2, and for others on a CPU where arithmetic
    is the same; where it is not, that is said.
    """
    from fer_bench.cli.terminal import Preparation, SweepDisplay
    from fer_bench.runs.repeat import Repetition, repeat
    from fer_bench.workspace.sources import find_roots

    roots = find_roots(data_root, follow_links=follow_links)
    store = open_store(runs_dir)
    found, left_out = store.find(run), None if exclude is None else read_exclude(exclude)
    preparation = Preparation(quiet=as_json)

    def show(runs: Sequence[PlannedRun], _finished: int) -> SweepDisplay:
        preparation.close()
        return SweepDisplay(runs, quiet=as_json)

    with tempfile.TemporaryDirectory() as temporary, closing(preparation):
        result: Repetition = repeat(
            *(store, found, out or Path(temporary), roots),
            leave_out=left_out,
            announce=preparation,
            show=show,
        )
    if as_json:
        typer.echo(json.dumps(result.document(), indent=2))
    else:
        for name in result.changed:
            typer.echo(f"not as then: {name}")
        for target, reason in result.missing.items():
            typer.echo(f"missing: {target}: {reason}")
        for file, difference in result.differences.items():
            word = "differs" if result.arithmetic is None else "other arithmetic,"
            what = "identical" if difference == 0 else f"{word} by up to {difference:.3g}"
            what = what if math.isfinite(difference) else "absent, or other rows or columns"
            typer.echo(f"{file:32} {what}")
        if result.arithmetic is not None and not result.identical:
            say(f"this process does its arithmetic differently: {result.arithmetic}\n  {OTHER_ARITHMETIC}")
        if result.failure:
            typer.echo(f"the repetition did not end well: {result.failure}")
        if result.other_rows and exclude is None:
            say("other rows than then: if the run was made with --exclude FILE, say so again")
    if not result.agrees(tolerance):
        raise typer.Exit(1)


def diff(
    one: Run,
    other: Run,
    runs_dir: RunsDir = Path("runs"),
    every: Annotated[
        bool, typer.Option("--all", help="Every field of the records, not only what decides or scores.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Name what two runs differ in: settings, data, code, how they ended and what they scored.

    --json names every field.
    """
    from fer_bench.results.record import read_record
    from fer_bench.runs.contrast import differences, shorten

    store = open_store(runs_dir)
    first, second = (read_record(store.find(key).record_file) for key in (one, other))
    found = differences(first.model_dump(mode="json"), second.model_dump(mode="json"))
    if as_json:
        rows = [{"field": name, "one": a, "other": b} for name, (a, b) in found.items()]
        typer.echo(json.dumps(rows, indent=2))
        return
    shown, left = (found, {}) if every else shorten(first, second)
    for name, (a, b) in shown.items():
        typer.echo(f"{name}: {_short(a)} | {_short(b)}")
    if left:
        listed = ", ".join(f"{name} ({count})" for name, count in left.items())
        say(f"other fields that differ: {listed}; to list them: fer-bench diff {one} {other} --all")
    if not found:
        say("the records are the same")


def _short(value: Any, most: int = 60) -> str:
    text = (
        "-" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    )
    return text if len(text) <= most else f"{text[: most - 3]}..."
