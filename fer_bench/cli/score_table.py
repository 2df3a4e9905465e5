"""Print the scores of a record: a line per target, then notes and where it is stored."""

from __future__ import annotations

from pathlib import Path

import typer

from fer_bench.results.record import Record, Score


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
