"""Tested on other datasets: generalisation per source, and every pair of datasets."""

from __future__ import annotations

from typing import Any

from fer_bench.evaluation.pairs import Column
from fer_bench.evaluation.transfer import share_pictures
from fer_bench.leaderboard.apart import NOT_COMPARED, by_source
from fer_bench.leaderboard.cells import Cell
from fer_bench.leaderboard.markup import decimal, escape, lettered, share, stacked, table
from fer_bench.leaderboard.notes import Notes
from fer_bench.leaderboard.tables import Section
from fer_bench.leaderboard.wording import above_guessing, conclusion, list_of, plain_difference


def context(section: Section, notes: Notes) -> dict[str, Any]:
    """Return the values of the template."""
    columns = {"overall": section.overall_column, **section.general_columns}
    said = {
        escape(name): escape(conclusion(column, "test units", plain_difference), None)
        for name, column in columns.items()
        if column.scores
    }
    apart = by_source((c, c.apart_elsewhere) for c in section.cells if c.usual and c.generalisation.mean)
    said |= {"all": escape(apart)} if apart else {}
    matrices = []
    for label in section.labels:
        cells = [c for c in section.cells if c.label == label]
        if any(c.cross for c in cells):
            text = above_guessing([e for c in cells for e in c.cross.values()])
            matrices.append((label, _matrix(section, label), text))
    rare = {
        (cell.source, target, ", ".join(found.small_classes))
        for cell in section.cells
        for target, found in cell.cross.items()
        if found.small_classes
    }
    return {
        "generalisation": _generalisation(section, notes),
        "said": list_of(said),
        "variants": any(not c.usual for c in section.cells),
        "matrices": matrices,
        "pairs": _pairs(section),
        "rare": sorted(rare),
        "seen": any(target in cell.seen for cell in section.cells for target in cell.cross),
        "never_cross": sorted(" and ".join(sorted(p)) for p in section.excluded if p <= {*section.targets}),
    }


def _generalisation(section: Section, notes: Notes) -> str:
    overall = {o.label: o for o in section.overall}
    rows = []
    for label in dict.fromkeys((*overall, *section.labels)):
        mine = overall.get(label)
        more = [] if mine is None or mine.six is None else [f"six {mine.six.value:.2f}"]
        more += [] if mine is None or mine.seed_sd is None else [f"seed sd {mine.seed_sd:.2f}"]
        more += [] if mine is None or mine.apart is None or mine.mean is None else [NOT_COMPARED]
        mean = decimal(mine.mean if mine else None)
        row = [f"**{escape(label)}**{notes.of_method(label)}"]
        row.append(lettered(mean, section.overall_column, label, more=more))
        row.append(stacked(share(mine.retention if mine else None)))
        for source in section.sources:
            row.append(_of_source(section.cell(label, source), section.general_columns[source], notes))
        rows.append(row)
    return table(("method", "overall", "retention", *map(escape, section.sources)), rows)


def _of_source(cell: Cell | None, column: Column, notes: Notes) -> str:
    if cell is None or cell.generalisation.mean is None:
        return "-"
    general, mean = cell.generalisation, cell.generalisation.mean
    mark = notes.of_cell(cell)
    if not general.complete:
        return f"{mean.value:.2f} ({general.scored}/{general.wanted}){mark}"
    more = [f"six {cell.six.mean.value:.2f}"] if cell.six.complete and cell.six.mean else []
    more += [] if cell.retention is None else [f"retains {share(cell.retention)}"]
    more += [] if cell.seed_sd is None else [f"seed sd {cell.seed_sd:.2f}"]
    more += [] if cell.apart_elsewhere is None else [NOT_COMPARED]
    return lettered(decimal(mean), column, cell.label, mark=mark, more=more)


def _matrix(section: Section, label: str) -> str:
    cells = [cell for source in section.sources if (cell := section.cell(label, source)) is not None]
    rows = [
        [f"**{escape(cell.source)}**", *(_pair(section, cell, target) for target in section.targets)]
        for cell in cells
    ]
    return table(("trained on \\ tested on", *map(escape, section.targets)), rows)


def _pair(section: Section, cell: Cell, target: str) -> str:
    """Return the transfer score of a pair; in italics where the target was trained on."""
    own = target == cell.dataset or target in cell.inside
    if not own and share_pictures(cell.dataset, target, section.excluded):
        return "×"
    in_domain = cell.in_domain.estimate if cell.in_domain else None
    found = cell.inside.get(target, in_domain) if own else cell.cross.get(target)
    value = found.values.get("transfer") if found else None
    if own:
        return f"*{value.value:.2f}*" if value else "-"
    spread = found.seed_sd("transfer") if found else None
    more = [] if spread is None else [f"seed sd {spread:.2f}"]
    marks = (" ‡" if found and found.small_classes else "") + (" §" if value and target in cell.seen else "")
    return stacked(decimal(value), mark=marks, more=more)


def _pairs(section: Section) -> str:
    """Return how many rows and classes every pair was scored on; methods that differ are told apart."""
    rows = []
    for source in section.sources:
        row = [f"**{escape(source)}**"]
        for target in section.targets:
            texts: dict[str, list[str]] = {}
            for cell in section.of_source(source):
                found = cell.cross.get(target)
                if found is not None:
                    mark = " ‡" if found.small_classes else ""
                    text = f"{found.n:,} rows, {found.k} classes, {100 * found.kept_share:.0f} % kept{mark}"
                    texts.setdefault(text, []).append(cell.label)
            if len(texts) < 2:
                row.append(next(iter(texts), "-"))
            else:
                row.append("<br>".join(f"{escape(', '.join(who))}: {text}" for text, who in texts.items()))
        rows.append(row)
    return table(("trained on \\ tested on", *map(escape, section.targets)), rows)
