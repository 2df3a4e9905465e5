"""`fer-bench export`: one ONNX file with pre-processing, class names and model card inside."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fer_bench.cli.options import AsJson, DataRoot, FollowLinks, RunsDir, say

if TYPE_CHECKING:
    from fer_bench.inference.exporting import Exported
    from fer_bench.inference.model_card import Int8Report

EPILOG = (
    "Examples: fer-bench export 3f2a --to onnx; "
    "fer-bench export runs/gcn/oulu/3f2a.../checkpoints/val.pt --to onnx --int8 --out gcn.onnx; "
    "fer-bench predict gcn.onnx photos/; What is in the file: fer-bench docs export"
)


def export(
    model: Annotated[
        str, typer.Argument(metavar="CHECKPOINT|RUN", help="A checkpoint (.pt), a run's folder or a run key.")
    ],
    to: Annotated[Literal["onnx"], typer.Option("--to", help="Format of the file.")] = "onnx",
    int8: Annotated[
        bool,
        typer.Option(
            "--int8",
            help="8-bit weights and activations, calibrated on training rows of the source; the cost is "
            "measured on its validation rows.",
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Default: METHOD-SOURCE-KEY.onnx in this folder."),
    ] = None,
    data_root: DataRoot = None,
    follow_links: FollowLinks = False,
    runs_dir: RunsDir = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Export a trained model as one ONNX file that runs without torch.

    The file takes RGB crops as bytes and any number of them at once. Its answers are compared with PyTorch's
    on real crops of the source; where they differ, no file is written.
    """
    from fer_bench.cli.terminal import Preparation
    from fer_bench.inference.exporting import default_name
    from fer_bench.inference.exporting import export as carry_out
    from fer_bench.inference.opening import find_file, open_checkpoint
    from fer_bench.workspace.sources import find_roots

    opened = open_checkpoint(find_file(model, runs_dir), "cpu")
    roots = find_roots(data_root, follow_links=follow_links)
    file = out or default_name(opened, int8=int8)
    with closing(Preparation(quiet=as_json)) as display:
        done = carry_out(opened, roots, file, int8=int8, announce=display)
    if as_json:
        typer.echo(json.dumps(done.document(), indent=2, ensure_ascii=False))
        return
    _print(done)


def _print(done: Exported) -> None:
    parity = done.whole.parity
    largest = ", ".join(f"{name} {value:.1e}" for name, value in parity.largest.items())
    other = f"{parity.other_answers} of {parity.crops} answers differ"
    typer.echo(f"compared with PyTorch on {parity.crops} crops ({done.crops})")
    typer.echo(f"  largest difference: {largest}; {other}")
    if done.int8 is not None:
        print_int8(done.int8)
    typer.echo(f"wrote {done.file}: {done.size / 2**20:.2f} MiB, opset {done.whole.opset}, any batch size")
    say(f"next: fer-bench predict {done.file} PICTURES")


def print_int8(report: Int8Report) -> None:
    """Print what quantisation cost and gained."""
    from fer_bench.inference.model_card_page import int8_lines

    for line in int8_lines(report):
        typer.echo(f"  {line}")
