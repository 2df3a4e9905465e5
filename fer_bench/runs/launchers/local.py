"""Run on this machine: a process per run, one single-threaded run per core, or runs on each GPU.

On the CPU processes are forked from this one, which has the libraries loaded already; on a GPU each run
gets a fresh interpreter, because CUDA does not survive a fork.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from fer_bench.config import RunOptions
from fer_bench.errors import UsageError
from fer_bench.files import usable_cores
from fer_bench.results.store import Store
from fer_bench.runs.completeness import is_complete
from fer_bench.runs.distributed import die_with, given_place, refuse_alone
from fer_bench.runs.launchers.worker import bury, work
from fer_bench.runs.plan import PlannedRun
from fer_bench.runs.supervision import Event, Interrupted, Watch
from fer_bench.workspace.workspace import Workspace

POLL = 0.5
"""Seconds between looks at the clock while nothing happens."""
ASK_AGAIN = 5.0
"""Seconds after which a run on which somebody else works is looked at again."""


@dataclass
class _Slot:
    """A running process.

    Attributes:
        run: What it works on.
        process: The process.
        events: Where its events arrive.
        end: How it ended, once it said so.
        gpus: GPUs it was given, as `CUDA_VISIBLE_DEVICES` wants them.
    """

    run: PlannedRun
    process: BaseProcess
    events: Connection
    end: Event | None = None
    gpus: tuple[str, ...] = ()


@dataclass
class LocalLauncher:
    """Works off runs in processes on this machine.

    Attributes:
        jobs: Runs at a time; None takes as many as there are cores, or as the GPUs hold.
        runs_per_gpu: Runs that share a GPU.
        options: What surrounds each run.
    """

    jobs: int | None = None
    runs_per_gpu: int = 1
    options: RunOptions = field(default_factory=RunOptions)
    _slots: list[_Slot] = field(default_factory=list, init=False)
    _free: list[str] = field(default_factory=list, init=False)
    _on_gpus: bool = field(default=False, init=False)

    def run(self, runs: Sequence[PlannedRun], store: Store, workspace: Workspace, watch: Watch) -> None:
        """Bring all runs to their end; one that fails does not touch the others.

        A run on which somebody else works is looked at again until it is complete or can be had.

        Args:
            runs: What to do, in this order.
            store: Where runs are kept.
            workspace: Datasets and packs; processes forked from this one share what is open.
            watch: Called in this process on every event of every run, and with an empty key while waiting.

        Raises:
            UsageError: A run wants more GPUs than there are, or several machines.
            KeyboardInterrupt: After the running processes have stopped at a clean point.
        """
        for run in runs:
            refuse_alone(run.config.devices, run.config.nodes)
        waiting = [(0.0, run) for run in runs]
        limit = self._open_slots(runs)
        told: set[str] = set()
        try:
            while waiting or self._slots:
                self._fill(waiting, limit, store, workspace, watch)
                wait(
                    [s.events for s in self._slots] + [s.process.sentinel for s in self._slots], timeout=POLL
                ) if self._slots else time.sleep(POLL)
                for slot in list(self._slots):
                    gone = not slot.process.is_alive()  # asked first: its last words are in the pipe by then
                    self._drain(slot, watch)
                    if not gone:
                        continue
                    end = self._close(slot, store)
                    if end.status != "running":
                        watch(end)
                        continue
                    waiting.append((time.monotonic() + ASK_AGAIN, slot.run))
                    if slot.run.key not in told:
                        told.add(slot.run.key)
                        watch(Event(slot.run.key, "wait", message=end.message))
                watch(Event("", "tick"))
        except (KeyboardInterrupt, Interrupted):
            self._stop_all()
            raise

    def _open_slots(self, runs: Sequence[PlannedRun]) -> int:
        """Count the GPUs; return how many runs there may be at a time."""
        if not runs:
            return 1
        config = runs[0].config
        if given_place(config.devices, config.nodes) is not None:
            return 1  # this process is one of a run's, and whoever started it gave it its GPU
        self._on_gpus = config.device == "cuda"
        if not self._on_gpus:
            return self.jobs or max(1, usable_cores() // config.devices)
        gpus = _devices()
        if config.devices > len(gpus):
            raise UsageError(
                f"a run wants {config.devices} GPUs and there are {len(gpus)}",
                value=f"--devices {config.devices}",
                hint="fer-bench doctor; CUDA_VISIBLE_DEVICES",
            )
        self._free = gpus * self.runs_per_gpu
        return self.jobs or len(self._free)

    def _fill(
        self,
        waiting: list[tuple[float, PlannedRun]],
        limit: int,
        store: Store,
        workspace: Workspace,
        watch: Watch,
    ) -> None:
        """Start what can be started, in order."""
        while len(self._slots) < limit:
            now = time.monotonic()
            at = next((i for i, (not_before, _) in enumerate(waiting) if not_before <= now), None)
            if at is None:
                return
            not_before, run = waiting[at]
            gpus = self._take(run.config.devices)
            if gpus is None:
                return
            del waiting[at]
            if not_before and is_complete(run, store, workspace):
                self._free += gpus
                watch(Event(run.key, "end", status="done"))
            else:
                self._start(run, store, workspace, gpus)

    def _take(self, count: int) -> tuple[str, ...] | None:
        """Take so many different GPUs, those with most room first; None where there are not enough."""
        if not self._on_gpus:
            return ()
        room = [gpu for gpu, _ in Counter(self._free).most_common(count)]
        if len(room) < count:
            return None
        for gpu in room:
            self._free.remove(gpu)
        return tuple(room)

    def _start(self, run: PlannedRun, store: Store, workspace: Workspace, gpus: tuple[str, ...]) -> None:
        context = multiprocessing.get_context("fork" if run.config.device == "cpu" else "spawn")
        receiver, sender = multiprocessing.Pipe(duplex=False)
        sys.stdout.flush()
        sys.stderr.flush()
        before = os.environ.get("CUDA_VISIBLE_DEVICES")
        if gpus:
            os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
        process: BaseProcess = context.Process(  # type: ignore[attr-defined]
            target=_child, args=(run, store, workspace, self.options, sender, os.getpid())
        )
        process.start()
        if gpus:
            os.environ.pop("CUDA_VISIBLE_DEVICES")
            if before is not None:
                os.environ["CUDA_VISIBLE_DEVICES"] = before
        sender.close()
        self._slots.append(_Slot(run, process, receiver, gpus=gpus))

    def _drain(self, slot: _Slot, watch: Watch) -> None:
        """Pass events on, except the last, which waits until the process is gone and its GPU is free."""
        with suppress(EOFError, OSError):
            while slot.events.poll():
                event = slot.events.recv()
                if event.phase == "end":
                    slot.end = event
                else:
                    watch(event)

    def _close(self, slot: _Slot, store: Store) -> Event:
        """Take a finished process off the list; one that died without a word becomes a failed run."""
        slot.process.join()
        slot.events.close()
        self._slots.remove(slot)
        self._free += slot.gpus
        if slot.end is not None:
            return slot.end
        reason = bury(slot.run, store, slot.process.exitcode or 0)
        return Event(slot.run.key, "end", status="failed", message=reason)

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


def _child(
    run: PlannedRun,
    store: Store,
    workspace: Workspace,
    options: RunOptions,
    events: Connection,
    parent: int,
) -> None:
    """Work off one run in a process of its own."""
    threading.Thread(target=die_with, args=(parent,), daemon=True).start()

    def tell(event: Event) -> None:
        with suppress(OSError):
            events.send(event)

    sys.exit(work(run, store, workspace, options, tell))
