"""Faults of single rows: a run stops at the first one, a check of the data collects them all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fer_bench.errors import DataError


@dataclass(frozen=True)
class Problem:
    """One fault that a reader met and that a check goes on after.

    Attributes:
        error: What is wrong, with file and line.
        rows: Rows of the dataset that it concerns.
        missing: Files that the index names and that are not on disk.
        kind: `layout` for lists and annotations, `unreadable` for files that gave no row for being damaged.
    """

    error: DataError
    rows: int = 1
    missing: frozenset[Path] = frozenset()
    kind: Literal["layout", "unreadable"] = "layout"


_current: ContextVar[list[Problem] | None] = ContextVar("problems", default=None)


@contextmanager
def collecting() -> Iterator[list[Problem]]:
    """Collect what `raise_or_collect` and `collect` are told inside the block, instead of stopping there."""
    found: list[Problem] = []
    token = _current.set(found)
    try:
        yield found
    finally:
        _current.reset(token)


def raise_or_collect(error: DataError, *, rows: int = 1, missing: frozenset[Path] = frozenset()) -> None:
    """Raise the error of a row; inside `collecting`, keep it, so that the reader goes on with the next row.

    Args:
        error: What is wrong.
        rows: Rows that it concerns.
        missing: Files that the index will name and that are not on disk.

    Raises:
        DataError: The given one, outside of `collecting`.
    """
    found = _current.get()
    if found is None:
        raise error
    found.append(Problem(error, rows, missing))


def collect(error: DataError) -> None:
    """Keep what damaged a file that runs leave out with a note; outside of `collecting`, do nothing."""
    found = _current.get()
    if found is not None:
        found.append(Problem(error, kind="unreadable"))


def any_collected() -> bool:
    """Return whether the index that is being built lacks rows, or has rows without a file."""
    return bool(_current.get())
