"""Versions, hardware and data behind the numbers, as the records say."""

from __future__ import annotations

from collections import Counter

from fer_bench.files import canonical
from fer_bench.leaderboard.markup import escape, table
from fer_bench.leaderboard.tables import Section

_FIRST = ("fer_bench", "commit", "python", "torch", "lightning", "timm", "numpy", "platform", "cpu", "gpu")


def environment(section: Section) -> str:
    """Return versions and hardware in a line; several values where runs differ."""
    values: dict[str, set[str]] = {}
    for record in section.records:
        for name, value in record.environment.items():
            text = "none" if value is None else value if isinstance(value, str) else canonical(value)
            values.setdefault(name, set()).add(text)
    names = [*(name for name in _FIRST if name in values), *sorted(set(values) - set(_FIRST))]
    return escape("; ".join(f"{name} {' / '.join(sorted(values[name]))}" for name in names), None)


def data_of(section: Section, dataset: str) -> str:
    """Return which copies of a dataset the runs of a section were tested on."""
    counts = Counter(
        (d.protocol, d.fingerprint, d.pixels[:16], d.recipe, d.faces_weak, d.faces_missed)
        for r in section.finished
        for name, d in r.targets.items()
        if name == dataset
    )
    rows = []
    for key in sorted(counts, key=lambda row: tuple(map(str, row))):
        protocol, index, pictures, recipe, weak, missed = key
        weakly = "-" if missed is None and weak else f"{100 * (weak - (missed or 0)):.1f} %"
        none = f"{100 * weak:.1f} % or weakly" if missed is None and weak else f"{100 * (missed or 0):.1f} %"
        rows.append((protocol, index, pictures, recipe, none, weakly, str(counts[key])))
    header = (
        "rows of protocol",
        "index",
        "pictures",
        "crop",
        "no face found",
        "found by the cascade",
        "runs",
    )
    return table(header, rows, raw=())
