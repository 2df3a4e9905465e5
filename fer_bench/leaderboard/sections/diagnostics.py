"""What in-domain scores are made of: classes, groups of people, human agreement, affect, calibration."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from fer_bench.evaluation import metrics
from fer_bench.leaderboard.cells import Cell
from fer_bench.leaderboard.in_domain import Gap
from fer_bench.leaderboard.links import Links
from fer_bench.leaderboard.markup import TableText, escape, percent, percent_margin, points, tables, two
from fer_bench.leaderboard.tables import Section
from fer_bench.results.record import Score
from fer_bench.results.scores import Breakdown


def gaps(section: Section, links: Links) -> TableText:
    """Return the table of the first page: the widest gap between groups, a row per dataset."""
    found = {(cell.source, cell.label): _gap_of(cell) for cell in section.cells}
    sources = [s for s in section.sources if any(found.get((s, label)) for label in section.labels)]
    labels = [label for label in section.labels if any(found.get((s, label)) for s in sources)]
    rows = [[links.source(s), *(_short_gap(found.get((s, label))) for label in labels)] for s in sources]
    return tables(("tested on", *map(links.method, labels)), rows)


def of_source(section: Section, source: str, links: Links) -> dict[str, TableText]:
    """Return the values of the page of a dataset."""
    found = _rows(section, source)
    return {
        "classes": _classes(found, links),
        "gaps": _gaps(found, links),
        "affect": _affect(found, links),
        "calibration": _calibration(found, links),
    }


@dataclass(frozen=True)
class _Row:
    """A cell with the in-domain scores of its runs, and what these are made of."""

    cell: Cell
    scores: list[Score]
    parts: list[Breakdown]

    def mean(self, show: Callable[[float], str], values: Callable[[Breakdown], float | None]) -> str:
        """Return the mean over the runs that have a value."""
        return _mean(show, map(values, self.parts))


def _rows(section: Section, source: str) -> list[_Row]:
    rows = []
    for cell in section.of_source(source):
        if parts := cell.breakdowns(cell.dataset):
            rows.append(_Row(cell, cell.scores(cell.dataset), parts))
    return rows


def _mean(show: Callable[[float], str], values: Iterable[float | None]) -> str:
    known = [v for v in values if v is not None]
    return show(sum(known) / len(known)) if known else "-"


def _classes(found: Sequence[_Row], links: Links) -> TableText:
    """Return the table of further metrics, the worst class and human agreement."""
    others = [metric for metric in metrics.registry().values() if not metric.shown]
    header = ["method", *(metric.heading for metric in others), "worst class (recall, %)"]
    people = any(part.votes is not None for row in found for part in row.parts)
    header += ["people: UAR / accuracy, %"] * people
    rows = [
        [
            links.method(row.cell.label),
            *(_mean(m.number, (s.metrics.get(m.name) for s in row.scores)) for m in others),
            _worst_class(row.parts),
            *([_people(row.parts)] * people),
        ]
        for row in found
    ]
    return tables(header, rows)


def _worst_class(parts: Sequence[Breakdown]) -> str:
    recall: dict[str, list[float]] = {}
    for part in parts:
        for name, score in part.per_class.items():
            if score.recall is not None:
                recall.setdefault(name, []).append(score.recall)
    means = {name: sum(values) / len(values) for name, values in recall.items()}
    worst = min(means, key=lambda name: (means[name], name))
    return f"{worst} ({100 * means[worst]:.0f})"


def _gap_of(cell: Cell) -> Gap | None:
    return cell.in_domain.gap if cell.in_domain else None


def _short_gap(gap: Gap | None) -> str:
    """Return `31 ± 20 gender`."""
    if gap is None:
        return "-"
    size = f"{100 * gap.size:.0f}" if gap.value is None else percent_margin(gap.value)
    return f"{size} {escape(gap.attribute)}"


def _gaps(found: Sequence[_Row], links: Links) -> TableText:
    """Return the widest gap between groups of every method, with its interval and the rows behind it."""
    rows = []
    for row in found:
        gap = _gap_of(row.cell)
        if gap is None:
            continue
        ends = [
            f"{escape(name)} {100 * (group.uar or 0.0):.0f} ({group.n:,})"
            for name in (gap.groups.lowest, gap.groups.highest)
            if name and (group := gap.groups.groups[name])
        ]
        size = percent(gap.value) if gap.value else f"{100 * gap.size:.1f}"
        rows.append(
            [links.method(row.cell.label), escape(gap.attribute), *ends, size, str(len(gap.groups.classes))]
        )
    header = (
        "method",
        "grouped by",
        "lowest UAR, % (rows)",
        "highest UAR, % (rows)",
        "gap, points",
        "classes",
    )
    return tables(header, rows)


def _people(parts: Sequence[Breakdown]) -> str:
    votes = [part.votes for part in parts if part.votes is not None]
    uar = _mean(points, (v.human_uar for v in votes))
    return f"{uar} / {_mean(points, (v.human_accuracy for v in votes))}" if votes else "-"


def _affect(found: Sequence[_Row], links: Links) -> TableText:
    """Return the table of valence, arousal and action units, or nothing where no method predicts them."""
    header = ("method", "CCC valence", "CCC arousal", "action units: mean F1", "ABAW sum")
    rows = []
    for row in found:
        if any(part.va or part.au for part in row.parts):
            ccc = (
                _mean(two, (part.va[name].ccc for part in row.parts if name in part.va))
                for name in ("valence", "arousal")
            )
            mean = row.mean(two, lambda part: part.au_f1)
            rows.append([links.method(row.cell.label), *ccc, mean, _abaw(row)])
    return tables(header, rows)


def _abaw(row: _Row) -> str:
    """Return the ABAW sum, and in brackets that of the epoch chosen by it on validation rows."""
    text = row.mean(two, lambda part: part.abaw)
    chosen = [part.abaw for part in row.cell.breakdowns(row.cell.dataset, "val_abaw")]
    return f"{text} ({_mean(two, chosen)})" if chosen else text


def _calibration(found: Sequence[_Row], links: Links) -> TableText:
    """Return the table of calibration."""
    header = ("method", "ECE, %", "adaptive ECE, %", "class-wise ECE, %", "Brier", "NLL")
    rows = [
        [
            links.method(row.cell.label),
            row.mean(points, lambda part: part.calibration.ece),
            row.mean(points, lambda part: part.calibration.ece_adaptive),
            row.mean(points, lambda part: part.calibration.ece_classwise),
            row.mean(two, lambda part: part.calibration.brier),
            row.mean(two, lambda part: part.calibration.nll),
        ]
        for row in found
    ]
    return tables(header, rows)
