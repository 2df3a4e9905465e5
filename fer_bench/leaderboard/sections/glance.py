"""At a glance: one line per method with its usual settings, and what holds for the whole section."""

from __future__ import annotations

from typing import Any

from fer_bench.evaluation.pairs import Column
from fer_bench.leaderboard.apart import NOT_COMPARED, told_apart
from fer_bench.leaderboard.markup import decimal, escape, lettered, share, stacked, table, with_interval
from fer_bench.leaderboard.notes import Notes
from fer_bench.leaderboard.sections.baseline import BASELINE
from fer_bench.leaderboard.tables import Section
from fer_bench.leaderboard.wording import and_of, conclusion, p_text, plain_difference


def context(section: Section, notes: Notes) -> dict[str, Any]:
    """Return the values of the template."""
    overall = section.overall_column
    said = [conclusion(overall, "test units", plain_difference)] if overall.scores else []
    said.append(_ahead(section))
    said.append(told_apart((mine.label, mine.apart) for mine in section.overall))
    return {
        "table": _table(section, notes),
        "said": " ".join(escape(text, None) for text in said if text),
        "common": next((o.sources for o in section.overall if o.sources), ()),
        "unions": any(c.is_union for c in section.cells),
        "seeds": _seeds(section),
        "mixed_data": section.several_versions,
        "notes": notes.lines(),
    }


def _table(section: Section, notes: Notes) -> str:
    rows = []
    column = section.overall_column
    shown = BASELINE in column.scores and column.best != BASELINE
    for mine in section.overall:
        more = [NOT_COMPARED] if mine.apart and mine.mean else []
        done = {c.source for c in section.cells if c.label == mine.label and c.in_domain}
        rows.append(
            [
                f"**{escape(mine.label)}**{notes.of_method(mine.label)}",
                lettered(decimal(mine.mean), column, mine.label, more=more),
                _apart(column, mine.label, column.best),
                *(
                    [stacked(with_interval(column.difference(mine.label, BASELINE), plain_difference))]
                    * shown
                ),
                stacked(share(mine.retention)),
                str(len(done)),
            ]
        )
    header = ["method", "generalisation, overall", "difference from the best"]
    header += [f"difference from {BASELINE}"] * shown
    return table((*header, "retention", "datasets trained on"), rows)


def _ahead(section: Section) -> str:
    """Say on how many sources the best method is ahead of each other one that it was tested with."""
    column, parts = section.overall_column, []
    for name in column.scores:
        if column.test(name, column.best) is not None:
            won, count, p = section.over_sources(column.best, name)
            parts.append(
                f"{name} on {won} of {count}"
                + ("" if p is None else f" (Wilcoxon, not adjusted, {p_text(p)})")
            )
    return f"Source by source {column.best} is ahead of {and_of(parts)}." if parts else ""


def _apart(column: Column, label: str, reference: str) -> str:
    return stacked(with_interval(column.difference(label, reference), plain_difference))


def _seeds(section: Section) -> str:
    """Return which methods have other seeds than most on a source, or nothing."""
    seeds = {(c.label, c.seeds) for c in section.cells if c.usual}
    if len({found for _, found in seeds}) < 2:
        return ""
    return "; ".join(f"{label}: {', '.join(map(str, found))}" for label, found in sorted(seeds))
