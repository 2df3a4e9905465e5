"""One run from start to record: train or resume, test on every target, score, and say how it ended."""

from __future__ import annotations

import contextlib
import logging
import shutil
import signal
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Any

import numpy as np
import yaml

from fer_bench import methods
from fer_bench.config import build
from fer_bench.data.protocols import find_protocol, folds_of, target_rows
from fer_bench.emotions import Emotion
from fer_bench.errors import DivergedError, FerBenchError, StoreError
from fer_bench.files import write_json, write_text
from fer_bench.runs import environment
from fer_bench.runs.plan import PlannedRun, Workspace
from fer_bench.runs.predictions import Predictions, PredictionsMeta, read_predictions, write_predictions
from fer_bench.runs.record import Chosen, Failure, Record, Score, Selection, Status, TargetData
from fer_bench.runs.store import STALE_AFTER, RunDir, Store, kept_attributes
from fer_bench.sources import Source
from fer_bench.unions import member_names

TRACEBACK_LINES = 30


@dataclass(frozen=True)
class Event:
    """Something a watcher of a run wants to know.

    Attributes:
        key: The run.
        phase: `train`, `evaluate` or `end`.
        done: Steps done in this phase.
        total: Steps in all.
        metrics: Figures of the step.
        status: How the run ended, in the phase `end`.
        message: Why, when it did not end well.
    """

    key: str
    phase: str
    done: int = 0
    total: int = 0
    metrics: Mapping[str, float] | None = None
    status: Status | None = None
    message: str = ""


Watch = Callable[[Event], None]


class Interrupted(BaseException):
    """Somebody asked the run to stop; its last whole epoch is on disk."""


class Busy(FerBenchError):  # noqa: N818 - it is a state, no fault
    """Another process is working on the run."""


def is_complete(planned: PlannedRun, store: Store, workspace: Workspace) -> bool:
    """Return whether a run is done and has current predictions on everything it was asked for."""
    run = store.run_dir(planned.config.method, planned.config.dataset, planned.key)
    try:
        record = run.read_record()
    except StoreError:
        return False
    if record is None or record.status != "done":
        return False
    if _still_missing(planned, record) != record.missing:
        return False
    return not _stale_targets(planned, record, run, workspace)


def execute(planned: PlannedRun, store: Store, workspace: Workspace, watch: Watch | None = None) -> Record:
    """Bring a run to its end, doing only what is missing, and return its record.

    A finished run is never trained again: only targets without current predictions are evaluated. A run
    that was killed resumes at its last whole epoch. However it ends, the record says so.

    Args:
        planned: The run.
        store: Where it is kept.
        workspace: Datasets and packs.
        watch: Called on every event.

    Raises:
        Busy: Another live process holds the run.
        StoreError: The store cannot be written.
        Interrupted: After the record says `interrupted`.
    """
    run = store.run_dir(planned.config.method, planned.config.dataset, planned.key)
    lock = run.lock()
    if not lock.acquire():
        raise Busy(f"another process is working on {planned.name}", file=run.path)
    tell = watch or (lambda event: None)
    try:
        with _heartbeat(lock.beat), _log_to(run), _stop_signals():
            return _Execution(planned, store, workspace, run, tell).go()
    finally:
        lock.release()


