"""Set up processes that work on runs: signals, output, threads and precision; explain how they exited."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from fer_bench import allocator, arithmetic
from fer_bench.config import RunConfig
from fer_bench.errors import UsageError

TIMED_OUT, STOPPED = 124, 130
"""Exit codes of a process that made no progress (the code of `timeout`) and of one that was stopped."""
NO_PROGRESS = "no progress for too long, so the run was stopped"


class Interrupted(BaseException):
    """The run was asked to stop; the last epoch that it wrote is on disk."""


def configure_torch(config: RunConfig) -> None:
    """Make this process compute as a run asks.

    On a CPU with one thread, so that sums have one order, and portably if so wanted; on a GPU in float32 or
    TF32. Freed memory stays with the process, see `allocator`.

    Raises:
        UsageError: The run is portable, and this process has computed in another way already.
    """
    import torch

    allocator.keep_memory()
    if config.device == "cpu":
        torch.set_num_threads(1)
        if not arithmetic.use(portable=config.portable):
            raise UsageError(
                "the run wants portable arithmetic, and this process or machine computes in another way",
                value={name: value for name, value in arithmetic.describe().items() if name != "digest"},
                hint="a fresh process, as the local launcher starts; or --no-portable",
            )
    else:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = config.tf32


def peak_memory(device: str) -> int | None:
    """Return the most GPU memory that this process has had, in bytes; None on a CPU."""
    if device != "cuda":
        return None
    import torch

    return int(torch.cuda.max_memory_allocated())


@contextlib.contextmanager
def stop_signals() -> Iterator[None]:
    """Raise `Interrupted` on SIGTERM, SIGINT, SIGHUP and SIGUSR1 in the block, in the main thread only.

    Only the first signal counts. A second one (Ctrl-C reaches every process, and the launcher then sends
    SIGTERM) would abort the writing of the record. SIGHUP stays ignored where it is, as under nohup. SIGUSR1,
    with which schedulers warn of a time limit, stays with a handler that is there, as submitit's is.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        caught.append(signal.SIGHUP)
    if signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL:  # which would end the process without a record
        caught.append(signal.SIGUSR1)

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


def stop_with_parent(parent: int) -> None:
    """Send this process SIGTERM when the process that started it is gone."""

    def wait() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()


@contextlib.contextmanager
def output_to(log: Path) -> Iterator[None]:
    """Append what this process and its libraries print to a log while the block lasts."""
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    before = {number: os.dup(number) for number in (1, 2)}
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for number in before:
        os.dup2(handle, number)
    os.close(handle)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, old in before.items():
            os.dup2(old, number)
            os.close(old)


def exit_reason(code: int) -> str:
    """Return why a process ended, by its exit code, which is negative for a signal."""
    if code < 0:
        name = signal.Signals(-code).name
        out_of_memory = ", as by a system without free memory" if -code == signal.SIGKILL else ""
        return f"the process was killed by {name}{out_of_memory}"
    return NO_PROGRESS if code == TIMED_OUT else f"the process ended with exit code {code}"
