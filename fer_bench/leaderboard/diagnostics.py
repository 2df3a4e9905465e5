"""In-domain scores that are no headline: classes, groups, people's agreement, affect, calibration."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from fer_bench.evaluation import metrics
from fer_bench.evaluation.metrics import Metric
from fer_bench.leaderboard.cells import Cell
from fer_bench.leaderboard.markup import escape, table
from fer_bench.leaderboard.tables import Section
from fer_bench.leaderboard.wording import and_of
from fer_bench.results.record import Score, Selection
from fer_bench.results.scores import Breakdown


def _scores(cell: Cell, selection: Selection) -> list[Score]:
    """Return the in-domain scores of a cell's runs."""
    scores = [r.score(r.dataset, selection) for r in cell.records]
    return [s for s in scores if s is not None]


def _cells(section: Section) -> list[tuple[str, Cell, list[Breakdown]]]:
    """Return source, cell and what the in-domain scores of its runs are made of, where that is known."""
    found = []
    for source in section.sources:
        for cell in section.of_source(source):
            parts = [s.breakdown for s in _scores(cell, cell.selection) if s.breakdown is not None]
            if parts:
                found.append((source, cell, parts))
    return found


def beyond(section: Section) -> str:
    """Return the table of classes, groups and people with a sentence, or nothing."""
    found = _cells(section)
    if not found:
        return ""
    others = [metric for metric in metrics.registry().values() if not metric.shown]
    header = ["dataset", "method", *(metric.heading for metric in others), "worst class (recall, %)"]
    header += ["largest gap between groups, points", "people: UAR / accuracy, %"]
    rows = [
        (
            escape(source),
            escape(cell.label),
            *(_mean_of(metric, _scores(cell, cell.selection)) for metric in others),
            _worst_class(parts),
            escape(_gap(cell)),
            _ceiling(parts),
        )
        for source, cell, parts in found
    ]
    gaps = [(cell.in_domain.gap, source, cell) for source, cell, _ in found if cell.in_domain]
    known = [(gap, source, cell) for gap, source, cell in gaps if gap is not None]
    said = "No gap can be computed: no attribute has two groups with five rows of two classes each."
    if known:
        gap, source, cell = max(known, key=lambda one: one[0].size)
        said = (
            f"The widest gap is {100 * gap.size:.0f} points ({cell.label} on {source}, {gap.attribute}). "
            "Gaps have no interval and are the widest of several: a reason to look, not a proof."
        )
    text = table(header, rows)
    return f"{text}\n\n{escape(said)}"


def affect(section: Section) -> str:
    """Return the table of valence, arousal and action units, or nothing where no method predicts them."""
    header = ("dataset", "method", "CCC valence", "CCC arousal", "action units: mean F1", "ABAW sum")
    rows = []
    for source, cell, parts in _cells(section):
        if any(d.va or d.au for d in parts):
            ccc = [[d.va[name].ccc for d in parts if name in d.va] for name in ("valence", "arousal")]
            row = [escape(source), escape(cell.label), *(_mean("{:.2f}", values) for values in ccc)]
            rows.append([*row, _mean("{:.2f}", [d.au_f1 for d in parts]), _abaw(cell, parts)])
    return table(header, rows) if rows else ""


def _abaw(cell: Cell, found: Sequence[Breakdown]) -> str:
    """Return the ABAW sum, and in brackets that of the epoch chosen by it on validation rows."""
    sums = [s.breakdown.abaw for s in _scores(cell, "val_abaw") if s.breakdown is not None]
    text = _mean("{:.2f}", [d.abaw for d in found])
    return f"{text} ({_mean('{:.2f}', sums)})" if sums else text


def _gap(cell: Cell) -> str:
    gap = cell.in_domain.gap if cell.in_domain else None
    if gap is None:
        return "-"
    named = ((name, gap.groups.groups[name]) for name in (gap.groups.lowest, gap.groups.highest) if name)
    ends = (f"{name} {100 * (group.uar or 0.0):.0f} (n {group.n:,})" for name, group in named)
    return f"{100 * gap.size:.0f} ({gap.attribute}: {' to '.join(ends)}, k {len(gap.groups.classes)})"


