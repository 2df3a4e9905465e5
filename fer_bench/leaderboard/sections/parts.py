"""Named subsets of test rows, each beside the whole of its dataset."""

from __future__ import annotations

from fer_bench.evaluation import metrics
from fer_bench.evaluation.estimates import Estimate
from fer_bench.leaderboard.cells import Cell
from fer_bench.leaderboard.markup import escape, stacked, table, with_interval
from fer_bench.leaderboard.notes import Notes
from fer_bench.leaderboard.tables import Section


def parts_table(section: Section, notes: Notes) -> str:
    """Return a table with a row per method, target and subset, after that of all rows; empty without any."""
    shown = metrics.shown_in("page", ranking_first=True)
    header = ["trained on", "tested on", "method", "rows", *(metric.heading for metric in shown)]
    header += ["scored rows", "classes"]
    rows: list[list[str]] = []
    for cell in (c for source in section.sources for c in section.of_source(source)):
        for target in dict.fromkeys(part.target for part in cell.parts):
            method = escape(cell.label) + notes.of_method(cell.label) + notes.of_cell(cell)
            start = [escape(cell.source), escape(target), method]
            whole = _whole(cell, target)
            if whole is not None:
                rows.append([*start, "all", *_numbers(whole), f"{whole.n:,}", str(whole.k)])
            for part in (one for one in cell.parts if one.target == target):
                listed, own = len(part.subset.rows), part.estimate
                scored = f"{own.n:,}" + ("" if own.n == listed else f" of {listed:,} listed")
                name = f"**{escape(part.subset.name)}**<br><sub>{part.subset.hash}</sub>"
                rows.append([*start, name, *_numbers(own), scored, str(own.k)])
    return table(header, rows)


def _whole(cell: Cell, target: str) -> Estimate | None:
    if target == cell.dataset:
        return cell.in_domain.estimate if cell.in_domain else None
    return cell.cross.get(target) or cell.inside.get(target)


def _numbers(found: Estimate) -> list[str]:
    shown = metrics.shown_in("page", ranking_first=True)
    return [stacked(with_interval(found.values.get(metric.name), metric.number)) for metric in shown]
