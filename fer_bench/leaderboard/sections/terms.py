"""What weights and data come from: whether a test set may be in them, and what their terms allow."""

from __future__ import annotations

from typing import Any

from fer_bench import datasets, methods
from fer_bench.datasets import members_of
from fer_bench.leaderboard.cells import Cell
from fer_bench.leaderboard.licences import DRAWN, all_of, commercial
from fer_bench.leaderboard.links import Links
from fer_bench.leaderboard.markup import TableText, escape, table
from fer_bench.leaderboard.tables import Section
from fer_bench.leaderboard.wording import and_of
from fer_bench.provenance.modules import OWN
from fer_bench.results.record import GENERATOR, Exposure, TrainingData

CODE = "MIT"
"""Terms of the code of this package."""
UNKNOWN = "unknown: ask who trained them"
_SAID: dict[Exposure, str] = {"in training": "yes", "seen the pictures": "its pictures", "unseen": "no"}


def context(section: Section, links: Links) -> dict[str, Any]:
    """Return the values of the template: methods with the weights they start from, and data."""
    rows = []
    for label in section.labels:
        cells = [c for c in section.cells if c.label == label]
        rows += _method(section, label, cells, links)
    header = ["method", "weights it starts from", "is a test set in them?", "terms of the weights"]
    return {
        "methods": table([*header, "commercial use"], rows),
        "data": TableText() if section.data_kind == "synthetic" else _data(section, links),
    }


def _method(section: Section, label: str, cells: list[Cell], links: Links) -> list[list[str]]:
    parts: dict[tuple[str, str], TrainingData] = {}
    for record in (r for c in cells for r in c.records):
        for name, data in record.pretrained.items():
            parts[name, data.text] = data
    code = code_terms(cells[0].method)
    if not parts:
        return [[links.method(label), "none", "no", "-", commercial(code)]]
    rows = []
    for (name, text), data in parts.items():
        weights = DRAWN if "drawn faces" in text else UNKNOWN
        short = "MIT (drawn by this package)" if weights is DRAWN else weights
        usable = all_of([commercial(code), commercial(weights)])
        rows.append([links.method(label), escape(f"{name}: {text}"), _held(section, data), short, usable])
    return rows


def code_terms(method: str) -> str:
    """Return the terms of a method's code, as far as this package can know them."""
    if method in methods.known() and methods.entry(method).target.startswith(f"{OWN}."):
        return CODE
    return "unknown: ask its authors"


def _held(section: Section, data: TrainingData) -> str:
    """Return which test sets the weights were trained on, may have been, and were not."""
    if section.data_kind == "synthetic":
        told = _SAID.get(data.of(GENERATOR), "not known to")
        return f"this generator's expression labels: {told}"
    targets = dict.fromkeys(t for c in section.cells for t in (*members_of(c.dataset), *c.cross))
    by_answer: dict[str, list[str]] = {}
    for target in targets:
        by_answer.setdefault(_SAID.get(data.of(target), "unknown"), []).append(target)
    return escape("; ".join(f"{answer}: {and_of(names)}" for answer, names in by_answer.items()))


def _data(section: Section, links: Links) -> TableText:
    known = datasets.REGISTRY.usable()
    names = dict.fromkeys(t for c in section.cells for t in (*members_of(c.dataset), *c.cross))
    rows = [
        [links.source(name), escape(known[name].card.licence), commercial(known[name].card.licence)]
        for name in names
        if name in known
    ]
    return table(("data", "terms, as its card says", "commercial use"), rows)
