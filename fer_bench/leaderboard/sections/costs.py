"""What methods cost, beside what they score: a table, and what may be concluded from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fer_bench.leaderboard.efficiency import Cost, Costs, costs
from fer_bench.leaderboard.links import Links
from fer_bench.leaderboard.markup import TableText, escape, table
from fer_bench.leaderboard.tables import Section
from fer_bench.leaderboard.wording import and_of
from fer_bench.results.efficiency import BATCHES

COMMAND = "fer-bench efficiency"
"""What measures predicting."""


def context(section: Section, links: Links) -> dict[str, Any] | None:
    """Return the values of the template, None where no record tells any cost."""
    found = costs(section)
    if not any(one.trained or one.multiply_adds for one in found.rows):
        return None
    return {"table": cost_table(found, links), "said": said(section, found), "scored": found.scored}


def cost_table(found: Costs, links: Links) -> TableText:
    """Return a row per method; columns that no method has are left out."""
    one, many = BATCHES
    columns: list[tuple[str, Callable[[Cost], str]]] = [
        ("parameters, M", lambda c: _millions(c.trained)),
        ("to predict, M", lambda c: _millions(c.parameters)),
        ("multiply-adds, M", lambda c: _millions(c.multiply_adds)),
        (f"CPU time, {one} picture", lambda c: _times(c.relative.get(one))),
        (f"CPU time, {many}", lambda c: _times(c.relative.get(many))),
        (f"GPU ms, {one} picture", lambda c: _number(c.milliseconds.get(one))),
        (f"GPU ms, {many}", lambda c: _number(c.milliseconds.get(many))),
        ("memory, MB", lambda c: _millions(c.memory.get("cpu"))),
        ("GPU memory, MB", lambda c: _millions(c.memory.get("cuda"))),
        ("training time", lambda c: _times(c.training)),
    ]
    shown = [(title, show) for title, show in columns if any(show(c) != "-" for c in found.rows)]
    rows = [[links.method(c.label), *(show(c) for _, show in shown)] for c in found.rows]
    return table(("method", *(title for title, _ in shown)), rows)


def said(section: Section, found: Costs) -> list[str]:
    """Return sentences: how costs compare with scores, how they were measured, and what is missing."""
    return [text for text in (_front(section, found), *_measured(found), *_missing(found)) if text]


def _front(section: Section, found: Costs) -> str:
    axis = next(iter(found.axes), None)
    if axis is None or not axis.front:
        return ""
    names = and_of(escape(point.label) for point in axis.front)
    cost = axis.title.partition(",")[0]
    text = f"As measured, no method scores higher than {names} at the same or a lower cost ({cost})."
    dearer = _dearer(section, {point.label: point.cost for point in axis.points})
    return f"{text} Shown to be worse than a method that takes no more: {dearer}." if dearer else text


def _dearer(section: Section, cost: dict[str, float]) -> str:
    """Name the methods that a test shows to be worse than one that costs no more; nothing where none is."""
    beaten: dict[str, list[str]] = {}
    for test in section.overall_column.tests:
        known = {test.first, test.second} <= {*cost}
        if test.significant and known and cost[test.first] <= cost[test.second]:
            beaten.setdefault(test.second, []).append(test.first)
    return "; ".join(
        f"{escape(name)} (than {and_of(map(escape, better))})" for name, better in beaten.items()
    )


def _measured(found: Costs) -> list[str]:
    lines, reference = [], escape(found.reference)
    for one in found.measured:
        turns = " or ".join(str(n) for n in sorted({*one.rounds.values()}))
        where = escape(one.processor)
        if one.device == "cpu":
            lines.append(
                f"Predicting: on one thread of {where}, float32, medians of {turns} turns that all methods "
                f"took together, as multiples of {reference}'s. Parameters, in millions (M): those that are "
                "trained, and those that predicting reads, frozen ones too. Memory: the most that "
                f"{max(BATCHES)} pictures at once hold, weights included."
            )
        else:
            lines.append(f"On a GPU: {where}, float32, medians of {turns} turns.")
    if found.core_seconds is not None:
        where = and_of(map(escape, found.processors))
        runs = "1 run" if found.runs == 1 else f"median of {found.runs:,} runs"
        lines.append(
            f"Training time: CPU time of steps and validation, as a multiple of {reference}'s on the same "
            f"dataset, fold and seed, median over runs. {reference} takes "
            f"{_number(found.core_seconds)} core-seconds ({runs}, {where})."
        )
    return lines


def _missing(found: Costs) -> list[str]:
    lines = []
    failed = [escape(why) for why in found.failed]
    lacking = [one.label for one in found.rows if one.parameters is None]
    if failed:
        lines.append(f"Could not be measured: {'; '.join(failed)}.")
    if lacking and len(lacking) == len(found.rows):
        lines.append(f"What predicting takes was not measured with these models: `{COMMAND}` does.")
    elif len(lacking) > len(failed):
        lines.append(f"Not measured: {and_of(map(escape, lacking))}; `{COMMAND}` measures all anew.")
    return lines


def _millions(count: int | None) -> str:
    return _number(count / 1e6) if count else "-"


def _number(value: float | None) -> str:
    """Return a number with three digits or so."""
    if value is None:
        return "-"
    if value < 0.1:
        return f"{value:.2g}"
    return f"{value:,.{2 if value < 10 else 1 if value < 100 else 0}f}"


def _times(value: float | None) -> str:
    return "-" if value is None else f"{_number(value)} ×"


def csv_lines(sections: Sequence[Section]) -> list[dict[str, object]]:
    """Return one line per method of the sections with all its costs, as plain numbers."""
    lines: list[dict[str, object]] = []
    for section in sections:
        found = costs(section)
        processors = {one.device: one.processor for one in found.measured}
        for row in found.rows:
            line: dict[str, object] = {"data_kind": section.data_kind, "profile": section.profile}
            line |= {"method": row.label, "trained_parameters": row.trained or None}
            line |= {"parameters": row.parameters, "multiply_adds": row.multiply_adds or None}
            line |= {"reference": found.reference, "training_ratio": row.training}
            for size in BATCHES:
                line[f"cpu_ratio_{size}"] = row.relative.get(size)
                line[f"gpu_ms_{size}"] = row.milliseconds.get(size)
            line |= {f"{device}_bytes": row.memory.get(device) for device in ("cpu", "cuda")}
            lines.append(line | {name: processors.get(name) for name in ("cpu", "cuda")})
    return lines
