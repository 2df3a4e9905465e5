"""At a glance: one line per method with its usual settings, and what holds for the whole section."""

from __future__ import annotations

from typing import Any

from fer_bench.leaderboard.apart import NOT_RANKED, told_apart
from fer_bench.leaderboard.markup import decimal, escape, ranked, share, table
from fer_bench.leaderboard.notes import Notes
from fer_bench.leaderboard.tables import Section
from fer_bench.leaderboard.wording import conclusion, plain_difference


def context(section: Section, notes: Notes) -> dict[str, Any]:
    """Return the values of the template."""
    overall = section.overall_column
    said = [conclusion(overall, "test units", plain_difference)] if overall.ranks else []
    said.append(told_apart((mine.label, mine.apart) for mine in section.overall))
    return {
        "table": _table(section, notes),
        "said": " ".join(escape(text) for text in said if text),
        "common": next((o.sources for o in section.overall if o.sources), ()),
        "unions": any(c.is_union for c in section.cells),
        "seeds": _seeds(section),
        "mixed_data": section.several_versions,
        "notes": notes.lines(),
    }


def _table(section: Section, notes: Notes) -> str:
    rows = []
    for mine in section.overall:
        row = [f"**{escape(mine.label)}**{notes.of_method(mine.label)}"]
        more = [NOT_RANKED] if mine.apart and mine.mean else []
        row.append(ranked(decimal(mine.mean), section.overall_column, mine.label, more=more))
        row.append(share(mine.retention))
        for columns in (section.own_columns, section.general_columns):
            apart = [c for c in columns.values() if c.winners and mine.label in c.ranks]
            first = sum(mine.label in c.winners for c in apart)
            row.append(f"{first} of {len(apart)}" if apart else "-")
        done = {c.source for c in section.cells if c.label == mine.label and c.in_domain}
        rows.append([*row, str(len(done))])
    header = ("method", "generalisation, overall", "retention", "best group on its own dataset")
    return table((*header, "best group on other datasets", "datasets trained on"), rows)


def _seeds(section: Section) -> str:
    """Return which methods have other seeds than most on a source, or nothing."""
    seeds = {(c.label, c.seeds) for c in section.cells if c.usual}
    if len({found for _, found in seeds}) < 2:
        return ""
    return "; ".join(f"{label}: {', '.join(map(str, found))}" for label, found in sorted(seeds))
