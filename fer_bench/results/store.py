"""The run store: one folder per run, found by its key; readable while others write.

```
runs/
  <method>/<dataset>/<key>/      config.yaml env.json record.json metrics.csv log.txt
                                 predictions/ checkpoints/
  indexes/<fingerprint>.parquet  what is known about a target's rows, once per fingerprint
  frozen/<hash>.pt               weights that are never trained, which checkpoints have in common
```

Whatever stands in the store is whole: files are written under a temporary name and renamed, and `done` is
written last.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pandas as pd

from fer_bench.data.index import stack_votes
from fer_bench.emotions import Emotion
from fer_bench.errors import StoreError
from fer_bench.files import write_atomic, write_json, write_text
from fer_bench.results.predictions import Predictions, read_predictions
from fer_bench.results.record import Record, Selection, read_record

KEPT_COLUMNS = (
    *("sample_id", "label", "subject", "sequence", "group", "variant", "split"),
    *("gender", "race", "age"),
)
FROZEN = "frozen"
"""Folder of weights that are never trained, within the store."""
UNKNOWN = "-"
"""What a lock says where the system does not tell."""
STALE_AFTER = 120.0
"""Seconds without a heartbeat after which a lock is taken over."""


@dataclass(frozen=True)
class RunDir:
    """The folder of one run.

    Attributes:
        path: The folder.
    """

    path: Path

    @property
    def record_file(self) -> Path:
        """Where the record stands."""
        return self.path / "record.json"

    @property
    def checkpoints(self) -> Path:
        """Where checkpoints stand."""
        return self.path / "checkpoints"

    @property
    def log_file(self) -> Path:
        """Where the log stands."""
        return self.path / "log.txt"

    @property
    def progress_file(self) -> Path:
        """Where the run says how far it is, while it is on."""
        return self.path / "progress.json"

    def remove_leftovers(self) -> None:
        """Delete what attempts that were killed left half written; call it under the lock."""
        for file in self.path.rglob(".*.tmp"):
            file.unlink(missing_ok=True)

    def predictions_file(self, target: str, selection: str) -> Path:
        """Return where predictions on a target stand."""
        return self.path / "predictions" / f"{target}@{selection}.parquet"

    def write_record(self, record: Record) -> None:
        """Write the record atomically."""
        write_json(self.record_file, record.model_dump(mode="json"))

    def read_record(self) -> Record | None:
        """Return the record, or None before the first one is written.

        Raises:
            StoreError: The record is damaged.
        """
        return read_record(self.record_file) if self.record_file.exists() else None

    def lock(self) -> Lock:
        """Return the lock of this run."""
        return Lock(self.path / "lock")


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


def kept_attributes(index: pd.DataFrame) -> pd.DataFrame:
    """Return what the store keeps of an index: one row per sample with its groups, attributes and votes.

    Votes become columns `votes_<emotion>`, where the dataset has any.
    """
    kept = index[list(KEPT_COLUMNS)].copy()
    if index["votes"].notna().any():
        counts = stack_votes(index)
        for position, emotion in enumerate(Emotion):
            kept[f"votes_{emotion.value}"] = counts[:, position]
    return kept


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


class Store:
    """All runs below a folder.

    Args:
        root: The store's folder; need not exist yet.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)

    @property
    def frozen(self) -> Path:
        """Where weights that are never trained stand."""
        return self.root / FROZEN

    def run_dir(self, method: str, dataset: str, key: str) -> RunDir:
        """Return the folder of a run, existing or not."""
        return RunDir(self.root / method / dataset / key)

    def run_dirs(self) -> Iterator[RunDir]:
        """Yield the folders that hold a record, in the order of method, dataset and key."""
        for record in sorted(self.root.glob("*/*/*/record.json")):
            yield RunDir(record.parent)

    def records(self) -> list[Record]:
        """Return all records in a stable order.

        Raises:
            StoreError: A record is damaged.
        """
        found, problems = self.scan()
        if problems:
            raise problems[0]
        return found

    def scan(self) -> tuple[list[Record], list[StoreError]]:
        """Return the readable records in a stable order, and what is wrong with the others."""
        found: list[Record] = []
        problems: list[StoreError] = []
        for run in self.run_dirs():
            try:
                record = read_record(run.record_file)
            except StoreError as error:
                problems.append(error)
                continue
            if (record.method, record.dataset, record.key) == run.path.parts[-3:]:
                found.append(record)
            else:
                where = f"{record.method}/{record.dataset}/{record.key}"
                problems.append(
                    StoreError("the record belongs to another folder", file=run.record_file, value=where)
                )
        found.sort(key=lambda r: (r.method, r.dataset, r.protocol, r.profile, r.seed, r.fold, r.key))
        return found, problems

    def find(self, key: str) -> RunDir:
        """Return the run whose key starts with the given text.

        Raises:
            StoreError: None or several match.
        """
        matching = [run for run in self.run_dirs() if run.path.name.startswith(key)]
        if len(matching) != 1:
            problem = (
                "no run has this key" if not matching else f"{len(matching)} runs have keys that start so"
            )
            raise StoreError(problem, file=self.root, value=key)
        return matching[0]

    def predictions(self, record: Record, target: str, selection: Selection = "val") -> Predictions:
        """Return a run's stored predictions.

        Raises:
            StoreError: They are absent or damaged.
        """
        run = self.run_dir(record.method, record.dataset, record.key)
        return read_predictions(run.predictions_file(target, selection))

    def keep_index(self, fingerprint: str, index: pd.DataFrame) -> None:
        """Keep the row attributes of a target once per fingerprint, for group and vote scores later."""
        path = self.root / "indexes" / f"{fingerprint}.parquet"
        if not path.exists():
            kept = kept_attributes(index)
            write_atomic(path, lambda temporary: kept.to_parquet(temporary, index=False))

    def check_writable(self) -> None:
        """Make sure that the store can be written before anything is computed.

        Raises:
            StoreError: It cannot.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            probe = self.root / f".probe.{os.getpid()}"
            write_text(probe, "")
            probe.unlink()
        except OSError as error:
            raise StoreError(f"the run store cannot be written: {error.strerror}", file=self.root) from None
