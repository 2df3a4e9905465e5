"""What `run` and `sweep` have in common: from options to finished runs, and what is printed of them."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from fer_bench.cli.options import check_name, say
from fer_bench.cli.runs import read_exclude, run_options
from fer_bench.errors import StoreError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fer_bench.config import SweepConfig
    from fer_bench.data.crops.choice import CropChoice
    from fer_bench.results.record import Record
    from fer_bench.runs.launchers import Launcher
    from fer_bench.runs.plan import PlannedRun
    from fer_bench.workspace.sources import DataRoots
    from fer_bench.workspace.workspace import Workspace


def read_targets(text: str) -> list[str] | str:
    """Return what `--targets` asks for: `all`, `none` or names.

    Raises:
        UsageError: An unknown dataset.
    """
    from fer_bench import datasets

    if text in ("all", "none"):
        return text
    names = [part.strip() for part in text.split(",") if part.strip()]
    for name in names:
        check_name(name, datasets.names(), "target", "fer-bench list datasets")
    return names


def read_folds(given: Sequence[str]) -> list[int] | str:
    """Return what `--fold` of a sweep asks for: `all`, or numbers.

    Raises:
        UsageError: Something else.
    """
    if list(given) == ["all"]:
        return "all"
    for text in given:
        if not text.isdecimal():
            raise UsageError("a fold is a number, or all", value=text, hint="--fold 1 --fold 2")
    return [int(text) for text in given]


def read_protocols(given: Sequence[str], sweep: SweepConfig) -> dict[str, str]:
    """Return the protocol of each source, as `--protocol` says where it does, else the file.

    Args:
        given: Names, for all sources, or `dataset=name`.
        sweep: The sweep.

    Raises:
        UsageError: A source that the sweep does not have.
    """
    from fer_bench.datasets import MAIN_SEVEN, source_name

    sources = MAIN_SEVEN if sweep.datasets == "all" else sweep.datasets
    chosen = dict(sweep.protocols)
    for text in sorted(given, key=lambda text: "=" in text):  # what is said of one dataset counts most
        dataset, equals, name = text.rpartition("=")
        if equals:
            dataset = source_name(dataset)
            check_name(dataset, sources, "source", "those of the sweep")
        chosen |= dict.fromkeys([dataset] if equals else sources, name)
    return chosen


@contextmanager
def open_workspace(
    roots: DataRoots, exclude: Path | None, crops: CropChoice, *, quiet: bool
) -> Iterator[Workspace]:
    """Yield a workspace whose preparation is shown while it lasts."""
    from fer_bench.cli.terminal import Preparation
    from fer_bench.workspace.workspace import Workspace

    display = Preparation(quiet=quiet)
    try:
        left_out = None if exclude is None else read_exclude(exclude)
        yield Workspace(roots, leave_out=left_out, crops=crops, announce=display)
    finally:
        display.close()


def choose_launcher(
    name: str,
    settings: Sequence[str] | None,
    jobs: int | None,
    runs_per_gpu: int,
    timeout: float | None,
    wandb: Literal["off", "offline", "online"],
    tensorboard: bool,
    group: str | None,
) -> Launcher:
    """Return the launcher that the options describe.

    Args:
        name: Which.
        settings: Its own settings, as `partition=gpu`.
        jobs: Runs at a time.
        runs_per_gpu: Runs that share a GPU.
        timeout: Seconds without progress after which a run is ended.
        wandb: Whether and how to log to Weights & Biases.
        tensorboard: Whether to write TensorBoard files.
        group: Name of the sweep.

    Raises:
        UsageError: A setting that does not exist, or a package that is not installed.
    """
    from fer_bench.runs.launchers import make_launcher

    options = run_options(timeout, wandb, tensorboard, group)
    return make_launcher(name, jobs=jobs, runs_per_gpu=runs_per_gpu, options=options, settings=settings or ())


def work_off(
    planned: list[PlannedRun],
    workspace: Workspace,
    runs_dir: Path,
    launcher: Launcher,
    *,
    force: bool,
    quiet: bool,
    skip_damaged: bool = False,
) -> tuple[list[Record], bool]:
    """Bring runs to their end; return their records in the order planned, and whether all went well."""
    from fer_bench.cli.terminal import Preparation, SweepDisplay
    from fer_bench.results.store import Store
    from fer_bench.runs.completeness import is_complete
    from fer_bench.runs.execute import discard
    from fer_bench.runs.sweep import prepare_targets

    store = Store(runs_dir)
    store.check_writable()
    planned = prepare_targets(planned, workspace, skip_damaged=skip_damaged)
    dirs = {p.key: store.run_dir(p.config.method, p.config.dataset, p.key) for p in planned}
    if force:
        for plan in planned:
            if not dirs[plan.key].lock().acquire():
                raise UsageError(f"another process is working on {plan.name}", file=dirs[plan.key].path)
            discard(dirs[plan.key])
    to_do = [p for p in planned if not is_complete(p, store, workspace)]
    if isinstance(workspace.announce, Preparation):
        workspace.announce.close()  # a terminal shows one table at a time
    workspace.announce = None
    if len(to_do) < len(planned):
        say(f"{len(planned) - len(to_do)} of {len(planned)} run(s) are finished already", quiet=quiet)
    with SweepDisplay(to_do, quiet=quiet) as display:
        launcher.run(to_do, store, workspace, display)
    records = []
    for plan in planned:
        try:
            record = dirs[plan.key].read_record()
        except StoreError as error:
            say(f"damaged: {plan.name}: {error}; the same command does it again")
            continue
        if record is not None:
            records.append(record)
    for key, (status, message) in display.failures.items():
        name = next(p.name for p in planned if p.key == key)
        say(f"{status}: {name}: {message}\n  log: {dirs[key].path / 'log.txt'}", quiet=False)
    return records, not display.failures and len(records) == len(planned)


def announce_profiles(planned: Sequence[PlannedRun], *, quiet: bool) -> None:
    """Say which profiles were taken, where nobody asked for one."""
    for kind, profile in sorted({(p.data_kind, p.config.profile) for p in planned}):
        say(f"profile: {profile}, the default for {kind} data; --profile takes another", quiet=quiet)


_ROW = "  {:12} {:>6} {:>7} {:>9} {:>7} {:>9} {:>9}"


def print_record(record: Record, runs_dir: Path) -> None:
    """Print how a run ended and what it scored."""
    kind = "  SYNTHETIC DATA" if record.data_kind == "synthetic" else ""
    typer.echo(f"{record.name}: {record.status}{kind}")
    if record.scores:
        typer.echo(_ROW.format("target", "n", "classes", "accuracy", "UAR", "macro-F1", "transfer"))
    for score in sorted(record.scores, key=lambda s: (s.target != record.dataset, s.target)):
        if score.selection == record.headline:
            shares = [f"{100 * value:.1f}%" for value in (score.accuracy, score.uar, score.macro_f1)]
            transfer = "-" if score.transfer is None else f"{score.transfer:.2f}"
            typer.echo(_ROW.format(score.target, score.n, score.k, *shares, transfer))
    for target, reason in record.missing.items():
        typer.echo(f"  {target:12} missing: {reason}")
    for warning in record.warnings:
        typer.echo(f"  note: {warning}")
    typer.echo(f"  stored in {runs_dir / record.method / record.dataset / record.key}")


def exit_by(records: Sequence[Record], all_well: bool) -> None:
    """End the command with exit code 1 unless all runs are done."""
    if not all_well or not records or any(record.status != "done" for record in records):
        raise typer.Exit(1)
