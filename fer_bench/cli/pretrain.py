"""`fer-bench pretrain`: train the encoders that come with the package."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from fer_bench.cli.options import AsJson, check_name, say
from fer_bench.errors import UsageError


def register_pretrain(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command(
        epilog="Examples: fer-bench pretrain clip-tiny --out towers; "
        "fer-bench pretrain clip-tiny-neutral --faces 2000 --epochs 2"
    )(pretrain)


def pretrain(
    tower: Annotated[str, typer.Argument(help="clip-tiny, or clip-tiny-neutral.")],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Where the weights and their card go.")
    ] = Path("."),
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, max=2**31 - 1, help="Default: the shipped tower's.")
    ] = None,
    faces: Annotated[
        int | None, typer.Option("--faces", min=256, help="Training faces; default: the shipped tower's.")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", min=1, help="Default: the shipped tower's.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train a small image tower with captions of drawn faces, as minutes on two cores allow.

    clip-tiny learns from captions that name the drawn expression, clip-tiny-neutral from captions that say
    nothing about it. People and cameras are of a population that neither the benchmark nor development shows.
    Use the result with --set method.tower=clip-tiny --set method.clip_weights=FILE.
    """
    from fer_bench.methods.cafe.tiny import TINY

    check_name(tower, TINY, "tower", f"one of {', '.join(TINY)}")
    if out.exists() and not out.is_dir():
        raise UsageError("not a folder", file=out)
    from fer_bench.cli.terminal import Preparation
    from fer_bench.pretraining.clip_tiny import Recipe, train_tower

    given = {"seed": seed, "faces": faces, "epochs": epochs}
    recipe = Recipe(**{name: value for name, value in given.items() if value is not None})
    display = Preparation(quiet=as_json)
    try:
        card = train_tower(tower, out, recipe, progress=display)
    finally:
        display.close()
    if as_json:
        typer.echo(json.dumps(card, indent=2, allow_nan=False))
        return
    found = card["held_out"]
    say("SYNTHETIC DATA: trained and measured on drawn faces")
    zero_shot = found["expression_zero_shot"]
    typer.echo(f"wrote {out / tower}.safetensors and {tower}.json")
    typer.echo(f"on {found['faces']} faces of other people (chance {found['expression_chance']:.1%}):")
    if zero_shot is not None:
        typer.echo(f"  expression, zero-shot from captions  {zero_shot:.1%}")
    typer.echo(f"  expression, linear probe             {found['expression_linear_probe']:.1%}")
    typer.echo(f"  gender, zero-shot from captions      {found['gender_zero_shot']:.1%}")
