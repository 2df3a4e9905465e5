"""Trained and tested on the same dataset: UAR of all, and every metric of one dataset in full."""

from __future__ import annotations

from itertools import combinations
from typing import Any

from fer_bench import datasets
from fer_bench.evaluation import metrics
from fer_bench.evaluation.estimates import SMALL_CLASS
from fer_bench.leaderboard.apart import NOT_COMPARED, by_source
from fer_bench.leaderboard.cells import Cell
from fer_bench.leaderboard.links import Links
from fer_bench.leaderboard.markup import (
    escape,
    lettered,
    percent_margin,
    points,
    tables,
    with_interval,
)
from fer_bench.leaderboard.notes import Notes
from fer_bench.leaderboard.tables import Section
from fer_bench.leaderboard.wording import and_of, conclusion, outlook

WANTED = 0.05
"""The difference of UAR for which pages say how surely it would be shown."""


def context(section: Section, links: Links) -> dict[str, Any]:
    """Return the values of the first page: a row per dataset, a column per method."""
    labels = [name for name in section.labels if any(c.in_domain for c in section.cells if c.label == name)]
    rows, protocols = [], []
    for source in section.sources:
        cells = [c for c in section.of_source(source) if c.in_domain is not None]
        if not cells:
            continue
        rows.append(
            [
                links.source(source),
                *(_uar(section, section.cell(label, source)) for label in labels),
                _chance(cells),
            ]
        )
        shown = {(c.protocol, folds_text(c)) for c in cells if c.usual}
        texts = [name if folds == "-" else f"{name}, {folds}" for name, folds in sorted(shown)]
        protocols.append(f"{source} {' and '.join(texts)}")
    texts = [text for row in rows for text in row]
    return {
        "uar": tables(("UAR, %", *map(links.method, labels), "guessing"), rows),
        "protocols": escape("; ".join(protocols), None),
        "outlook": escape(outlook(section.own_columns, WANTED), None),
        "apart": any("§" in text for text in texts),
        "adapted": any("†" in text for text in texts),
    }


def _uar(section: Section, cell: Cell | None) -> str:
    if cell is None or cell.in_domain is None:
        return "-"
    mark = " §" if cell.apart_in_domain else ""
    mark += " †" if cell.adapted else ""
    text = percent_margin(cell.in_domain.estimate.values["uar"])
    return lettered(text, section.own_columns[cell.source], cell.label, mark=mark)


def _chance(cells: list[Cell]) -> str:
    ks = {c.in_domain.estimate.k for c in cells if c.in_domain}
    return " / ".join(f"{100 / k:.0f}" for k in sorted(ks))


def of_source(section: Section, source: str, notes: Notes, links: Links) -> dict[str, Any]:
    """Return the values of the page of a dataset: a row per method, every metric, what it was tested on."""
    cells = [c for c in section.of_source(source) if c.in_domain is not None]
    if not cells:
        return {}
    column = section.own_columns[source]
    said = [conclusion(column, _units(section, source))] if column.scores else []
    said.append(by_source((c, c.apart_in_domain) for c in cells if c.usual))
    return {
        "scores": _scores(section, source, cells, notes, links),
        "said": " ".join(escape(text, None) for text in said if text),
        "tested": escape(_tested(cells, _units(section, source)), None),
        "folds": escape(_folds(cells), None),
        "overlaps": escape(_overlaps(cells), None),
    }


def _scores(section: Section, source: str, cells: list[Cell], notes: Notes, links: Links) -> str:
    shown = metrics.shown_in("page", ranking_first=True)
    rows = []
    for cell in cells:
        assert cell.in_domain is not None
        own = cell.in_domain.estimate
        row = [links.method(cell.label) + notes.of(cell.label)]
        for metric in shown:
            text = with_interval(own.values.get(metric.name), metric.number)
            if metric.name == metrics.RANKING:
                mark = f", {NOT_COMPARED}" if cell.apart_in_domain else ""
                text = lettered(text, section.own_columns[source], cell.label, mark=mark)
            row.append(text)
        spread = own.seed_sd(metrics.RANKING)
        rows.append([*row, str(len(cell.seeds)) + ("" if spread is None else f" ({points(spread)})")])
    return tables(("method", *(metric.heading for metric in shown), "seeds (sd of UAR)"), rows)


