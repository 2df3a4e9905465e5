"""Tested on other datasets: generalisation per source, and every target of one source."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fer_bench.evaluation.intervals import Value
from fer_bench.evaluation.pairs import Column
from fer_bench.evaluation.transfer import share_pictures
from fer_bench.leaderboard.apart import by_source
from fer_bench.leaderboard.cells import Cell
from fer_bench.leaderboard.links import Links
from fer_bench.leaderboard.markup import decimal, escape, lettered, margin, share, tables, two
from fer_bench.leaderboard.notes import Notes
from fer_bench.leaderboard.tables import Section
from fer_bench.leaderboard.wording import above_guessing, conclusion, plain_difference


def context(section: Section, links: Links) -> dict[str, Any]:
    """Return the values of the first page: a row per dataset trained on, a column per method."""
    labels = [n for n in section.labels if any(c.generalisation.mean for c in section.cells if c.label == n)]
    rows = []
    for source in section.sources:
        cells = [section.cell(label, source) for label in labels]
        if any(cell is not None and cell.generalisation.mean for cell in cells):
            column = section.general_columns[source]
            rows.append([links.source(source), *(_of_source(cell, column) for cell in cells)])
    texts = [text for row in rows for text in row]
    return {
        "generalisation": tables(("trained on", *map(links.method, labels)), rows),
        "apart": any("§" in text for text in texts),
        "incomplete": any("/" in text for row in rows for text in row[1:]),
        "variants": any(not c.usual for c in section.cells),
    }


def _of_source(cell: Cell | None, column: Column) -> str:
    if cell is None or cell.generalisation.mean is None:
        return "-"
    general, mean = cell.generalisation, cell.generalisation.mean
    if not general.complete:
        return f"{mean.value:.2f} ({general.scored}/{general.wanted})"
    return lettered(margin(mean, two), column, cell.label, mark=" §" if cell.apart_elsewhere else "")


def of_source(section: Section, source: str, notes: Notes, links: Links) -> dict[str, Any]:
    """Return the values of the page of a dataset: a row per dataset tested on, a column per method."""
    cells = [c for c in section.of_source(source) if c.cross or c.inside]
    if not cells:
        return {}
    column = section.general_columns[source]
    said = [conclusion(column, "test units", plain_difference)] if column.scores else []
    said.append(by_source((c, c.apart_elsewhere) for c in cells if c.usual and c.generalisation.mean))
    targets = [t for t in section.targets if any(_found(c, t) is not None for c in cells)]
    never = [t for t in section.targets if share_pictures(cells[0].dataset, t, section.excluded)]
    rows = [[links.source(target), *(_pair(cell, target) for cell in cells)] for target in targets]
    rows += _means(cells, column)
    guessing = {c.label: above_guessing(list(c.cross.values())) for c in cells if c.cross}
    return {
        "table": tables(("tested on", *(links.method(c.label) + notes.of(c.label) for c in cells)), rows),
        "pairs": _pairs(cells, targets, links),
        "said": " ".join(escape(text, None) for text in said if text),
        "guessing": escape("; ".join(f"{label} {text}" for label, text in guessing.items()), None),
        "members": any(c.inside for c in cells),
        "seen": any(target in cell.seen for cell in cells for target in cell.cross),
        "rare": any(found.small_classes for cell in cells for found in cell.cross.values()),
        "never": escape(", ".join(never)),
    }


def _found(cell: Cell, target: str) -> Value | None:
    found = cell.cross.get(target) or cell.inside.get(target)
    return found.values.get("transfer") if found else None


def _pair(cell: Cell, target: str) -> str:
    """Return the transfer score of a pair; in italics where the target was trained on."""
    value = _found(cell, target)
    if value is None:
        return "-"
    if target in cell.inside:
        return f"*{decimal(value)}*"
    return decimal(value) + (" §" if target in cell.seen else "")


def _means(cells: Sequence[Cell], column: Column) -> list[list[str]]:
    """Return the rows of means: over all targets, over six emotions, what is retained, spread over seeds."""
    lines: list[tuple[str, Callable[[Cell], str]]] = [
        ("**mean**", lambda c: _mean(c, column)),
        ("six emotions", lambda c: decimal(c.six.mean) if c.six.complete else "-"),
        ("retained", lambda c: share(c.retention)),
        ("seed sd of the mean", lambda c: "-" if c.seed_sd is None else two(c.seed_sd)),
    ]
    rows = [[title, *map(show, cells)] for title, show in lines]
    return [row for row in rows if any(text != "-" for text in row[1:])]


def _mean(cell: Cell, column: Column) -> str:
    general = cell.generalisation
    if general.mean is None or general.complete:
        mark = " §" if cell.apart_elsewhere and general.mean else ""
        return lettered(decimal(general.mean), column, cell.label, mark=mark)
    return f"{general.mean.value:.2f} ({general.scored}/{general.wanted})"


def _pairs(cells: Sequence[Cell], targets: Sequence[str], links: Links) -> str:
    """Return how many rows and classes every target was scored on; methods that differ are told apart."""
    rows = []
    for target in targets:
        by_text: dict[tuple[str, ...], list[str]] = {}
        for cell in cells:
            found = cell.cross.get(target)
            if found is not None:
                kept, small = f"{100 * found.kept_share:.0f} %", ", ".join(found.small_classes) or "-"
                counts = f"{found.n:,}", f"{found.units:,}", str(found.k)
                texts: tuple[str, ...] = (*counts, kept, escape(small))
                by_text.setdefault(texts, []).append(cell.label)
        for texts, who in by_text.items():
            told = f" ({escape(', '.join(who))})" if len(by_text) > 1 else ""
            rows.append([links.source(target) + told, *texts])
    header = ["tested on", "rows", "units", "classes", "kept", "small classes"]
    width = len(header) if any(row[-1] != "-" for row in rows) else len(header) - 1
    return tables(header[:width], [row[:width] for row in rows])
