"""Things to time in processes of their own: each with its allocator, threads and memory."""

from __future__ import annotations

import contextlib
import multiprocessing
import resource
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

import torch

from fer_bench import allocator
from fer_bench.files import cpu_seconds

Make = Callable[[], Callable[[], object]]


@dataclass(frozen=True)
class Way:
    """What a process does, and how.

    Attributes:
        make: Prepares there, and returns what is timed.
        keeps: Whether freed memory stays with the process, as in this suite.
        threads: Threads of torch.
    """

    make: Make
    keeps: bool = True
    threads: int = 1


class Workers:
    """A process for each way, forked from this one, which must not have computed before.

    Args:
        ways: By name.

    Attributes:
        steps: Calls that wait for the process of a way to do its step once; for `harness.alternate`.
        memory: Largest memory of each process so far, in MiB.
        first: CPU seconds of each process's first step.
    """

    def __init__(self, ways: Mapping[str, Way]) -> None:
        self.memory: dict[str, float] = {}
        self.first: dict[str, float] = {}
        self.steps: dict[str, Callable[[], None]] = {name: partial(self._step, name) for name in ways}
        self._ways, self._spent = ways, 0.0
        self._running: dict[str, tuple[Any, Connection]] = {}

    def __enter__(self) -> Workers:
        context = multiprocessing.get_context("fork")
        for name, way in self._ways.items():
            here, there = context.Pipe()
            process = context.Process(target=_work, args=(way, there), daemon=True)
            process.start()
            there.close()
            self._running[name] = process, here
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process, pipe in self._running.values():
            with contextlib.suppress(OSError):
                pipe.send(False)
            process.join(20)
            process.kill()

    def spent(self) -> float:
        """Return the CPU seconds of all steps so far: the clock for `harness.alternate`."""
        return self._spent

    def _step(self, name: str) -> None:
        pipe = self._running[name][1]
        pipe.send(True)
        seconds, self.memory[name] = pipe.recv()
        self.first.setdefault(name, seconds)
        self._spent += seconds


def _work(way: Way, pipe: Connection) -> None:
    """Prepare, and then do a step whenever asked."""
    if way.keeps:
        allocator.keep_memory()
    torch.set_num_threads(way.threads)
    step = way.make()
    while pipe.recv():
        began = cpu_seconds()
        step()
        passed = cpu_seconds() - began
        pipe.send((passed, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))
