"""The memory allocator of this process: whether it keeps what is freed, for the next step to take again.

glibc gives large blocks back to the system as soon as they are freed, and asks for new ones, which the
system fills with zeros first. Training allocates the same blocks at every step, so a good part of its time
goes there: `python -m benchmarks.speed.cpu_options` measures it. Results do not depend on it. A process holds
somewhat more memory, and gives back only what exceeds two gigabytes at the end of its heap.

`FER_BENCH_ALLOCATOR=system` leaves the allocator as it is.
"""

from __future__ import annotations

import ctypes
import os
import platform

VARIABLE = "FER_BENCH_ALLOCATOR"
SYSTEM = "system"
"""Value of the variable with which the allocator stays as it is."""
KEEPING = {-4: 0, -1: 2**31 - 1}
"""Parameters of glibc's `mallopt` and their values: M_MMAP_MAX, so that no block is a mapping of its own, and
M_TRIM_THRESHOLD, the bytes at the end of the heap that stay."""
_kept = False


def keep_memory() -> bool:
    """Let this process, and those that it forks, keep freed memory; return whether they do.

    Nothing happens without glibc, or where the variable forbids it.
    """
    global _kept
    if not _kept and os.environ.get(VARIABLE) != SYSTEM and _library().startswith("glibc"):
        mallopt = ctypes.CDLL(None).mallopt
        _kept = all(mallopt(name, value) == 1 for name, value in KEEPING.items())
    return _kept


def describe() -> str:
    """Return the C library and whether freed memory is kept, as the records of runs have it."""
    return f"{_library()}, freed memory {'kept' if _kept else 'given back'}"


def _library() -> str:
    try:
        return os.confstr("CS_GNU_LIBC_VERSION") or platform.system()
    except (AttributeError, OSError, ValueError):  # the name is unknown to other C libraries
        return platform.system()
