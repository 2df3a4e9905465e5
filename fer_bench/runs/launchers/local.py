"""Run on this machine: a process per run, one single-threaded run per core, or runs on each GPU.

On a CPU processes are forked from this one, which has loaded the libraries already. A run gets a fresh
interpreter on a GPU, because CUDA does not survive a fork, and where it wants portable arithmetic and this
process has computed in another way already.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from fer_bench import arithmetic, methods
from fer_bench.config import RunOptions
from fer_bench.errors import UsageError
from fer_bench.files import usable_cores
from fer_bench.results.store import Store
from fer_bench.runs.distributed import place_from_environment, require_started_processes
from fer_bench.runs.events import Event, OnEvent
from fer_bench.runs.facts import framing_of
from fer_bench.runs.launchers.base import Launcher, LauncherSettings
from fer_bench.runs.launchers.run_queue import RunQueue
from fer_bench.runs.launchers.worker import end_of_lost_run, work
from fer_bench.runs.plan import PlannedRun
from fer_bench.runs.processes import Interrupted, exit_reason, stop_with_parent
from fer_bench.runs.resolve import input_spec
from fer_bench.workspace.workspace import Workspace

POLL = 0.5
"""Seconds between two checks while nothing happens."""


@dataclass
class _Slot:
    """A running process.

    Attributes:
        run: The run it works on.
        process: The process.
        events: Connection on which its events arrive.
        gpus: The GPUs it was given, as `CUDA_VISIBLE_DEVICES` names them.
        end: Its last event, once it sent that.
    """

    run: PlannedRun
    process: BaseProcess
    events: Connection
    gpus: tuple[str, ...] = ()
    end: Event | None = None


class LocalLauncher(Launcher[LauncherSettings]):
    """Work on runs in processes on this machine.

    By default there are as many runs at a time as cores, or as the GPUs hold.
    """

    name = "local"
    check_nodes = staticmethod(require_started_processes)

    _slots: list[_Slot]
    _free: list[str]
    _on_gpus: bool

    def run(self, runs: Sequence[PlannedRun], store: Store, workspace: Workspace, on_event: OnEvent) -> None:
        """Work on all runs, see `Launcher.run`; forked processes share what the workspace has opened.

        Raises:
            UsageError: A run needs more GPUs than there are, or several machines.
            KeyboardInterrupt: It was stopped, after the running processes stopped.
        """
        for one in runs:
            self.check_nodes(one.config.devices, one.config.nodes)
        limit = self._open_slots(runs)
        queue = RunQueue(runs, store, workspace, on_event)
        try:
            while queue or self._slots:
                while len(self._slots) < limit and (run := queue.pop()) is not None:
                    gpus = self._take(run.config.devices)
                    if gpus is None:
                        queue.push_front(run)
                        break
                    self._start(run, store, workspace, gpus)
                if self._slots:
                    sources = [(slot.events, slot.process.sentinel) for slot in self._slots]
                    wait([source for pair in sources for source in pair], timeout=POLL)
                else:
                    time.sleep(POLL)
                for slot in list(self._slots):
                    gone = not slot.process.is_alive()  # checked first: its last event is in the pipe by then
                    self._receive(slot, on_event)
                    if not gone:
                        continue
                    end = self._close(slot, store, workspace)
                    if end.status == "running":
                        queue.push_busy(slot.run, end.message)
                    else:
                        on_event(end)
                on_event(Event("", "tick"))
        except (KeyboardInterrupt, Interrupted):
            self._stop_all()
            raise

    def _open_slots(self, runs: Sequence[PlannedRun]) -> int:
        """Count the GPUs; return the number of runs at a time."""
        self._slots, self._free, self._on_gpus = [], [], False
        if not runs:
            return 1
        config = runs[0].config
        if place_from_environment(config.devices, config.nodes) is not None:
            return 1  # this process is one of a run's, and the program that started it gave it its GPU
        self._on_gpus = config.device == "cuda"
        if not self._on_gpus:
            return self.options.jobs or max(1, usable_cores() // config.devices)
        gpus = _visible_gpus()
        if config.devices > len(gpus):
            raise UsageError(
                f"a run wants {config.devices} GPUs and there are {len(gpus)}",
                value=f"--devices {config.devices}",
                hint="fer-bench doctor; CUDA_VISIBLE_DEVICES",
            )
        self._free = gpus * self.options.runs_per_gpu
        return self.options.jobs or len(self._free)

    def _take(self, count: int) -> tuple[str, ...] | None:
        """Take that many different GPUs, those with the most room first; None if there are not enough."""
        if not self._on_gpus:
            return ()
        room = [gpu for gpu, _ in Counter(self._free).most_common(count)]
        if len(room) < count:
            return None
        for gpu in room:
            self._free.remove(gpu)
        return tuple(room)

    def _start(self, run: PlannedRun, store: Store, workspace: Workspace, gpus: tuple[str, ...]) -> None:
        fits = run.config.device == "cpu" and (not run.config.portable or arithmetic.is_portable())
        if fits:
            _prepare_fork(run, workspace)
        context = multiprocessing.get_context("fork" if fits else "spawn")
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
        self._slots.append(_Slot(run, process, receiver, gpus))

    def _receive(self, slot: _Slot, on_event: OnEvent) -> None:
        """Pass events on, except the last, which waits until the process is gone and its GPU is free."""
        with suppress(EOFError, OSError):
            while slot.events.poll():
                event = slot.events.recv()
                if event.phase == "end":
                    slot.end = event
                else:
                    on_event(event)

    def _close(self, slot: _Slot, store: Store, workspace: Workspace) -> Event:
        """Remove a process that is gone; return the last event of its run."""
        slot.process.join()
        slot.events.close()
        self._slots.remove(slot)
        self._free += slot.gpus
        if slot.end is not None:
            return slot.end
        return end_of_lost_run(slot.run, store, workspace, exit_reason(slot.process.exitcode or 0))

    def _stop_all(self) -> None:
        for slot in self._slots:
            slot.process.terminate()
        deadline = time.monotonic() + 20
        for slot in self._slots:
            slot.process.join(max(0.1, deadline - time.monotonic()))
            if slot.process.is_alive():
                slot.process.kill()


def _prepare_fork(run: PlannedRun, workspace: Workspace) -> None:
    """Load and work out here what a run shares with others, so that its fork finds it."""
    import fer_bench.runs.evaluate
    import fer_bench.runs.training.fit  # noqa: F401

    with suppress(Exception):  # the run itself fails then, and says so in its record
        methods.get(run.config.method)
        framing_of(workspace, run.config.dataset, input_spec(run.config).size)


def _visible_gpus() -> list[str]:
    """Return the GPUs this process may use, as CUDA_VISIBLE_DEVICES names them."""
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
    """Work on one run in a process started for it."""
    stop_with_parent(parent)

    def send(event: Event) -> None:
        with suppress(OSError):
            events.send(event)

    send(work(run, store, workspace, options, send))
