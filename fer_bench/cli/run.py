"""The commands `run` and `sweep`: a run is a sweep of one cell."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fer_bench.cli.excluded import read_exclude
from fer_bench.cli.options import (
    WorkOptions,
    announce_roots,
    say,
    takes_work_options,
)
from fer_bench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fer_bench.cli.terminal import SweepDisplay
    from fer_bench.config import SweepConfig
    from fer_bench.results.record import Record
    from fer_bench.runs.completeness import PlannedState
    from fer_bench.runs.plan import PlannedRun
    from fer_bench.runs.sweep import PlannedSweep, SweepResult
    from fer_bench.workspace.sources import DataRoots

BF16 = (
    "precision: 32; this processor has bfloat16: --precision bf16-mixed may take half the time, and gives "
    "other scores than float32"
)


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command(
        epilog="Examples: fer-bench run --method gcn --dataset oulu; "
        "fer-bench run --method resemotenet --dataset fer2013 --data-root ~/datasets --seed 1; "
        "fer-bench run --method gcn --dataset ckplus --fold all --set method.lr=1e-3 --json; "
        "fer-bench run --init runs/erm/rafdb/KEY/checkpoints/val.pt --dataset folder:~/pictures"
    )(run)
    app.command(
        epilog="Examples: fer-bench sweep quick; fer-bench sweep paper --data-root ~/datasets --dry-run"
    )(sweep)


@takes_work_options
def run(
    dataset: Annotated[
        str,
        typer.Option("--dataset", "-d", help="Dataset to train on, a union as ckplus+oulu, or folder:PATH."),
    ],
    options: WorkOptions,
    method: Annotated[
        str | None,
        typer.Option(
            "--method", "-m", help="Method, see `fer-bench list methods`; of --init if that is given."
        ),
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(
            "--init",
            metavar="CHECKPOINT|RUN",
            help="Start from the weights of a checkpoint: a file, a run's folder or its key. Its settings "
            "are taken over, with a tenth of its learning rate; --set changes them.",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Delete what is stored of this run and start anew.")
    ] = False,
) -> None:
    """Train a method on a dataset, test it there and on every other dataset, and store the result.

    Exit codes: 0 done, 1 the run failed, 2 wrong usage or data. A finished run is not repeated; a killed one
    resumes. With --json one record is printed, or {"runs": [...]} when there are several folds or seeds.
    With --init the test rows are also scored with the checkpoint as it was: before, after and the difference.
    """
    from fer_bench.cli.score_table import print_before_after
    from fer_bench.inference.opening import find_file
    from fer_bench.results.store import Store
    from fer_bench.runs.before import pool_folds
    from fer_bench.runs.start import open_start
    from fer_bench.runs.sweepfile import check_sweep
    from fer_bench.workspace.sources import split_source

    name, roots = split_source(dataset, options.data_root, follow_links=options.follow_links)
    start: dict[str, str] = {}
    if init is not None:
        start = {"init": str(find_file(init, options.runs_dir).absolute())}
        method = method or open_start(start["init"]).method
    if method is None:
        raise UsageError("a run needs a method", hint="--method NAME, or --init CHECKPOINT, which names it")
    config = check_sweep({"methods": [method], "datasets": [name], **start, **options.changes()})
    result, _ = work(options.added_to(config), roots, options, group=None, force=force)
    records = result.records
    pooled = [] if init is None else pool_folds(Store(options.runs_dir), records)
    if options.as_json:
        documents = [record.model_dump(mode="json") for record in records]
        more = {"start": [one.model_dump(mode="json") for one in pooled]} if pooled else {}
        _echo_json(documents[0] if len(documents) == 1 else {"runs": documents, **more})
    else:
        for record in records:
            _print_record(record, options.runs_dir)
        for compared in pooled:
            typer.echo("all folds together:")
            print_before_after(compared)
    raise typer.Exit(0 if result.all_done else 1)


@takes_work_options
def sweep(
    options: WorkOptions,
    file: Annotated[
        str | None,
        typer.Argument(
            help="Sweep file, or a name of `fer-bench list sweeps`; none when the options say it all."
        ),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option("--method", "-m", help="Instead of the file's: a method or a grid, gcn[lr=1e-3,1e-4]."),
    ] = None,
    dataset: Annotated[
        list[str] | None, typer.Option("--dataset", "-d", help="Instead of the file's: a source.")
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print what would run, what is done and about how long it takes."),
    ] = False,
) -> None:
    """Run methods x datasets x folds x seeds. What is finished is never repeated.

    Options replace what the file says; --set, --crop, --protocol and --rows add to it.
    Exit codes: 0 all runs are done, 1 a run is not, 2 wrong usage or data.
    """
    from fer_bench.cli.hints import complete
    from fer_bench.runs.sweepfile import check_sweep, read_sweep
    from fer_bench.workspace.sources import find_roots

    named = {"methods": method, "datasets": dataset}
    changes = {name: value for name, value in named.items() if value} | options.changes()
    if file is None and not (method and dataset):
        raise UsageError("a sweep needs a file, or --method and --dataset", hint="fer-bench sweep quick")
    roots = find_roots(options.data_root, follow_links=options.follow_links)
    config = options.added_to(check_sweep(changes) if file is None else read_sweep(file, changes))
    if dry_run:
        _dry_run(config, roots, options)
        return
    result, planned = work(config, roots, options, group=config.name)
    if options.as_json:
        _echo_json(
            {"runs": [r.model_dump(mode="json") for r in result.records], "missing": dict(planned.missing)}
        )
    else:
        _print_spent(result, planned)
        done = sum(record.status == "done" for record in result.records)
        where = options.runs_dir
        text = f"{done} of {len(result.planned)} runs are done in {where}; next: fer-bench leaderboard"
        typer.echo(complete(text))
    if planned.has_unusable_sources:
        raise typer.Exit(2)
    raise typer.Exit(0 if result.all_done else 1)


def _print_spent(result: SweepResult, planned: PlannedSweep) -> None:
    """Print where the CPU time of a sweep's runs went, and what came before them."""
    from fer_bench.runs.spent import spent_line, spent_table

    for line in spent_table(result.records):
        say(line)
    say(spent_line(planned.workspace.spent, result.before_runs))


