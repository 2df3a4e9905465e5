"""What people see while they wait, on standard error: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from fer_bench.runs.events import Event
from fer_bench.runs.plan import PlannedRun

TRAIN_SHARE = 0.8
"""Part of a run's time that training takes, for the bar of a running run only."""
SETTLED = 0.05
"""Part of the work after which a time of arrival is worth saying."""


def say(text: str) -> None:
    """Print a line on standard error."""
    print(text, file=sys.stderr, flush=True)


def seconds(value: float) -> str:
    """Return a duration as people say it: `45 s`, `3 min 20 s`, `2 h 05 min`."""
    whole = round(value)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


class Preparation:
    """Progress of drawing and packing, usable as a `Workspace`'s announce.

    Args:
        quiet: Show nothing.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self._bar: Any = None
        self._tasks: dict[str, Any] = {}
        self._said: set[str] = set()

    def __call__(self, label: str, done: int, total: int) -> None:
        """Show that `done` of `total` steps of `label` are done."""
        if self.quiet:
            return
        if not sys.stderr.isatty():
            if done >= total and label not in self._said:
                self._said.add(label)
                say(f"{label}: {total} pictures")
            return
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        if self._bar is None:
            self._bar = Progress(
                TextColumn("{task.description:22}"),
                BarColumn(),
                MofNCompleteColumn(),
                console=_console(),
                transient=True,
            )
            self._bar.start()
        if label not in self._tasks:
            self._tasks[label] = self._bar.add_task(label, total=total)
        self._bar.update(self._tasks[label], completed=done)

    def close(self) -> None:
        """Take the bars away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
            self._tasks.clear()


@dataclass
class SweepDisplay:
    """Progress of runs, usable as their watch.

    Attributes:
        runs: All runs that will be worked off.
        finished_before: How many runs of the sweep were done already.
        quiet: Show nothing.
        failures: Status and reason of each run that did not end well.
    """

    runs: Sequence[PlannedRun]
    finished_before: int = 0
    quiet: bool = False
    failures: dict[str, tuple[str, str]] = field(default_factory=dict)
    _part: dict[str, float] = field(default_factory=dict)
    _started: dict[str, float] = field(default_factory=dict)
    _speed: dict[str, str] = field(default_factory=dict)
    _notes: dict[str, str] = field(default_factory=dict)
    _ended: set[str] = field(default_factory=set)
    _zero: float = field(default_factory=time.monotonic)
    _bar: Any = None
    _all: Any = None
    _tasks: dict[str, Any] = field(default_factory=dict)

    def __enter__(self) -> SweepDisplay:
        if not self.quiet and sys.stderr.isatty():
            from rich.progress import BarColumn, Progress, TextColumn

            columns = (
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                TextColumn("{task.fields[note]}"),
            )
            self._bar = Progress(*columns, console=_console(), transient=False, auto_refresh=False)
            self._bar.start()
            self._all = self._bar.add_task("all runs", total=len(self.runs), note="")
        return self

    def __exit__(self, *details: object) -> None:
        if self._bar is not None:
            for task in self._tasks.values():
                self._bar.remove_task(task)
            self._bar.refresh()
            self._bar.stop()

    def __call__(self, event: Event) -> None:
        """Take note of an event and show it."""
        if event.phase == "tick":
            self._refresh()
            return
        if event.phase == "end":
            self._end(event)
            return
        if event.phase == "wait":
            if not self.quiet:
                self._print(f"waiting: {event.message}")
            return
        self._started.setdefault(event.key, time.monotonic())
        if event.phase == "step":
            self._speed[event.key] = _speed(event)
            self._row(event.key, f"step {event.done}/{event.total}")
            return
        share = event.done / max(1, event.total)
        part = TRAIN_SHARE * share if event.phase == "train" else TRAIN_SHARE + (1 - TRAIN_SHARE) * share
        self._part[event.key] = max(part, self._part.get(event.key, 0.0))
        self._notes[event.key] = _note(event)
        self._row(event.key)

    def _row(self, key: str, otherwise: str = "") -> None:
        """Show how far a running run is, `otherwise` until its first epoch is done."""
        if self._bar is not None:
            if key not in self._tasks:
                name = next(r.name for r in self.runs if r.key == key)
                self._tasks[key] = self._bar.add_task(f"  {name}", total=1.0, note="")
            self._bar.update(
                self._tasks[key],
                completed=self._part.get(key, 0.0),
                note=self._notes.get(key, otherwise) + self._speed.get(key, ""),
            )
        self._refresh()

    def eta(self) -> float | None:
        """Return the seconds that remain at the pace so far, None while it is too early to tell."""
        done = sum(self._part.values())
        if not self.runs or done < SETTLED * len(self.runs):
            return None
        return (time.monotonic() - self._zero) / done * (len(self.runs) - done)

    def _end(self, event: Event) -> None:
        if event.key in self._ended:
            return
        self._ended.add(event.key)
        self._part[event.key] = 1.0
        if event.status != "done":
            self.failures[event.key] = (event.status or "failed", event.message)
        task = self._tasks.pop(event.key, None)
        if self._bar is not None and task is not None:
            self._bar.remove_task(task)
        if not self.quiet:
            self._line(event)
        self._refresh()

    def _line(self, event: Event) -> None:
        run = next(r for r in self.runs if r.key == event.key)
        took = event.seconds
        if took is None:
            took = time.monotonic() - self._started.get(event.key, time.monotonic())
        reason = (
            "" if event.status == "done" else f": {event.message.splitlines()[0] if event.message else ''}"
        )
        rest = self.eta()
        left = "" if rest is None or len(self._ended) == len(self.runs) else f"  (about {seconds(rest)} left)"
        number = f"{len(self._ended)}/{len(self.runs)}"
        text = f"[{number:>7}] {event.status:8} {run.name}  {seconds(took)}{reason}{left}"
        self._print(text)

    def _print(self, text: str) -> None:
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False)
        else:
            say(text)

    def _refresh(self) -> None:
        if self._bar is None:
            return
        rest = self.eta()
        failed = f", {len(self.failures)} failed" if self.failures else ""
        note = f"{len(self._ended) - len(self.failures)}/{len(self.runs)} done{failed}, " + (
            "estimating" if rest is None else f"{seconds(rest)} left"
        )
        self._bar.update(self._all, completed=sum(self._part.values()), note=note)
        self._bar.refresh()


def _note(event: Event) -> str:
    if event.phase == "evaluate":
        return f"testing on target {event.done}/{event.total}"
    uar = (event.metrics or {}).get("val/uar")
    return f"epoch {event.done}/{event.total}" + ("" if uar is None else f"  val UAR {100 * uar:.1f} %")


def _speed(event: Event) -> str:
    rate = "" if event.rate is None else f"  {event.rate:.0f} images/s"
    return rate if event.memory is None else f"{rate}  {event.memory / 2**30:.1f} GiB"


def _console() -> Any:
    from rich.console import Console

    return Console(stderr=True)
