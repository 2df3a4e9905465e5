"""The commands `runs` and `prune`: what a store holds, and removing what other code made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fer_bench.cli.options import AsJson, RunsDir, open_store, say

if TYPE_CHECKING:
    from fer_bench.runs.listing import ListedRun

Methods = Annotated[list[str] | None, typer.Option("--method", "-m", help="Only of this method.")]
Datasets = Annotated[list[str] | None, typer.Option("--dataset", "-d", help="Only of this source.")]
States = Annotated[
    list[str] | None,
    typer.Option("--status", help="Only with this status: done, failed, oom, diverged, lost and so on."),
]
Profile = Annotated[str | None, typer.Option("--profile", help="Only of this profile.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Only with this setting, such as lr=1e-3."),
]


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command(
        epilog="Examples: fer-bench runs; fer-bench runs -m gcn --status done --set lr=1e-3; "
        "fer-bench runs --json"
    )(runs)
    app.command(epilog="Examples: fer-bench prune; fer-bench prune -m gcn --replaced --yes")(prune)


def runs(
    runs_dir: RunsDir = Path("runs"),
    method: Methods = None,
    dataset: Datasets = None,
    status: States = None,
    profile: Profile = None,
    settings: Settings = None,
    as_json: AsJson = False,
) -> None:
    """List the runs of a store: key, what each varies, status and scores.

    Options given several times are alternatives; with --set all must hold.
    """
    from fer_bench.runs.listing import list_runs

    found, problems = list_runs(
        open_store(runs_dir),
        method=method or (),
        dataset=dataset or (),
        status=status or (),
        profile=profile,
        settings=settings or (),
    )
    if as_json:
        damaged = [str(problem) for problem in problems]
        typer.echo(json.dumps({"runs": [one.document() for one in found], "damaged": damaged}, indent=2))
        return
    for one in found:
        typer.echo(_line(one))
    for problem in problems:
        say(f"damaged: {problem}")
    typer.echo(f"{len(found)} runs" if found else "no runs")


def prune(
    runs_dir: RunsDir = Path("runs"),
    method: Methods = None,
    dataset: Datasets = None,
    status: States = None,
    profile: Profile = None,
    settings: Settings = None,
    replaced: Annotated[
        bool, typer.Option("--replaced", help="Only where today's code has finished the same run.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Delete them; otherwise nothing is deleted.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove runs that other code made than is installed; without --yes say which and how much space.

    A run of other code is never used again: the same sweep trains anew. Its score on the board goes with it.
    """
    from fer_bench.cli.cache import format_bytes
    from fer_bench.runs.listing import list_runs
    from fer_bench.runs.pruning import remove_runs, runs_of_other_code

    store = open_store(runs_dir)
    chosen, _ = list_runs(
        store,
        method=method or (),
        dataset=dataset or (),
        status=status or (),
        profile=profile,
        settings=settings or (),
    )
    old, unknown = runs_of_other_code(store, chosen)
    old = [one for one in old if one.replaced_by is not None or not replaced]
    kept = remove_runs([one.listed for one in old])[1] if yes else []
    gone = [one for one in old if one.listed not in kept]
    size = sum(one.size for one in gone)
    if as_json:
        document: dict[str, Any] = {
            "removed": [
                {**one.listed.document(), "bytes": one.size, "replaced_by": one.replaced_by} for one in gone
            ],
            "in_use": [one.document() for one in kept],
            "not_installed": [one.document() for one in unknown],
            "bytes": size,
            "dry_run": not yes,
        }
        typer.echo(json.dumps(document, indent=2))
        return
    for one in gone:
        how = f"replaced by {one.replaced_by}" if one.replaced_by else "not replaced"
        typer.echo(f"{_line(one.listed)}  {format_bytes(one.size)}, {how}")
    for listed in kept:
        say(f"kept, a process is working on it: {listed.record.key}")
    for name in sorted({listed.record.method for listed in unknown}):
        count = sum(listed.record.method == name for listed in unknown)
        say(f"kept: {count} runs of {name}, which is not installed here")
    what = "removed" if yes else "would remove"
    typer.echo(f"{what} {len(gone)} runs of other code, {format_bytes(size)}")
    if gone and not yes:
        typer.echo("nothing is deleted yet; the same command with --yes does it")


def _line(one: ListedRun) -> str:
    """Return a run in one line."""
    r = one.record
    fold = f" fold {r.fold} of {r.folds}" if r.folds > 1 else ""
    where = f"{r.dataset}/{r.protocol}{fold} seed {r.seed}"
    kind = f"{r.profile}, {r.data_kind}"
    return f"{r.key}  {one.state:11} {one.method}  {where}  {kind}  {_outcome(one)}"


def _outcome(one: ListedRun) -> str:
    if one.uar is None and one.transfer is None:
        error = one.record.error
        return "-" if error is None else error.reason.splitlines()[0]
    parts = [] if one.uar is None else [f"UAR {100 * one.uar:.1f} %"]
    if one.transfer is not None:
        mean, count = one.transfer
        parts.append(f"mean transfer {mean:.2f} over {count} targets")
    return ", ".join(parts)
