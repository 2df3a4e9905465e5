"""Every method's difference from the plain baseline: without it, no one can see what an idea is worth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fer_bench.evaluation.pairs import Column
from fer_bench.leaderboard.links import Links
from fer_bench.leaderboard.markup import escape, margin, tables, whole_points
from fer_bench.leaderboard.tables import Section
from fer_bench.leaderboard.wording import and_of, p_text, plain_difference

BASELINE = "erm"
"""The method that every other is compared with: a plain network and cross-entropy."""


def context(section: Section, links: Links) -> dict[str, Any] | None:
    """Return the values of the template, None where the baseline was not run."""
    if BASELINE not in section.labels or len(section.labels) < 2:
        return None
    return {
        "name": BASELINE,
        "said": escape(_said(section), None),
        "own": _table(section, section.own_columns, links, whole_points),
        "general": _table(section, section.general_columns, links, plain_difference),
    }


def _said(section: Section) -> str:
    """Say which methods are shown to be better than the baseline, on other datasets and on their own."""
    overall = section.overall_column
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
    return ". ".join(f"{part[0].upper()}{part[1:]}" for part in parts)


def _table(
    section: Section, columns: Mapping[str, Column], links: Links, show: Callable[[float], str]
) -> str:
    """Return a table with a row per source and a column per method; bold where a test shows a difference."""
    others = [label for label in section.labels if label != BASELINE]
    others = [n for n in others if any(c.difference(n, BASELINE) is not None for c in columns.values())]
    rows = [
        [links.source(source), *(_difference(column, label, show) for label in others)]
        for source, column in columns.items()
        if any(column.difference(label, BASELINE) is not None for label in others)
    ]
    return tables(("trained on", *map(links.method, others)), rows)


def _difference(column: Column, label: str, show: Callable[[float], str]) -> str:
    text, test = margin(column.difference(label, BASELINE), show), column.test(label, BASELINE)
    return f"**{text}**" if test is not None and test.significant else text
