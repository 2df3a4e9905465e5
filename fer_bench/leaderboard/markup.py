"""Pieces of markdown: escaped text, tables, and numbers with their intervals."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fer_bench.evaluation.intervals import Value
    from fer_bench.evaluation.pairs import Column

Rows = Sequence[Sequence[str]]
_LONGEST = 300


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


def table(header: Sequence[str], rows: Rows, *, raw: Iterable[int] | None = None) -> str:
    """Return a markdown table, nothing without rows.

    Args:
        header: Column titles, markdown.
        rows: Cells.
        raw: Columns that are markdown already, all by default; the others are escaped.
    """
    ready = set(range(len(header))) if raw is None else set(raw)
    if not rows:
        return ""
    lines = [f"| {' | '.join(header)} |", f"|{' --- |' * len(header)}"]
    for row in rows:
        lines.append(f"| {' | '.join(c if i in ready else escape(c) for i, c in enumerate(row))} |")
    return "\n".join(lines)


def percent(value: Value | None) -> str:
    """Return `61.2 [57.0, 65.1]` in percent, without brackets where there is no interval."""
    return with_interval(value, lambda v: f"{100 * v:.1f}")


def decimal(value: Value | None) -> str:
    """Return `0.41 [0.36, 0.45]`."""
    return with_interval(value, lambda v: f"{v:.2f}")


def signed_percent(difference: float) -> str:
    """Return a difference of shares as `+3.4`, in points."""
    return f"{100 * difference:+.1f}"


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


def stacked(
    text: str, *, bold: bool = False, mark: str = "", letters: str = "", more: Sequence[str] = ()
) -> str:
    """Put an interval and more in small type on a line of their own.

    Args:
        text: A number, with or without interval.
        bold: Whether the number is bold.
        mark: Follows the number.
        letters: Follow the number, of the letter display.
        more: Printed after the interval.
    """
    point, bracket, rest = text.partition(" [")
    point = f"**{point}**" if bold else point
    point += (f" {letters}" if letters else "") + mark
    small = [f"[{rest}"] if bracket else []
    small += list(more)
    return f"{point}<br><sub>{', '.join(small)}</sub>" if small else point


def lettered(text: str, column: Column, label: str, *, mark: str = "", more: Sequence[str] = ()) -> str:
    """Stack a method's number with its letters in a column, bold where no method is shown to be better.

    Args:
        text: The number, with or without interval.
        column: The methods compared.
        label: The method.
        mark: Follows the number.
        more: Printed after the interval.
    """
    letters = column.letters.get(label, "")
    return stacked(text, bold=label in column.leaders, mark=mark, letters=letters, more=more)


def share(value: Value | None) -> str:
    """Return a share as `61 % [55, 68]`, `-` without one."""
    if value is None:
        return "-"
    ends = value.interval
    more = "" if ends is None else f" [{100 * ends.low:.0f}, {100 * ends.high:.0f}]"
    return f"{100 * value.value:.0f} %{more}"
