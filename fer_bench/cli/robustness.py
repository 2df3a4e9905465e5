"""`fer-bench robustness`: what corruptions of the test rows cost the runs of a store."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from fer_bench.cli.options import (
    AsJson,
    DataRoot,
    FollowLinks,
    RunsDir,
    announce_roots,
    open_store,
    say,
)

if TYPE_CHECKING:
    from fer_bench.leaderboard.robustness import Robustness
    from fer_bench.results.store import RunDir, Store

EPILOG = (
    "Examples: fer-bench robustness 3f2a; fer-bench robustness --method gcn --dataset rafdb; "
    "fer-bench robustness 3f2a -c blur -c mask; fer-bench robustness 3f2a --show seen.png; "
    "What is done to the pictures: fer-bench docs robustness"
)


def robustness(
    run: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RUN]...", help="Keys of finished runs, how they begin, or their folders."),
    ] = None,
    method: Annotated[
        list[str] | None, typer.Option("--method", "-m", help="All finished runs of this method.")
    ] = None,
    dataset: Annotated[
        list[str] | None, typer.Option("--dataset", "-d", help="All finished runs on this source.")
    ] = None,
    corruption: Annotated[
        list[str] | None, typer.Option("--corruption", "-c", help="Only this corruption; default all.")
    ] = None,
    show: Annotated[
        Path | None,
        typer.Option(
            "--show", metavar="FILE", help="Only draw test rows under every corruption: a PNG file."
        ),
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Measure what is stored already, too.")] = False,
    runs_dir: RunsDir = Path("runs"),
    data_root: DataRoot = None,
    follow_links: FollowLinks = False,
    device: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option("--device", help="Where to compute.")
    ] = "auto",
    as_json: AsJson = False,
) -> None:
    """Predict the test rows of stored runs under corruptions at five strengths. Nothing is trained.

    Blur, noise, JPEG, darkness, low contrast, low resolution, covered eyes or mouth, a face mask, rotation
    and a misaligned box. What is stored already is not repeated; the leaderboard shows it. Runs of one method
    are pooled over folds and seeds.
    """
    from fer_bench.cli.terminal import Preparation
    from fer_bench.data.crops.corruptions import chosen
    from fer_bench.inference.robustness import measure, plan
    from fer_bench.workspace.sources import find_roots

    corruptions = chosen(corruption or ())
    store = open_store(runs_dir)
    folders = _selected(store, run or (), method or (), dataset or ())
    roots = find_roots(data_root, follow_links=follow_links)
    announce_roots(roots, quiet=as_json)
    with closing(Preparation(quiet=as_json)) as display:
        works = plan(store, folders, roots, corruptions, again=again, announce=display)
        if show is not None:
            from fer_bench.inference.corrupted_sheet import draw_sheet

            draw_sheet(works[0], corruptions, show)
            display.close()
            typer.echo(f"wrote {show}")
            return
        measure(works, device=device, announce=display)
    stored = sum(len(work.stored) for work in works)
    if stored:
        say(
            f"{stored} of {stored + sum(len(work.wanted) for work in works)} were stored already",
            quiet=as_json,
        )
    found = _results(store, folders)
    if as_json:
        document = [_document(label, one) for label, one in found]
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    for label, one in found:
        _print(label, one)
    say("next: fer-bench leaderboard")


def _selected(
    store: Store, keys: Sequence[str], methods: Sequence[str], sources: Sequence[str]
) -> list[RunDir]:
    """Return the runs that the user names, or those that --method and --dataset select."""
    from fer_bench.errors import UsageError
    from fer_bench.results.store import RunDir
    from fer_bench.runs.listing import list_runs

    if keys and (methods or sources):
        raise UsageError("give keys of runs, or --method and --dataset, not both", value=keys[0])
    if keys:
        found = [
            RunDir(Path(key)) if (Path(key) / "record.json").exists() else store.find(key) for key in keys
        ]
        for one in found:
            if one.path.absolute().parents[2] != store.root.absolute():
                raise UsageError(
                    "this run is in another store", file=one.path, hint=f"--runs-dir {one.path.parents[2]}"
                )
        return list({one.path.name: one for one in found}.values())
    if not methods and not sources:
        raise UsageError(
            "no run was named", hint="fer-bench robustness KEY, or --method NAME; keys: fer-bench runs"
        )
    listed, _ = list_runs(store, method=methods, dataset=sources, status=("done",))
    found = [one.run for one in listed if not one.record.is_outside]
    if not found:
        raise UsageError("no finished run of this method and source", hint="fer-bench runs")
    return found


def _results(store: Store, folders: list[RunDir]) -> list[tuple[str, Robustness]]:
    """Return what the named runs lose, by the label of their method."""
    from fer_bench.leaderboard.robustness import measured
    from fer_bench.leaderboard.variants import variants
    from fer_bench.results.record import read_record

    records = [read_record(one.record_file) for one in folders]
    found = []
    for label, _, group in variants(records):
        measurements, problems = measured(store, group)
        for problem in problems:
            say(f"not shown: {problem}")
        found += [(label, one) for one in measurements]
    return found


def _document(label: str, one: Robustness) -> dict[str, Any]:
    from fer_bench.data.crops.corruptions import CORRUPTIONS, VERSION

    first = one.records[0]
    return {
        "method": label,
        "source": first.dataset,
        "target": one.target,
        "protocol": first.protocol,
        "data_kind": first.data_kind,
        "runs": [record.key for record in one.records],
        "rows": one.n,
        "version": VERSION,
        "uar": one.clean.plain,
        "mean_drop": one.mean.relative and one.mean.relative.plain,
        "corruptions": {
            name: {
                "constants": list(CORRUPTIONS[name].constants),
                "unit": CORRUPTIONS[name].unit,
                "uar": [value.plain for value in drop.by_strength],
                "drop": drop.relative and drop.relative.plain,
            }
            for name, drop in one.drops.items()
        },
    }


def _print(label: str, one: Robustness) -> None:
    from fer_bench.data.crops.corruptions import CORRUPTIONS
    from fer_bench.leaderboard.markup import percent

    first = one.records[0]
    drawn = "  SYNTHETIC DATA" if first.data_kind == "synthetic" else ""
    where = first.dataset if one.target == first.dataset else f"{first.dataset}, tested on {one.target}"
    count = len(one.records)
    typer.echo(
        f"{label} on {where}: UAR {percent(one.clean)} % on {one.n} rows, "
        f"{count} {'run' if count == 1 else 'runs'}{drawn}"
    )
    typer.echo(f"  {'corruption':16}{'lost, % of UAR':24}UAR, %, at strengths 1 to 5")
    drops = [("mean", one.mean)] if len(one.drops) > 1 else []
    for title, drop in [*drops, *((CORRUPTIONS[name].title, each) for name, each in one.drops.items())]:
        strengths = " ".join(f"{100 * value.value:5.1f}" for value in drop.by_strength)
        typer.echo(f"  {title:16}{percent(drop.relative):24}{strengths}")
