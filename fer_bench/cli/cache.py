"""Commands over what was derived from data: list, check and remove it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fer_bench.cli.options import AsJson
from fer_bench.errors import UsageError

if TYPE_CHECKING:
    from fer_bench.workspace.cache import Entry

cache_app = typer.Typer(
    help="List, check and remove what was derived from data: packed crops, indexes and states of checks.",
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog="Example: fer-bench data cache prune --stale",
)


@cache_app.command(name="list", epilog="Example: fer-bench data cache list")
def list_cache(as_json: AsJson = False) -> None:
    """List packs, indexes and states of checks: dataset, recipe, size, last use, whether they are stale."""
    from fer_bench.files import cache_root
    from fer_bench.workspace.cache import entries

    found = entries()
    if as_json:
        typer.echo(
            json.dumps({"cache": str(cache_root()), "entries": [_plain_entry(e) for e in found]}, indent=2)
        )
        return
    for entry in found:
        typer.echo(_entry_line(entry))
    typer.echo(f"{len(found)} in {cache_root()}, {_bytes(sum(e.size for e in found))}")


@cache_app.command(name="check", epilog="Example: fer-bench data cache check --dataset oulu")
def check_cache(
    dataset: Annotated[str | None, typer.Option("--dataset", "-d", help="Only of this dataset.")] = None,
    as_json: AsJson = False,
) -> None:
    """Hash all packs in full and name those whose pixels are not those that were packed.

    Exit code 2 when one is damaged. Opening a pack hashes it only where size or time of its file has changed.
    """
    from fer_bench.workspace.cache import check, entries

    checked: list[Entry] = []
    for entry in check([e for e in entries() if dataset is None or e.dataset == dataset]):
        checked.append(entry)
        if not as_json:
            verdict = f"DAMAGED {entry.path}: {entry.reason}" if entry.state == "damaged" else "ok"
            typer.echo(f"{entry.dataset:12} {_bytes(entry.size):>9}  {entry.recipe}  {verdict}")
    damaged = [entry for entry in checked if entry.state == "damaged"]
    if as_json:
        typer.echo(json.dumps({"checked": [_plain_entry(e) for e in checked]}, indent=2))
    else:
        advice = "; delete their folders, they are built again when needed" if damaged else ""
        typer.echo(f"{len(checked)} checked, {len(damaged)} damaged{advice}")
    if damaged:
        raise typer.Exit(2)


@cache_app.command(
    epilog="Examples: fer-bench data cache prune --stale; "
    "fer-bench data cache prune --dataset oulu --older-than 30 --dry-run"
)
def prune(
    dataset: Annotated[str | None, typer.Option("--dataset", "-d", help="Only of this dataset.")] = None,
    older_than: Annotated[
        float | None, typer.Option("--older-than", min=0, metavar="DAYS", help="Only unused for so long.")
    ] = None,
    stale: Annotated[bool, typer.Option("--stale", help="Only what can be of no use any more.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Everything.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be removed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove packs, indexes and states of checks that fulfil all conditions; they are built when needed.

    What a process uses at this moment is kept.
    """
    import time

    from fer_bench.workspace.cache import entries
    from fer_bench.workspace.cache import prune as remove

    if not (dataset or older_than is not None or stale or everything):
        raise UsageError(
            "say what to remove",
            hint="--stale, --older-than DAYS, --dataset NAME, or --all; --dry-run shows it",
        )
    chosen = [
        entry
        for entry in entries()
        if (dataset is None or entry.dataset == dataset)
        and (older_than is None or time.time() - entry.used >= older_than * 86400)
        and (not stale or entry.state != "current")
    ]
    gone, kept = (
        ([e for e in chosen if not e.in_use], [e for e in chosen if e.in_use]) if dry_run else remove(chosen)
    )
    if as_json:
        document = {"removed": [_plain_entry(e) for e in gone], "in_use": [_plain_entry(e) for e in kept]}
        typer.echo(json.dumps({**document, "dry_run": dry_run}, indent=2))
        return
    for entry in gone:
        typer.echo(_entry_line(entry))
    for entry in kept:
        typer.echo(f"kept, in use: {entry.path.name}")
    typer.echo(f"{'would remove' if dry_run else 'removed'} {len(gone)}, {_bytes(sum(e.size for e in gone))}")


def _plain_entry(entry: Entry) -> dict[str, Any]:
    return {**vars(entry), "path": str(entry.path)}


def _entry_line(entry: Entry) -> str:
    from datetime import datetime

    used = datetime.fromtimestamp(entry.used).strftime("%Y-%m-%d %H:%M")
    state = "in use" if entry.in_use else entry.state
    reason = f" ({entry.reason})" if entry.reason else ""
    what = {"pack": entry.recipe, "index": "index", "check": "state of a check"}[entry.kind]
    return f"{entry.dataset:12} {_bytes(entry.size):>9}  {used}  {state}{reason}  {what}"


def _bytes(number: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"
