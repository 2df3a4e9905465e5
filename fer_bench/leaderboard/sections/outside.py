"""Models that were trained elsewhere: what they score on each target, and what they had seen of it."""

from __future__ import annotations

from typing import Any

from fer_bench.leaderboard.cells import Cell
from fer_bench.leaderboard.links import Links
from fer_bench.leaderboard.markup import TableText, escape, margin, tables, two
from fer_bench.leaderboard.tables import Section
from fer_bench.results.record import OUTSIDE, TrainingData


def context(section: Section, links: Links) -> dict[str, Any]:
    """Return the values of the template."""
    texts = [_mark(cell, target) for cell in section.outside for target in cell.cross]
    return {
        "table": _table(section, links),
        "seen": " †" in texts,
        "unknown": " ?" in texts,
        "own": sorted({f"{c.dataset}/{c.protocol}" for c in section.outside if c.dataset != OUTSIDE}),
        "drawn": section.data_kind == "synthetic",
        "facts": [fact for cell in section.outside for fact in _facts(cell)],
    }


def _table(section: Section, links: Links) -> TableText:
    """Return a row per dataset tested on and a column per model."""
    tested = {name for cell in section.outside for name in (*cell.cross, *cell.inside, cell.dataset)}
    header, means = ["tested on"], ["**mean**"]
    for cell in section.outside:
        general = cell.generalisation
        count = f" ({general.scored}/{general.wanted})" if general.wanted and not general.complete else ""
        means.append("-" if general.mean is None else margin(general.mean, two) + count)
        source = "" if cell.dataset == OUTSIDE else f", {cell.source}"
        header.append(f"{escape(cell.label)}{escape(source)}")
    targets = [name for name in section.targets if name in tested]
    rows = [[links.source(name), *(_score(cell, name) for cell in section.outside)] for name in targets]
    return tables(header, [*rows, means] if section.outside else [])


def _score(cell: Cell, target: str) -> str:
    found = cell.cross.get(target) or cell.inside.get(target)
    if target == cell.dataset and cell.in_domain is not None:
        found = cell.in_domain.estimate
    value = found.values.get("transfer") if found else None
    if value is None:
        return "-"
    if target not in cell.cross:
        return f"*{value.value:.2f}*"
    return margin(value, two) + _mark(cell, target)


def _mark(cell: Cell, target: str) -> str:
    if target in cell.seen:
        return " †"
    record = cell.records[0]
    known = record.training_data or TrainingData(text="")
    return " ?" if record.data_kind == "real" and known.of(target) == "unknown" else ""


def _facts(cell: Cell) -> list[tuple[str, str]]:
    """Return what a reader should know of a model: what it was trained on, and each warning."""
    known = cell.records[0].training_data or TrainingData(text="unknown")
    found = [f"trained on {known.text}{f' ({known.source})' if known.source else ''}", *cell.warnings]
    found += [f"not tested on {name}: {why}" for name, why in sorted(cell.records[0].missing.items())]
    return [(cell.label, text) for text in found]
