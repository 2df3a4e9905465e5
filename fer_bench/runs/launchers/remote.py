"""What launchers to other machines have in common: they see runs through the store alone."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from fer_bench.errors import StoreError
from fer_bench.results.store import RunDir, Store
from fer_bench.runs.launchers.worker import run_dir
from fer_bench.runs.plan import PlannedRun
from fer_bench.runs.supervision import Event, Watch

LOOK_EVERY = 2.0
"""Seconds between two looks at how far runs are."""


@dataclass
class StoreWatch:
    """Turns what runs write into the store into events.

    Attributes:
        store: The store.
        watch: Called on events.
    """

    store: Store
    watch: Watch
    _seen: dict[str, float] = field(default_factory=dict)
    _looked: float = 0.0

    def look(self, runs: Sequence[PlannedRun]) -> None:
        """Tell what is new of some runs, and that time passes."""
        now = time.monotonic()
        if now - self._looked >= LOOK_EVERY:
            self._looked = now
            for run in runs:
                found = read_progress(run_dir(run, self.store))
                if found is not None and self._seen.get(run.key) != found.get("updated"):
                    self._seen[run.key] = found.get("updated", 0.0)
                    for event in events_of(run.key, found):
                        self.watch(event)
        self.watch(Event("", "tick"))

    def end(self, run: PlannedRun, message: str) -> None:
        """Tell how a run ended, as its record has it.

        Args:
            run: The run.
            message: What the launcher knows, for where the record says nothing.
        """
        try:
            record = run_dir(run, self.store).read_record()
        except StoreError as error:
            record, message = None, error.message
        if record is not None and record.status not in ("running", "planned"):
            status, took = record.status, record.timing.get("attempt")
            message = record.error.message if record.error is not None else ""
            lost = [target for target in run.config.targets if target in record.missing]
            if status == "done" and lost:  # trained, but a target could not be predicted
                status, message = "failed", f"{lost[0]}: {record.missing[lost[0]]}"
            self.watch(Event(run.key, "end", status=status, message=message, seconds=took))
        else:
            self.watch(Event(run.key, "end", status="failed", message=message or "it left no record"))


def read_progress(run: RunDir) -> dict[str, Any] | None:
    """Return the content of a run's progress file, None when there is none."""
    try:
        found = json.loads(run.progress_file.read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def events_of(key: str, found: dict[str, Any]) -> list[Event]:
    """Return the content of a progress file as events."""
    events: list[Event] = []
    if found.get("phase") in ("train", "evaluate"):
        events.append(
            Event(
                key,
                found["phase"],
                found.get("done", 0),
                found.get("total", 0),
                found.get("metrics"),
                memory=found.get("memory"),
            )
        )
    if "steps" in found and found.get("phase") != "evaluate":
        events.append(Event(key, "step", found["step"], found["steps"], rate=found.get("rate")))
    return events
