"""Show progress on standard error: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fer_bench.cli.options import say
from fer_bench.runs.events import Event
from fer_bench.runs.plan import PlannedRun

TRAIN_SHARE = 0.8
"""Share of training in the bar of a run; the rest is evaluation."""
SETTLED = 0.05
"""Share of the work after which an estimate of the time left is shown."""


def format_seconds(value: float) -> str:
    """Return a readable duration: `45 s`, `3 min 20 s`, `2 h 05 min`."""
    whole = round(value)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


class Preparation:
    """A display of drawing and packing, usable as the `announce` of a `Workspace`.

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
        """Remove the bars."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
            self._tasks.clear()


class FileProgress:
    """A display of files that are worked on, with the pictures and frames per second.

    Args:
        total: Number of files.
        quiet: Show nothing.
    """

    EVERY = 10.0
    """Seconds between two lines where there is no terminal."""

    def __init__(self, total: int, *, quiet: bool = False) -> None:
        self.total, self.quiet = total, quiet
        self._started = self._said = time.monotonic()
        self._bar: Any = None
        self._task: Any = None

    def __call__(self, files: int, pictures: int, current: str) -> None:
        """Show how many files are done, how many pictures and frames, and what is worked on."""
        if self.quiet:
            return
        now = time.monotonic()
        passed = now - self._started
        note = f"{pictures} pictures" + (f", {pictures / passed:.1f}/s" if passed > 0 else "")
        if not sys.stderr.isatty():
            if now - self._said >= self.EVERY:
                self._said = now
                say(f"{files}/{self.total} files, {note}: {current}")
            return
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        if self._bar is None:
            columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[note]}"))
            self._bar = Progress(
                *columns, TimeRemainingColumn(), console=_console(), transient=True, auto_refresh=False
            )
            self._bar.start()
            self._task = self._bar.add_task("", total=self.total, note="")
        self._bar.update(self._task, completed=files, note=note, refresh=True)

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


@dataclass
class _Row:
    """The state of one run on display.

    Attributes:
        name: Name of the run.
        started: Time of its first event, None before.
        part: Share of its work that is done.
        note: Epoch or target it works on.
        speed: Images per second and GPU memory.
        ended: Whether it has ended.
        task: Its bar, on a terminal and while it runs.
    """

    name: str
    started: float | None = None
    part: float = 0.0
    note: str = ""
    speed: str = ""
    ended: bool = False
    task: Any = None


class SweepDisplay:
    """A display of runs, called on their events.

    Args:
        runs: All runs that will be worked on.
        quiet: Show nothing.
    """

    def __init__(self, runs: Sequence[PlannedRun], *, quiet: bool = False) -> None:
        self.quiet = quiet
        self.failures: dict[str, tuple[str, str]] = {}
        """Status and reason of each run that did not end well."""
        self._rows = {run.key: _Row(run.name) for run in runs}
        self._warned: set[tuple[str, str]] = set()
        self._zero = time.monotonic()
        self._bar: Any = None
        self._total: Any = None

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
            self._total = self._bar.add_task("all runs", total=len(self._rows), note="")
        return self

    def __exit__(self, *details: object) -> None:
        if self._bar is not None:
            for row in self._rows.values():
                self._remove(row)
            self._bar.refresh()
            self._bar.stop()

    def __call__(self, event: Event) -> None:
        """Show an event."""
        if event.phase == "wait":
            self._print(f"waiting: {event.message}")
        elif event.phase == "warning":
            self._warn(event.key, event.message)
        elif event.phase == "end":
            for warning in event.warnings:
                self._warn(event.key, warning)
            self._end(event, self._rows[event.key])
        elif event.phase != "tick":
            self._update(event, self._rows[event.key])
        self._refresh()

    def _warn(self, key: str, text: str) -> None:
        if (key, text) not in self._warned:
            self._warned.add((key, text))
            self._print(f"warning: {self._rows[key].name}: {text}")

    def _update(self, event: Event, row: _Row) -> None:
        if row.started is None:
            row.started = time.monotonic()
        note = row.note
        if event.phase == "step":
            row.speed, note = _speed(event), note or f"step {event.done}/{event.total}"
        else:
            part = TRAIN_SHARE * event.done / max(1, event.total)
            if event.phase == "evaluate":
                part = TRAIN_SHARE + (1 - TRAIN_SHARE) * event.done / max(1, event.total)
            row.part = max(row.part, part)
            row.note = note = _note(event)
        if self._bar is not None and not row.ended:
            if row.task is None:
                row.task = self._bar.add_task(f"  {row.name}", total=1.0, note="")
            self._bar.update(row.task, completed=row.part, note=note + row.speed)

    def _end(self, event: Event, row: _Row) -> None:
        if row.ended:
            return
        row.ended, row.part = True, 1.0
        self._remove(row)
        reason = ""
        if event.status != "done":
            self.failures[event.key] = (event.status or "failed", event.message)
            reason = f": {event.message.partition(chr(10))[0]}"
        took, now = event.seconds, time.monotonic()
        if took is None:
            took = now - (row.started or now)
        ended, rest = self._ended(), self.eta()
        left = "" if rest is None or ended == len(self._rows) else f"  (about {format_seconds(rest)} left)"
        number = f"{ended}/{len(self._rows)}"
        self._print(f"[{number:>7}] {event.status:8} {row.name}  {format_seconds(took)}{reason}{left}")

    def _ended(self) -> int:
        return sum(row.ended for row in self._rows.values())

    def eta(self) -> float | None:
        """Return the seconds that remain at the pace so far, None while it is too early to tell."""
        done, total = sum(row.part for row in self._rows.values()), len(self._rows)
        if not total or done < SETTLED * total:
            return None
        return (time.monotonic() - self._zero) / done * (total - done)

    def _remove(self, row: _Row) -> None:
        if self._bar is not None and row.task is not None:
            self._bar.remove_task(row.task)
            row.task = None

    def _print(self, text: str) -> None:
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False)
        else:
            say(text, quiet=self.quiet)

    def _refresh(self) -> None:
        if self._bar is None:
            return
        rest = self.eta()
        failed = f", {len(self.failures)} failed" if self.failures else ""
        left = "estimating" if rest is None else f"{format_seconds(rest)} left"
        note = f"{self._ended() - len(self.failures)}/{len(self._rows)} done{failed}, {left}"
        self._bar.update(self._total, completed=sum(row.part for row in self._rows.values()), note=note)
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
