"""The command `check`: does a dataset or a method keep the contracts of this package?"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from fer_bench.cli.options import AsJson, DataRoot, FollowLinks, announce_roots, check_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fer_bench.data.audit.contract import Check

check_app = typer.Typer(
    help="Check that a dataset or a method keeps the contracts of this package.",
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog="Examples: fer-bench check dataset oulu; fer-bench check method gcn",
)


@check_app.command(name="dataset", epilog="Example: fer-bench check dataset oulu --data-root ~/datasets")
def check_dataset(
    name: Annotated[str, typer.Argument(help="Dataset, also of another package, or folder:PATH.")],
    data_root: DataRoot = None,
    follow_links: FollowLinks = False,
    as_json: AsJson = False,
) -> None:
    """Run the contract suite: card, reader, index, paths, protocols and decoding of a dataset.

    Exit code 2 when a promise is broken. `fer-bench data verify` looks at the data, this looks at the reader.
    """
    from fer_bench import datasets
    from fer_bench.data.audit.contract import check_contract
    from fer_bench.workspace.sources import open_source, split_source

    name, roots = split_source(name, data_root, follow_links=follow_links)
    check_name(name, datasets.names(), "dataset", "fer-bench list datasets")
    announce_roots(roots, quiet=as_json)
    results = check_contract(name, lambda: open_source(name, roots).dataset)
    _report("dataset", name, results, as_json=as_json)


@check_app.command(
    name="method",
    epilog="Examples: fer-bench check method gcn; fer-bench check method mine --set method.width=8 --json",
)
def check_method(
    name: Annotated[str, typer.Argument(help="Method, also of another package.")],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A setting, such as method.lr=1e-3."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run the contract suite: settings, size, shapes, gradients, saving, resuming and bf16 of a method.

    It trains a few steps of the quick profile on drawn faces, in a minute or so on a CPU. Exit code 2 when a
    promise is broken.
    """
    from contextlib import closing

    from fer_bench import methods
    from fer_bench.cli.terminal import Preparation
    from fer_bench.runs import contract
    from fer_bench.workspace.sources import DataRoots
    from fer_bench.workspace.workspace import Workspace

    check_name(name, methods.names(), "method", "fer-bench list methods")
    with closing(Preparation(quiet=as_json)) as preparation:
        workspace = Workspace(DataRoots(None, {}, "drawn faces"), size="tiny", announce=preparation)
        results = contract.check_method(name, workspace, overrides=settings or ())
    _report("method", name, results, as_json=as_json)


def _report(what: str, name: str, results: Sequence[Check], *, as_json: bool) -> None:
    """Print what was checked.

    Raises:
        Exit: With code 2, when a contract is broken.
    """
    if as_json:
        typer.echo(json.dumps({what: name, "checks": [vars(r) for r in results]}, indent=2))
    else:
        for result in results:
            message = result.message.replace("\n", f"\n{'':18}")
            typer.echo(f"{'ok    ' if result.ok else 'BROKEN'} {result.name:10} {message}")
    if not all(result.ok for result in results):
        raise typer.Exit(2)
