"""Files that are written atomically, hashes of values and files, and the folder of the cache."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import resource
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from fer_bench.errors import DataError, StoreError

MISTAKEN = {
    b"version https://git-lfs": ("it is a Git LFS pointer, not the file itself", "git lfs pull"),
    b"<!DOCTYPE": ("it is a web page, not the file itself", "download the file again"),
    b"<html": ("it is a web page, not the file itself", "download the file again"),
    b"\x89HDF": ("it is an HDF5 file", None),
}
"""First bytes of files that are often taken for weights: what they are, and what helps."""
CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")
"""Which control groups Linux has put this process into, one line each: `number:controllers:path`."""


def cpu_seconds() -> float:
    """Return the CPU time of this process and of those of its children that have ended, in seconds."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def usable_cores() -> int:
    """Return how many cores this process may use, by affinity and the CPU quota of its container or job."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _cpu_quota()
    return cores if math.isinf(quota) else max(1, min(cores, math.ceil(quota)))


def _cpu_quota() -> float:
    """Return the smallest CPU quota, in cores, of the control groups of this process; infinity without one.

    A container sees its own group as the root, but in places the path that its group has outside. So the root
    counts and every group on the path that exists.
    """
    try:
        lines = OWN_CGROUPS.read_text().splitlines()
    except OSError:  # not Linux
        return math.inf
    quotas = [math.inf]
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        roots = [CGROUPS / controllers, CGROUPS / "cpu"] if controllers else [CGROUPS, CGROUPS / "unified"]
        inner = PurePosixPath("" if ".." in path else path.lstrip("/"))
        for root in roots:
            quotas += [_quota_of(root / group) for group in (inner, *inner.parents)]
    return min(quotas)


def _quota_of(group: Path) -> float:
    """Return the CPU quota in cores that a control group itself has, infinity without one."""
    with contextlib.suppress(OSError, ValueError):  # version 2; `max` is no number
        quota, period = (group / "cpu.max").read_text().split()
        return int(quota) / int(period)
    with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
        quota, period = ((group / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        if int(quota) > 0:
            return int(quota) / int(period)
    return math.inf


def expand_home(path: Path | str) -> Path:
    """Return a path with a leading `~` or `~user` replaced by the home folder.

    Raises:
        DataError: There is no such home folder.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise DataError(
            "the home folder is unknown: HOME is not set, or the system does not know the user",
            value=str(path),
            hint="set HOME, or write the whole path instead of `~`",
        ) from None


def cache_root() -> Path:
    """Return the folder of derived data: `FER_BENCH_CACHE`, else `fer-bench` in the user's cache folder.

    Raises:
        DataError: No variable names it, and the home folder is unknown.
    """
    if named := os.environ.get("FER_BENCH_CACHE"):
        return expand_home(named)
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "fer-bench"
    try:
        return Path.home() / ".cache" / "fer-bench"
    except RuntimeError:
        raise DataError(
            "there is no folder for the cache: HOME is not set, and the system does not know this user",
            hint="set FER_BENCH_CACHE=DIR to a folder that can be written (or XDG_CACHE_HOME, or HOME)",
        ) from None


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


def spelled(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested values by their dotted names, as text."""
    found: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= spelled(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value if isinstance(value, str) else canonical(value)
    return found


def short_hash(value: Any, digits: int = 16) -> str:
    """Return the first hex digits of the SHA-256 of a value's canonical JSON."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:digits]


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def mistaken_for(file: Path) -> tuple[str, str | None] | None:
    """Return what a file is that was taken for weights, and what helps; None if its start does not tell."""
    try:
        with file.open("rb") as opened:
            start = opened.read(64).lstrip()
    except OSError as error:
        return f"it cannot be read: {error.strerror or error}", None
    if not start:
        return "it is empty", None
    for mark, found in MISTAKEN.items():
        if start.lower().startswith(mark.lower()):
            return found
    return None
