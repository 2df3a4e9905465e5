"""At a glance: one line per method with its usual settings, and what holds for the whole section."""

from __future__ import annotations

from typing import Any

from fer_bench.leaderboard.markup import decimal, difference, escape, lettered, share, stacked, table
from fer_bench.leaderboard.notes import Notes
from fer_bench.leaderboard.tables import Section
from fer_bench.leaderboard.wording import conclusion, plain_difference


def context(section: Section, notes: Notes) -> dict[str, Any]:
    """Return the values of the template."""
    overall = section.overall_column
    return {
        "table": _table(section, notes),
        "said": escape(conclusion(overall, "test units", plain_difference)) if overall.scores else "",
        "common": next((o.sources for o in section.overall if o.sources), ()),
        "unions": any(c.is_union for c in section.cells),
        "seeds": _seeds(section),
        "mixed_data": section.several_versions,
        "notes": notes.lines(),
    }


def _table(section: Section, notes: Notes) -> str:
    rows = []
    column = section.overall_column
    for mine in section.overall:
        done = {c.source for c in section.cells if c.label == mine.label and c.in_domain}
        rows.append(
            [
                f"**{escape(mine.label)}**{notes.of_method(mine.label)}",
                lettered(decimal(mine.mean), column, mine.label),
                stacked(difference(column.difference_from_best(mine.label), plain_difference)),
                stacked(share(mine.retention)),
                str(len(done)),
            ]
        )
    header = ("method", "generalisation, overall", "difference from the best", "retention")
    return table((*header, "datasets trained on"), rows)


def _seeds(section: Section) -> str:
    """Return which methods have other seeds than most on a source, or nothing."""
    seeds = {(c.label, c.seeds) for c in section.cells if c.usual}
    if len({found for _, found in seeds}) < 2:
        return ""
    return "; ".join(f"{label}: {', '.join(map(str, found))}" for label, found in sorted(seeds))
