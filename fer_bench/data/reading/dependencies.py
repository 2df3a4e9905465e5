"""The files and folders that an index was read from, so that a kept index can be checked for changes."""

from __future__ import annotations

import hashlib
import os
import stat as stat_module
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Literal

Kind = Literal["itself", "contents"]
ABSENT = "absent"

_current: ContextVar[dict[str, Kind] | None] = ContextVar("reads", default=None)


@contextmanager
def recording() -> Iterator[dict[str, Kind]]:
    """Record what is read inside the block: how each path was read, by absolute path."""
    found: dict[str, Kind] = {}
    token = _current.set(found)
    try:
        yield found
    finally:
        _current.reset(token)


def note_read(path: Path | str, *, contents: bool = False) -> None:
    """Record that the index depends on a file, on the names in a folder, or on a path being absent.

    `numbered_lines`, `list_folder` and `matching` record what they read; readers record the rest.

    Args:
        path: File or folder; it need not exist.
        contents: Whether the index also depends on size and time of every file in this folder.
    """
    found = _current.get()
    if found is not None:
        place = os.path.abspath(path)
        if found.get(place) != "contents":
            found[place] = "contents" if contents else "itself"


def stamp(path: str, kind: Kind) -> tuple[str, int]:
    """Return a text that changes when a path changes, and its last change in nanoseconds since 1970.

    The text has size and times of a file, the times of a folder (which change with the names in it), or for
    `contents` a hash over all files of the folder. The time of the last change of the inode is included,
    because copying tools reset the time of the content.
    """
    try:
        status = os.stat(path)
        if kind == "itself":
            return _text(status), status.st_ctime_ns
        digest, newest = hashlib.sha256(), status.st_ctime_ns
        names = sorted(os.listdir(path))
        folder = os.open(path, os.O_RDONLY)
        try:
            for name in names:
                one = os.stat(name, dir_fd=folder)
                newest = max(newest, one.st_ctime_ns)
                digest.update(f"{name}\0{_text(one)}\n".encode("utf-8", "surrogateescape"))
        finally:
            os.close(folder)
    except OSError:
        return ABSENT, 0
    return digest.hexdigest()[:32], newest


def _text(status: os.stat_result) -> str:
    size = "" if stat_module.S_ISDIR(status.st_mode) else str(status.st_size)
    return f"{size} {status.st_mtime_ns} {status.st_ctime_ns}"
