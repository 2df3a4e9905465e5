"""What ran and what did not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from fer_bench.leaderboard.links import Links
from fer_bench.leaderboard.markup import escape, tables
from fer_bench.leaderboard.tables import Section
from fer_bench.results.record import Record

MOST = 12
"""Reasons of failures on the first page; the others are in `runs.csv`."""


def context(section: Section, named: Sequence[str], links: Links) -> dict[str, Any]:
    """Return the values of the template.

    Args:
        section: The section.
        named: Datasets that should have been run.
        links: Links of the board.
    """
    failures = _unfinished(section)
    return {
        "done": len(section.finished),
        "all": len(section.records),
        "table": _table(section, named, links),
        "unfinished": failures[:MOST],
        "more": max(0, len(failures) - MOST),
        "missing": [(*key, str(count)) for key, count in section.missing.items()],
        "not_run": [(m, ", ".join(names)) for m, names in section.not_run.items() if names],
    }


def reason_of(record: Record) -> str:
    """Return why a run has no scores; nothing for one that is finished."""
    if record.status == "done":
        return ""
    if record.error is not None:
        return record.error.reason
    return "not finished" if record.status in ("planned", "running") else record.status


def _table(section: Section, named: Sequence[str], links: Links) -> str:
    """Return the number of finished runs, a row per dataset; nothing where all have the same."""
    trained_here = [r for r in section.records if not r.is_outside]
    names = tuple(dict.fromkeys((*named, *(r.dataset for r in trained_here))))
    counts = Counter((r.method, r.dataset, r.status) for r in trained_here)
    order = dict.fromkeys(c.method for label in section.labels for c in section.cells if c.label == label)
    columns = tuple(dict.fromkeys((*order, *(r.method for r in trained_here))))
    rows = []
    for name in names:
        row = [links.source(name)]
        for method in columns:
            done = counts[method, name, "done"]
            others = {s: n for (m, d, s), n in sorted(counts.items()) if (m, d) == (method, name)}
            texts = [str(done), *(f"{n} {s}" for s, n in others.items() if s != "done")]
            row.append(", ".join(texts) if others else "-")
        rows.append(row)
    if len({text for row in rows for text in row[1:]}) < 2:
        return ""
    return tables(("finished runs", *map(links.method, columns)), rows)


def _unfinished(section: Section) -> list[tuple[str, str, str]]:
    """Return status, reason and runs of what has no scores, runs with the same reason together."""
    found: dict[tuple[str, str], list[Record]] = {}
    for r in section.records:
        if r.status != "done":
            found.setdefault((r.status, reason_of(r)), []).append(r)
    lines = []
    for (status, reason), runs in found.items():
        names = [f"{r.name} (`{r.key[:8]}`)" for r in runs[:3]]
        more = f" and {len(runs) - 3} more" if len(runs) > 3 else ""
        lines.append((status, escape(reason), ", ".join(escape(n).replace("\\`", "`") for n in names) + more))
    return lines
