"""Files that are written atomically, hashes of values and files, and the folder of the cache."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fer_bench.errors import StoreError


def usable_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cache_root() -> Path:
    """Return the folder of derived data: `FER_BENCH_CACHE`, else `fer-bench` in the user's cache folder."""
    if named := os.environ.get("FER_BENCH_CACHE"):
        return Path(named).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "fer-bench"


def write_atomic(path: Path, writer: Callable[[Path], object]) -> os.stat_result:
    """Write a file under a temporary name in the same folder, flush it to disk and rename it.

    Args:
        path: The file; its folder is created.
        writer: Writes to the temporary path that it is given.

    Returns:
        Size, time and inode of the file that was written.

    Raises:
        StoreError: The disk is full or not writable; nothing is left behind.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        os.close(handle)
        temporary = Path(name)
        writer(temporary)
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
            state = os.fstat(written.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
        _flush_names(path.parent)
        return state
    except OSError as error:
        raise StoreError(f"cannot write: {error.strerror or error}", file=path) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _flush_names(folder: Path) -> None:
    """Flush a renaming to disk, so that after a power cut no later file exists without this one."""
    with contextlib.suppress(OSError):  # not possible on some systems and network file systems
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_text(path: Path, text: str) -> os.stat_result:
    """Write UTF-8 text atomically, with Unix line ends; return the state of the file."""
    return write_atomic(path, lambda temporary: temporary.write_bytes(text.encode()))


def write_json(path: Path, value: Any) -> os.stat_result:
    """Write JSON atomically: indented, keys in the order given, no NaN; return the state of the file."""
    return write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def canonical(value: Any) -> str:
    """Return JSON text that is the same for equal values: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def short_hash(value: Any, digits: int = 16) -> str:
    """Return the first hex digits of the SHA-256 of a value's canonical JSON."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:digits]


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
