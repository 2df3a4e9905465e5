"""Trained and tested on the same dataset: UAR per dataset, and every metric in full."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

from fer_bench import datasets
from fer_bench.evaluation import metrics
from fer_bench.evaluation.estimates import SMALL_CLASS
from fer_bench.evaluation.pairs import Column
from fer_bench.leaderboard.apart import NOT_COMPARED, by_source
from fer_bench.leaderboard.cells import Cell
from fer_bench.leaderboard.markup import escape, lettered, percent, points, stacked, table, with_interval
from fer_bench.leaderboard.notes import Notes
from fer_bench.leaderboard.tables import Section
from fer_bench.leaderboard.wording import and_of, conclusion, list_of, outlook


def context(section: Section, notes: Notes) -> dict[str, Any]:
    """Return the values of the template."""
    adapted: dict[tuple[str, str], list[str]] = {}
    for cell in section.cells:
        if cell.adapted:
            adapted.setdefault((cell.label, cell.adapted), []).append(cell.source)
    others = [m.title for m in metrics.shown_in("page") if m.name != metrics.RANKING]
    return {
        "uar": _uar(section, notes),
        "said": _said(section.own_columns, section),
        "outlook": outlook(section.own_columns, 0.05),
        "adapted": [(label, ", ".join(sources), text) for (label, text), sources in adapted.items()],
        "full": _full(section, notes),
        "full_said": _overlaps(section),
        "others": others,
    }


def _uar(section: Section, notes: Notes) -> str:
    rows = []
    for label in section.labels:
        row = [f"**{escape(label)}**{notes.of_method(label)}"]
        for source in section.sources:
            cell = section.cell(label, source)
            if cell is None or cell.in_domain is None:
                row.append("-")
                continue
            mark = (" †" if cell.adapted else "") + notes.of_cell(cell)
            text = percent(cell.in_domain.estimate.values["uar"])
            more = [NOT_COMPARED] if cell.apart_in_domain else []
            row.append(lettered(text, section.own_columns[source], label, mark=mark, more=more))
        rows.append(row)
    chance, protocols = ["*guessing*"], ["*protocol*"]
    for source in section.sources:
        cells = [c for c in section.of_source(source) if c.in_domain]
        shown = {(c.protocol, folds_text(c)) for c in cells if c.usual}
        texts = (name if folds == "-" else f"{name}, {folds}" for name, folds in sorted(shown))
        protocols.append("<br>".join(f"<sub>{escape(text)}</sub>" for text in texts) or "-")
        ks = {c.in_domain.estimate.k for c in cells if c.in_domain}
        chance.append(" / ".join(f"{100 / k:.1f}" for k in sorted(ks)) or "-")
    return table(("UAR, %", *map(escape, section.sources)), [*rows, chance, protocols])


def folds_text(cell: Cell) -> str:
    """Return which folds a cell holds: `fold 1 of 4`, `all 10 folds`, or `-` for a fixed split."""
    total = max(r.folds for r in cell.records)
    if total == 1:
        return "-"
    if len(cell.folds) == total:
        return f"all {total} folds"
    word = "fold" if len(cell.folds) == 1 else "folds"
    return f"{word} {', '.join(map(str, cell.folds))} of {total}"


def _said(columns: Mapping[str, Column], section: Section) -> str:
    """Return what can be concluded per source, each with its dataset's units, and who is not compared."""
    said = {
        escape(source): escape(conclusion(column, _units(section, source)), None)
        for source, column in columns.items()
        if column.scores and any(c.in_domain for c in section.of_source(source))
    }
    apart = by_source((c, c.apart_in_domain) for c in section.cells if c.usual and c.in_domain)
    return list_of(said | ({"all": escape(apart)} if apart else {}))


def _units(section: Section, source: str) -> str:
    """Return what a test swaps on a dataset, in the plural."""
    name = section.of_source(source)[0].dataset
    reader = datasets.REGISTRY.usable().get(name)
    if reader is None:
        return "units"
    return {"subject": "persons", "video": "videos", "image": "pictures"}[reader.card.unit]


def _full(section: Section, notes: Notes) -> str:
    shown = metrics.shown_in("page", ranking_first=True)
    header = ["trained and tested on", "protocol", "method", *(metric.heading for metric in shown), "rows"]
    header += ["units", "classes", "folds", "mean (sd) over folds", "seeds", "flags"]
    rows = []
    for cell in (c for source in section.sources for c in section.of_source(source)):
        found = cell.in_domain
        if found is None:
            continue
        own, mean = found.estimate, found.fold_mean
        spread = own.seed_sd("uar")
        small = f"under {SMALL_CLASS} rows: {', '.join(own.small_classes)}" if own.small_classes else ""
        flags = "; ".join(filter(None, ("adapted" if cell.adapted else "", small))) or "-"
        row = [
            *map(escape, (cell.dataset, cell.protocol, cell.label)),
            *(stacked(with_interval(own.values.get(m.name), m.number)) for m in shown),
            f"{own.n:,}",
            f"{own.units:,}",
            str(own.k),
            folds_text(cell),
            "-" if mean is None else f"{100 * mean:.1f} ({points(found.fold_sd)})",
            str(len(cell.seeds)) + ("" if spread is None else f" (sd {points(spread)})"),
            flags + notes.of_method(cell.label) + notes.of_cell(cell),
        ]
        rows.append(row)
    return table(header, rows)


def _overlaps(section: Section) -> str:
    """Say for how many pairs of methods the intervals of the scores that are not tested overlap."""
    untested = [metric for metric in metrics.shown_in("page") if metric.name != metrics.RANKING]
    said = []
    for metric in untested:
        apart, pairs = 0, 0
        for source in section.sources:
            values = [
                cell.in_domain.estimate.values.get(metric.name)
                for cell in section.of_source(source)
                if cell.usual and cell.in_domain and cell.apart_in_domain is None
            ]
            known = [v.interval for v in values if v is not None and v.interval is not None]
            pairs += len(list(combinations(known, 2)))
            apart += sum(a.low > b.high or b.low > a.high for a, b in combinations(known, 2))
        if pairs:
            said.append(f"for {pairs - apart} of {pairs} pairs of methods those of {metric.title} overlap")
    titles = and_of(metric.title for metric in untested)
    text = f"Only UAR is tested. {titles[:1].upper()}{titles[1:]} have intervals and no tests"
    return f"{text}: {'; '.join(said)}." if said else f"{text}."