class _Execution:
    """The state of one call of `execute`."""

    def __init__(
        self, planned: PlannedRun, store: Store, workspace: Workspace, run: RunDir, watch: Watch
    ) -> None:
        self.planned, self.config, self.store = planned, planned.config, store
        self.workspace, self.run, self.watch = workspace, run, watch
        self.source = workspace.source(planned.config.dataset)
        self.card = self.source.dataset.card
        self.protocol = find_protocol(self.card, planned.config.protocol)
        self.timing: dict[str, float] = {}

    def go(self) -> Record:
        """Run and turn every way to end into a record."""
        damage: list[str] = []
        try:
            record = self.run.read_record()
        except StoreError as error:
            record = None
            damage.append(
                f"the record of an earlier attempt was damaged, so the run was done again: {error.message}"
            )
        if record is None or record.status != "done":
            record = self._fresh_record(damage)
        try:
            if record.status != "done":
                record = self._evaluate(self._train(record), stale=None)
            elif stale := _stale_targets(self.planned, record, self.run, self.workspace):
                record = self._evaluate(record, stale=stale)
            elif (missing := _still_missing(self.planned, record)) != record.missing:
                record = record.model_copy(update={"missing": missing})
                self.run.write_record(record)
        except BaseException as error:
            self._fail(record, error)
            if isinstance(error, Exception):
                return self._reread()
            raise
        self.watch(Event(self.planned.key, "end", status=record.status))
        return record

    def _fresh_record(self, warnings: list[str]) -> Record:
        config = self.config
        self.run.path.mkdir(parents=True, exist_ok=True)
        write_text(
            self.run.path / "config.yaml", yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
        )
        surroundings = environment.describe()
        write_json(self.run.path / "env.json", surroundings)
        record = Record(
            status="running",
            key=self.planned.key,
            method=config.method,
            dataset=config.dataset,
            protocol=config.protocol,
            fold=config.fold,
            folds=len(folds_of(self.protocol)),
            seed=config.seed,
            profile=config.profile,
            data_kind=self.source.kind,
            generator=self.source.generator,
            classes=tuple(e.value for e in self.protocol.label_set),
            settings={
                "method": config.method_settings,
                "train": config.train.model_dump(mode="json"),
                "precision": config.precision,
                "device": config.device,
            },
            key_fields=self.planned.key_fields,
            environment=surroundings,
            warnings=(*warnings, *self._warnings()),
        )
        self.run.write_record(record)
        return record

    def _warnings(self) -> Iterator[str]:
        dataset = self.source.dataset
        # What a reader says of the official download (so many of 480 sequences) is no news about drawn data.
        notes = dataset.notes if self.source.kind == "real" else dataset.left_out
        yield from (f"{self.card.name}: {note}" for note in notes)
        yield from methods.get(self.config.method).caveats(self._settings())

    def _train(self, record: Record) -> Record:
        from fer_bench.methods.base import count_parameters, multiply_adds
        from fer_bench.runs.train import build_method, fit, weights_hash

        config = self.config
        kind = methods.get(config.method)
        settings = self._settings()
        self.workspace.pack(config.dataset, kind.input_spec(settings).size)
        data = self.source.dataset.datamodule(
            spec=kind.input_spec(settings),
            protocol=config.protocol,
            fold=config.fold,
            seed=config.seed,
            batch_size=config.train.batch_size,
            epoch_rows=config.train.epoch_rows,
            augmentation=config.train.augmentation,
            with_reference=kind.needs_reference,
            with_unlabelled=kind.uses_unlabelled and config.train.unlabelled,
            with_strong=kind.needs_strong,
            label_fraction=config.train.label_fraction,
        )
        task = data.task
        method = build_method(config, task)
        record = record.model_copy(
            update={
                "adapted": kind.adaptation(task),
                "parameters": count_parameters(method),
                "multiply_adds": multiply_adds(method),
                "rows": {
                    **{role: len(data.rows(role)) for role in ("train", "val", "test")},
                    **({"unlabelled": task.unlabelled} if task.unlabelled else {}),
                },
            }
        )
        self.run.write_record(record)

        def on_epoch(done: int, total: int, metrics: Mapping[str, float]) -> None:
            self.watch(Event(self.planned.key, "train", done, total, metrics))

        outcome = fit(method, data, config, self.run.checkpoints, on_epoch=on_epoch)
        chosen: dict[str, Chosen] = {}
        if outcome.best_epoch is not None:
            best = weights_hash(self.run.checkpoints / "val.pt")
            chosen["val"] = Chosen(epoch=outcome.best_epoch, val_uar=outcome.best_uar, checkpoint=best)
        final = weights_hash(self.run.checkpoints / "last.pt")
        chosen["last"] = Chosen(epoch=outcome.last_epoch, val_uar=outcome.last_uar, checkpoint=final)
        self.timing["train"] = round(outcome.seconds, 3)
        return record.model_copy(update={"selection": chosen})

    def _evaluate(self, record: Record, *, stale: set[str] | None) -> Record:
        """Predict, score, and write the record as `done`; only the stale targets where they are given."""
        from fer_bench.runs.train import load_weights

        started = time.perf_counter()
        headline = record.headline
        loaded: dict[str, Any] = {}
        own = member_names(self.config.dataset)
        jobs: list[tuple[str, Selection]] = [(member, headline) for member in own]
        if headline != "last" and stale is None:
            jobs += [(member, "last") for member in own]
        if headline == "val" and stale is None:
            jobs.append(("val", "val"))
        jobs += [(target, headline) for target in self.config.targets]
        scores = {(s.target, s.selection): s for s in record.scores}
        data = dict(record.targets)
        for number, (target, selection) in enumerate(jobs, start=1):
            if stale is not None and target not in stale:
                continue
            if selection not in loaded:
                loaded[selection] = load_weights(self.run.checkpoints / f"{selection}.pt")
            score, described = self._test(loaded[selection], record, target, selection)
            data[target] = described
            if score is not None:
                scores[target, selection] = score
            self.watch(Event(self.planned.key, "evaluate", number, len(jobs)))
        self.timing["evaluate"] = round(time.perf_counter() - started, 3)
        self.timing["finished_at"] = round(time.time(), 3)
        data.pop("val", None)
        record = record.model_copy(
            update={
                "status": "done",
                "scores": tuple(scores[name] for name in sorted(scores)),
                "targets": dict(sorted(data.items())),
                "missing": _still_missing(self.planned, record, data),
                "timing": {**record.timing, **self.timing},
                "error": None,
            }
        )
        self.run.write_record(record)
        if not self.config.keep_checkpoints:  # only now: a run killed earlier resumes from them
            for name in ("last.ckpt", "last.pt") if headline == "val" else ("last.ckpt",):
                (self.run.checkpoints / name).unlink(missing_ok=True)
        return record

    def _test(
        self, method: Any, record: Record, target: str, selection: Selection
    ) -> tuple[Score | None, TargetData]:
        from fer_bench.evaluation.transfer import score_predictions
        from fer_bench.runs.evaluate import predict

        name = self.config.dataset if target == "val" else target
        in_domain = name == self.config.dataset or name in member_names(self.config.dataset)
        source = self.workspace.source(name)
        spec = method.input_spec(method.settings)
        pack = self.workspace.pack(name, spec.size)
        rows, protocol = self._rows(source, target, in_domain, with_affect=method.predicts_affect)
        frame = predict(method, source.dataset, pack, rows, device=self.config.device)
        described = TargetData(
            fingerprint=pack.fingerprint,
            pixels=pack.pixel_hash,
            recipe=pack.recipe.text,
            card_version=source.dataset.card.version,
            protocol=protocol,
            faces_weak=round(pack.weak_share, 4),
        )
        meta = PredictionsMeta(
            key=self.planned.key,
            method=self.config.method,
            source=self.config.dataset,
            target=target,
            selection=selection,
            checkpoint=record.selection[selection].checkpoint,
            card_version=described.card_version,
            fingerprint=described.fingerprint,
            pixels=described.pixels,
            recipe=described.recipe,
            classes=record.classes,
        )
        predictions = Predictions(frame, meta)
        write_predictions(self.run.predictions_file(target, selection), predictions)
        self.store.keep_index(pack.fingerprint, source.dataset.index)
        if target == "val":
            return None, described
        score = score_predictions(
            predictions,
            source_label_set=tuple(Emotion(name) for name in record.classes),
            target=target,
            target_emotions=source.dataset.card.emotions,
            in_domain=in_domain,
            index=kept_attributes(source.dataset.index),
        )
        return score.model_copy(update={"selection": selection}), described

    def _rows(
        self, source: Source, target: str, in_domain: bool, *, with_affect: bool
    ) -> tuple[np.ndarray[Any, Any], str]:
        """Return the index rows that are predicted, and the protocol they come from.

        A method that predicts valence, arousal or action units is also tested on the test rows that have
        these alone.
        """
        from fer_bench.data.union_module import UnionDataModule

        dataset = source.dataset
        if in_domain:
            data = self.source.dataset.datamodule(
                spec=methods.get(self.config.method).input_spec(self._settings()),
                protocol=self.config.protocol,
                fold=self.config.fold,
            )
            if isinstance(data, UnionDataModule) and target != "val":
                return data.member_rows(target, "test"), data.member_protocol(target).name
            if with_affect and target != "val":
                return np.flatnonzero(data.roles == "test"), self.config.protocol
            return data.rows("val" if target == "val" else "test"), self.config.protocol
        protocol = find_protocol(dataset.card, None, quick=self.config.profile == "quick")
        return np.flatnonzero(target_rows(dataset.index, dataset.card, protocol)), protocol.name

    def _settings(self) -> Any:
        return build(methods.get(self.config.method).settings_type, self.config.method_settings, "settings")

    def _fail(self, record: Record, error: BaseException) -> None:
        status, kind = _status_of(error)
        tail = "".join(traceback.format_exception(error)).splitlines()[-TRACEBACK_LINES:]
        message = str(error) or kind
        if status == "oom":
            message = f"out of memory at batch size {self.config.train.batch_size}: {message}"
        failed = record.model_copy(
            update={
                "status": status,
                "error": Failure(kind=kind, message=message, traceback="\n".join(tail)),
                "timing": {**record.timing, **self.timing},
            }
        )
        logging.getLogger("fer_bench").error("%s: %s", kind, message)
        if record.status == "done":  # a finished run stays finished, whatever a further target does to us
            unscored = {t: f"{kind}: {message}" for t in self.config.targets if t not in record.targets}
            failed = record.model_copy(
                update={"missing": dict(sorted({**record.missing, **unscored}.items()))}
            )
        with contextlib.suppress(StoreError):
            self.run.write_record(failed)
        self.watch(Event(self.planned.key, "end", status=status, message=message))
        self._failed = failed

    def _reread(self) -> Record:
        return self._failed


