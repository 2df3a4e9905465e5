"""Plain sentences about what the tests of a table show, and what they do not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from fer_bench.evaluation.estimates import Estimate
from fer_bench.evaluation.pairs import ALPHA, Column, PairTest


def p_text(p: float) -> str:
    """Return `p < .001` or `p = .012`."""
    return "p < .001" if p < 0.001 else f"p = {p:.3f}".replace("0.", ".", 1)


def points(difference: float) -> str:
    """Return a difference of shares in percentage points."""
    return f"+{100 * difference:.1f} points"


def plain_difference(difference: float) -> str:
    """Return a difference of transfer scores."""
    return f"+{difference:.2f}"


def conclusion(column: Column, unit: str, show: Callable[[float], str] = points) -> str:
    """Say which differences of a column are more than the choice of test units explains.

    Args:
        column: The methods compared.
        unit: What is resampled, in the plural: persons, videos, pictures, units.
        show: Writes a difference.
    """
    if not column.tests:
        return _left_out(column, "only one method, so there is nothing to compare") + "."
    units = column.tests[0].units
    better: dict[str, list[PairTest]] = {}
    for test in column.tests:
        if test.significant:
            better.setdefault(test.first, []).append(test)
    open_pairs = [t for t in column.tests if not t.significant]
    parts = [
        f"{name} is better than {and_of(_worse(t, show) for t in tests)}" for name, tests in better.items()
    ]
    if open_pairs and not better:
        least = min(t.adjusted for t in open_pairs)
        parts.append(f"no difference between methods is shown (smallest {p_text(least)})")
    elif open_pairs:
        pairs = ", nor between ".join(f"{t.first} and {t.second}" for t in open_pairs)
        parts.append(f"no difference is shown between {pairs}")
    if not better and 2.0 ** (1 - units) * len(column.tests) >= ALPHA:
        parts.append(f"{units} {unit} are too few to show any")
    return _left_out(column, f"{'; '.join(parts)} ({units:,} {unit})") + "."


def _left_out(column: Column, text: str) -> str:
    if not column.left_out:
        return text
    verb = "was" if len(column.left_out) == 1 else "were"
    names = and_of(column.left_out)
    return f"{text}; {names} {verb} tested on other rows, crops, folds or seeds and not compared"


def _worse(test: PairTest, show: Callable[[float], str]) -> str:
    return f"{test.second} ({show(test.difference)}, {p_text(test.adjusted)})"


def and_of(parts: Iterable[str]) -> str:
    """Return `a, b and c`."""
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last


def above_guessing(estimates: Sequence[Estimate]) -> str:
    """Say on how many pairs of datasets a method surely does better than guessing.

    Args:
        estimates: Its estimates on other datasets.
    """
    values = [e.values["transfer"] for e in estimates if "transfer" in e.values]
    known = [v.interval for v in values if v.interval is not None]
    above = sum(i.low > 0 for i in known)
    without = len(values) - len(known)
    text = f"The interval lies above guessing for {above} of {len(known)} pairs"
    if without:
        text += f"; {without} {'has' if without == 1 else 'have'} too few units for one"
    return f"{text}. Single pairs are not compared between methods: their means above are."


def list_of(columns: Mapping[str, str]) -> str:
    """Return a markdown list of one sentence per column."""
    return "\n".join(f"- *{name}*: {text}" for name, text in columns.items())
