"""Versions, hardware, cost and data behind the numbers, as the records say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from fer_bench.files import canonical
from fer_bench.leaderboard.markup import escape, table
from fer_bench.leaderboard.tables import Section

_FIRST = ("fer_bench", "commit", "python", "torch", "lightning", "timm", "numpy", "platform", "cpu", "gpu")


def context(section: Section) -> dict[str, Any]:
    """Return the values of the template."""
    return {"environment": _environment(section), "cost": _cost(section), "data": _data(section)}


def _environment(section: Section) -> str:
    values: dict[str, set[str]] = {}
    for record in section.records:
        for name, value in record.environment.items():
            text = "none" if value is None else value if isinstance(value, str) else canonical(value)
            values.setdefault(name, set()).add(text)
    names = [*(name for name in _FIRST if name in values), *sorted(set(values) - set(_FIRST))]
    rows = [(name, "; ".join(sorted(values[name]))) for name in names]
    return table(("", "as stored in the records"), rows, raw=())


def _cost(section: Section) -> str:
    costs: dict[str, set[tuple[int, int]]] = {}
    for r in section.finished:
        if r.parameters:
            costs.setdefault(r.method, set()).add((r.parameters, r.multiply_adds))
    rows = [
        (escape(method), *(_range(column) for column in zip(*found, strict=True)))
        for method, found in sorted(costs.items())
    ]
    return table(("method", "trainable parameters", "multiply-adds per image"), rows)


def _range(values: Iterable[int]) -> str:
    found = sorted(set(values))
    return f"{found[0]:,}" if len(found) == 1 else f"{found[0]:,} to {found[-1]:,}"


def _data(section: Section) -> str:
    counts = Counter(
        (name, d.protocol, d.fingerprint, d.pixels[:16], d.recipe, d.faces_weak)
        for r in section.finished
        for name, d in r.targets.items()
    )
    order = sorted(counts, key=lambda row: (row[0], row[2], row[3], row[4], row[1], row[5]))
    rows = [(*row[:5], f"{100 * row[5]:.1f} %", str(counts[row])) for row in order]
    header = ("dataset", "rows of protocol", "index", "pictures", "crop", "faces found weakly", "runs")
    return table(header, rows, raw=())
