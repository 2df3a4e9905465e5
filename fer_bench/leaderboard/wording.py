"""Plain sentences about what the tests of a table show, and what they do not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from fer_bench.evaluation.estimates import Estimate
from fer_bench.evaluation.pairs import ALPHA, MIN_SEEDS, SHARP, Column, PairTest
from fer_bench.evaluation.planning import CHANCE, MOST_SEEDS, half_width, power, seeds_for
from fer_bench.leaderboard.markup import signed_percent


def p_text(p: float) -> str:
    """Return `p < .001`, `p = .012` or `p = .31`: no digits beyond what the draws of the tests tell."""
    places = 3 if p < 0.01 or abs(p - ALPHA) < SHARP else 2
    return "p < .001" if p < 0.001 else f"p = {p:.{places}f}".replace("0.", ".", 1)


def points(difference: float) -> str:
    """Return a difference of shares in percentage points."""
    return f"{signed_percent(difference)} points"


def plain_difference(difference: float) -> str:
    """Return a difference of transfer scores."""
    return f"{difference:+.2f}"


def conclusion(column: Column, unit: str, show: Callable[[float], str] = points) -> str:
    """Say which differences of a column are more than test units and training seeds explain.

    Args:
        column: The methods compared.
        unit: What is swapped, in the plural: persons, videos, pictures, units.
        show: Writes a difference.
    """
    if len(column.scores) < 2:
        return _left_out(column, "only one method, so there is nothing to compare") + "."
    if column.provisional:
        return _left_out(column, _provisional(column)) + "."
    units = column.tests[0].units
    best = next(iter(column.scores))
    worse = [t for t in column.tests if best == t.first and t.significant]
    alike = [t for t in column.tests if best in (t.first, t.second) and not t.significant]
    parts = []
    if worse:
        parts.append(f"{best} is better than {and_of(_worse(t, show) for t in worse)}")
    if alike:
        names = and_of(t.second if t.first == best else t.first for t in alike)
        parts.append(f"{best} is not shown to differ from {names}")
    further = sum(t.significant for t in column.tests) - len(worse)
    if further:
        parts.append(f"{further} further {'pair differs' if further == 1 else 'pairs differ'}")
    if column.untested:
        count = len(column.untested)
        pairs = "pair has" if count == 1 else "pairs have"
        parts.append(f"{count} {pairs} fewer than {MIN_SEEDS} common seeds")
    seeds = sorted({len(t.seeds) for t in column.tests})
    counts = f"{seeds[0]} seeds" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]} seeds"
    return _left_out(column, f"{'; '.join(parts)} ({units:,} {unit}, {counts})") + "."


def _provisional(column: Column) -> str:
    counts = [len(one.seeds) for one in column.sums.values()]
    seeds = f"{min(counts)} {'seed' if min(counts) == 1 else 'seeds'}"
    return f"provisional with {seeds}: methods are compared from {MIN_SEEDS} common seeds on"


def _left_out(column: Column, text: str) -> str:
    if not column.left_out:
        return text
    verb = "was" if len(column.left_out) == 1 else "were"
    names = and_of(column.left_out)
    return f"{text}; {names} {verb} tested on other rows, crops or folds and not compared"


def _worse(test: PairTest, show: Callable[[float], str]) -> str:
    return f"{test.second} ({show(test.difference)}, adjusted {p_text(test.adjusted)})"


def and_of(parts: Iterable[str]) -> str:
    """Return `a, b and c`."""
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last


def above_guessing(estimates: Sequence[Estimate]) -> str:
    """Say on how many targets a method surely does better than guessing: `5 of 6`.

    Args:
        estimates: Its estimates on other datasets.
    """
    values = [e.values["transfer"] for e in estimates if "transfer" in e.values]
    known = [v.interval for v in values if v.interval is not None]
    without = len(values) - len(known)
    more = f" ({without} with too few units)" if without else ""
    return f"{sum(i.low > 0 for i in known)} of {len(known)}{more}"


def outlook(columns: Mapping[str, Column], wanted: float) -> str:
    """Say per dataset how likely a true difference would be shown, and what more seeds would buy.

    Args:
        columns: The methods compared, per source.
        wanted: The difference, as a share.
    """
    chances: list[str] = []
    needed: dict[str, list[str]] = {}
    for name, column in columns.items():
        chance, seeds = power(column, wanted), seeds_for(column, wanted)
        if chance is not None:
            chances.append(f"{100 * chance:.0f} % on {name}")
        if seeds is not None:
            text = "more test units, whatever the seeds" if seeds > MOST_SEEDS else f"{seeds} seeds"
            needed.setdefault(text, []).append(name)
    size, parts = f"{100 * wanted:.0f} points", []
    if chances:
        shown = f"A test of two methods alone would show a true difference of {size} with a probability of"
        parts.append(f"{shown} {', '.join(chances)} (median pair).")
    if needed:
        texts = (f"{text} on {and_of(names)}" for text, names in needed.items())
        parts.append(f"For {100 * CHANCE:.0f} % it takes {'; '.join(texts)}.")
    return " ".join(parts)


def seeds_needed(columns: Mapping[str, Column], wanted: float) -> list[str]:
    """Return a line per dataset that says how many more seeds a wanted difference needs.

    Args:
        columns: The methods compared, per source.
        wanted: The difference that should be visible, as a share.
    """
    said: dict[str, list[str]] = {}
    likely = f"{100 * CHANCE:.0f} % of cases"
    for name, column in columns.items():
        now, seeds = half_width(column), seeds_for(column, wanted)
        if now is None:
            continue
        have = min(len(one.seeds) for one in column.sums.values())
        size = f"{100 * wanted:g} points"
        if seeds is None:
            text = "one seed says nothing about the spread of seeds; three are compared: --seed 0,1,2"
        elif seeds > MOST_SEEDS:
            text = (
                f"± {100 * now:.1f} points; no number of seeds shows {size}: the test units alone leave more"
            )
        elif seeds <= have:
            text = f"± {100 * now:.1f} points; {have} seeds show {size} in {likely}"
        else:
            more = seeds - have
            word = "seed shows" if more == 1 else "seeds show"
            text = f"± {100 * now:.1f} points; about {more} more {word} {size} in {likely}"
        said.setdefault(text, []).append(name)
    return [f"{', '.join(names)}: {text}" for text, names in said.items()]
