"""What the commands share: options, names that are checked and where data stand."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fer_bench.errors import UsageError

if TYPE_CHECKING:
    from fer_bench.workspace.sources import DataRoots

DataRoot = Annotated[
    str | None,
    typer.Option(
        "--data-root",
        metavar="DIR",
        help="Folder with one folder per dataset, one dataset's own folder, or a data.yaml. "
        "Else FER_BENCH_DATA, else ./data.yaml, else the synthetic stand-in.",
    ),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on standard output, nothing else.")
]
Jobs = Annotated[
    int | None, typer.Option("--jobs", "-j", min=1, help="Runs at a time; default one per core or GPU.")
]


CropOption = Annotated[
    list[str] | None,
    typer.Option(
        "--crop",
        metavar="[DATASET=]KIND",
        help="Cut faces out in another way than the dataset's own: whole, fit, box, landmarks, similarity or "
        "detect, with a margin where wanted (box+0.3); of all datasets that have what it needs, or of one.",
    ),
]
FacesOption = Annotated[
    Literal["whole", "detect"] | None,
    typer.Option(
        "--faces",
        help="Pictures without boxes and landmarks: whole takes them as ready-cropped, detect searches.",
    ),
]


def say(text: str, *, quiet: bool = False) -> None:
    """Print a line on standard error, unless quiet."""
    if not quiet:
        print(text, file=sys.stderr, flush=True)


def check_name(name: str, known: Sequence[str], what: str, hint: str) -> None:
    """Refuse a name that is not known, suggesting near ones.

    Raises:
        UsageError: The name is not known.
    """
    from fer_bench.errors import nearest

    if name not in known:
        raise UsageError(f"unknown {what}", value=name, hint=f"{nearest(name, known)} (all: {hint})")


def find_roots_of(dataset: str, data_root: str | None) -> tuple[str, DataRoots]:
    """Return the dataset's name and the data roots; `folder:PATH` is a root of its own."""
    from fer_bench.workspace.sources import find_roots

    roots = find_roots(data_root)
    name, colon, path = dataset.partition(":")
    if colon and name != "folder":
        raise UsageError(
            "only folder takes a path after a colon", value=dataset, hint="example: folder:~/pictures"
        )
    return name, roots.with_folder(Path(path)) if colon else roots


def announce_roots(roots: DataRoots, *, quiet: bool) -> None:
    """Say where data come from, unless quiet."""
    if roots.is_synthetic:
        say(
            "SYNTHETIC DATA: no data root was given, so drawn faces stand in for the licensed datasets.\n"
            "  Scores on them say nothing about real faces. Real data: --data-root DIR or\n"
            "  FER_BENCH_DATA=DIR; how to obtain and lay them out: fer-bench data describe DATASET",
            quiet=quiet,
        )
    else:
        say(f"data: {roots.origin}", quiet=quiet)
