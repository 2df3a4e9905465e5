"""The journal of drawing jobs done, with which a killed writer can be continued, and the lock of a writer."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fer_bench.files import canonical
from fer_bench.synthetic.truth import Row

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

JOURNAL = ".journal"
_POLL = 0.2


@dataclass(frozen=True)
class JobResult:
    """What a drawing job returns besides writing files.

    Attributes:
        lines: Its lines of the dataset's lists.
        truth: A row per face drawn, see `fer_bench.synthetic.truth`.
    """

    lines: list[str] = field(default_factory=list)
    truth: list[Row] = field(default_factory=list)


class Journal:
    """The jobs done in a folder that is being written, and their results, in a file of that folder.

    A line of the file is a job's number, its faces, its lines and its truth, in the order in which jobs end.
    It is written after the job's files, so a complete line means that they are complete too.

    Args:
        folder: The unfinished dataset; a folder with another journal, or none, is emptied.
        head: Settings and number of the jobs; only jobs done under the same head count.
    """

    def __init__(self, folder: Path, head: dict[str, Any]) -> None:
        self.file = folder / JOURNAL
        self.faces: dict[int, int] = {}
        self._at: dict[int, int] = {}
        first = f"{canonical(head)}\n".encode()
        if not self._load(first):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            self.file.write_bytes(first)
        self._stream = self.file.open("r+b")

    def _load(self, first: bytes) -> bool:
        try:
            stream = self.file.open("r+b")
        except FileNotFoundError:
            return False
        with stream:
            if stream.readline() != first:
                return False
            whole = stream.tell()
            for line in stream:
                number, faces, *rest = line.split(b"\t", 3)
                if len(rest) != 2 or not line.endswith(b"\n"):
                    break  # killed while it was written
                self._at[int(number)], self.faces[int(number)] = whole, int(faces)
                whole += len(line)
            stream.truncate(whole)
        return True

    def __contains__(self, number: int) -> bool:
        return number in self._at

    def add(self, number: int, outcome: JobResult) -> None:
        """Note that a job is done."""
        line = f"{number}\t{len(outcome.truth)}\t{json.dumps(outcome.lines)}\t{json.dumps(outcome.truth)}\n"
        self._at[number] = self._stream.seek(0, os.SEEK_END)
        self.faces[number] = len(outcome.truth)
        self._stream.write(line.encode())
        self._stream.flush()

    def lines(self) -> Sequence[list[str]]:
        """Return the lines of every job, in the order of the jobs; read on demand."""
        return _Lines(self)

    def truth(self) -> Iterator[Row]:
        """Yield the truth of all jobs, in the order of the jobs."""
        for number in range(len(self._at)):
            yield from json.loads(self._part(number, 3))

    def remove(self) -> None:
        """Delete the file: the folder is complete."""
        self._stream.close()
        self.file.unlink()

    def close(self) -> None:
        """Close the file and leave it for the next writer."""
        self._stream.close()

    def __len__(self) -> int:
        return len(self._at)

    def _part(self, number: int, part: int) -> bytes:
        self._stream.seek(self._at[number])
        return self._stream.readline().split(b"\t", 3)[part]


class _Lines(Sequence[list[str]]):
    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def __len__(self) -> int:
        return len(self._journal)

    def __getitem__(self, number: Any) -> Any:
        return json.loads(self._journal._part(range(len(self))[number], 2))


def head_of(folder: Path) -> dict[str, Any] | None:
    """Return the head of a folder's journal, None without a readable one."""
    try:
        with (folder / JOURNAL).open("rb") as stream:
            head = json.loads(stream.readline())
    except (OSError, ValueError):
        return None
    return head if isinstance(head, dict) else None


@contextmanager
def locked(file: Path, wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold a lock that ends with its process; where the system has no locks, go on without.

    Args:
        file: The lock file, removed when the lock is released.
        wait: Called once when another process holds it.
    """
    handle = _take(file)
    if handle is None:
        wait()
    while handle is None:
        time.sleep(_POLL)
        handle = _take(file)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)
        os.close(handle)


def _take(file: Path) -> int | None:
    """Return the handle of the lock, None when another process has it."""
    handle = os.open(file, os.O_CREAT | os.O_RDWR, 0o644)
    try:
        if fcntl is not None:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    except OSError:
        return handle  # a file system without locks
    try:
        is_the_file = os.fstat(handle).st_ino == file.stat().st_ino
    except FileNotFoundError:
        is_the_file = False
    if not is_the_file:  # the process that held it has removed it meanwhile
        os.close(handle)
        return None
    return handle
