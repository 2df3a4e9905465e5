"""Watch over a run: its log, its heartbeat, a timer against hangs, and the record of a lost process."""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

from fer_bench.errors import StoreError, without_escape_codes
from fer_bench.results.lock import STALE_AFTER
from fer_bench.results.record import Failure, Status
from fer_bench.results.store import RunDir
from fer_bench.runs.processes import NO_PROGRESS, TIMED_OUT

LOG_LINES = 30
"""Lines of the log that the record of a run keeps unless it ended well."""
STACK_LINES = 120
"""Lines that it keeps of the stacks of a run that hung: the main thread's come after those of all others, of
which libraries such as loggers start several."""
HANG_MARK = "Timeout ("
"""Beginning of what the interpreter's own timer writes before it ends a process."""
ATTEMPT_MARK = "=== attempt of process "
"""Beginning of the line of a log with which an attempt starts."""


class HangTimer:
    """End this process when it makes no progress for too long.

    A thread does so, which can still put the reason on record. Where it cannot run, because the code that
    hangs holds the interpreter's lock, the interpreter's own timer ends the process a little later. Both
    write the stack of every thread into the log.

    Args:
        timeout: Seconds.
        log: The log.
        on_hang: Called with the reason before the process ends.
    """

    def __init__(self, timeout: float, log: Path, on_hang: Callable[[str], None]) -> None:
        self.timeout, self.on_hang = timeout, on_hang
        self._file = log.open("a", encoding="utf-8")
        self._last = self._armed = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._arm()
        self._thread.start()

    def reset(self) -> None:
        """Start again: there is progress."""
        self._last = time.monotonic()
        if self._last - self._armed > self.timeout / 20:
            self._arm()

    def close(self) -> None:
        """Stop the timer."""
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
                self._file.write(f"{message}; the stack of every thread:\n")
                self._file.flush()
                faulthandler.dump_traceback(file=self._file)
                self.on_hang(message)
                os._exit(TIMED_OUT)


def log_tail(file: Path, lines: int = LOG_LINES, *, since: str | None = None) -> str:
    """Return the last lines of a log, at most 64 KiB of them, without colours; nothing without a log.

    Args:
        file: The log.
        lines: Number of lines, at most.
        since: If the last attempt wrote this text, return `STACK_LINES` from its last occurrence on instead.
    """
    try:
        with file.open("rb") as opened:
            opened.seek(max(0, file.stat().st_size - 65536))
            text = without_escape_codes(opened.read().decode("utf-8", "replace"))
    except OSError:
        return ""
    attempt = text[max(0, text.rfind(ATTEMPT_MARK)) :]  # all of it where an attempt wrote more than that
    if since is not None and since in attempt:
        return "\n".join(attempt[attempt.rindex(since) :].splitlines()[:STACK_LINES])
    return "\n".join(text.splitlines()[-lines:])


def record_lost_run(run: RunDir, reason: str, status: Status = "failed") -> str:
    """Record that the process of a run is gone, unless it could do so itself; return the reason on record.

    Where the log says that the interpreter's own timer ended a hanging process, that is the reason. A record
    that cannot be read or written is left alone.

    Args:
        run: The run.
        reason: What is known from outside.
        status: How it ended.
    """
    tail = log_tail(run.log_file, since=HANG_MARK)
    if status == "failed" and tail.startswith(HANG_MARK):
        reason = NO_PROGRESS
    with contextlib.suppress(StoreError):
        record = run.read_record()
        if record is not None and record.status in ("running", "planned"):
            failure = Failure(kind="ProcessDied", message=reason, log=tail)
            run.write_record(record.model_copy(update={"status": status, "error": failure}))
        elif record is not None and record.error is not None:
            return record.error.message
    return reason


@contextlib.contextmanager
def heartbeat(beat: Callable[[], None]) -> Iterator[None]:
    """Call `beat` regularly while the block lasts."""
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
def claimed(run: RunDir, what: str) -> Iterator[None]:
    """Hold a run's lock, with its heartbeat, while the block lasts.

    Args:
        run: The run's folder.
        what: What the folder holds, for the message: `run` or `model`.

    Raises:
        StoreError: Another process holds it.
    """
    lock = run.lock()
    if not lock.acquire():
        raise StoreError(f"another process is working on this {what}", file=run.path)
    try:
        with heartbeat(lock.beat):
            yield
    finally:
        lock.release()


@contextlib.contextmanager
def log_to(run: RunDir) -> Iterator[None]:
    """Send log records and warnings, Lightning's included, to the run's `log.txt` alone."""
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