def _echo_json(document: object) -> None:
    typer.echo(json.dumps(document, indent=2, allow_nan=False))


@contextmanager
def _opened(
    config: SweepConfig, roots: DataRoots, options: WorkOptions, group: str | None
) -> Iterator[PlannedSweep]:
    """Yield a planned sweep, and print notices about its data."""
    from fer_bench.cli.terminal import Preparation
    from fer_bench.runs.sweep import open_sweep

    quiet = options.as_json
    announce_roots(roots, quiet=quiet)
    excluded = None if options.exclude is None else read_exclude(options.exclude)
    display = Preparation(quiet=quiet)
    try:
        run_options = options.run_options(group)
        planned = open_sweep(config, roots, run_options, leave_out=excluded, announce=display)
        kinds = sorted({(run.data_kind, run.config.profile) for run in planned.runs})
        for kind, profile in kinds if config.profile is None else ():
            say(f"profile: {profile}, the default for {kind} data; --profile takes another", quiet=quiet)
        if any(kind == "synthetic" for kind, _ in kinds) and not roots.is_synthetic:
            say("SYNTHETIC DATA: the data root holds drawn faces, not photographs", quiet=quiet)
        if config.precision == "auto" and _may_pay_bf16(planned.runs):
            say(BF16, quiet=quiet)
        for name, reason in planned.missing.items():
            say(f"missing: {name}: {reason}", quiet=quiet)
        yield planned
    finally:
        display.close()


def _may_pay_bf16(runs: Sequence[PlannedRun]) -> bool:
    """Return whether runs train the networks of `paper` in float32 on a processor that has bfloat16."""
    from fer_bench.runs.environment import has_bf16

    on_cpu = (run.config for run in runs if run.config.device == "cpu")
    return any(config.profile == "paper" and not config.portable for config in on_cpu) and has_bf16()


def work(
    config: SweepConfig, roots: DataRoots, options: WorkOptions, *, group: str | None, force: bool = False
) -> tuple[SweepResult, PlannedSweep]:
    """Carry out a sweep; return what became of it and what was planned.

    A single run, which has no group, raises the error of a damaged target; a sweep leaves that target out.
    """
    from fer_bench.cli.terminal import Preparation, SweepDisplay
    from fer_bench.results.store import Store
    from fer_bench.runs.sweep import carry_out

    with _opened(config, roots, options, group) as planned:
        preparation = planned.workspace.announce

        def show(to_do: Sequence[PlannedRun], finished: int) -> SweepDisplay:
            if isinstance(preparation, Preparation):
                preparation.close()  # a terminal shows one table at a time
            if finished:
                total = finished + len(to_do)
                say(f"{finished} of {total} run(s) are finished already", quiet=options.as_json)
            return SweepDisplay(to_do, quiet=options.as_json)

        result = carry_out(planned, Store(options.runs_dir), show=show, strict=group is None, force=force)
    unseen = sum(r.status == "done" and "peek" not in r.selection for r in result.records)
    if config.track_peek and unseen:
        say(
            f"{unseen} finished run(s) did not predict their test rows while they trained; --force trains "
            "them anew",
            quiet=options.as_json,
        )
    for bad in result.bad_endings:
        say(f"{bad.status}: {bad.run.name}: {bad.message}\n  log: {bad.folder.log_file}")
    return result, planned


