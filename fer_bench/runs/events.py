"""Events of a run, and the progress file that shows them to other processes and machines."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fer_bench.results.record import Status
from fer_bench.results.store import RunDir

PROGRESS_EVERY = 2.0
"""Seconds between two writes of the progress file, at least."""


@dataclass(frozen=True)
class Event:
    """A change in the state of a run.

    Attributes:
        key: The run; empty in the phase `tick`.
        phase: `step` (within an epoch), `train` (an epoch is done), `evaluate` (a target is done), `warning`
            (something failed that the run can do without), `end`;
            from launchers `wait` (another process works on it) and `tick` (time passes).
        done: Steps, epochs or targets done.
        total: Number of steps, epochs or targets.
        metrics: Metrics of the epoch.
        status: How the run ended, in the phase `end`; `running` when another process works on it.
        message: The reason, unless it ended well, or the warning.
        rate: Images per second, in the phase `step`.
        memory: Peak GPU memory in bytes, None on a CPU.
        seconds: Duration of the run in the phase `end`, where the launcher did not see it start.
        warnings: All warnings of the run in the phase `end`, for launchers that hear only of that.
    """

    key: str
    phase: Literal["step", "train", "evaluate", "warning", "end", "wait", "tick"]
    done: int = 0
    total: int = 0
    metrics: Mapping[str, float] | None = None
    status: Status | None = None
    message: str = ""
    rate: float | None = None
    memory: int | None = None
    seconds: float | None = None
    warnings: tuple[str, ...] = ()


OnEvent = Callable[[Event], None]


class ProgressFile:
    """Keep a file in a run's folder that tells others how far the run is.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.content, self.written = path, dict[str, Any](), 0.0

    def update(self, event: Event) -> None:
        """Add an event; write the file when it is time."""
        if event.phase == "step":
            self.content |= {"step": event.done, "steps": event.total}
            self.content |= {} if event.rate is None else {"rate": event.rate}
        elif event.phase != "warning":
            self.content |= {"phase": event.phase, "done": event.done, "total": event.total}
            self.content["metrics"] = dict(event.metrics or {})
        if event.memory is not None:
            self.content["memory"] = event.memory
        if time.monotonic() - self.written >= PROGRESS_EVERY and event.phase != "end":
            self.written = time.monotonic()
            where = {"host": socket.gethostname(), "pid": os.getpid(), "updated": time.time()}
            with contextlib.suppress(OSError):  # a run goes on when its progress cannot be written
                temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}.tmp")
                temporary.write_text(json.dumps({**self.content, **where}))
                temporary.replace(self.path)

    def remove(self) -> None:
        """Delete the file."""
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)


def read_progress(run: RunDir) -> dict[str, Any] | None:
    """Return the content of a run's progress file, None without one."""
    try:
        found = json.loads(run.progress_file.read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def events_of(key: str, progress: dict[str, Any]) -> list[Event]:
    """Return the content of a progress file as events of the run with that key."""
    events: list[Event] = []
    phase = progress.get("phase")
    if phase in ("train", "evaluate"):
        done, total = progress.get("done", 0), progress.get("total", 0)
        metrics, memory = progress.get("metrics"), progress.get("memory")
        events.append(Event(key, phase, done, total, metrics, memory=memory))
    if "steps" in progress and phase != "evaluate":
        events.append(Event(key, "step", progress["step"], progress["steps"], rate=progress.get("rate")))
    return events
