"""`fer-bench monitor`: whether what a model predicts now is like what it predicted when it was tested."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fer_bench.cli.options import AsJson

if TYPE_CHECKING:
    from fer_bench.inference.monitor import Monitored

EPILOG = (
    "Examples: fer-bench monitor january.csv march.csv; "
    "fer-bench monitor tested.parquet today.parquet --alpha 0.01 --least-effect 0.1 --json; "
    "fer-bench monitor camera-old.csv camera-new.csv --block 60"
)


def monitor(
    old: Annotated[
        Path,
        typer.Argument(metavar="OLD", help="Predictions of when the model was tested: what predict wrote."),
    ],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="Predictions of now.")],
    alpha: Annotated[
        float,
        typer.Option("--alpha", min=1e-4, max=0.5, help="Chance of a false alarm, over all tests together."),
    ] = 0.05,
    least_effect: Annotated[
        float,
        typer.Option(
            "--least-effect", min=0, max=1, help="Do not count smaller effects as drift, however sure."
        ),
    ] = 0.0,
    block: Annotated[
        float | None,
        typer.Option(
            "--block", metavar="SECONDS", min=0.1, help="Count pieces of videos instead of whole files."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare two files of predictions, without labels: class shares, probabilities, scores and faces.

    Files count, not their faces: frames of a video are not independent. Exit codes: 0 no drift, 1 drift, 2
    wrong usage or data. Predictions of a run store (.parquet) can be compared as well.
    """
    from fer_bench.inference.monitor import monitor as carry_out

    found = carry_out(old, new, alpha=alpha, least=least_effect, block=block)
    if as_json:
        typer.echo(json.dumps(found.document(), indent=2, ensure_ascii=False, allow_nan=False))
    else:
        print_monitored(found)
    raise typer.Exit(1 if found.drift.drifted else 0)


def print_monitored(found: Monitored) -> None:
    """Print a comparison.

    Args:
        found: From `fer_bench.inference.monitor.monitor`.
    """
    drift = found.drift
    for side, title in ((found.old, "old"), (found.new, "new")):
        observed = side.observed
        none = f", {len(observed.faceless)} without a face" if observed.faceless else ""
        typer.echo(f"{title}: {len(observed.units)} faces in {observed.count} {side.kind}{none}  {side.file}")
    typer.echo(f"class shares, all {found.new.kind} counting the same:")
    for name, (before, after) in drift.shares.items():
        typer.echo(f"  {name:12} {before:7.1%} {after:7.1%}  {100 * (after - before):+.1f}")
    width = max(len(one.name) for one in drift.findings)
    typer.echo(f"{'':{width}}  {'old':>14} {'new':>14}  effect  adjusted p")
    for one in drift.findings:
        mark = "  drift" if one in drift.alarms else ""
        p = "< 0.001" if one.adjusted < 0.001 else f"{one.adjusted:.3f}"
        typer.echo(f"{one.name:{width}}  {one.old:>14} {one.new:>14}  {one.effect:6.2f}  {p:>10}{mark}")
    for one in drift.findings:
        typer.echo(f"  effect of {one.name}: {one.measure}")
    for note in found.notes:
        typer.echo(f"note: {note}")
    if drift.drifted:
        names = ", ".join(one.name for one in drift.alarms)
        typer.echo(f"drift: {names} (chance of a false alarm at most {drift.alpha:g})")
    else:
        least = f" with an effect of {drift.least:g} or more" if drift.least else ""
        typer.echo(f"no drift{least} is shown at a false-alarm rate of {drift.alpha:g}")
    stages = ", ".join(f"{name} {taken:.2f} s" for name, taken in found.seconds.items())
    typer.echo(f"time: {stages}")
