"""`fer-bench card`: the model card of a checkpoint, a run or an export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fer_bench.cli.options import AsJson, RunsDir

EPILOG = "Examples: fer-bench card 3f2a; fer-bench card gcn.onnx; fer-bench card val.pt --json"


def card(
    model: Annotated[
        str,
        typer.Argument(
            metavar="CHECKPOINT|RUN|FILE",
            help="A checkpoint (.pt), an export (.onnx), a run's folder or key.",
        ),
    ],
    runs_dir: RunsDir = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Print the model card: data, protocol, scores with intervals, group gaps, uses and licences.

    It is markdown, made from the checkpoint or the export alone, wherever that was copied to.
    """
    from fer_bench.inference.model_card_page import page
    from fer_bench.inference.opening import read_model_card

    found = read_model_card(model, runs_dir)
    typer.echo(found.model_dump_json(indent=2) if as_json else page(found).rstrip())
