"""Pieces of markdown: escaped text, tables, and numbers with their intervals."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fer_bench.evaluation.intervals import Value
    from fer_bench.evaluation.pairs import Column

Rows = Sequence[Sequence[str]]
WIDEST = 120
"""Characters of the widest row of a table that a laptop's page holds."""
_LONGEST = 300
_EDGES = 3
"""Characters that the edges of a column take."""
_WRAPS = 24
"""Longer cells are broken into lines."""
_SHORT = 0.02
"""Up to this half width of an interval a share is written with a decimal of a percent."""


def escape(text: object, longest: int | None = _LONGEST) -> str:
    """Return text that shows as itself in a markdown table: one line, no HTML.

    Args:
        text: The text.
        longest: Characters after which it is cut; None for sentences of our own.
    """
    line = " ".join(str(text).split())
    if longest is not None and len(line) > longest:
        line = f"{line[: longest - 1]}…"
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~$])", r"\\\1", line)


class TableText(str):
    """The markdown of a table, with the cells that it was written from for pages that show them otherwise.

    Attributes:
        header: Column titles, markdown.
        rows: Cells, markdown.
    """

    header: Sequence[str] = ()
    rows: Rows = ()

    @classmethod
    def of(cls, text: str, header: Sequence[str], rows: Rows) -> TableText:
        """Return a text with its cells."""
        found = cls(text)
        found.header, found.rows = header, rows
        return found


def table(header: Sequence[str], rows: Rows, *, raw: Iterable[int] | None = None) -> TableText:
    """Return a markdown table, nothing without rows.

    Args:
        header: Column titles, markdown.
        rows: Cells.
        raw: Columns that are markdown already, all by default; the others are escaped.
    """
    ready = set(range(len(header))) if raw is None else set(raw)
    cells = [[c if i in ready else escape(c) for i, c in enumerate(row)] for row in rows]
    lines = [f"| {' | '.join(header)} |", f"|{' --- |' * len(header)}"]
    lines += [f"| {' | '.join(row)} |" for row in cells]
    return TableText.of("\n".join(lines) if cells else "", header, cells)


def shown(text: str) -> str:
    """Return what a reader sees of a cell: without links, emphasis, tags and escapes."""
    text = re.sub(r"(?<!\\)\[((?:[^\]\\]|\\.)*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"</?\w+>", "", text)
    return re.sub(r"\\([\\`*_\[\]|~$])", r"\1", re.sub(r"(?<!\\)[*`]", "", text))


def width(rows: Rows) -> int:
    """Return how many characters wide a table is: its longest cells, as far as these are not broken."""
    columns = zip(*rows, strict=True)
    return sum(_EDGES + max(min(len(shown(cell)), _WRAPS) for cell in column) for column in columns)


def tables(header: Sequence[str], rows: Rows) -> TableText:
    """Return a markdown table, or several of like width below each other where one is wider than a page.

    Args:
        header: Column titles, markdown. The first column stands in each table.
        rows: Cells, markdown.
    """
    lines, count = [header, *rows], len(header) - 1
    for parts in range(1, count + 1):
        cuts = [round(count * part / parts) for part in range(parts + 1)]
        places = [[0, *range(first + 1, last + 1)] for first, last in pairwise(cuts)]
        blocks = [[[row[i] for i in place] for row in lines] for place in places]
        if all(width(block) <= WIDEST for block in blocks):
            break
    text = "\n\n".join(table(block[0], block[1:]) for block in blocks) if rows else ""
    return TableText.of(text, header, rows)


def percent(value: Value | None) -> str:
    """Return `61.2 [57.0, 65.1]` in percent, without brackets where there is no interval."""
    return with_interval(value, lambda v: f"{100 * v:.1f}")


def decimal(value: Value | None) -> str:
    """Return `0.41 [0.36, 0.45]`."""
    return with_interval(value, two)


def two(value: float) -> str:
    """Return a number with two decimals, 0 without a sign."""
    text = f"{value:.2f}"
    return "0.00" if text == "-0.00" else text


def signed_percent(difference: float) -> str:
    """Return a difference of shares as `+3.4`, in points."""
    return f"{100 * difference:+.1f}"


def whole_points(difference: float) -> str:
    """Return a difference of shares as `+3`, in whole points."""
    return f"{round(100 * difference):+d}"


def points(value: float | None) -> str:
    """Return a share as `3.4` points, `-` without one."""
    return "-" if value is None else f"{100 * value:.1f}"


def with_interval(value: Value | None, show: Callable[[float], str]) -> str:
    """Return a number and its interval in brackets, as `show` writes numbers; `-` without a number."""
    if value is None:
        return "-"
    if value.interval is None:
        return show(value.value)
    return f"{show(value.value)} [{show(value.interval.low)}, {show(value.interval.high)}]"


def margin(value: Value | None, show: Callable[[float], str]) -> str:
    """Return `0.52 ± .02`, with the longer side of the interval; `-` without a number.

    So `±` never promises more than the interval does; both of its ends are where `with_interval` writes them.

    Args:
        value: The number.
        show: Writes numbers.
    """
    if value is None:
        return "-"
    if value.interval is None:
        return show(value.value)
    half = max(value.value - value.interval.low, value.interval.high - value.value)
    text = show(half).lstrip("+")
    return f"{show(value.value)} ± {text.removeprefix('0') if text.startswith('0.') else text}"


def percent_margin(value: Value | None) -> str:
    """Return `69 ± 19` in percent; with a decimal where the interval is short enough for it to matter."""
    if value is not None and value.interval is not None:
        ends = value.interval
        if max(value.value - ends.low, ends.high - value.value) < _SHORT:
            return margin(value, lambda v: f"{100 * v:.1f}")
    return margin(value, lambda v: f"{100 * v:.0f}")


def lettered(text: str, column: Column, label: str, *, mark: str = "") -> str:
    """Return a method's number with its letters in a column, bold where no method is shown to be better.

    Args:
        text: The number, with or without interval.
        column: The methods compared.
        label: The method.
        mark: Follows the letters.
    """
    letters = column.letters.get(label, "")
    number = f"**{text}**" if label in column.leaders else text
    return number + (f" {letters}" if letters else "") + mark


def share(value: Value | None) -> str:
    """Return a share as `61 % ± 7`, `-` without one."""
    if value is None:
        return "-"
    number, sign, half = margin(value, lambda v: f"{100 * v:.0f}").partition(" ±")
    return f"{number} %{sign}{half}"
