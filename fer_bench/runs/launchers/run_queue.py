"""The runs that a launcher still has to start."""

from __future__ import annotations

import time
from collections.abc import Sequence

from fer_bench.results.store import Store
from fer_bench.runs.completeness import is_complete
from fer_bench.runs.events import Event, OnEvent
from fer_bench.runs.plan import PlannedRun
from fer_bench.workspace.workspace import Workspace

BUSY_DELAY = 5.0
"""Seconds after which a run that another process works on is tried again."""


class RunQueue:
    """Runs in the order in which they start; those that another process works on are tried again later.

    Args:
        runs: The runs.
        store: Where they are stored.
        workspace: Datasets and packs.
        on_event: Told once of each run that waits for another process, and of its end if that completes it.
    """

    def __init__(
        self, runs: Sequence[PlannedRun], store: Store, workspace: Workspace, on_event: OnEvent
    ) -> None:
        self.store, self.workspace, self.on_event = store, workspace, on_event
        self._waiting = [(0.0, run) for run in runs]
        self._busy: set[str] = set()

    def __len__(self) -> int:
        """Return how many runs wait."""
        return len(self._waiting)

    def pop(self) -> PlannedRun | None:
        """Remove and return the first run that can be tried now, None if there is none."""
        now = time.monotonic()
        for entry in [entry for entry in self._waiting if entry[0] <= now]:
            self._waiting.remove(entry)
            run = entry[1]
            if run.key in self._busy and is_complete(run, self.store, self.workspace):
                self.on_event(Event(run.key, "end", status="done"))
            else:
                return run
        return None

    def push_front(self, run: PlannedRun) -> None:
        """Put a run back, to be the next."""
        self._waiting.insert(0, (0.0, run))

    def push_busy(self, run: PlannedRun, message: str) -> None:
        """Put a run back that another process works on."""
        self._waiting.append((time.monotonic() + BUSY_DELAY, run))
        if run.key not in self._busy:
            self._busy.add(run.key)
            self.on_event(Event(run.key, "wait", message=message))
