"""What corruptions of the test rows cost: one table per source, for cells whose runs have it."""

from __future__ import annotations

from typing import Any

from fer_bench.data.crops.corruptions import CORRUPTIONS
from fer_bench.evaluation.robustness import Drop
from fer_bench.leaderboard.cells import Cell
from fer_bench.leaderboard.markup import escape, percent, stacked, table
from fer_bench.leaderboard.robustness import Robustness
from fer_bench.leaderboard.tables import Section


def context(section: Section) -> dict[str, Any]:
    """Return the values of the template: a title and a table per source and target."""
    found: dict[str, list[tuple[Cell, Robustness]]] = {}
    for cell in (cell for source in section.sources for cell in section.of_source(source)):
        for one in cell.robustness:
            title = cell.source if one.target == cell.dataset else f"{cell.source}, tested on {one.target}"
            found.setdefault(title, []).append((cell, one))
    return {"tables": [(escape(title), robustness_table(columns)) for title, columns in found.items()]}


def robustness_table(columns: list[tuple[Cell, Robustness]]) -> str:
    """Return a table with a row per corruption and a column per method."""
    header = ["corruption", *(escape(cell.label) for cell, _ in columns)]
    rows = [["*UAR as they are, %*", *(stacked(percent(one.clean)) for _, one in columns)]]
    whole = [stacked(percent(one.mean.relative)) if one.complete else "-" for _, one in columns]
    rows.append(["**mean of all**", *whole])
    for name, corruption in CORRUPTIONS.items():
        if any(name in one.drops for _, one in columns):
            rows.append([corruption.title, *(_drop(one.drops.get(name)) for _, one in columns)])
    return table(header, rows)


def _drop(drop: Drop | None) -> str:
    return "-" if drop is None else stacked(percent(drop.relative))
