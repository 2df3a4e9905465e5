"""The file of predictions while it grows: parts that are whole, so that a stopped call goes on where it was.

```
OUT.csv            the predictions, written when all files are done
OUT.csv.call.json  which model and options, and which files are done, by size and time of their last change
OUT.csv.parts/     rows of files and of begun videos and cameras, while a call is not finished
```
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from fer_bench.errors import DataError, UsageError
from fer_bench.files import write_atomic, write_json
from fer_bench.inference.card import DeploymentCard
from fer_bench.inference.inputs import Item
from fer_bench.inference.table import Row, as_table, check_ending, read_table, typed, write_table

PART_ROWS = 1000
PART_SECONDS = 15.0
"""Rows, and seconds since the last one, after which a part is written."""
_KEY = b"fer_bench"
FORCE = "--force writes it anew, or take another --out"
Stamp = tuple[int, int]
"""Size and time of the last change of a file."""


@dataclass
class Begun:
    """A video or camera of which some frames are predicted.

    Attributes:
        stamp: The file as it was when it was begun.
        following: The first frame that is not predicted.
        frames: Rows of the frames before it.
    """

    stamp: Stamp
    following: int
    frames: list[pd.DataFrame] = field(default_factory=list)


class Output:
    """Rows of finished files on disk.

    Args:
        path: The file of predictions.
        card: The model's card.
        call: Which model and options, as plain values: rows of different calls are never mixed.
        force: Begin anew; what is there stays until the new predictions are complete.

    Raises:
        UsageError: An unknown ending, or a file that is there is of another model or other options.
        DataError: What is there is damaged.
        StoreError: It cannot be written.
    """

    def __init__(
        self, path: Path, card: DeploymentCard, call: Mapping[str, Any], *, force: bool = False
    ) -> None:
        check_ending(path)
        self.path, self.card, self.call = path, card, json.loads(json.dumps(call))
        self.parts = path.with_name(f"{path.name}.parts")
        self.call_file = path.with_name(f"{path.name}.call.json")
        self._done: dict[str, Stamp] = {}
        self._begun: dict[str, Begun] = {}
        self._current: tuple[str, Stamp] | None = None
        self._frames: list[pd.DataFrame] = []
        self._waiting: list[Row] = []
        self._names: dict[str, Stamp] = {}
        self._following: dict[str, tuple[Stamp, int]] = {}
        self._written = time.monotonic()
        if force:
            shutil.rmtree(self.parts, ignore_errors=True)
        self._anew = force or replaces(path)
        self._read()
        self._number = max((int(part.stem) for part in self._part_files()), default=0)
        write_json(self._parts_call, {"call": self.call, "anew": self._anew})

    @property
    def _parts_call(self) -> Path:
        return _parts_call(self.path)

    def is_done(self, item: Item) -> bool:
        """Return whether the rows of a file are there, and the file is as it was then."""
        return self._done.get(item.name) == item.stamp

    def next_frame(self, item: Item) -> int:
        """Return the first frame of a video that is not predicted yet; 0 if it is new or has changed."""
        begun = self._begun.get(item.name)
        return begun.following if begun is not None and begun.stamp == item.stamp else 0

    def add(self, item: Item, rows: Sequence[Row], following: int | None = None) -> None:
        """Add rows of a file.

        Args:
            item: The file.
            rows: Rows after those that were added before.
            following: The frame that follows; None where the file is finished.
        """
        if self._current is None or self._current[0] != item.name:
            self._current = item.name, item.stamp  # as it was in the beginning: a file may grow meanwhile
        stamp = self._current[1]
        self._waiting += rows
        if following is None:
            self._following.pop(item.name, None)
            self._names[item.name], self._current = stamp, None
        else:
            self._following[item.name] = stamp, following
        waited = time.monotonic() - self._written
        if len(self._waiting) >= PART_ROWS or waited >= PART_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write the rows that are not on disk yet as a part."""
        if self._names or self._following:
            rows = as_table(self.card, self._waiting)
            self._number += 1
            note = json.dumps({"files": self._names, "begun": self._following}).encode()
            table = pa.Table.from_pandas(rows, preserve_index=False)
            table = table.replace_schema_metadata({**(table.schema.metadata or {}), _KEY: note})
            write_atomic(
                self.parts / f"{self._number:06d}.parquet", lambda place: pq.write_table(table, place)
            )
            self._take(rows, self._names, self._following)
            self._waiting, self._names, self._following = [], {}, {}
        self._written = time.monotonic()

    def finish(self, items: list[Item], *, cut_off: Sequence[Item] = ()) -> pd.DataFrame:
        """Write the file of predictions, and remove the parts.

        Args:
            items: All files of the call; their rows come in this order, after those of files that earlier
                calls with the same model and options named.
            cut_off: Those that count as finished with the frames that are there; else begun videos that
                were not finished have no rows.

        Returns:
            The predictions.
        """
        self.flush()
        for item in cut_off:
            if (begun := self._begun.get(item.name)) is not None:
                self._take(as_table(self.card, []), {item.name: begun.stamp}, {})
        place = {item.name: number for number, item in enumerate(items)}
        kept = [frame for frame in self._frames if len(frame)]
        rows = pd.concat(kept, ignore_index=True) if kept else as_table(self.card, [])
        order = rows["file"].map(place).fillna(-1)
        rows = rows.iloc[order.argsort(kind="stable")].reset_index(drop=True)
        write_table(rows, self.path)
        write_json(self.call_file, {"call": self.call, "files": self._done})
        shutil.rmtree(self.parts, ignore_errors=True)
        return rows

    @property
    def files(self) -> set[str]:
        """Names of the files whose rows are there."""
        return set(self._done)

    def _take(
        self, rows: pd.DataFrame, names: Mapping[str, Stamp], following: Mapping[str, tuple[Stamp, int]]
    ) -> None:
        """Take rows of finished and begun files, instead of older rows of the same files."""
        for name, (stamp, frame) in following.items():
            before = self._begun.get(name)
            kept = before.frames if before is not None and before.stamp == stamp else []
            self._begun[name] = Begun(stamp, frame, [*kept, rows[rows["file"] == name]])
        rows = rows[~rows["file"].isin(list(following))]
        again = set(names) & set(self._done)
        if again:
            self._frames = [frame[~frame["file"].isin(again)] for frame in self._frames]
        for name, stamp in names.items():
            begun = self._begun.pop(name, None)
            if begun is not None and begun.stamp == stamp:
                self._frames += begun.frames
        self._frames.append(rows)
        self._done |= names

    def _read(self) -> None:
        if self.path.exists() and not self._anew:
            if not self.call_file.is_file():
                problem = "the file exists already, and nothing says which model and options made it"
                raise UsageError(problem, value=str(self.path), hint=FORCE)
            found = _read_json(self.call_file)
            self._compare(found.get("call"))
            self._take(read_table(self.path), _stamps(found.get("files", {})), {})
        if self._parts_call.is_file():
            self._compare(_read_json(self._parts_call).get("call"))
        for part in self._part_files():
            try:
                table = pq.read_table(part)
                note = json.loads((table.schema.metadata or {})[_KEY])
                names = _stamps(note["files"])
                begun = {name: (_stamp(of), int(frame)) for name, (of, frame) in note["begun"].items()}
            except (pa.ArrowException, OSError, KeyError, ValueError) as error:
                raise DataError(f"a part is damaged: {error}", file=part, hint="delete it") from None
            self._take(typed(table.to_pandas()), names, begun)

    def _compare(self, found: Any) -> None:
        if found == self.call:
            return
        known = found if isinstance(found, dict) else {}
        changed = [name for name in self.call if known.get(name) != self.call[name]]
        first = changed[0] if changed else "call"
        other = "another model" if {"model", "weights"} & set(changed) else "other options"
        raise UsageError(
            f"the predictions there were made with {other} ({first}: "
            f"{known.get(first)!r} -> {self.call.get(first)!r}), and the two are never mixed",
            value=str(self.path),
            hint=FORCE,
        )

    def _part_files(self) -> list[Path]:
        return sorted(self.parts.glob("[0-9]*.parquet"))


def replaces(path: Path) -> bool:
    """Return whether a call that was stopped replaces the file of predictions that is there."""
    call = _parts_call(path)
    return call.is_file() and _read_json(call).get("anew") is True


def _parts_call(path: Path) -> Path:
    return path.with_name(f"{path.name}.parts") / "call.json"


def _stamp(found: Sequence[Any]) -> Stamp:
    size, when = found
    return int(size), int(when)


def _stamps(found: Mapping[str, Any]) -> dict[str, Stamp]:
    return {name: _stamp(of) for name, of in found.items()}


def _read_json(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"the file is damaged: {error}", file=file, hint=FORCE) from None
    if not isinstance(found, dict):
        raise DataError("the file is damaged", file=file, hint=FORCE)
    return found
