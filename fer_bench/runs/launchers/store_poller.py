"""Events of runs on other machines, read from the store."""

from __future__ import annotations

import time
from collections.abc import Sequence

from fer_bench.results.store import Store
from fer_bench.runs.events import Event, OnEvent, events_of, read_progress
from fer_bench.runs.plan import PlannedRun

POLL_EVERY = 2.0
"""Seconds between two reads of the progress files."""


class StorePoller:
    """Turn what runs write into the store into events.

    Args:
        store: The store.
        on_event: Called on events.
    """

    def __init__(self, store: Store, on_event: OnEvent) -> None:
        self.store, self.on_event = store, on_event
        self._updated: dict[str, float] = {}
        self._polled = 0.0

    def poll(self, runs: Sequence[PlannedRun]) -> None:
        """Report the progress of some runs, and that time passes."""
        now = time.monotonic()
        if now - self._polled >= POLL_EVERY:
            self._polled = now
            for run in runs:
                progress = read_progress(run.folder(self.store))
                if progress is not None and self._updated.get(run.key) != progress.get("updated"):
                    self._updated[run.key] = progress.get("updated", 0.0)
                    for event in events_of(run.key, progress):
                        self.on_event(event)
        self.on_event(Event("", "tick"))