def _dry_run(config: SweepConfig, roots: DataRoots, options: WorkOptions) -> None:
    """Print what a sweep would do, and about how long it takes."""
    from fer_bench.results.store import Store
    from fer_bench.runs.completeness import match

    with _opened(config, roots, options, config.name) as planned:
        plan = match(planned.runs, Store(options.runs_dir), planned.workspace)
    known = [p.seconds * p.run.config.world_size for p in plan if p.seconds is not None]
    unknown = sum(p.seconds is None for p in plan)
    device = "GPU" if plan and plan[0].run.config.device == "cuda" else "CPU"
    if options.as_json:
        estimate = {
            "device_hours": sum(known) / 3600,
            "device": device,
            "runs_from_records": sum(p.basis == "records" for p in plan),
            "runs_from_rates": sum(p.basis == "rates" for p in plan),
            "runs_without_estimate": unknown,
        }
        _echo_json(
            {"runs": [_row_of(p) for p in plan], "missing": dict(planned.missing), "estimate": estimate}
        )
        return
    for p in plan:
        typer.echo(f"{p.state:8} {p.run.key}  {p.run.name}")
    counts = Counter(p.state for p in plan)
    listed = ", ".join(f"{number} {state}" for state, number in sorted(counts.items()))
    say(f"{len(plan)} runs: {listed}")
    if counts.total() > counts["done"]:
        for line in _estimate(plan):
            say(line)


def _estimate(plan: Sequence[PlannedState]) -> Iterator[str]:
    """Yield about how long the runs of a plan take, by what tells it."""
    from fer_bench.runs.rates import FACTOR, measured

    device = "GPU" if plan[0].run.config.device == "cuda" else "core"

    def hours(basis: str) -> str:
        seconds = sum((p.seconds or 0) * p.run.config.world_size for p in plan if p.basis == basis)
        return f"{seconds / 3600:.2f} {device}-hours"

    bases = Counter(p.basis for p in plan if p.state != "done")
    if bases["records"]:
        yield f"estimated from earlier records: {hours('records')} for {bases['records']} runs"
    if bases["rates"]:
        yield (
            f"estimated from measured rates: {hours('rates')} for {bases['rates']} runs, within a factor of "
            f"{FACTOR} (rates of one core of {measured().processor}, carried over by a short calibration)"
        )
    if bases[None]:
        yield f"{bases[None]} runs have neither an earlier run like them nor a measured rate"


def _row_of(p: PlannedState) -> dict[str, object]:
    seconds = None if p.seconds is None else round(p.seconds, 1)
    done = p.state == "done"
    return {"key": p.run.key, "run": p.run.name, "state": p.state, "done": done, "seconds": seconds}


def _print_record(record: Record, runs_dir: Path) -> None:
    """Print how a run ended and what it scored."""
    from fer_bench.cli.score_table import ScoreTable, print_before_after, print_rest

    kind = "  SYNTHETIC DATA" if record.data_kind == "synthetic" else ""
    scores = ScoreTable()
    typer.echo(f"{record.name}: {record.status}{kind}")
    if record.scores:
        typer.echo(scores.header)
    for score in sorted(record.scores, key=lambda s: (s.target != record.dataset, s.target)):
        if score.selection == record.headline:
            typer.echo(scores.line(score.target, score))
    for compared in record.start:
        print_before_after(compared)
    for subset in record.subsets:
        name = f"{subset.score.target}:{subset.name}"
        typer.echo(scores.line(name, subset.score))
        if subset.tested < subset.listed:
            left = subset.listed - subset.tested
            typer.echo(f"  note: {name} lists {subset.listed} rows, {left} of which this run does not test")
    print_rest(record, runs_dir)
