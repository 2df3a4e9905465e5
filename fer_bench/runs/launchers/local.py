"""Run on this machine: a process per run, one single-threaded run per core, or one run per GPU.

On the CPU processes are forked from this one, which has the libraries loaded already; on a GPU each run
gets a fresh interpreter, because CUDA does not survive a fork.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from fer_bench.errors import FerBenchError, StoreError
from fer_bench.files import usable_cores
from fer_bench.runs.execute import Busy, Event, Interrupted, Watch, execute
from fer_bench.runs.plan import PlannedRun, Workspace
from fer_bench.runs.record import Failure
from fer_bench.runs.store import Store

POLL = 0.5
"""Seconds between looks at the clock while nothing happens."""


@dataclass
class _Slot:
    """A running process.

    Attributes:
        run: What it works on.
        process: The process.
        events: Where its events arrive.
        ended: Whether it reported its end.
        device: GPU it was given, as `CUDA_VISIBLE_DEVICES` wants it.
    """

    run: PlannedRun
    process: BaseProcess
    events: Connection
    ended: bool = False
    device: str | None = None


@dataclass
class LocalLauncher:
    """Works off runs in processes on this machine.

    Attributes:
        jobs: Processes at a time; None takes one per usable core, or one per GPU.
    """

    jobs: int | None = None
    _slots: list[_Slot] = field(default_factory=list, init=False)

    def run(self, runs: Sequence[PlannedRun], store: Store, workspace: Workspace, watch: Watch) -> None:
        """Bring all runs to their end; one that fails does not touch the others.

        Args:
            runs: What to do, in this order.
            store: Where runs are kept.
            workspace: Datasets and packs; processes forked from this one share what is open.
            watch: Called in this process on every event of every run, and with an empty key while waiting.

        Raises:
            KeyboardInterrupt: After the running processes have stopped at a clean point.
        """
        waiting = list(runs)
        devices = _devices() if waiting and waiting[0].config.device == "cuda" else None
        free = list(devices) if devices is not None else []
        limit = self.jobs or (len(devices) if devices is not None else usable_cores())
        try:
            while waiting or self._slots:
                while waiting and len(self._slots) < limit:
                    device = free.pop(0) if free else None
                    self._start(waiting.pop(0), store, workspace, device)
                ready = wait(
                    [s.events for s in self._slots] + [s.process.sentinel for s in self._slots], timeout=POLL
                )
                for slot in list(self._slots):
                    if slot.events in ready or slot.process.sentinel in ready:
                        self._drain(slot, watch)
                    if not slot.process.is_alive():
                        self._drain(slot, watch)
                        self._bury(slot, store, watch)
                        if slot.device is not None:
                            free.append(slot.device)
                watch(Event("", "tick"))
        except (KeyboardInterrupt, Interrupted):
            self._stop_all()
            raise

    def _start(self, run: PlannedRun, store: Store, workspace: Workspace, device: str | None) -> None:
        on_cpu = run.config.device == "cpu"
        kind = (
            multiprocessing.get_context("fork").Process
            if on_cpu
            else multiprocessing.get_context("spawn").Process
        )
        receiver, sender = multiprocessing.Pipe(duplex=False)
        sys.stdout.flush()
        sys.stderr.flush()
        before = os.environ.get("CUDA_VISIBLE_DEVICES")
        if device is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = device
        process = kind(target=_child, args=(run, store, workspace, sender, os.getpid()))
        process.start()
        if device is not None:
            os.environ.pop("CUDA_VISIBLE_DEVICES")
            if before is not None:
                os.environ["CUDA_VISIBLE_DEVICES"] = before
        sender.close()
        self._slots.append(_Slot(run, process, receiver, device=device))

    def _drain(self, slot: _Slot, watch: Watch) -> None:
        with suppress(EOFError, OSError):
            while slot.events.poll():
                event = slot.events.recv()
                slot.ended |= event.phase == "end"
                watch(event)

    def _bury(self, slot: _Slot, store: Store, watch: Watch) -> None:
        """Take a finished process off the list; one that died without a word becomes a failed run."""
        slot.process.join()
        slot.events.close()
        self._slots.remove(slot)
        if slot.ended:
            return
        code = slot.process.exitcode or 0
        reason = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        run = store.run_dir(slot.run.config.method, slot.run.config.dataset, slot.run.key)
        with suppress(StoreError):
            record = run.read_record()
            if record is not None and record.status == "running":
                failure = Failure(kind="ProcessDied", message=f"the process was {reason}", traceback="")
                run.write_record(record.model_copy(update={"status": "failed", "error": failure}))
        watch(Event(slot.run.key, "end", status="failed", message=f"the process was {reason}"))

    def _stop_all(self) -> None:
        for slot in self._slots:
            slot.process.terminate()
        deadline = time.monotonic() + 20
        for slot in self._slots:
            slot.process.join(max(0.1, deadline - time.monotonic()))
            if slot.process.is_alive():
                slot.process.kill()


def _devices() -> list[str]:
    """Return the GPUs this process may use, in the words of CUDA_VISIBLE_DEVICES."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [part.strip() for part in named.split(",") if part.strip()]
    import torch

    return [str(i) for i in range(torch.cuda.device_count())]


def _child(run: PlannedRun, store: Store, workspace: Workspace, events: Connection, parent: int) -> None:
    """Work off one run in a process of its own."""
    import torch

    threading.Thread(target=_die_with, args=(parent,), daemon=True).start()
    if run.config.device == "cpu":
        torch.set_num_threads(1)
    folder = store.run_dir(run.config.method, run.config.dataset, run.key).path
    folder.mkdir(parents=True, exist_ok=True)
    _redirect(folder / "log.txt")

    def tell(event: Event) -> None:
        with suppress(OSError):
            events.send(event)

    try:
        execute(run, store, workspace, tell)
    except Interrupted:
        sys.exit(130)
    except Busy as error:
        tell(Event(run.key, "end", status="running", message=error.message))
    except FerBenchError as error:
        tell(Event(run.key, "end", status="failed", message=str(error)))
        sys.exit(1)


def _redirect(log: Path) -> None:
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    os.close(handle)


def _die_with(parent: int) -> None:
    """Stop cleanly when the sweep that started us is gone."""
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)
