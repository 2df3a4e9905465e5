"""One run from start to record: train or resume, test on every target, score, and say how it ended."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import yaml

from fer_bench import methods
from fer_bench.config import RunOptions
from fer_bench.datasets import members_of
from fer_bench.errors import FerBenchError, StoreError
from fer_bench.evaluation.subsets import score_subsets
from fer_bench.files import write_json, write_text
from fer_bench.results.record import Failure, Record, Selection, Status
from fer_bench.results.store import RunDir, Store
from fer_bench.runs import environment
from fer_bench.runs.before import score_start
from fer_bench.runs.completeness import stale_targets, still_missing
from fer_bench.runs.distributed import Group
from fer_bench.runs.events import Event, OnEvent, ProgressFile
from fer_bench.runs.facts import describe_checkpoints
from fer_bench.runs.failures import fail_before_start, reason_of
from fer_bench.runs.follow import open_group
from fer_bench.runs.keys import method_packages
from fer_bench.runs.plan import PlannedRun
from fer_bench.runs.processes import configure_torch, peak_memory, stop_signals
from fer_bench.runs.records import (
    first_record,
    label_warnings,
    leak_warnings,
    loss_warnings,
    pretraining,
    run_warnings,
    with_target_warnings,
)
from fer_bench.runs.resolve import method_settings
from fer_bench.runs.spent import SpentClock
from fer_bench.runs.supervision import HangTimer, heartbeat, log_tail, log_to
from fer_bench.runs.testing import Tester
from fer_bench.runs.training.loggers import Loggers
from fer_bench.workspace.workspace import Workspace


class Busy(FerBenchError):  # noqa: N818 - it is a state, not a fault
    """Another process is working on the run."""


def execute(
    planned: PlannedRun,
    store: Store,
    workspace: Workspace,
    on_event: OnEvent | None = None,
    options: RunOptions | None = None,
) -> Record:
    """Bring a run to its end, doing only what is missing, and return its record.

    A finished run is never trained again: only targets without current predictions are evaluated. A run
    that was killed resumes after the last epoch it wrote. However it ends, the record says so.

    Args:
        planned: The run.
        store: Where it is kept.
        workspace: Datasets and packs.
        on_event: Called on every event.
        options: Loggers and the hang timer. A run that hangs ends this process with exit code 124.

    Raises:
        Busy: Another live process holds the run.
        StoreError: The store cannot be written.
        Interrupted: After the record says `interrupted`.
    """
    run = planned.folder(store)
    lock = run.lock()
    if not lock.acquire():
        raise Busy(f"another process is working on {planned.name}", file=run.path)
    options = options or RunOptions()
    progress = ProgressFile(run.progress_file)
    timer: HangTimer | None = None
    announce = workspace.announce

    def tick(*_: object) -> None:
        if timer is not None:
            timer.reset()

    def report(event: Event) -> None:
        tick()
        progress.update(event)
        if on_event is not None:
            on_event(event)

    def record_hang(message: str) -> None:
        with contextlib.suppress(StoreError):
            if (record := run.read_record()) is not None and record.status != "done":
                failure = Failure(kind="Timeout", message=message, log=log_tail(run.log_file, since=message))
                run.write_record(record.model_copy(update={"status": "failed", "error": failure}))
        progress.remove()
        lock.release()
        if on_event is not None:
            on_event(Event(planned.key, "end", status="failed", message=message))

    try:
        with heartbeat(lock.beat), log_to(run), stop_signals():
            run.remove_leftovers()
            if options.timeout is not None:
                timer = HangTimer(options.timeout, run.log_file, record_hang)
                workspace.announce = tick
            try:
                execution = _Execution(planned, store, workspace, run, report, options, tick)
                record = execution.begin()
            except Exception as error:
                record = fail_before_start(planned, run, error)
                message = str(error) if record.error is None else record.error.message
                report(Event(planned.key, "end", status=record.status, message=message))
                return record
            return execution.go(record)
    finally:
        workspace.announce = announce
        if timer is not None:
            timer.close()
        progress.remove()
        lock.release()


class _Execution:
    """The state of one call of `execute`."""

    def __init__(
        self,
        planned: PlannedRun,
        store: Store,
        workspace: Workspace,
        run: RunDir,
        on_event: OnEvent,
        options: RunOptions,
        tick: Callable[[], None],
    ) -> None:
        self.started, self.clock = time.perf_counter(), SpentClock()
        self.planned, self.config, self.store = planned, planned.config, store
        self.workspace, self.run, self.on_event = workspace, run, on_event
        self.source = workspace.source(planned.config.dataset)
        self.timing: dict[str, float] = {}
        self.tick = tick
        self.loggers = Loggers(planned, run, options, on_event)
        self.group: Group | None = None

    def begin(self) -> Record:
        """Return the record of an earlier attempt that is done, else write a fresh one."""
        configure_torch(self.config)
        damage: list[str] = []
        try:
            record = self.run.read_record()
        except StoreError as error:
            record = None
            why = "the record of an earlier attempt was damaged, so the run was done again"
            damage.append(f"{why}: {error.message}")
        if record is None or record.status != "done":
            record = self._fresh_record(damage)
        return record

    def go(self, record: Record) -> Record:
        """Run and turn every way to end into a record."""
        try:
            if record.status != "done":
                with (
                    open_group(self.planned, self.workspace, self.run.checkpoints) as self.group,
                    self.loggers,
                ):
                    record = self._evaluate(self._train(record), stale=None)
                    self.loggers.scores(record)
                if self.loggers.failures:
                    record = self.loggers.noted(record)
                    self.run.write_record(record)
            elif stale := stale_targets(self.planned, record, self.run, self.workspace):
                with open_group(self.planned, self.workspace, self.run.checkpoints) as self.group:
                    record = self._evaluate(record, stale=stale)
            elif (missing := still_missing(self.planned, record.targets, record.missing)) != record.missing:
                record = record.model_copy(update={"missing": missing})
                self.run.write_record(record)
            self._remove_spent_checkpoints(record)  # only now: a run killed earlier resumes from them
        except BaseException as error:
            failed = self._fail(record, error)
            if isinstance(error, Exception):
                return failed
            raise
        self._report_end(record.status)
        return record

    def _report_end(self, status: Status, message: str = "") -> None:
        warnings = self.loggers.failures
        self.on_event(Event(self.planned.key, "end", status=status, message=message, warnings=warnings))

    def _fresh_record(self, warnings: list[str]) -> Record:
        config = self.config
        self.run.path.mkdir(parents=True, exist_ok=True)
        settings = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
        write_text(self.run.path / "config.yaml", settings)
        system = environment.describe()
        leaks = self.workspace.once(
            ("leaks", config.dataset, config.protocol), partial(leak_warnings, self.source, config.protocol)
        )
        if packages := method_packages(config.method):
            system["method_packages"] = packages
        write_json(self.run.path / "env.json", system)
        record = first_record(self.planned, system).model_copy(
            update={
                "generator": self.source.generator,
                "excluded": self.workspace.excluded(members_of(config.dataset)),
                "class_map": self.workspace.class_map(members_of(config.dataset)),
                "pretrained": pretraining(self.planned),
                "warnings": (*warnings, *leaks, *run_warnings(config, self.workspace)),
            }
        )
        self.run.write_record(record)
        return record

    def _train(self, record: Record) -> Record:
        from fer_bench.methods.size import count_parameters, multiply_adds
        from fer_bench.runs.training.checkpoints import LAST_STATE, remove_damaged
        from fer_bench.runs.training.fit import build_data, build_method, fit

        config = self.config
        kind = methods.get(config.method)
        settings = method_settings(self.config)
        data = build_data(config, self.workspace)
        task = data.task
        given: list[str] = []
        method = build_method(config, task, given.append)
        record = record.model_copy(
            update={
                "adapted": kind.adaptation(task, settings),
                "parameters": count_parameters(method),
                "multiply_adds": multiply_adds(method),
                "rows": {
                    **{role: len(data.rows(role)) for role in ("train", "val", "test")},
                    **({"unlabelled": task.unlabelled} if task.unlabelled else {}),
                },
                "warnings": (
                    *record.warnings,
                    *label_warnings(config.train.label_fraction, task, data.hidden),
                    *given,
                ),
            }
        )
        if (damage := remove_damaged(self.run.checkpoints / LAST_STATE)) is not None:
            record = record.model_copy(update={"warnings": (*record.warnings, damage)})
        self.run.write_record(record)

        key = self.planned.key

        def on_epoch(done: int, total: int, metrics: Mapping[str, float]) -> None:
            self.loggers.epoch(done - 1, metrics)
            self.on_event(Event(key, "train", done, total, metrics, memory=peak_memory(config.device)))

        def on_step(done: int, total: int, rate: float | None) -> None:
            self.on_event(Event(key, "step", done, total, rate=rate, memory=peak_memory(config.device)))

        self.clock.lap("start")
        result = fit(
            method,
            data,
            config,
            self.run.checkpoints,
            on_epoch=on_epoch,
            on_step=on_step,
            group=self.group,
            frozen=self.store.frozen,
            clock=self.clock,
            peek=self._peek if config.track_peek else None,
        )
        self.clock.lap("train")
        self.timing["train"] = round(result.seconds, 3)
        idle = loss_warnings(self.run.history_file)
        return record.model_copy(
            update={"selection": result.selection, "warnings": (*record.warnings, *idle)}
        )

    def _peek(self, weights: Path) -> float:
        """Return the UAR of weights on the test rows of the source, averaged over the members of a union."""
        found = [self.tester.peek(weights, member) for member in members_of(self.config.dataset)]
        return float(np.mean(found))

    @cached_property
    def tester(self) -> Tester:
        """What tests the checkpoints of the run."""
        return Tester(self.planned, self.store, self.workspace, self.run, tick=self.tick, clock=self.clock)

    def _evaluate(self, record: Record, *, stale: set[str] | None) -> Record:
        """Predict, score, and write the record as `done`; only the stale targets where they are given."""
        started = time.perf_counter()
        headline = record.headline
        own = members_of(self.config.dataset)
        jobs: list[tuple[str, Selection]] = [(member, headline) for member in own]
        others: list[Selection] = ["last", "val_abaw", "peek"] if headline != "last" else ["peek"]
        others = [name for name in others if name in record.selection and stale is None]
        jobs += [(member, name) for name in others for member in own]
        if headline == "val" and stale is None:
            jobs.append(("val", "val"))
        jobs += [(target, headline) for target in self.config.targets]
        scores = {(s.target, s.selection): s for s in record.scores}
        data, excluded = dict(record.targets), dict(record.excluded)
        for number, (target, selection) in enumerate(jobs, start=1):
            if stale is not None and target not in stale:
                continue
            score, described = self.tester.test(record, target, selection, self.group)
            data[target] = described
            excluded.pop(target, None)
            excluded |= self.workspace.excluded((target,))
            if score is not None:
                scores[target, selection] = score
            self.on_event(Event(self.planned.key, "evaluate", number, len(jobs)))
        self.timing |= self.clock.timing()
        self.timing["evaluate"] = round(time.perf_counter() - started, 3)
        self.timing["finished_at"] = round(time.time(), 3)
        self.timing["attempt"] = round(time.perf_counter() - self.started, 3)
        data.pop("val", None)
        record = record.model_copy(
            update={
                "status": "done",
                "scores": tuple(scores[name] for name in sorted(scores)),
                "targets": dict(sorted(data.items())),
                "warnings": with_target_warnings(record, data),
                "missing": still_missing(self.planned, data, record.missing),
                "excluded": dict(sorted(excluded.items())),
                "class_map": record.class_map | self.workspace.class_map(data),
                "timing": {**record.timing, **self.timing},
                "error": None,
            }
        )
        update: dict[str, object] = {"subsets": score_subsets(self.store, record)}
        if stale is None:
            update["start"] = score_start(
                self.planned, record, self.run, self.workspace, targets=own, tick=self.tick
            )
        record = record.model_copy(update=update)
        describe_checkpoints(self.run, record, self.workspace)  # before the run counts as done
        self.run.write_record(record)
        return record

    def _remove_spent_checkpoints(self, record: Record) -> None:
        """Delete the checkpoints that a finished run no longer needs, also those of a killed attempt."""
        if not self.config.keep_checkpoints:
            spent = (f"{name}.pt" for name in record.selection if name != record.headline)
            for file in ("last.ckpt", *spent):
                (self.run.checkpoints / file).unlink(missing_ok=True)

    def _fail(self, record: Record, error: BaseException) -> Record:
        """Put on record how and why a run did not end well; return that record."""
        status, failure = reason_of(error, self.planned, self.run)
        failed = self.loggers.noted(record).model_copy(
            update={"status": status, "error": failure, "timing": {**record.timing, **self.timing}}
        )
        if record.status == "done":  # a finished run stays finished, whatever a further target does to us
            reason = failure.reason
            unscored = {t: reason for t in self.config.targets if t not in record.targets}
            failed = record.model_copy(
                update={"missing": dict(sorted({**record.missing, **unscored}.items()))}
            )
        with contextlib.suppress(StoreError):
            # Where locks do not hold, another process may have finished the run meanwhile.
            stored = self.run.read_record() if record.status != "done" else None
            if stored is None or stored.status != "done":
                self.run.write_record(failed)
        self._report_end(status, failure.message)
        return failed
