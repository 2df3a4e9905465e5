"""What ran and what did not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from fer_bench.leaderboard.markup import escape, table
from fer_bench.leaderboard.tables import Section


def context(section: Section, named: Sequence[str]) -> dict[str, Any]:
    """Return the values of the template.

    Args:
        section: The section.
        named: Datasets that should have been run.
    """
    return {
        "table": _table(section, named),
        "unfinished": _unfinished(section),
        "missing": [(*key, str(count)) for key, count in section.missing.items()],
        "not_run": [(m, ", ".join(names)) for m, names in section.not_run.items() if names],
    }


def _table(section: Section, named: Sequence[str]) -> str:
    trained_here = (r.dataset for r in section.records if not r.is_outside)
    names = tuple(dict.fromkeys((*named, *trained_here)))
    rows = []
    for method in section.not_run:
        row = [f"**{escape(method)}**"]
        for name in names:
            counts = Counter(r.status for r in section.records if (r.method, r.dataset) == (method, name))
            states = [f"{count} {status}" for status, count in sorted(counts.items())]
            row.append(", ".join(states) or "not yet run")
        rows.append(row)
    return table(("runs", *map(escape, names)), rows)


def _unfinished(section: Section) -> str:
    rows = []
    for r in section.records:
        if r.status != "done":
            other = "not finished" if r.status in ("planned", "running") else "-"
            rows.append((r.name, r.key, r.status, r.error.reason if r.error else other))
    return table(("run", "key", "status", "reason"), rows, raw=())
