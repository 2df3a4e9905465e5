"""Symlinks out of a dataset's folder: refused by default, followed where the user allows it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from fer_bench.errors import DataError

ALLOW = (
    "--follow-links (or FER_BENCH_FOLLOW_LINKS=1) allows links that leave the dataset's folder; or copy the "
    "files below it, or make the folder itself the link"
)
FETCH = "mount the disk it is on, or fetch the files: git annex get, dvc pull, huggingface-cli download"

_follow: ContextVar[bool] = ContextVar("follow", default=False)


@contextmanager
def following(allowed: bool) -> Iterator[None]:
    """Allow links that leave the dataset's folder inside the block, or refuse them."""
    token = _follow.set(allowed)
    try:
        yield
    finally:
        _follow.reset(token)


def may_leave() -> bool:
    """Return whether links that leave the dataset's folder are followed."""
    return _follow.get()


def leaving_error(
    path: Path, base: Path, *, file: Path | None = None, line: int | None = None, value: str | None = None
) -> DataError:
    """Return the error for a path that leaves the dataset's folder through a link.

    Args:
        path: The path; it or a folder above it is the link.
        base: The dataset's base folder.
        file: The list that names the path, for the message; None where `parse_line` adds it.
        line: 1-based line of the list.
        value: How the list names the path.
    """
    link = next((p for p in (path, *path.parents) if p.is_relative_to(base) and p.is_symlink()), path)
    target = os.path.realpath(link)
    gone = "" if os.path.exists(target) else ", which does not exist"
    return DataError(
        f"the path leaves the dataset root: {link} is a link to {target}{gone}",
        file=file,
        line=line,
        value=value,
        hint=f"{FETCH}\n  {ALLOW}" if gone else ALLOW,
    )
