"""A lock on a run that dies with its owner, also across machines that share a file system."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

from fer_bench.files import write_text

UNKNOWN = "-"
"""What a lock says where the system does not tell."""
STALE_AFTER = 120.0
"""Seconds without a heartbeat after which a lock is taken over."""


class Lock:
    """An exclusive claim on a run, which dies with its owner.

    The lock is a file created exclusively; the owner touches it. It may be taken over when its owner is gone:
    at once where that is seen, because it was a process of this machine (another may have got its number
    since); else when nobody touched the lock for `STALE_AFTER` seconds, as for owners on other machines, in
    other containers, or from before this machine was started anew.

    Args:
        path: The lock file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def acquire(self) -> bool:
        """Try to take the lock; return whether it is ours now."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return _create(self.path, self._owner()) or self._take_over()

    def _owner(self) -> str:
        return f"{socket.gethostname()} {os.getpid()} {_numbering()} {_birth(os.getpid())}\n"

    def is_stale(self) -> bool:
        """Return whether the owner is gone."""
        try:
            content, age = self.path.read_text(), self._age()
        except FileNotFoundError:
            return True
        host, pid, numbering, birth = (*content.split(), "", "", "", "")[:4]
        if not pid.isdigit():
            return age > 5.0  # its owner died before it wrote its name, or is about to
        if host != socket.gethostname() or numbering not in ("", _numbering()):
            return age > STALE_AFTER
        return not _alive(int(pid)) or (birth != "" and _birth(int(pid)) not in (birth, UNKNOWN))

    def _age(self) -> float:
        """Return the seconds since the last heartbeat, by the clock of the file system.

        On a network that is the server's clock, which may be minutes away from ours.
        """
        touched = self.path.stat().st_mtime
        probe = self.path.with_name(f".{self.path.name}.{socket.gethostname()}.{os.getpid()}.tmp")
        try:
            probe.write_bytes(b"")
            return probe.stat().st_mtime - touched
        except OSError:
            return time.time() - touched
        finally:
            with suppress(OSError):
                probe.unlink(missing_ok=True)

    def _take_over(self) -> bool:
        """Put our name into a lock whose owner is gone; contenders pass a second lock, one at a time."""
        if not self.is_stale():
            return False
        gate = self.path.with_name(f"{self.path.name}.takeover")
        with suppress(FileNotFoundError):
            if time.time() - gate.stat().st_mtime > STALE_AFTER:
                gate.unlink()  # a contender died at the gate
        if not _create(gate, self._owner()):
            return False
        try:
            if not self.is_stale():
                return False
            write_text(self.path, self._owner())
            return True
        finally:
            gate.unlink(missing_ok=True)

    def beat(self) -> None:
        """Tell others that the owner lives."""
        os.utime(self.path)

    def release(self) -> None:
        """Give the lock up, unless somebody has taken it over meanwhile."""
        with suppress(OSError):
            if self.path.read_text() == self._owner():
                self.path.unlink(missing_ok=True)


def _create(path: Path, content: str) -> bool:
    """Create a file that must not exist yet; return whether we did."""
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        return False
    with os.fdopen(handle, "w") as file:
        file.write(content)
    return True


@cache
def _numbering() -> str:
    """Return where the numbers of processes are ours: on this machine since its start, or in a container."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return UNKNOWN


def _birth(pid: int) -> str:
    """Return when a process of this machine was started, in clock ticks; numbers are given out again."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return UNKNOWN


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    with suppress(OSError):  # a killed process whose parent has not asked for it yet is no owner any more
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return True