def _stale_targets(planned: PlannedRun, record: Record, run: RunDir, workspace: Workspace) -> set[str]:
    """Return which of the asked-for targets lack predictions that fit the checkpoint and today's data."""
    from fer_bench.runs.plan import recipe_text

    headline = record.headline
    kind = methods.get(planned.config.method)
    settings = build(kind.settings_type, planned.config.method_settings, "settings")
    spec = kind.input_spec(settings)
    stale: set[str] = set()
    for target in (*member_names(planned.config.dataset), *planned.config.targets):
        path = run.predictions_file(target, headline)
        known = record.targets.get(target)
        if known is None or not path.exists():
            stale.add(target)
            continue
        source = workspace.source(target)
        if known.recipe != recipe_text(source, spec) or known.card_version != source.dataset.card.version:
            stale.add(target)
            continue
        pack = workspace.pack(target, spec.size)
        if (known.fingerprint, known.pixels) != (pack.fingerprint, pack.pixel_hash):
            stale.add(target)
            continue
        try:
            meta = read_predictions(path).meta
        except StoreError:
            stale.add(target)
            continue
        if meta.checkpoint != record.selection[headline].checkpoint:
            stale.add(target)
    return stale


def _still_missing(
    planned: PlannedRun, record: Record, evaluated: Mapping[str, TargetData] | None = None
) -> dict[str, str]:
    """Return the absent targets: those known before and those met now, less those that were evaluated."""
    there = {*(record.targets if evaluated is None else evaluated), *planned.config.targets}
    known = {**record.missing, **planned.missing}
    return {target: known[target] for target in sorted(known) if target not in there}


