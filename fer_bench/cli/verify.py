"""The command `data verify`: everything that is wrong with datasets on disk."""

from __future__ import annotations

import json
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fer_bench.cli.options import (
    AsJson,
    Classes,
    DataRoot,
    Drop,
    FollowLinks,
    announce_roots,
    check_name,
    named_classes,
)
from fer_bench.errors import DataError, FerBenchError

if TYPE_CHECKING:
    from fer_bench.data.reading.dataset import FaceDataset
    from fer_bench.workspace.sources import DataRoots

Datasets = Annotated[str, typer.Option("--dataset", "-d", help="Dataset, folder:PATH, or all.")]


def verify(
    dataset: Datasets = "all",
    data_root: DataRoot = None,
    follow_links: FollowLinks = False,
    write_exclude: Annotated[
        Path | None,
        typer.Option("--write-exclude", metavar="FILE", help="List absent and broken files for --exclude."),
    ] = None,
    with_copies: Annotated[
        bool,
        typer.Option("--with-copies", help="Also list training pictures whose pixels are a test picture's."),
    ] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Look at every picture, also those looked at before.")
    ] = False,
    classes: Classes = None,
    drop: Drop = None,
    as_json: AsJson = False,
) -> None:
    """Check layout, labels, counts, protocol and every picture; all problems in one report.

    Finds unreadable and one-coloured pictures, faces outside their picture, copies inside and across splits
    (exact, scaled, recompressed or mirrored), subjects on both sides, names that give labels away, and copies
    with more pictures than were published. A check that was stopped goes on where it was.

    Exit code 2 when something is wrong, 0 with warnings only.
    """
    from fer_bench import datasets
    from fer_bench.cli.hints import complete
    from fer_bench.cli.terminal import Preparation
    from fer_bench.data.audit.verify import verify as check
    from fer_bench.files import write_text
    from fer_bench.workspace.sources import recognised, split_source

    name, roots = split_source(dataset, data_root, follow_links=follow_links)
    roots = named_classes(roots, classes, drop, ["folder" if name == "all" else name])
    announce_roots(roots, quiet=as_json)
    if name == "all":
        wanted, missing = recognised(roots)
        for each in _broken(missing, wanted, roots):
            wanted.append(each)
            del missing[each]
        if "folder" not in roots.named:
            missing.pop("folder", None)
        if not wanted:
            raise nothing_in(roots, "checked")
    else:
        check_name(name, datasets.names(), "dataset", "fer-bench list datasets")
        wanted, missing = [name], {}
    display = Preparation(quiet=as_json)
    reports = []
    for each in wanted:
        reports.append(
            check(
                partial(_open, each, roots),
                each,
                is_real=_is_real(each, roots),
                fresh=fresh,
                progress=partial(display, f"checking {each}"),
            )
        )
    display.close()
    if write_exclude is not None:
        lines = [
            f"{report.dataset}: {name}\n"
            for report in reports
            for name in (*report.absent, *report.unreadable, *(report.copies if with_copies else ()))
        ]
        write_text(write_exclude, "".join(lines))
    if as_json:
        documents = [report.as_dict() for report in reports]
        for finding in (each for document in documents for each in document["findings"]):
            finding |= {name: complete(finding[name]) for name in ("message", "advice")}
        typer.echo(json.dumps({"reports": documents, "missing": missing}, indent=2))
    else:
        for report in reports:
            typer.echo(complete("\n".join(report.lines())))
        for each, reason in missing.items():
            typer.echo(f"{each}: missing, {reason}")
        errors, warnings = (sum(r.number_of(kind) for r in reports) for kind in ("error", "warning"))
        more = f", {len(missing)} missing (how to get one: fer-bench data describe NAME)" if missing else ""
        typer.echo(complete(f"{len(reports)} checked: {errors} error(s), {warnings} warning(s){more}"))
    if any(report.has_errors for report in reports):
        raise typer.Exit(2)


def nothing_in(roots: DataRoots, done: str) -> DataError:
    """Return the error that no dataset was found.

    Args:
        roots: Where they were looked for.
        done: What cannot be done without one, as in `checked`.
    """
    return DataError(
        f"no dataset was found here, so nothing was {done}",
        file=roots.root,
        hint="the folders and files that a dataset consists of: fer-bench data describe NAME",
    )


def _open(name: str, roots: DataRoots) -> FaceDataset:
    from fer_bench.workspace.sources import open_source

    return open_source(name, roots).dataset


def _broken(missing: Collection[str], found: Collection[str], roots: DataRoots) -> list[str]:
    """Return missing datasets for which there is a folder of that name: it holds something else, or a part.

    A folder is counted for the first dataset it is called like, and only if no dataset was found in it.
    """
    taken = {folder for name in found for folder in _folders_for(name, roots)}
    broken: list[str] = []
    for name in missing:
        folders = set(_folders_for(name, roots)) - taken
        if folders:
            broken.append(name)
            taken |= folders
    return broken


def _folders_for(name: str, roots: DataRoots) -> list[Path]:
    """Return the folder that the user named for a dataset, or those below the root called like it."""
    from fer_bench import datasets

    if name in roots.named:
        return [roots.named[name]] if roots.named[name].is_dir() else []
    return [] if roots.root is None else datasets.get(name).named_folders(roots.root)


def _is_real(name: str, roots: DataRoots) -> bool:
    """Return whether published counts apply; what cannot be opened is reported by the check itself."""
    from fer_bench.workspace.sources import open_source

    try:
        return open_source(name, roots).kind == "real"
    except FerBenchError:
        return not roots.is_synthetic
