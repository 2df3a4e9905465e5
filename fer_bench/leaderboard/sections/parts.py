"""Named subsets of test rows, each beside the whole of its dataset."""

from __future__ import annotations

from fer_bench.evaluation import metrics
from fer_bench.evaluation.estimates import Estimate
from fer_bench.leaderboard.cells import Cell
from fer_bench.leaderboard.links import Links
from fer_bench.leaderboard.markup import escape, margin, table
from fer_bench.leaderboard.tables import Section


def of_source(section: Section, source: str, links: Links) -> str:
    """Return a table with a row per target, method and subset, after that of all rows; empty without any."""
    shown = metrics.shown_in("page", ranking_first=True)
    header = ["method", "rows", *(metric.heading for metric in shown), "scored", "classes"]
    rows: list[list[str]] = []
    cells = section.of_source(source)
    for target in dict.fromkeys(part.target for cell in cells for part in cell.parts):
        for cell in cells:
            parts = [part for part in cell.parts if part.target == target]
            whole = _whole(cell, target) if parts else None
            if whole is not None:
                row = [links.method(cell.label), f"all of {escape(target)}", *_numbers(whole)]
                rows.append([*row, f"{whole.n:,}", str(whole.k)])
            for part in parts:
                listed, own = len(part.subset.rows), part.estimate
                scored = f"{own.n:,}" + ("" if own.n == listed else f" of {listed:,} listed")
                name = f"{escape(f'{target}:{part.subset.name}')} ({part.subset.hash[:8]})"
                row = [links.method(cell.label), name, *_numbers(own)]
                rows.append([*row, scored, str(own.k)])
    return table(header, rows)


def _whole(cell: Cell, target: str) -> Estimate | None:
    if target == cell.dataset:
        return cell.in_domain.estimate if cell.in_domain else None
    return cell.cross.get(target) or cell.inside.get(target)


def _numbers(found: Estimate) -> list[str]:
    shown = metrics.shown_in("page", ranking_first=True)
    return [margin(found.values.get(metric.name), metric.number) for metric in shown]