def _ceiling(found: Sequence[Breakdown]) -> str:
    votes = [d.votes for d in found if d.votes is not None]
    if not votes:
        return "-"
    uar = _mean("{:.1f}", [100 * v.human_uar for v in votes])
    return f"{uar} / {_mean('{:.1f}', [100 * v.human_accuracy for v in votes])}"


def calibration(section: Section) -> str:
    """Return the table of calibration with a sentence, or nothing."""
    found = _cells(section)
    if not found:
        return ""
    header = ("dataset", "method", "ECE, %", "adaptive ECE, %", "class-wise ECE, %", "Brier", "NLL")
    rows, errors = [], []
    for source, cell, parts in found:
        cal = [d.calibration for d in parts]
        rows.append(
            (
                escape(source),
                escape(cell.label),
                _mean("{:.1f}", [100 * c.ece for c in cal]),
                _mean("{:.1f}", [100 * c.ece_adaptive for c in cal]),
                _mean("{:.1f}", [100 * c.ece_classwise for c in cal]),
                _mean("{:.2f}", [c.brier for c in cal]),
                _mean("{:.2f}", [c.nll for c in cal]),
            )
        )
        errors.append((source, cell.label, sum(c.ece for c in cal) / len(cal)))
    best: dict[str, int] = {}
    compared = 0
    for source in dict.fromkeys(one[0] for one in errors):
        here = [(error, label) for where, label, error in errors if where == source]
        if len(here) > 1:
            compared += 1
            best[min(here)[1]] = best.get(min(here)[1], 0) + 1
    said = "Calibration has no intervals and is not tested"
    if compared:
        counts = ", ".join(f"{label} on {count}" for label, count in sorted(best.items()))
        said += (
            f"; the lowest ECE has, of {compared} datasets, {counts}, which is a description and no ranking"
        )
    return f"{table(header, rows)}\n\n{escape(said)}."


def _mean(form: str, values: Sequence[float | None]) -> str:
    known = [v for v in values if v is not None]
    return form.format(sum(known) / len(known)) if known else "-"


def _mean_of(metric: Metric, scores: Sequence[Score]) -> str:
    known = [v for s in scores if (v := s.metrics.get(metric.name)) is not None]
    return metric.number(sum(known) / len(known)) if known else "-"


def _worst_class(found: Sequence[Breakdown]) -> str:
    recall: dict[str, list[float]] = {}
    for one in found:
        for name, score in one.per_class.items():
            if score.recall is not None:
                recall.setdefault(name, []).append(score.recall)
    means = {name: sum(values) / len(values) for name, values in recall.items()}
    worst = min(means, key=lambda name: (means[name], name))
    return f"{worst} ({100 * means[worst]:.0f})"


def overlaps(section: Section) -> str:
    """Say for how many pairs of methods the intervals of the scores that are not tested overlap."""
    untested = [metric for metric in metrics.shown_in("page") if metric.name != metrics.RANKING]
    said = []
    for metric in untested:
        apart, pairs = 0, 0
        for source in section.sources:
            values = [
                cell.in_domain.estimate.values.get(metric.name)
                for cell in section.of_source(source)
                if cell.usual and cell.in_domain
            ]
            known = [v.interval for v in values if v is not None and v.interval is not None]
            pairs += len(list(combinations(known, 2)))
            apart += sum(a.low > b.high or b.low > a.high for a, b in combinations(known, 2))
        if pairs:
            said.append(f"for {pairs - apart} of {pairs} pairs of methods those of {metric.title} overlap")
    titles = and_of(metric.title for metric in untested)
    text = f"Only UAR is tested and ranked. {titles[:1].upper()}{titles[1:]} have intervals and no tests"
    return f"{text}: {'; '.join(said)}." if said else f"{text}."
