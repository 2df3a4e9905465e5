"""What in-domain scores are made of: classes, groups of people, human agreement, affect, calibration."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from fer_bench.evaluation import metrics
from fer_bench.leaderboard.cells import Cell
from fer_bench.leaderboard.markup import escape, points, table
from fer_bench.leaderboard.tables import Section
from fer_bench.results.record import Score, Selection
from fer_bench.results.scores import Breakdown


def context(section: Section) -> dict[str, str]:
    """Return the values of the template."""
    found = _cells(section)
    return {"classes": _classes(found), "affect": _affect(found), "calibration": _calibration(found)}


@dataclass(frozen=True)
class _Row:
    """A cell with the in-domain scores of its runs, and what these are made of."""

    cell: Cell
    scores: list[Score]
    parts: list[Breakdown]

    @property
    def names(self) -> tuple[str, str]:
        return escape(self.cell.source), escape(self.cell.label)

    def mean(self, show: Callable[[float], str], values: Callable[[Breakdown], float | None]) -> str:
        """Return the mean over the runs that have a value."""
        return _mean(show, map(values, self.parts))


def _cells(section: Section) -> list[_Row]:
    rows = []
    for cell in (cell for source in section.sources for cell in section.of_source(source)):
        scores = _scores(cell, cell.selection)
        parts = [s.breakdown for s in scores if s.breakdown is not None]
        if parts:
            rows.append(_Row(cell, scores, parts))
    return rows


def _scores(cell: Cell, selection: Selection) -> list[Score]:
    scores = [r.score(r.dataset, selection) for r in cell.records]
    return [s for s in scores if s is not None]


def _mean(show: Callable[[float], str], values: Iterable[float | None]) -> str:
    known = [v for v in values if v is not None]
    return show(sum(known) / len(known)) if known else "-"


def _two(value: float) -> str:
    return f"{value:.2f}"


def _classes(found: Sequence[_Row]) -> str:
    """Return the table of classes, groups and people with a sentence, or nothing."""
    if not found:
        return ""
    others = [metric for metric in metrics.registry().values() if not metric.shown]
    header = ["dataset", "method", *(metric.heading for metric in others), "worst class (recall, %)"]
    header += ["largest gap between groups, points", "people: UAR / accuracy, %"]
    rows = [
        (
            *row.names,
            *(_mean(m.number, (s.metrics.get(m.name) for s in row.scores)) for m in others),
            _worst_class(row.parts),
            escape(_gap(row.cell)),
            _people(row.parts),
        )
        for row in found
    ]
    gaps = [(row.cell.in_domain.gap, row.cell) for row in found if row.cell.in_domain]
    known = [(gap, cell) for gap, cell in gaps if gap is not None]
    said = "No gap can be computed: no attribute has two groups with five rows of two classes each."
    if known:
        gap, cell = max(known, key=lambda one: one[0].size)
        where = f"{cell.label} on {cell.source}, {gap.attribute}"
        said = (
            f"The widest gap is {100 * gap.size:.0f} points ({where}). "
            "Gaps have no interval and are the widest of several: a reason to look, not a proof."
        )
    return f"{table(header, rows)}\n\n{escape(said)}"


def _worst_class(parts: Sequence[Breakdown]) -> str:
    recall: dict[str, list[float]] = {}
    for part in parts:
        for name, score in part.per_class.items():
            if score.recall is not None:
                recall.setdefault(name, []).append(score.recall)
    means = {name: sum(values) / len(values) for name, values in recall.items()}
    worst = min(means, key=lambda name: (means[name], name))
    return f"{worst} ({100 * means[worst]:.0f})"


def _gap(cell: Cell) -> str:
    gap = cell.in_domain.gap if cell.in_domain else None
    if gap is None:
        return "-"
    named = ((name, gap.groups.groups[name]) for name in (gap.groups.lowest, gap.groups.highest) if name)
    ends = (f"{name} {100 * (group.uar or 0.0):.0f} (n {group.n:,})" for name, group in named)
    return f"{100 * gap.size:.0f} ({gap.attribute}: {' to '.join(ends)}, k {len(gap.groups.classes)})"


def _people(parts: Sequence[Breakdown]) -> str:
    votes = [part.votes for part in parts if part.votes is not None]
    uar = _mean(points, (v.human_uar for v in votes))
    return f"{uar} / {_mean(points, (v.human_accuracy for v in votes))}" if votes else "-"


def _affect(found: Sequence[_Row]) -> str:
    """Return the table of valence, arousal and action units, or nothing where no method predicts them."""
    header = ("dataset", "method", "CCC valence", "CCC arousal", "action units: mean F1", "ABAW sum")
    rows = []
    for row in found:
        if any(part.va or part.au for part in row.parts):
            ccc = (
                _mean(_two, (part.va[name].ccc for part in row.parts if name in part.va))
                for name in ("valence", "arousal")
            )
            rows.append([*row.names, *ccc, row.mean(_two, lambda part: part.au_f1), _abaw(row)])
    return table(header, rows)


def _abaw(row: _Row) -> str:
    """Return the ABAW sum, and in brackets that of the epoch chosen by it on validation rows."""
    text = row.mean(_two, lambda part: part.abaw)
    chosen = [s.breakdown.abaw for s in _scores(row.cell, "val_abaw") if s.breakdown is not None]
    return f"{text} ({_mean(_two, chosen)})" if chosen else text


def _calibration(found: Sequence[_Row]) -> str:
    """Return the table of calibration with a sentence, or nothing."""
    if not found:
        return ""
    header = ("dataset", "method", "ECE, %", "adaptive ECE, %", "class-wise ECE, %", "Brier", "NLL")
    rows = [
        (
            *row.names,
            row.mean(points, lambda part: part.calibration.ece),
            row.mean(points, lambda part: part.calibration.ece_adaptive),
            row.mean(points, lambda part: part.calibration.ece_classwise),
            row.mean(_two, lambda part: part.calibration.brier),
            row.mean(_two, lambda part: part.calibration.nll),
        )
        for row in found
    ]
    errors: dict[str, list[tuple[float, str]]] = {}
    for row in found:
        mean = sum(part.calibration.ece for part in row.parts) / len(row.parts)
        errors.setdefault(row.cell.source, []).append((mean, row.cell.label))
    compared = [values for values in errors.values() if len(values) > 1]
    said = "Calibration has no intervals and is not tested"
    if compared:
        best = Counter(min(values)[1] for values in compared)
        counts = ", ".join(f"{label} on {count}" for label, count in sorted(best.items()))
        said += f"; the lowest ECE has, of {len(compared)} datasets, {counts}: a description, not a ranking"
    return f"{table(header, rows)}\n\n{escape(said)}."
