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
"""Written for a fact that the system does not provide."""
STALE_AFTER = 120.0
"""Seconds without a heartbeat after which a lock is taken over."""


class Lock:
    """An exclusive claim on a run, which dies with its owner.

    The lock is a file that its owner creates exclusively and touches as a heartbeat. Another process may take
    it over when the owner is gone: at once if it was a process of this machine that has ended, even if its
    process id is in use again; else after `STALE_AFTER` seconds without a heartbeat (owners on other
    machines, in other containers, or from before a reboot).

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
        return f"{socket.gethostname()} {os.getpid()} {_pid_space()} {_start_time(os.getpid())}\n"

    def is_stale(self) -> bool:
        """Return whether the owner is gone."""
        try:
            content, age = self.path.read_text(), self._age()
        except FileNotFoundError:
            return True
        host, pid, space, started = (*content.split(), "", "", "", "")[:4]
        if not pid.isdigit():
            return age > 5.0  # the owner has not written its name yet, or died before
        if host != socket.gethostname() or space not in ("", _pid_space()):
            return age > STALE_AFTER
        return not _alive(int(pid)) or (started != "" and _start_time(int(pid)) not in (started, UNKNOWN))

    def _age(self) -> float:
        """Return the seconds since the last heartbeat, by the clock of the file system.

        On a network file system that is the server's clock, which may be minutes off ours.
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
        """Write our name into a lock whose owner is gone; a second lock admits one contender at a time."""
        if not self.is_stale():
            return False
        gate = self.path.with_name(f"{self.path.name}.takeover")
        with suppress(FileNotFoundError):
            if time.time() - gate.stat().st_mtime > STALE_AFTER:
                gate.unlink()  # a contender died here
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
        """Touch the lock: its owner is alive."""
        os.utime(self.path)

    def release(self) -> None:
        """Give the lock up, unless another process has taken it over."""
        with suppress(OSError):
            if self.path.read_text() == self._owner():
                self.path.unlink(missing_ok=True)


def _create(path: Path, content: str) -> bool:
    """Create a file; return whether it did not exist before."""
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        return False
    with os.fdopen(handle, "w") as file:
        file.write(content)
    return True


@cache
def _pid_space() -> str:
    """Return in which namespace of process ids we are: that of this boot, or of a container."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return UNKNOWN


def _start_time(pid: int) -> str:
    """Return when a process of this machine was started, in clock ticks: process ids are reused."""
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
    with suppress(OSError):  # a zombie is not an owner
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return True
