"""Every method's difference from the plain baseline: without it, no one can see what an idea is worth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fer_bench.evaluation.pairs import Column
from fer_bench.leaderboard.markup import escape, signed_percent, stacked, table, with_interval
from fer_bench.leaderboard.tables import Section
from fer_bench.leaderboard.wording import and_of, p_text, plain_difference

BASELINE = "erm"
"""The method that every other is compared with: a plain network and cross-entropy."""


def context(section: Section) -> dict[str, Any] | None:
    """Return the values of the template, None where the baseline was not run."""
    if BASELINE not in section.labels or len(section.labels) < 2:
        return None
    general = {"overall": section.overall_column, **section.general_columns}
    return {
        "name": BASELINE,
        "said": escape(_said(section), None),
        "own": _table(section, section.own_columns, signed_percent),
        "general": _table(section, general, plain_difference),
    }


def _said(section: Section) -> str:
    """Say which methods are shown to be better than the baseline, on other datasets and on their own."""
    overall, own = section.overall_column, section.own_columns
    others = [label for label in overall.scores if label != BASELINE]
    if BASELINE not in overall.scores or not others:
        return f"{BASELINE} and the other methods have no complete source in common yet"
    better: list[str] = []
    worse: list[str] = []
    alike: list[str] = []
    untested: list[str] = []
    for label in others:
        test = overall.test(label, BASELINE)
        if test is None:
            untested.append(label)
        elif not test.significant:
            alike.append(label)
        else:
            apart = plain_difference(test.difference if test.first == label else -test.difference)
            said = f"{label} ({apart}, adjusted {p_text(test.adjusted)})"
            (better if test.first == label else worse).append(said)
    if len(untested) == len(others):
        return f"no method is shown to be better than {BASELINE}, the plain baseline: too few seeds to test"
    shown = and_of(better) if better else "none"
    parts = [f"better than {BASELINE}, the plain baseline, on other datasets: {shown}"]
    parts += [f"worse: {and_of(worse)}"] if worse else []
    parts += [f"not shown to differ: {and_of(alike)}"] if alike else []
    parts += [f"not tested: {and_of(untested)}"] if untested else []
    counts = []
    for label in others:
        tests = [t for c in own.values() if (t := c.test(label, BASELINE)) is not None]
        ahead = sum(t.significant and t.first == label for t in tests)
        behind = sum(t.significant and t.second == label for t in tests)
        if tests:
            counts.append(f"{label} better on {ahead} and worse on {behind} of {len(tests)}")
    parts += [f"on their own dataset {'; '.join(counts)}"] if counts else []
    return ". ".join(f"{part[0].upper()}{part[1:]}" for part in parts)


def _table(section: Section, columns: Mapping[str, Column], show: Callable[[float], str]) -> str:
    rows = []
    for label in section.labels:
        found = [column.difference(label, BASELINE) for column in columns.values()]
        if any(value is not None for value in found):
            rows.append([f"**{escape(label)}**", *(stacked(with_interval(value, show)) for value in found)])
    return table(("method", *map(escape, columns)), rows)
