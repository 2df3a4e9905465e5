"""What a table of the page is made of: columns, and cells with a value to sort by and a text to read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from fer_bench.evaluation.intervals import Value
from fer_bench.evaluation.pairs import Column as Compared
from fer_bench.leaderboard.cells import Cell
from fer_bench.leaderboard.markup import margin

Shown = str | int | float | None | Mapping[str, Any]
"""A cell: plain, or `v` to sort by, `t` to read, and as far as they apply `b` (bold), `d` (key of the details
that it opens) and `n` (what a pointer on it shows)."""
Row = Mapping[str, Shown]


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        field: Its name in rows.
        title: Its heading.
        kind: Whether it is searched as text, or filtered from a number on.
        tip: What a pointer on the heading shows.
    """

    field: str
    title: str
    kind: Literal["text", "number"] = "text"
    tip: str = ""

    @property
    def plain(self) -> dict[str, str]:
        """Return it as the page's script takes it."""
        return {"field": self.field, "title": self.title, "kind": self.kind, "tip": self.tip}


@dataclass(frozen=True)
class Table:
    """A table of the page.

    Attributes:
        name: Its name within the section.
        title: Its heading.
        columns: Columns.
        rows: Rows, in the board's order.
        notes: Sentences above it.
    """

    name: str
    title: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    notes: tuple[str, ...] = ()

    @property
    def plain(self) -> dict[str, Any]:
        """Return it as the page's script takes it."""
        return {"columns": [column.plain for column in self.columns], "rows": list(self.rows)}


def key_of(cell: Cell) -> str:
    """Return the name of a cell's details within its section."""
    return f"{cell.label} @ {cell.source}"


def number(value: float | None, show: Callable[[float], str], scale: float = 1.0) -> Shown:
    """Return a number as a cell.

    Args:
        value: The number.
        show: Writes it.
        scale: Makes it the number that is written, so that filters mean what is read.
    """
    return None if value is None else {"v": round(scale * value, 4), "t": show(value)}


def interval(
    value: Value | None,
    show: Callable[[float], str],
    scale: float = 1.0,
    *,
    mark: str = "",
    bold: bool = False,
    details: str = "",
) -> Shown:
    """Return a number with its interval as a cell: `0.52 ± .02`, and both ends for a pointer.

    Args:
        value: The number.
        show: Writes numbers.
        scale: Makes it the number that is written.
        mark: Follows it.
        bold: Whether it is bold.
        details: Key of the details that it opens.
    """
    if value is None:
        return None
    cell: dict[str, Any] = {"v": round(scale * value.value, 4), "t": f"{margin(value, show)}{mark}"}
    if value.interval is not None:
        cell["n"] = f"95 % interval: {show(value.interval.low)} to {show(value.interval.high)}"
    if bold:
        cell["b"] = 1
    if details:
        cell["d"] = details
    return cell


def lettered(column: Compared, label: str) -> tuple[str, bool]:
    """Return a method's letters as a mark, and whether it is bold: no method is shown to be better.

    Args:
        column: The methods compared.
        label: The method.
    """
    letters = column.letters.get(label, "")
    return (f" {letters}" if letters else ""), label in column.leaders
