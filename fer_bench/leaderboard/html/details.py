"""What a click on a cell opens: its runs, settings, mistakes, curves and the command that repeats it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fer_bench.evaluation import metrics
from fer_bench.evaluation.estimates import Estimate
from fer_bench.files import spelled
from fer_bench.leaderboard.cells import Cell
from fer_bench.leaderboard.html.shown import key_of
from fer_bench.leaderboard.markup import margin, two
from fer_bench.leaderboard.notes import notes_of
from fer_bench.leaderboard.sections.in_domain import folds_text
from fer_bench.leaderboard.tables import Section
from fer_bench.results.scores import Breakdown

MOST_WRONG = 3
"""Wrong answers that are named per class."""


def details(section: Section) -> dict[str, dict[str, Any]]:
    """Return the details of every cell by its name."""
    return {key_of(cell): _of(section, cell) for cell in (*section.cells, *section.outside)}


def _of(section: Section, cell: Cell) -> dict[str, Any]:
    first = cell.records[0]
    kind = "SYNTHETIC DATA" if section.data_kind == "synthetic" else "real data"
    facts = [
        ("data", f"{kind}, profile {section.profile}"),
        ("protocol", cell.protocol if (folds := folds_text(cell)) == "-" else f"{cell.protocol}, {folds}"),
        ("seeds", ", ".join(map(str, cell.seeds))),
        ("checkpoint", f"epoch chosen: {cell.selection}"),
        ("classes", ", ".join(first.classes)),
        ("parameters", f"{first.parameters:,}" if first.parameters else "-"),
        ("rows", ", ".join(f"{role} {count:,}" for role, count in first.rows.items()) or "-"),
    ]
    facts += [("adapted", cell.adapted)] if cell.adapted else []
    facts += [("note", text) for text in notes_of(cell)]
    parts = _parts(cell, section)
    return {
        "title": f"{cell.label} trained on {cell.source}",
        "method": cell.label,
        "source": cell.source,
        "facts": facts,
        "scores": _scores(cell, section),
        "settings": list(spelled({k: v for k, v in first.settings.items() if v is not None}).items()),
        "varied": list(first.varied.items()),
        "runs": _runs(cell),
        "commands": [f"fer-bench rerun {record.key}" for record in cell.records],
        "answers": {target: _answers(found) | _pictures(cell, target) for target, found in parts.items()},
    }


def _estimates(cell: Cell, section: Section) -> dict[str, Estimate]:
    own = {cell.dataset: cell.in_domain.estimate} if cell.in_domain else {}
    found = {**cell.inside, **cell.cross}
    return own | {target: found[target] for target in section.targets if target in found}


def _scores(cell: Cell, section: Section) -> list[list[str]]:
    uar = metrics.registry()[metrics.RANKING]
    rows = []
    for target, found in _estimates(cell, section).items():
        transfer = found.values.get("transfer")
        numbers = [
            "-" if transfer is None else margin(transfer, two),
            margin(found.values["uar"], uar.number),
        ]
        rows.append([target, *numbers, f"{found.n:,}", f"{found.units:,}", str(found.k)])
    return rows


def _runs(cell: Cell) -> list[list[str]]:
    rows = []
    uar = metrics.registry()[metrics.RANKING]
    for r in cell.records:
        chosen, score = r.selection.get(r.headline), r.score(r.dataset, r.headline)
        rows.append(
            [
                f"{r.method}/{r.dataset}/{r.key}",
                f"{r.fold} of {r.folds}",
                str(r.seed),
                "-" if chosen is None else str(chosen.epoch),
                uar.number(None if chosen is None else chosen.val_uar),
                uar.number(None if score is None else score.uar),
                str(r.environment.get("fer_bench", "-")),
                str(r.environment.get("commit") or "-")[:10],
            ]
        )
    return rows


def _parts(cell: Cell, section: Section) -> dict[str, list[Breakdown]]:
    """Return what the scores of a cell's runs are made of, per target."""
    found = {}
    for target in _estimates(cell, section):
        parts = cell.breakdowns(target)
        if parts and len({part.classes for part in parts}) == 1:
            found[target] = parts
    return found


def _answers(parts: Sequence[Breakdown]) -> dict[str, Any]:
    """Return the counts of a confusion matrix over all runs, and each class's commonest mistakes."""
    classes = parts[0].classes
    counts = np.sum([part.confusion for part in parts], axis=0)
    return {"classes": list(classes), "counts": counts.tolist(), "wrong": _mistakes(classes, counts)}


def _pictures(cell: Cell, target: str) -> dict[str, Any]:
    """Return the worst mistakes with their pictures, as far as these are drawn faces and were kept."""
    found = [
        {
            "text": f"{one.truth}, answered {one.answer} ({100 * one.probability:.0f} %)",
            "picture": f"data:image/jpeg;base64,{one.picture}",
            "row": one.sample_id,
        }
        for one in cell.mistakes.get(target, ())
    ]
    return {"pictures": found} if found else {}


def _mistakes(classes: Sequence[str], counts: np.ndarray[Any, np.dtype[np.int64]]) -> list[list[str]]:
    """Return class, rows, wrong answers and the commonest of these, the class with the worst recall first."""
    rows = []
    for place, name in enumerate(classes):
        total, right = int(counts[place].sum()), int(counts[place, place])
        if total:
            others = sorted(
                (j for j in range(len(classes)) if j != place and counts[place, j]),
                key=lambda j: -counts[place, j],
            )
            named = ", ".join(f"{classes[j]} {counts[place, j]:,}" for j in others[:MOST_WRONG])
            rows.append(
                (
                    right / total,
                    [name, f"{total:,}", f"{total - right:,}", f"{100 * right / total:.0f}", named or "-"],
                )
            )
    return [row for _, row in sorted(rows, key=lambda row: row[0])]
