"""`fer-bench similarity`: how alike datasets look to a network that was trained on none of them."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fer_bench.cli.options import AsJson, DataRoot, FollowLinks, RunsDir, announce_roots, open_store, say

if TYPE_CHECKING:
    from fer_bench.workspace.sources import DataKind

EPILOG = (
    "Examples: fer-bench similarity; fer-bench similarity -d oulu -d ckplus -d rafdb --data-root ~/datasets; "
    "fer-bench similarity --tower vit_base_patch32_clip_quickgelu_224.openai --weights clip.safetensors"
)


def similarity(
    dataset: Annotated[
        list[str] | None,
        typer.Option("--dataset", "-d", help="Dataset; default: those of the board that are there."),
    ] = None,
    tower: Annotated[
        str | None,
        typer.Option(
            "--tower",
            help="Image tower whose features are compared: of CLIP, by timm's name; default: cafe's for real "
            "data, clip-tiny-neutral for drawn faces.",
        ),
    ] = None,
    weights: Annotated[
        str | None, typer.Option("--weights", metavar="FILE", help="Its weights, if not by its name.")
    ] = None,
    profile: Annotated[
        Literal["quick", "small", "paper"] | None,
        typer.Option("--profile", help="Whose test rows; default: quick for synthetic data, else paper."),
    ] = None,
    runs_dir: RunsDir = Path("runs"),
    data_root: DataRoot = None,
    follow_links: FollowLinks = False,
    device: Annotated[Literal["cpu", "cuda"], typer.Option("--device", help="Where to compute.")] = "cpu",
    as_json: AsJson = False,
) -> None:
    """Compare datasets by the features of a frozen network; the leaderboard shows it beside the transfer.

    Per pair: how often a linear classifier tells from which of the two a face of an unseen person is (50 % is
    guessing), and how far the mean faces of an expression lie apart, in standard deviations within it.
    """
    from fer_bench.cli.terminal import Preparation
    from fer_bench.datasets import MAIN_SEVEN
    from fer_bench.inference.similarity import measure
    from fer_bench.methods.cafe.network import DEFAULT_TOWER
    from fer_bench.results.similarity import write_similarity
    from fer_bench.runs.resolve import default_profile
    from fer_bench.workspace.sources import available, find_roots
    from fer_bench.workspace.workspace import Workspace

    store = open_store(runs_dir)
    roots = find_roots(data_root, follow_links=follow_links)
    announce_roots(roots, quiet=as_json)
    found, missing = available(dataset or MAIN_SEVEN, roots)
    for name, why in missing.items():
        say(f"missing: {name}: {why}", quiet=as_json)
    with closing(Preparation(quiet=as_json)) as display:
        workspace = Workspace(roots, announce=display)
        kinds = {workspace.source(name).kind for name in found}
        kind: DataKind = "real" if "real" in kinds else "synthetic"
        found = [name for name in found if workspace.source(name).kind == kind]
        tower = tower or ("clip-tiny-neutral" if kind == "synthetic" else DEFAULT_TOWER)
        quick = (profile or default_profile(kind)) == "quick"
        measured = measure(
            found, workspace, tower, weights=weights, quick=quick, device=device, announce=display
        )
    path = write_similarity(store.root, measured, f"{kind}-{tower}")
    if as_json:
        typer.echo(json.dumps(measured.model_dump(mode="json"), indent=2, allow_nan=False))
        return
    for pair in sorted(measured.pairs, key=lambda pair: -pair.told_apart):
        distance = "" if pair.distance is None else f", mean faces {pair.distance:.2f} sd apart"
        typer.echo(f"{pair.first} - {pair.second}: told apart {100 * pair.told_apart:.0f} %{distance}")
    say(f"wrote {path}; next: fer-bench leaderboard")
