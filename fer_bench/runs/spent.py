"""Where CPU time goes: counted in each run by purpose, kept in its record, and summed over a sweep."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fer_bench.results.record import Record

PARTS = ("start", "train", "validate", "save", "predict", "score")
"""Parts of a run: opening data and method; training steps; validation after each epoch; writing checkpoints
and predictions; predicting; computing scores."""
PREFIX = "cpu_"
"""How their names begin in `timing` of a record."""


class SpentClock:
    """Count this process's CPU-seconds: each `lap` gives what passed since the last one to a part."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._since = time.process_time()

    def lap(self, part: str) -> None:
        """Give the CPU time since the last call to a part, one of `PARTS`."""
        now = time.process_time()
        self.seconds[part] += now - self._since  # type: ignore[assignment]
        self._since = now

    def timing(self) -> dict[str, float]:
        """Return the seconds by part, as a record keeps them."""
        return {f"{PREFIX}{part}": round(self.seconds[part], 3) for part in PARTS if part in self.seconds}


def spent_table(records: Iterable[Record]) -> list[str]:
    """Return lines: the CPU-seconds of runs by method and part; none where no record has them."""
    runs: Counter[str] = Counter()
    seconds: dict[str, Counter[str]] = {}
    for record in records:
        found = {part: record.timing.get(f"{PREFIX}{part}", 0.0) for part in PARTS}
        if any(found.values()):
            runs[record.method] += 1
            seconds.setdefault(record.method, Counter()).update(found)
    if not seconds:
        return []
    widths = {part: max(8, len(part) + 2) for part in PARTS}
    titles = "".join(f"{part:>{width}}" for part, width in widths.items())
    lines = [f"{'CPU-seconds':14}{'runs':>5}{titles}{'all':>9}{'a run':>8}"]
    rows = [(name, runs[name], seconds[name]) for name in sorted(seconds)]
    if len(rows) > 1:
        rows.append(("all", runs.total(), sum(seconds.values(), Counter())))
    for name, count, spent in rows:
        whole = sum(spent.values())
        cells = "".join(f"{spent[part]:>{width},.1f}" for part, width in widths.items())
        lines.append(f"{name:14}{count:>5}{cells}{whole:>9,.1f}{whole / count:>8,.1f}")
    return lines


def spent_line(prepared: Mapping[str, float], before_runs: float) -> str:
    """Return a line about what a command spent before its runs started.

    Args:
        prepared: CPU-seconds of preparing data, by kind of work.
        before_runs: CPU-seconds of all it did until then.
    """
    rest = max(0.0, before_runs - sum(prepared.values()))
    parts = [f"{what} {seconds:,.1f}" for what, seconds in prepared.items()]
    return "before the runs: " + ", ".join([*parts, f"imports and planning {rest:,.1f}"])