def _status_of(error: BaseException) -> tuple[Status, str]:
    name = type(error).__name__
    if isinstance(error, DivergedError):
        return "diverged", name
    if isinstance(error, Interrupted | KeyboardInterrupt):
        return "interrupted", name
    if name == "OutOfMemoryError" or isinstance(error, MemoryError):
        return "oom", name
    return "failed", name


@contextlib.contextmanager
def _heartbeat(beat: Callable[[], None]) -> Iterator[None]:
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(STALE_AFTER / 6):
            with contextlib.suppress(OSError):
                beat()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextlib.contextmanager
def _log_to(run: RunDir) -> Iterator[None]:
    """Send log records and warnings of this run to its `log.txt`, and Lightning's chatter nowhere else."""
    run.path.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(run.path / "log.txt", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    loggers = [
        logging.getLogger(name)
        for name in ("fer_bench", "lightning.pytorch", "lightning.fabric", "py.warnings")
    ]
    before = [(log.handlers[:], log.propagate, log.level) for log in loggers]
    for log in loggers:
        log.handlers, log.propagate = [handler], False
        log.setLevel(logging.INFO)
    logging.captureWarnings(True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            yield
    finally:
        logging.captureWarnings(False)
        for log, (handlers, propagate, level) in zip(loggers, before, strict=True):
            log.handlers, log.propagate = handlers, propagate
            log.setLevel(level)
        handler.close()


@contextlib.contextmanager
def _stop_signals() -> Iterator[None]:
    """Turn SIGTERM and SIGINT into `Interrupted` while a run is on, where we are the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise Interrupted(signal.Signals(number).name)

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def discard(run: RunDir) -> None:
    """Delete a run, so that it starts from nothing."""
    shutil.rmtree(run.path, ignore_errors=True)
