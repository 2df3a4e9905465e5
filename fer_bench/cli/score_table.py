"""Print the scores of a record: a line per target, then notes and where it is stored."""

from __future__ import annotations

from pathlib import Path

import typer

from fer_bench.results.record import Record, Score
from fer_bench.results.scores import BeforeAfter


class ScoreTable:
    """The metrics that commands print, in columns: one line per target."""

    def __init__(self) -> None:
        from fer_bench.evaluation.metrics import shown_in

        self.widths = {metric: max(7, 1 + len(metric.title)) for metric in shown_in("cli")}

    @property
    def header(self) -> str:
        """Return the titles."""
        titles = " ".join(f"{metric.title:>{width}}" for metric, width in self.widths.items())
        return f"  {'target':12} {'n':>6} {'classes':>7} {titles}"

    def line(self, name: str, score: Score) -> str:
        """Return the line of a score."""
        texts = (f"{m.text(score.metrics.get(m.name)):>{width}}" for m, width in self.widths.items())
        return f"  {name:12} {score.n:>6} {score.k:>7} {' '.join(texts)}"


def print_rest(record: Record, runs_dir: Path) -> None:
    """Print what follows a record's scores: absent targets, notes, and where it is stored."""
    for target, reason in record.missing.items():
        typer.echo(f"  {target:12} missing: {reason}")
    for warning in record.warnings:
        typer.echo(f"  note: {warning}")
    typer.echo(f"  stored in {runs_dir / record.method / record.dataset / record.key}")


def print_before_after(found: BeforeAfter) -> None:
    """Print what training added to the checkpoint that a run started from."""
    from fer_bench.evaluation.components import MIN_UNITS
    from fer_bench.evaluation.metrics import shown_in

    typer.echo(f"  before and after training, on the test rows of {found.target}")
    typer.echo(f"  before: the checkpoint unchanged, trained on {found.trained_on}")
    if not found.changes:
        typer.echo("  fewer than two classes of these rows are known to both, so they are not compared")
        return
    typer.echo(
        f"  {'':12} {'before':>9} {'after':>9} {'difference':>11}  95 % interval, paired by {found.unit}"
    )
    for metric in shown_in("cli", ranking_first=True):
        if (change := found.changes.get(metric.name)) is None:
            continue
        values = f"{metric.text(change.before):>9} {metric.text(change.after):>9}"
        ends = f"none: {found.units} {found.unit}s, and it takes {MIN_UNITS}"
        if change.low is not None and change.high is not None:
            ends = f"{metric.signed(change.low)} to {metric.signed(change.high)}"
        typer.echo(f"  {metric.title:12} {values} {metric.signed(change.difference):>11}  {ends}")
    typer.echo(
        f"  {found.n} rows, {found.units} {found.unit}s, classes: {', '.join(found.label_set)}; the interval "
        "is about other test rows, not about another seed"
    )
