"""What surrounds a run while it is on: log, heartbeat, signals, the hang watch and the progress file."""

from __future__ import annotations

import contextlib
import faulthandler
import json
import logging
import os
import signal
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from fer_bench.results.lock import STALE_AFTER
from fer_bench.results.record import Failure, Status
from fer_bench.results.store import RunDir

LOG_LINES = 30
"""Lines of a log that a record keeps of a run that did not end well."""
HANG_MARK = "Timeout ("
"""How the interpreter's own watch begins what it writes before it ends a process."""
ATTEMPT_MARK = "=== attempt of process "
"""How the line of a log begins with which an attempt starts."""
TIMED_OUT = 124
"""Exit code of a process that hung, as of the `timeout` command."""
PROGRESS_EVERY = 2.0
"""Seconds between two writings of the progress file at least."""


@dataclass(frozen=True)
class Event:
    """Something a watcher of a run wants to know.

    Attributes:
        key: The run.
        phase: `step` (within an epoch), `train` (an epoch is done), `evaluate` (a target is done), `end`;
            from launchers `wait` (another process works on it) and `tick` (time passes).
        done: Steps, epochs or targets done.
        total: In all.
        metrics: Figures of the epoch.
        status: How the run ended, in the phase `end`; `running` when another process works on it.
        message: Why, when it did not end well.
        rate: Images per second, in the phase `step`.
        memory: Most bytes of GPU memory so far, None on a CPU.
        seconds: How long the run was on, in the phase `end`, where it was not watched from its start.
    """

    key: str
    phase: str
    done: int = 0
    total: int = 0
    metrics: Mapping[str, float] | None = None
    status: Status | None = None
    message: str = ""
    rate: float | None = None
    memory: int | None = None
    seconds: float | None = None


Watch = Callable[[Event], None]


class Interrupted(BaseException):
    """Somebody asked the run to stop; its last whole epoch is on disk."""


class Progress:
    """Keep `progress.json` in a run's folder, so that others see how far it is.

    Args:
        file: The file.
    """

    def __init__(self, file: Path) -> None:
        self.file, self.content, self.written = file, dict[str, Any](), 0.0

    def __call__(self, event: Event) -> None:
        """Take note of an event; write when it is time."""
        about = "step" if event.phase == "step" else "phase"
        if about == "phase":
            self.content |= {"phase": event.phase, "done": event.done, "total": event.total}
            self.content["metrics"] = dict(event.metrics or {})
        else:
            self.content |= {"step": event.done, "steps": event.total}
            self.content |= {} if event.rate is None else {"rate": event.rate}
        if event.memory is not None:
            self.content["memory"] = event.memory
        if time.monotonic() - self.written >= PROGRESS_EVERY and event.phase != "end":
            self.written = time.monotonic()
            where = {"host": socket.gethostname(), "pid": os.getpid(), "updated": time.time()}
            with contextlib.suppress(OSError):  # nobody stops a run because its progress cannot be told
                temporary = self.file.with_name(f".{self.file.name}.{os.getpid()}.tmp")
                temporary.write_text(json.dumps({**self.content, **where}))
                temporary.replace(self.file)

    def close(self) -> None:
        """Take the file away."""
        with contextlib.suppress(OSError):
            self.file.unlink(missing_ok=True)


class HangWatch:
    """End this process when nothing has happened for too long.

    A thread does it, which can still say why. Where it cannot run, because what hangs keeps the interpreter
    to itself, the interpreter's own watch ends the process a little later. Either writes where every thread
    stands into the log.

    Args:
        timeout: Seconds.
        log: Where to write.
        hung: Called before the end, with a message.
    """

    def __init__(self, timeout: float, log: Path, hung: Callable[[str], None]) -> None:
        self.timeout, self.hung = timeout, hung
        self._file = log.open("a", encoding="utf-8")
        self._last = self._armed = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._arm()
        self._thread.start()

    def pat(self) -> None:
        """Say that something has happened."""
        self._last = time.monotonic()
        if self._last - self._armed > self.timeout / 20:
            self._arm()

    def close(self) -> None:
        """Watch no longer."""
        self._stop.set()
        faulthandler.cancel_dump_traceback_later()
        self._thread.join()
        self._file.close()

    def _arm(self) -> None:
        self._armed = time.monotonic()
        faulthandler.dump_traceback_later(1.1 * self.timeout + 2, exit=True, file=self._file)

    def _run(self) -> None:
        while not self._stop.wait(min(1.0, self.timeout / 5)):
            if time.monotonic() - self._last > self.timeout:
                message = f"no progress for {self.timeout:g} s, so the run was stopped"
                self._file.write(f"{message}; where it stood:\n")
                self._file.flush()
                faulthandler.dump_traceback(file=self._file)
                self.hung(message)
                os._exit(TIMED_OUT)


def log_tail(file: Path, lines: int = LOG_LINES, *, since: str | None = None) -> str:
    """Return the last lines of a log, at most 64 KiB of them; nothing when there is none.

    Args:
        file: The log.
        lines: How many at most.
        since: Return the first lines from the last place of this text instead, where the last attempt's
            part of the log has it.
    """
    try:
        with file.open("rb") as opened:
            opened.seek(max(0, file.stat().st_size - 65536))
            text = opened.read().decode("utf-8", "replace")
    except OSError:
        return ""
    attempt = text[max(0, text.rfind(ATTEMPT_MARK)) :]  # all of it where an attempt wrote more than that
    if since is not None and since in attempt:
        return "\n".join(attempt[attempt.rindex(since) :].splitlines()[:lines])
    return "\n".join(text.splitlines()[-lines:])


def record_death(run: RunDir, reason: str, status: Status = "failed") -> str:
    """Write into the record of a run whose process is gone that it failed; return the reason on record.

    A process that could still say why it ended has done so, and its word stands.

    Args:
        run: The run.
        reason: What is known from outside.
        status: How it ended.

    Raises:
        StoreError: The record cannot be read or written.
    """
    record = run.read_record()
    if record is None:
        return reason
    if record.status in ("running", "planned"):
        tail = log_tail(run.log_file, since=HANG_MARK)
        failure = Failure(kind="ProcessDied", message=reason, log=tail)
        run.write_record(record.model_copy(update={"status": status, "error": failure}))
        return reason
    return record.error.message if record.error is not None else reason


@contextlib.contextmanager
def heartbeat(beat: Callable[[], None]) -> Iterator[None]:
    """Call `beat` now and then while the block lasts."""
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
def log_to(run: RunDir) -> Iterator[None]:
    """Send log records and warnings of this run to its `log.txt`, and Lightning's chatter nowhere else."""
    run.path.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(OSError), run.log_file.open("a", encoding="utf-8") as log_file:
        when = time.strftime("%Y-%m-%d %H:%M:%S")
        log_file.write(f"{ATTEMPT_MARK}{os.getpid()} on {socket.gethostname()}, {when}\n")
    handler = logging.FileHandler(run.log_file, encoding="utf-8")
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
def stop_signals() -> Iterator[None]:
    """Turn SIGTERM, SIGINT and SIGHUP into `Interrupted` while a run is on, where we are the main thread.

    The first one counts. Those that follow it (Ctrl-C reaches every process, and then the launcher asks as
    well) would break off the writing of the record. Whoever ignores SIGHUP, as under nohup, goes on doing so.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        caught.append(signal.SIGHUP)

    def stop(number: int, frame: FrameType | None) -> None:
        for other in caught:
            signal.signal(other, signal.SIG_IGN)
        raise Interrupted(signal.Signals(number).name)

    before = {number: signal.signal(number, stop) for number in caught}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
