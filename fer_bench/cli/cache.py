"""Commands over the cache: list and remove packs, kept indexes and states of checks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fer_bench.cli.options import AsJson
from fer_bench.errors import UsageError

if TYPE_CHECKING:
    from fer_bench.workspace.cache import Entry

cache_app = typer.Typer(
    help="List and remove what was derived from data: packed crops, indexes and states of checks.",
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog="Example: fer-bench data cache prune --stale",
)
OfDataset = Annotated[str | None, typer.Option("--dataset", "-d", help="Only of this dataset.")]


@cache_app.command(
    name="list", epilog="Examples: fer-bench data cache list; fer-bench data cache list --check -d oulu"
)
def list_cache(
    dataset: OfDataset = None,
    check: Annotated[
        bool, typer.Option("--check", help="Hash all packs in full; exit code 2 if one is damaged.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List packs, indexes and states of checks: dataset, size, last use, state, recipe.

    Opening a pack hashes it only if size or time of its file have changed.
    """
    from fer_bench.files import cache_root
    from fer_bench.workspace import cache

    chosen = [entry for entry in cache.entries() if dataset is None or entry.dataset == dataset]
    found = []
    for entry in cache.check(chosen) if check else chosen:
        found.append(entry)
        if not as_json:
            typer.echo(_entry_line(entry))
    if as_json:
        document = {"cache": str(cache_root()), "entries": [_plain_entry(e) for e in found]}
        typer.echo(json.dumps(document, indent=2))
    else:
        typer.echo(f"{len(found)} in {cache_root()}, {format_bytes(sum(e.size for e in found))}")
    damaged = [entry for entry in found if entry.state == "damaged"]
    if check and damaged:
        if not as_json:
            typer.echo(f"{len(damaged)} damaged; delete them, they are built again when needed:")
            typer.echo("\n".join(f"  {entry.path}" for entry in damaged))
        raise typer.Exit(2)


@cache_app.command(
    epilog="Examples: fer-bench data cache prune --stale; "
    "fer-bench data cache prune --dataset oulu --older-than 30 --dry-run"
)
def prune(
    dataset: OfDataset = None,
    older_than: Annotated[
        float | None, typer.Option("--older-than", min=0, metavar="DAYS", help="Only unused for so long.")
    ] = None,
    stale: Annotated[bool, typer.Option("--stale", help="Only what is of no use any more.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Everything.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be removed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove packs, indexes and states of checks that meet all conditions; they are built when needed.

    What a process is using is kept.
    """
    import time

    from fer_bench.workspace import cache

    if not (dataset or older_than is not None or stale or everything):
        raise UsageError(
            "say what to remove",
            hint="--stale, --older-than DAYS, --dataset NAME, or --all; --dry-run shows it",
        )
    chosen = [
        entry
        for entry in cache.entries()
        if (dataset is None or entry.dataset == dataset)
        and (older_than is None or time.time() - entry.used >= older_than * 86400)
        and (not stale or entry.state != "current")
    ]
    if dry_run:
        gone, kept = [e for e in chosen if not e.in_use], [e for e in chosen if e.in_use]
    else:
        gone, kept = cache.prune(chosen)
    if as_json:
        document = {"removed": [_plain_entry(e) for e in gone], "in_use": [_plain_entry(e) for e in kept]}
        typer.echo(json.dumps({**document, "dry_run": dry_run}, indent=2))
        return
    for entry in gone:
        typer.echo(_entry_line(entry))
    for entry in kept:
        typer.echo(f"kept, in use: {entry.path.name}")
    typer.echo(
        f"{'would remove' if dry_run else 'removed'} {len(gone)}, {format_bytes(sum(e.size for e in gone))}"
    )


def _plain_entry(entry: Entry) -> dict[str, Any]:
    return {**vars(entry), "path": str(entry.path)}


def _entry_line(entry: Entry) -> str:
    from datetime import datetime

    used = datetime.fromtimestamp(entry.used).strftime("%Y-%m-%d %H:%M")
    state = "in use" if entry.in_use else entry.state
    reason = f" ({entry.reason})" if entry.reason else ""
    what = {"pack": entry.recipe, "index": "index", "check": "state of a check"}[entry.kind]
    return f"{entry.dataset:12} {format_bytes(entry.size):>9}  {used}  {state}{reason}  {what}"


def format_bytes(number: float) -> str:
    """Return a readable size: `12.3 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"
