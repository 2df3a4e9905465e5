"""What corruptions of the test rows cost, for cells whose runs have it."""

from __future__ import annotations

from fer_bench.data.crops.corruptions import CORRUPTIONS
from fer_bench.evaluation.robustness import Drop
from fer_bench.leaderboard.cells import Cell
from fer_bench.leaderboard.links import Links
from fer_bench.leaderboard.markup import TableText, escape, percent, percent_margin, tables
from fer_bench.leaderboard.robustness import Robustness
from fer_bench.leaderboard.tables import Section


def context(section: Section, links: Links) -> TableText:
    """Return the table of the first page: the mean over all corruptions, a row per dataset tested on."""
    found = {source: _measured(section, source) for source in section.sources}
    labels = [n for n in section.labels if any(c.label == n for by in found.values() for c, _ in by)]
    rows = []
    for source, measured in found.items():
        for target in dict.fromkeys(one.target for _, one in measured):
            mine = {c.label: one for c, one in measured if one.target == target}
            told = "" if len({one.target for _, one in measured}) == 1 else f", on {escape(target)}"
            rows.append([links.source(source) + told, *(_mean(mine.get(label)) for label in labels)])
    return tables(("trained on", *map(links.method, labels)), rows)


def of_source(section: Section, source: str, links: Links) -> list[tuple[str, str, TableText]]:
    """Return target, rows and table per target of a source: a row per corruption, a column per method."""
    measured = _measured(section, source)
    return [
        (
            escape(target),
            ", ".join(sorted({f"{one.n:,}" for _, one in measured if one.target == target})),
            robustness_table([(c, one) for c, one in measured if one.target == target], links),
        )
        for target in dict.fromkeys(one.target for _, one in measured)
    ]


def robustness_table(columns: list[tuple[Cell, Robustness]], links: Links) -> TableText:
    """Return a table with a row per corruption and a column per method."""
    header = ["corruption", *(links.method(cell.label) for cell, _ in columns)]
    rows = [["*UAR as they are, %*", *(percent(one.clean) for _, one in columns)]]
    whole = [percent(one.mean.relative) if one.complete else "-" for _, one in columns]
    rows.append(["**mean of all**", *whole])
    for name, corruption in CORRUPTIONS.items():
        if any(name in one.drops for _, one in columns):
            rows.append([corruption.title, *(_drop(one.drops.get(name)) for _, one in columns)])
    return tables(header, rows)


def _measured(section: Section, source: str) -> list[tuple[Cell, Robustness]]:
    return [(cell, one) for cell in section.of_source(source) for one in cell.robustness]


def _mean(one: Robustness | None) -> str:
    return "-" if one is None or not one.complete else percent_margin(one.mean.relative)


def _drop(drop: Drop | None) -> str:
    return "-" if drop is None else percent(drop.relative)
