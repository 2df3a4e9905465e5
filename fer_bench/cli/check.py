"""The command `check`: does a dataset keep the contracts of this package?"""

from __future__ import annotations

import json
from typing import Annotated

import typer

from fer_bench.cli.options import AsJson, DataRoot, FollowLinks, announce_roots, check_name

check_app = typer.Typer(
    help="Check that a dataset keeps the contracts of this package.",
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog="Example: fer-bench check dataset oulu",
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
    if as_json:
        typer.echo(json.dumps({"dataset": name, "checks": [vars(r) for r in results]}, indent=2))
    else:
        for result in results:
            typer.echo(f"{'ok    ' if result.ok else 'BROKEN'} {result.name:10} {result.message}")
    if not all(result.ok for result in results):
        raise typer.Exit(2)