def _tested(cells: list[Cell], unit: str) -> str:
    """Return on what the methods were tested; those that differ are told apart."""
    by_text: dict[str, list[str]] = {}
    for cell in cells:
        found = cell.in_domain
        assert found is not None
        own, folds = found.estimate, folds_text(cell)
        text = f"{own.n:,} rows of {own.units:,} {unit}, {own.k} classes"
        text += "" if folds == "-" else f", {folds}"
        text += f", fewer than {SMALL_CLASS} rows of {', '.join(own.small_classes)}" * bool(own.small_classes)
        by_text.setdefault(text, []).append(cell.label)
    if len(by_text) == 1:
        return f"Tested on {next(iter(by_text))}."
    return "Tested on " + "; ".join(f"{text} ({', '.join(who)})" for text, who in by_text.items()) + "."


def _folds(cells: list[Cell]) -> str:
    """Return mean and standard deviation over folds of every method that has several."""
    found = [(cell.label, cell.in_domain) for cell in cells if cell.in_domain is not None]
    said = [
        f"{label} {100 * own.fold_mean:.1f} ({points(own.fold_sd)})"
        for label, own in found
        if own.fold_mean is not None
    ]
    if not said:
        return ""
    return (
        "Folds are pooled: each row is predicted once, by the model that did not train on its person. Mean "
        f"(sd) over folds: {', '.join(said)}; the sd is not a standard error."
    )


def folds_text(cell: Cell) -> str:
    """Return which folds a cell holds: `fold 1 of 4`, `all 10 folds`, or `-` for a fixed split."""
    total = max(r.folds for r in cell.records)
    if total == 1:
        return "-"
    if len(cell.folds) == total:
        return f"all {total} folds"
    word = "fold" if len(cell.folds) == 1 else "folds"
    return f"{word} {', '.join(map(str, cell.folds))} of {total}"


def _units(section: Section, source: str) -> str:
    """Return what a test swaps on a dataset, in the plural."""
    name = section.of_source(source)[0].dataset
    reader = datasets.REGISTRY.usable().get(name)
    if reader is None:
        return "units"
    return {"subject": "persons", "video": "videos", "image": "pictures"}[reader.card.unit]


def adapted(section: Section) -> list[tuple[str, str, str]]:
    """Return method, sources and text of every adaptation, once each."""
    found: dict[tuple[str, str], list[str]] = {}
    for cell in (c for source in section.sources for c in section.of_source(source)):
        if cell.adapted:
            found.setdefault((cell.label, cell.adapted), []).append(cell.source)
    place = {label: i for i, label in enumerate(section.labels)}
    ordered = sorted(found.items(), key=lambda item: place[item[0][0]])
    return [(label, ", ".join(sources), text) for (label, text), sources in ordered]


def _overlaps(cells: list[Cell]) -> str:
    """Say for how many pairs of methods the intervals of the scores that are not tested overlap."""
    untested = [metric for metric in metrics.shown_in("page") if metric.name != metrics.RANKING]
    said = []
    for metric in untested:
        values = [
            cell.in_domain.estimate.values.get(metric.name)
            for cell in cells
            if cell.usual and cell.in_domain and cell.apart_in_domain is None
        ]
        known = [v.interval for v in values if v is not None and v.interval is not None]
        pairs = list(combinations(known, 2))
        apart = sum(a.low > b.high or b.low > a.high for a, b in pairs)
        if pairs:
            said.append(f"those of {metric.title} overlap for {len(pairs) - apart} of {len(pairs)} pairs")
    titles = and_of(metric.title for metric in untested)
    text = f"Only UAR is tested. {titles[:1].upper()}{titles[1:]} have intervals and no tests"
    return f"{text}: {'; '.join(said)}." if said else f"{text}."
