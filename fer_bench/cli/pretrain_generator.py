"""`fer-bench pretrain-generator`: teach gcn's generator how people look at rest, for use in later runs."""

from __future__ import annotations

import json
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from fer_bench.cli.options import AsJson, DataRoot, FollowLinks, ProtocolName, announce_roots, check_name, say

EPILOG = (
    "Examples: fer-bench pretrain-generator --dataset ckplus --dataset mmi --out rest.safetensors; "
    "fer-bench run --method gcn --dataset oulu --set method.generator_weights=rest.safetensors; "
    "with the control beside it: fer-bench run --method gcn --dataset oulu --set method.generator=none "
    "--set method.generator_weights=rest.safetensors; "
    "the training people of a fold: fer-bench pretrain-generator --dataset oulu --fold 2 --out f2.safetensors"
)


def pretrain_generator(
    dataset: Annotated[
        list[str],
        typer.Option("--dataset", "-d", help="Dataset whose people have neutral frames; repeatable."),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", metavar="FILE", help="Weights (.safetensors); the card goes beside them."),
    ] = Path("generator.safetensors"),
    protocol: ProtocolName = None,
    fold: Annotated[
        int | None,
        typer.Option("--fold", min=1, help="Only this fold's training people; default: everybody."),
    ] = None,
    generator: Annotated[
        Literal["residual", "ae"], typer.Option("--generator", help="Form of the generator.")
    ] = "residual",
    width: Annotated[
        float,
        typer.Option("--width", min=0.05, max=4, help="Factor on the channels 32-64-96, as method.width."),
    ] = 0.375,
    epochs: Annotated[int, typer.Option("--epochs", min=1, help="Passes over the pairs.")] = 14,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of weights, order and who is held out.")] = 0,
    data_root: DataRoot = None,
    follow_links: FollowLinks = False,
    as_json: AsJson = False,
) -> None:
    """Train gcn's generator alone, on pairs of a face and the same person's neutral frame.

    No expression label is read. A tenth of the people is held out, and the generator's error on them is
    printed beside that of the input itself. The card beside the weights has a mark of who took part:
    a run that validates or tests one of them is refused.
    """
    from fer_bench import datasets
    from fer_bench.cli.terminal import Preparation
    from fer_bench.methods.gcn.pretraining import Recipe
    from fer_bench.methods.gcn.settings import GCNSettings
    from fer_bench.runs.pretrain import pretrain_generator as carry_out
    from fer_bench.workspace.sources import find_roots
    from fer_bench.workspace.workspace import Workspace

    for name in dataset:
        check_name(name, datasets.names(), "dataset", "fer-bench list datasets")
    roots = find_roots(data_root, follow_links=follow_links)
    announce_roots(roots, quiet=as_json)
    with closing(Preparation(quiet=as_json)) as display:
        card = carry_out(
            Workspace(roots, announce=display),
            list(dict.fromkeys(dataset)),
            out,
            GCNSettings(generator=generator, width=width),
            Recipe(epochs=epochs, seed=seed),
            protocol=protocol,
            fold=fold,
            progress=partial(display, "training"),
        )
    if as_json:
        typer.echo(json.dumps({"file": str(out), "card": card}, indent=2))
        return
    held, people = card["held_out"], card["training"]["people"]
    typer.echo(f"{out}: {card['trained_on']}; {people} people, {card['training']['pairs']} pairs")
    typer.echo(
        f"  {held['people']} people held out: error {held['error']:.4f}, of the input itself "
        f"{held['error_of_the_input']:.4f} (mean squares, pixels from -1 to 1)"
    )
    form = f" --set method.generator={generator} --set method.width={width:g}"
    say(f"next: fer-bench run --method gcn --dataset DATASET --set method.generator_weights={out}{form}")
