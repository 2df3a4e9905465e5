"""Scores that papers claim next to ours, for runs on real data under the papers' recipes only."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import Any

from fer_bench import methods
from fer_bench.datasets import members_of
from fer_bench.evaluation.intervals import Value
from fer_bench.evaluation.statistics import Interval
from fer_bench.leaderboard.cells import Cell
from fer_bench.leaderboard.links import Links
from fer_bench.leaderboard.markup import escape, margin, signed_percent, table
from fer_bench.leaderboard.sections.in_domain import folds_text
from fer_bench.leaderboard.sections.sources import linked
from fer_bench.leaderboard.tables import Section
from fer_bench.methods.claims import Claim, claims_of

HEADER = ("trained on", "tested on", "claimed, %", "here, %", "distance", "where", "remarks")

_TITLES = {"accuracy": "accuracy", "uar": "UAR", "macro_f1": "macro-F1"}


def has_claims(section: Section) -> bool:
    """Return whether papers' claims stand beside a section: they are about real data and their own recipe."""
    return section.data_kind == "real" and section.profile == "paper"


@dataclass(frozen=True)
class Compared:
    """A claim, and what was measured here of what it is about.

    Attributes:
        claim: The claim.
        cell: The cell with the same training data.
        value: Our score, None where there is none.
    """

    claim: Claim
    cell: Cell | None
    value: Value | None

    @property
    def distance(self) -> Value | None:
        """Return how far our score is above the claimed one, with the interval of ours."""
        if self.value is None:
            return None
        claimed, ends = float(self.claim.value) / 100, self.value.interval
        moved = None if ends is None else Interval(ends.low - claimed, ends.high - claimed)
        return Value(self.value.value - claimed, moved)


def compared(section: Section, method: str) -> list[Compared]:
    """Return every claim of a method's paper about the method itself, with our score where there is one."""
    found = claims_of(method) if method in methods.known() else None
    cells = [c for c in section.cells if c.method == method and c.usual]
    result = []
    for claim in found.claims if found else ():
        if claim.of != method:
            continue
        cell = next((c for c in cells if {*claim.source} == {*members_of(c.dataset)} and c.headline), None)
        result.append(Compared(claim, cell, None if cell is None else _measured(cell, claim)))
    return result


def summary(section: Section) -> dict[str, Any]:
    """Return the values of the first page: how many claims have a score here, and how far off ours are."""
    if not has_claims(section):
        return {}
    claims = [one for name in _names(section) for one in compared(section, name)]
    distances = [one.distance.value for one in claims if one.distance is not None]
    return {
        "claims": len(claims),
        "measured": len(distances),
        "contested": sum(bool(one.claim.evidence) for one in claims),
        "median": signed_percent(median(distances)) if distances else "",
    }


def page(section: Section, links: Links) -> list[dict[str, Any]]:
    """Return per method what the page of claims shows: the paper, every claim, and remarks by number."""
    parts = []
    for name in _names(section):
        found, claims = claims_of(name), compared(section, name)
        if found is None or not claims:
            continue
        remarks: dict[str, int] = {}
        rows = [_row(one, remarks, links) for one in claims]
        parts.append(
            {
                "method": links.method(name),
                "paper": linked(found.paper),
                "note": escape(found.note or "", None),
                "table": table(HEADER, rows),
                "here": escape("; ".join(dict.fromkeys(_here(o.cell) for o in claims if o.cell and o.value))),
                "remarks": [(number, text) for text, number in remarks.items()],
            }
        )
    return parts


def _names(section: Section) -> list[str]:
    methods_of = {c.label: c.method for c in section.cells}
    return list(dict.fromkeys(methods_of[label] for label in section.labels))


def _here(cell: Cell) -> str:
    """Return under what our scores of a source were made."""
    seeds = f"{len(cell.seeds)} {'seed' if len(cell.seeds) == 1 else 'seeds'}"
    folds = folds_text(cell)
    return f"{cell.source} {cell.protocol}, {seeds}" + ("" if folds == "-" else f", {folds}")


def _row(one: Compared, remarks: dict[str, int], links: Links) -> list[str]:
    claim = one.claim
    said = [] if claim.note is None else [escape(claim.note, None)]
    said += [f"*contested*: {escape(e.text, None)} ({escape(e.where, None)})" for e in claim.evidence]
    numbers = [remarks.setdefault(text, len(remarks) + 1) for text in said]
    return [
        links.source("+".join(claim.source)),
        claim.target if claim.target == "mean" else links.source(claim.target),
        f"{claim.value} {escape(_TITLES[claim.metric])}",
        margin(one.value, lambda v: f"{100 * v:.1f}"),
        margin(one.distance, signed_percent),
        escape("; ".join(filter(None, (claim.variant, claim.where)))),
        ("contested " if claim.evidence else "") + ", ".join(map(str, numbers)),
    ]


def _measured(cell: Cell, claim: Claim) -> Value | None:
    """Return our estimate of what the claim is about, None where there is none."""
    if claim.target == cell.dataset:
        found = cell.in_domain.estimate if cell.in_domain else None
    else:
        found = cell.cross.get(claim.target)
    return None if found is None else found.values.get(claim.metric)
