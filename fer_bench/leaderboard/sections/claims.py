"""Scores that papers claim next to ours, for runs on real data under the papers' recipes only."""

from __future__ import annotations

from fer_bench import methods
from fer_bench.datasets import members_of
from fer_bench.evaluation.estimates import Estimate
from fer_bench.leaderboard.cells import Cell
from fer_bench.leaderboard.markup import escape, percent, stacked, table
from fer_bench.leaderboard.tables import Section
from fer_bench.methods.claims import Claim, claims_of


def claimed(section: Section) -> str:
    """Return the table of claims for which the section has a score of ours, or nothing.

    Synthetic data and the quick profile have none, since papers make no claims about them.
    """
    if section.data_kind != "real" or section.profile != "paper":
        return ""
    header = (
        "method",
        "trained on",
        "tested on",
        "score",
        "claimed, %",
        "here, %",
        "classes, protocol, seeds",
    )
    rows = []
    for cell in section.cells:
        for claim in _claims(cell) if cell.usual else ():
            found = _measured(cell, claim)
            if found is None:
                continue
            remarks = f"{len(claim.evidence)} remarks in its file" if claim.evidence else ""
            where = "; ".join(filter(None, (claim.variant, claim.where)))
            rows.append(
                (
                    *map(escape, (cell.label, cell.source, claim.target, claim.metric)),
                    f"{claim.value}<br><sub>{escape(where)}</sub>",
                    stacked(percent(found.values[claim.metric])),
                    escape(f"{found.k} classes, {cell.protocol}, {len(cell.seeds)}"),
                    escape("; ".join(filter(None, (claim.note, remarks)))),
                )
            )
    return table((*header, "about the claim"), rows) if rows else ""


def _claims(cell: Cell) -> tuple[Claim, ...]:
    """Return what the method's paper claims for a training on the cell's datasets."""
    found = claims_of(cell.method) if cell.method in methods.names() else None
    own = found.claims if found else ()
    return tuple(c for c in own if c.of == cell.method and {*c.source} == {*members_of(cell.dataset)})


def _measured(cell: Cell, claim: Claim) -> Estimate | None:
    """Return our estimate of what the claim is about, None where there is none."""
    if claim.target == cell.dataset:
        found = cell.in_domain.estimate if cell.in_domain else None
    else:
        found = cell.cross.get(claim.target)
    return found if found is not None and claim.metric in found.values else None
