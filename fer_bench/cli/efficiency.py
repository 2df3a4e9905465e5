"""`fer-bench efficiency`: what predicting with the trained models of a store costs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from fer_bench.cli.options import AsJson, RunsDir, open_store, say

EPILOG = "Examples: fer-bench efficiency; fer-bench efficiency --runs-dir runs --device cuda"


def efficiency(
    runs_dir: RunsDir = Path("runs"),
    device: Annotated[Literal["cpu", "cuda"], typer.Option("--device", help="Where to compute.")] = "cpu",
    as_json: AsJson = False,
) -> None:
    """Measure the models of a store: parameters, time and memory of predicting; the leaderboard shows it.

    One trained model of every method and settings, all in turn, one and 32 pictures per call, on one thread
    or a GPU. Times on a CPU are only told as ratios. Each device has one measurement: the last one.
    """
    from fer_bench.inference.efficiency import measure, rows_of
    from fer_bench.results.efficiency import BATCHES, write_efficiency

    store = open_store(runs_dir)
    rows = rows_of(store)
    say(f"measuring {len(rows)} rows of the board in turn", quiet=as_json)
    found = measure(store, rows, device=device)
    path = write_efficiency(store.root, found)
    if as_json:
        typer.echo(json.dumps(found.model_dump(mode="json"), indent=2, allow_nan=False))
        return
    label_of = {record.key: row.label for row in rows for record in row.records}
    fastest = {size: min(m.seconds[size] for m in found.models) for size in BATCHES if found.models}
    for model in found.models:
        if device == "cuda":
            times = ", ".join(f"{size}: {1000 * model.seconds[size]:.2f} ms" for size in BATCHES)
        else:
            times = ", ".join(f"{size}: {model.seconds[size] / fastest[size]:.2f} x" for size in BATCHES)
        held = f"; {max(model.memory.values()) / 1e6:.0f} MB" if model.memory else ""
        typer.echo(f"{label_of[model.key]}: {model.parameters:,} parameters; pictures per call {times}{held}")
    for why in found.failed.values():
        say(f"not measured: {why}", quiet=as_json)
    if device == "cpu" and found.models:
        say(f"x: of the fastest, on one thread of {found.processor}", quiet=as_json)
    say(f"wrote {path}; next: fer-bench leaderboard")
