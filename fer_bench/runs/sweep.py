"""Carry out a sweep: plan it, skip what is finished, launch the rest and collect the records."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from fer_bench import arithmetic, datasets
from fer_bench.config import RunOptions, SweepConfig
from fer_bench.data.crops.choice import read_crops
from fer_bench.data.reading.dataset import FaceDataset
from fer_bench.errors import StoreError, UsageError
from fer_bench.evaluation import metrics
from fer_bench.evaluation.rescore import score_run
from fer_bench.files import cpu_seconds
from fer_bench.results.record import Record
from fer_bench.results.store import RunDir, Store
from fer_bench.results.subsets import Subset, add_subset
from fer_bench.runs import launchers
from fer_bench.runs.completeness import is_complete
from fer_bench.runs.events import Event, OnEvent
from fer_bench.runs.launchers.base import Launcher
from fer_bench.runs.plan import UNUSABLE, PlannedRun, plan_sweep, prepare_targets
from fer_bench.runs.rows import subsets_for_runs
from fer_bench.runs.training.loggers import check_loggers
from fer_bench.workspace.sources import DataRoots, split_targets
from fer_bench.workspace.workspace import Announce, Workspace

Show = Callable[[Sequence[PlannedRun], int], AbstractContextManager[OnEvent | None]]
"""Opens a display, given the runs that are about to start and the number of runs that were finished already;
what it yields is called on every event."""


@dataclass(frozen=True)
class PlannedSweep:
    """A sweep that is ready to be carried out.

    Attributes:
        runs: Its runs, in the order in which to run them.
        missing: Sources that cannot be used, with the reason.
        workspace: Its datasets and packs.
        launcher: Runs them.
        subsets: Rows that are also scored on their own.
    """

    runs: tuple[PlannedRun, ...]
    missing: Mapping[str, str]
    workspace: Workspace
    launcher: Launcher[Any]
    subsets: tuple[Subset, ...] = ()

    @property
    def has_unusable_sources(self) -> bool:
        """Whether a source is present but damaged."""
        return any(reason.startswith(UNUSABLE) for reason in self.missing.values())

    @property
    def has_computed_before(self) -> bool:
        """Whether runs are not portable by default because this process computes in another way."""
        configs = [run.config for run in self.runs]
        quick = [c for c in configs if (c.profile, c.device, c.precision) == ("quick", "cpu", "32")]
        unlike = any(not c.portable and not c.compile for c in quick)
        return unlike and arithmetic.can_be_portable() and not arithmetic.is_portable()


def open_sweep(
    sweep: SweepConfig,
    roots: DataRoots,
    options: RunOptions,
    *,
    leave_out: Mapping[str, Sequence[str]] | None = None,
    announce: Announce | None = None,
    alter: Callable[[FaceDataset], FaceDataset] | None = None,
) -> PlannedSweep:
    """Plan a sweep; draws and packs the pictures of its sources if necessary.

    Args:
        sweep: What to run.
        roots: Where data are.
        options: How to run it.
        leave_out: Sample ids or paths to leave out, per dataset.
        announce: Called while data are prepared, see `Workspace`.
        alter: Changes datasets after they were opened, see `Workspace`.

    Raises:
        UsageError: A name or setting that does not exist, or a launcher or logger that is not installed.
        DataError: No source can be used, or a list of rows names others.
    """
    if not isinstance(sweep.targets, str):
        targets, roots = split_targets(sweep.targets, sweep.datasets, roots)
        sweep = sweep.model_copy(update={"targets": targets})
    if sweep.classes or sweep.drop:
        roots = roots.with_classes(sweep.classes, sweep.drop)
    check_loggers(options)
    launcher = launchers.get(options.launcher)(options)
    launcher.check_nodes(sweep.devices, sweep.nodes)
    crops = read_crops(sweep.crop, sweep.faces, datasets.names(), sweep.detector)
    workspace = Workspace(roots, leave_out=leave_out, crops=crops, announce=announce, alter=alter)
    runs, missing = plan_sweep(sweep, workspace, elsewhere=launcher.is_remote)
    sources = list(dict.fromkeys(run.config.dataset for run in runs))
    tested = list(dict.fromkeys(target for run in runs for target in run.config.targets))
    subsets = subsets_for_runs(sweep.rows, sources, tested, workspace)
    return PlannedSweep(tuple(runs), missing, workspace, launcher, tuple(subsets))


@dataclass(frozen=True)
class BadEnding:
    """A run that did not end well.

    Attributes:
        run: The run.
        folder: Its folder in the store.
        status: `failed`, `oom`, `diverged` and so on; `damaged` where its record cannot be read.
        message: Why.
    """

    run: PlannedRun
    folder: RunDir
    status: str
    message: str


@dataclass(frozen=True)
class SweepResult:
    """What a sweep led to.

    Attributes:
        planned: Its runs, in the order planned.
        records: Their records, in the same order; a run without a readable record is left out.
        bad_endings: Runs that did not end well this time.
        before_runs: CPU-seconds that this process had taken when the runs started.
    """

    planned: tuple[PlannedRun, ...]
    records: tuple[Record, ...]
    bad_endings: tuple[BadEnding, ...]
    before_runs: float = 0.0

    @property
    def all_done(self) -> bool:
        """Whether there are runs and all of them are done."""
        complete = len(self.records) == len(self.planned) > 0 and not self.bad_endings
        return complete and all(record.status == "done" for record in self.records)


def carry_out(
    sweep: PlannedSweep,
    store: Store,
    *,
    show: Show | None = None,
    strict: bool = False,
    force: bool = False,
) -> SweepResult:
    """Bring every run to its end; what is finished is never repeated.

    Args:
        sweep: The runs.
        store: Where runs are kept.
        show: Displays the runs that start.
        strict: Raise the error of a damaged target, instead of leaving that target out with the reason.
        force: Delete what is stored of these runs and start anew.

    Raises:
        UsageError: Another process works on a run that is to be deleted, a metric of another package cannot
            be used, or the store has a subset of the same name with other rows.
        DataError: With `strict`, a target is damaged.
        StoreError: The store cannot be written.
        KeyboardInterrupt: The user stopped it; the same call goes on where it was.
    """
    store.check_writable()
    metrics.registry()  # refuses those of other packages that cannot be used
    for subset in sweep.subsets:
        add_subset(store.root, subset)
    workspace = sweep.workspace
    planned = prepare_targets(sweep.runs, workspace, skip_damaged=not strict)
    folders = {run.key: run.folder(store) for run in planned}
    if force:
        for run in planned:
            if not folders[run.key].lock().acquire():
                raise UsageError(f"another process is working on {run.name}", file=folders[run.key].path)
            shutil.rmtree(folders[run.key].path, ignore_errors=True)
    to_do = [run for run in planned if not is_complete(run, store, workspace)]
    workspace.announce = None
    before_runs = cpu_seconds()
    endings: dict[str, tuple[str, str]] = {}
    display = show(to_do, len(planned) - len(to_do)) if show is not None else nullcontext()
    with display as on_event:

        def note(event: Event) -> None:
            if event.phase == "end" and event.status != "done":
                endings.setdefault(event.key, (event.status or "failed", event.message))
            if on_event is not None:
                on_event(event)

        sweep.launcher.run(to_do, store, workspace, note)
    if sweep.subsets:
        begun = {run.key for run in to_do}
        endings |= _score_finished([run for run in planned if run.key not in begun], store, folders)
    records: list[Record] = []
    for run in planned:
        try:
            record = folders[run.key].read_record()
        except StoreError as error:
            endings[run.key] = ("damaged", f"{error}; the same command does it again")
        else:
            records += [] if record is None else [record]
    bad = [BadEnding(run, folders[run.key], *endings[run.key]) for run in planned if run.key in endings]
    return SweepResult(tuple(planned), tuple(records), tuple(bad), before_runs)


def _score_finished(
    runs: Sequence[PlannedRun], store: Store, folders: Mapping[str, RunDir]
) -> dict[str, tuple[str, str]]:
    """Score finished runs on subsets that are new to the store; return how those ended that could not be."""
    found = {}
    for run in runs:
        scored = score_run(store, folders[run.key].path.relative_to(store.root).as_posix())
        if scored.state in ("failed", "busy"):
            found[run.key] = ("unscored", scored.problem or "another process works on it")
    return found
