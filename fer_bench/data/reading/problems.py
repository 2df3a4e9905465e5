"""Problems with single rows: a run stops at the first one, a check of the data collects them all."""

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
    """A problem that a reader found and after which a check continues.

    Attributes:
        error: What is wrong, with file and line.
        rows: Number of affected rows.
        missing: Files and folders that are listed and not on disk, or that lack annotations.
        kind: `layout` for lists and annotations, `unreadable` for damaged files, which have no row.
    """

    error: DataError
    rows: int = 1
    missing: frozenset[Path] = frozenset()
    kind: Literal["layout", "unreadable"] = "layout"


_current: ContextVar[list[Problem] | None] = ContextVar("problems", default=None)


@contextmanager
def collecting() -> Iterator[list[Problem]]:
    """Collect problems inside the block, instead of stopping at the first one."""
    found: list[Problem] = []
    token = _current.set(found)
    try:
        yield found
    finally:
        _current.reset(token)


def raise_or_collect(error: DataError, *, rows: int = 1, missing: frozenset[Path] = frozenset()) -> None:
    """Raise the error of a row; inside `collecting`, keep it, so that the reader continues with the next row.

    Args:
        error: The problem.
        rows: Number of affected rows.
        missing: Files and folders that are listed and not on disk, or that lack annotations.

    Raises:
        DataError: The given error, outside `collecting`.
    """
    found = _current.get()
    if found is None:
        raise error
    found.append(Problem(error, rows, missing))


def collect(error: DataError) -> None:
    """Inside `collecting`, keep the problem of a damaged file, which runs leave out with a note."""
    found = _current.get()
    if found is not None:
        found.append(Problem(error, kind="unreadable"))


def any_collected() -> bool:
    """Return whether the index that is being read lacks rows, or has rows without a file."""
    return bool(_current.get())
