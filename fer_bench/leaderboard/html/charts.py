"""The figures of a section: Vega-Lite draws the specifications in `specs/` with the rows made here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from fer_bench.evaluation.calibration import BINS
from fer_bench.evaluation.intervals import Value
from fer_bench.evaluation.ranks import Ranks, mean_ranks
from fer_bench.evaluation.transfer import share_pictures
from fer_bench.leaderboard.cells import Cell
from fer_bench.leaderboard.efficiency import costs
from fer_bench.leaderboard.html.shown import key_of
from fer_bench.leaderboard.html.tables import cells_of
from fer_bench.leaderboard.markup import margin, two
from fer_bench.leaderboard.sections.glance import own_mean
from fer_bench.leaderboard.tables import Section
from fer_bench.leaderboard.wording import p_text

Rows = list[dict[str, Any]]
CURVES = "curves"
LEARNING = "learning"
OVERALL = "mean over datasets"
DIGITS = 3
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right", "stroke")


@dataclass(frozen=True)
class Chart:
    """A figure of the page.

    Attributes:
        name: Its name within the section.
        title: Its heading.
        said: What it shows and what it does not.
        spec: Specification of Vega-Lite.
    """

    name: str
    title: str
    said: str
    spec: dict[str, Any]


def charts(section: Section, rows: Mapping[str, Rows]) -> list[Chart]:
    """Return the figures of a section that have something to show.

    Args:
        section: The section.
        rows: From `rows_of`.
    """
    found = [
        both(section),
        costs_of(section),
        matrix(section),
        ranks(section),
        reliability(section, rows),
        learning(section, rows),
    ]
    return [chart for chart in found if chart is not None]


def rows_of(section: Section) -> dict[str, Rows]:
    """Return the rows that several figures share: reliability and learning curves of every cell."""
    return {CURVES: _curves(section), LEARNING: _learning(section)}


def specs_of(section: Section) -> dict[str, dict[str, Any]]:
    """Return the specifications of the figures of a single cell, without data."""
    return {
        "curve": _spec("curve", section, legend=False),
        "learning": _spec("learning", section, legend=False, field="uar", title="validation UAR, %"),
        "loss": _spec("learning", section, legend=False, field="loss", title="training loss"),
        "confusion": _spec("confusion", section),
    }


def both(section: Section) -> Chart | None:
    """Plot transfer over the in-domain score: of every method over datasets, and of every cell."""
    rows: Rows = []
    for mine in section.overall:
        own = own_mean(section, mine)
        if own is not None and mine.mean is not None:
            rows.append(_point(mine.label, OVERALL, own, mine.mean))
    for cell in cells_of(section):
        general = cell.generalisation
        if general.complete and general.in_domain is not None and general.mean is not None:
            rows.append(
                _point(cell.label, cell.source, general.in_domain, general.mean) | {"d": key_of(cell)}
            )
    sources = [name for name in (OVERALL, *section.sources) if any(row["source"] == name for row in rows)]
    if not sources:
        return None
    return Chart(
        "both",
        "In-domain against transfer",
        "A point per method, with 95 % intervals; 0 is guessing on both axes. The letters of the table say "
        "which methods differ, not whether intervals overlap. Points of different datasets are not "
        "comparable, since numbers of classes differ.",
        _spec("both", section, rows=rows, dataset=_select("dataset", "trained on", sources)),
    )


def _point(label: str, source: str, own: Value, elsewhere: Value) -> dict[str, Any]:
    row = {"method": label, "source": source, "own": margin(own, two), "elsewhere": margin(elsewhere, two)}
    return row | _ends("x", own) | _ends("y", elsewhere)


def costs_of(section: Section) -> Chart | None:
    """Plot the score of every method against one kind of cost at a time."""
    found = costs(section)
    if not found.axes:
        return None
    rows: Rows = []
    front: Rows = []
    for axis in found.axes:
        for cost, score in axis.steps:
            front.append({"axis": axis.title, "cost": _rounded(cost), "y": round(score, DIGITS)})
        for point in axis.points:
            row = {"method": point.label, "axis": axis.title, "cost": _rounded(point.cost)}
            rows.append(row | {"score": margin(point.score, two)} | _ends("y", point.score))
    return Chart(
        "costs",
        "Score against cost",
        "A point per method, with 95 % intervals; cheaper is further left, on a logarithmic axis. The dashed "
        "line joins the methods that none beats at no higher cost, by the scores as they are; whether two "
        "differ, the letters of the table say.",
        _spec(
            "costs",
            section,
            rows=rows,
            front=front,
            axis=_select("axis", "cost", [axis.title for axis in found.axes]),
            scored=found.scored,
        ),
    )


def _rounded(cost: float) -> float:
    return float(f"{cost:.4g}")


def matrix(section: Section) -> Chart | None:
    """Draw the transfer score of every pair of datasets as a heat map, of one method at a time."""
    crossed = {cell.label for cell in section.cells if cell.cross}
    labels = [label for label in section.labels if label in crossed]
    if not labels:
        return None
    cells = [cell for cell in cells_of(section) if cell.label in labels]
    return Chart(
        "matrix",
        "Transfer, pair by pair",
        "UAR on the test rows of another dataset, corrected for chance: 0 is guessing, 1 is perfect. "
        "Framed: in-domain. ×: the two datasets share pictures. Select a square for its cell's details. Rows "
        "are not comparable with each other, and single pairs are not tested.",
        _spec(
            "matrix",
            section,
            rows=[_pair(section, cell, target) for cell in cells for target in section.targets],
            method=_select("method", "method", labels),
            targets=list(section.targets),
            sources=list(section.sources),
            height=34 * len(section.sources),
        ),
    )


def _pair(section: Section, cell: Cell, target: str) -> dict[str, Any]:
    own = target == cell.dataset or target in cell.inside
    found = cell.cross.get(target) or cell.inside.get(target)
    if target == cell.dataset and cell.in_domain is not None:
        found = cell.in_domain.estimate
    value = found.values.get("transfer") if found else None
    text = "-" if value is None else two(value.value).replace("0.", ".", 1)
    if not own and share_pictures(cell.dataset, target, section.excluded):
        text = "×"
    row: dict[str, Any] = {"method": cell.label, "source": cell.source, "target": target, "d": key_of(cell)}
    row |= {"value": None if value is None else round(value.value, DIGITS), "text": text, "own": own}
    return row | {"long": text if value is None else margin(value, two)}


def complete_blocks(section: Section) -> Ranks | None:
    """Return the mean ranks of the methods compared, over the sources that are complete for all of them.

    None where methods are not tested: with one seed or two nothing is ranked.
    """
    column = section.overall_column
    if column.untested or not column.tests:
        return None
    blocks = next((one.sources for one in section.overall if one.sources), ())
    scores: dict[str, list[float]] = {}
    for label in column.scores:
        cells = (section.cell(label, source) for source in blocks)
        means = [cell.generalisation.mean for cell in cells if cell is not None]
        scores[label] = [mean.value for mean in means if mean is not None]
    return mean_ranks(scores) if {len(values) for values in scores.values()} == {len(blocks)} else None


def ranks(section: Section) -> Chart | None:
    """Draw the critical-difference diagram over complete blocks."""
    found = complete_blocks(section)
    if found is None:
        return None
    names = list(found.means)
    bars: Rows = [
        {"row": f"group {place}", "who": ", ".join(group)}
        | {"from": round(found.means[group[0]], DIGITS), "to": round(found.means[group[-1]], DIGITS)}
        for place, group in enumerate(found.groups, start=1)
    ]
    end, title = round(1 + found.critical, DIGITS), "critical difference"
    order = [title, *names, *(bar["row"] for bar in bars)]
    return Chart(
        "ranks",
        "Critical difference of ranks",
        f"Methods ranked by generalisation within each of {found.blocks} datasets trained on that all have "
        f"complete; Friedman's test: {p_text(found.p)}, critical difference of two mean ranks "
        f"{found.critical:.2f} (Nemenyi). Methods that a bar joins are not shown to differ. Ranks use a "
        "number per dataset; the letters of the tables also use test units and seeds, and see more.",
        _spec(
            "ranks",
            section,
            rows=[{"row": name, "rank": round(rank, DIGITS)} for name, rank in found.means.items()],
            bars=bars,
            critical=[{"row": title, "from": 1, "to": end}],
            order=order,
            limits=[1, max(float(len(names)), end)],
            height=26 * len(order),
        ),
    )


def reliability(section: Section, rows: Mapping[str, Rows]) -> Chart | None:
    """Draw the in-domain reliability curve of every method, of one dataset at a time."""
    sources = [
        name for name in section.sources if any(r["own"] and r["source"] == name for r in rows[CURVES])
    ]
    if not sources:
        return None
    spec = _spec("curve", section) | {"data": {"name": CURVES}}
    spec["params"] = [_select("dataset", "trained and tested on", sources)]
    filtered = {"filter": "datum.own && datum.source === dataset"}
    for layer in spec["layer"][1:]:
        layer["transform"] = [filtered]
    return Chart(
        "reliability",
        "Reliability",
        f"How often the answer is right, by the probability that the model gives it; all runs of a cell "
        f"together, {BINS} bins. On the dashed line a model means what it says. Not tested.",
        spec,
    )


def learning(section: Section, rows: Mapping[str, Rows]) -> Chart | None:
    """Draw validation UAR over epochs of every method, of one dataset at a time."""
    known = {row["source"] for row in rows[LEARNING] if row["uar"] is not None}
    sources = [name for name in section.sources if name in known]
    if not sources:
        return None
    spec = _spec("learning", section, field="uar", title="validation UAR, %") | {"data": {"name": LEARNING}}
    spec["params"] = [_select("dataset", "trained on", sources)]
    spec["transform"] = [{"filter": "datum.source === dataset && datum.uar !== null"}]
    return Chart(
        "learning",
        "Learning curves",
        "UAR on validation rows after each epoch, a line per seed with its folds averaged; dots mark the "
        "epochs chosen. No test row is involved.",
        spec,
    )


def _curves(section: Section) -> Rows:
    rows: Rows = []
    for cell in cells_of(section):
        for target in dict.fromkeys((cell.dataset, *section.targets)):
            place = {
                "method": cell.label,
                "source": cell.source,
                "target": target,
                "own": target == cell.dataset,
            }
            curves = [
                [(b.n, b.confidence, b.accuracy) for b in part.calibration.curve]
                for part in cell.breakdowns(target)
            ]
            rows += [place | point for point in merged_curve(curves)]
    return rows


def merged_curve(curves: Sequence[Sequence[tuple[int, float, float]]]) -> Rows:
    """Return the reliability curve of several runs together.

    Args:
        curves: Rows, mean probability and share answered right of each bin of equal width, per run.
    """
    bins: dict[int, list[tuple[int, float, float]]] = {}
    for n, confidence, accuracy in (one for curve in curves for one in curve):
        bins.setdefault(min(BINS - 1, int(confidence * BINS)), []).append((n, confidence, accuracy))
    merged: Rows = []
    for _, found in sorted(bins.items()):
        total = sum(n for n, _, _ in found)
        means = (sum(one[0] * one[i] for one in found) / total for i in (1, 2))
        confidence, accuracy = (round(mean, DIGITS) for mean in means)
        merged.append({"n": total, "confidence": confidence, "accuracy": accuracy})
    return merged


def _learning(section: Section) -> Rows:
    return [
        {"method": cell.label, "source": cell.source, "seed": one.seed, "epoch": one.epoch}
        | {"uar": None if one.uar is None else round(100 * one.uar, 1), "chosen": one.chosen}
        | {"loss": None if one.loss is None else float(f"{one.loss:.4g}")}
        for cell in cells_of(section)
        for one in cell.learning
    ]


def _ends(name: str, value: Value) -> dict[str, float]:
    low, high = value.ends
    found = {name: value.value, f"{name}l": low, f"{name}h": high}
    return {key: round(number, DIGITS) for key, number in found.items()}


def _select(name: str, title: str, options: Sequence[str]) -> dict[str, Any]:
    """Return a parameter of a figure that its reader chooses from a list."""
    bind = {"input": "select", "options": list(options), "name": f"{title} "}
    return {"name": name, "value": options[0], "bind": bind}


def _spec(name: str, section: Section, *, legend: bool = True, **values: object) -> dict[str, Any]:
    """Return a specification in which `$name` is replaced by a value, with a section's colours and shapes."""
    labels = list(section.labels)
    key = {"orient": "bottom", "columns": 3} if legend else None
    shapes = [SHAPES[i % len(SHAPES)] for i in range(len(labels))]
    for channel, scale in (("colour", {"domain": labels}), ("shape", {"domain": labels, "range": shapes})):
        values[channel] = {"field": "method", "type": "nominal", "title": None, "scale": scale, "legend": key}
    found: dict[str, Any] = _filled(json.loads(_text(name)), values)
    return found


@cache
def _text(name: str) -> str:
    return (files("fer_bench.leaderboard.html") / "specs" / f"{name}.json").read_text(encoding="utf-8")


def _filled(part: Any, values: Mapping[str, object]) -> Any:
    if isinstance(part, dict):
        return {key: _filled(value, values) for key, value in part.items()}
    if isinstance(part, list):
        return [_filled(value, values) for value in part]
    return values[part[1:]] if isinstance(part, str) and part.startswith("$") else part
