"""List, check and remove what is in the cache: packs, kept indexes and states of checks."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Literal

from fer_bench import datasets
from fer_bench.data.packs import index_cache
from fer_bench.data.packs.pack import CHECKED, check_pack, try_to_own
from fer_bench.errors import FerBenchError, StoreError
from fer_bench.files import cache_root

State = Literal["current", "stale", "unfinished", "damaged"]
GRACE = 24 * 3600.0
"""Seconds without a write after which an unfinished pack counts as abandoned."""


@dataclass(frozen=True)
class Entry:
    """One thing in the cache.

    Attributes:
        path: The folder or file.
        kind: `pack`, a kept `index`, or the state of a `check`.
        dataset: Name of the dataset, empty if unknown.
        recipe: How crops were cut, empty for other kinds.
        size: Bytes on disk.
        used: When it was last used, seconds since 1970.
        state: Whether it can still be of use.
        reason: Why it cannot.
        in_use: Whether a process reads or writes it now.
        base: Folder of the pictures of a pack, empty if unknown.
    """

    path: Path
    kind: Literal["pack", "index", "check"]
    dataset: str
    recipe: str
    size: int
    used: float
    state: State = "current"
    reason: str = ""
    in_use: bool = False
    base: str = ""


def entries(cache: Path | None = None) -> list[Entry]:
    """Return what is in the cache, least recently used first.

    A pack is stale if its pictures are gone, if its reader has a newer version, or if there is a newer pack
    of the same folder and recipe (its labels or pictures have changed since).
    """
    root = cache or cache_root()
    packs = [_read_pack(folder) for folder in _children(root / "packs") if folder.is_dir()]
    newest: dict[tuple[str, str, str], float] = {}
    for pack in packs:
        place = (pack.dataset, pack.base, pack.recipe)
        newest[place] = max(newest.get(place, 0.0), pack.used)
    found = [
        replace(pack, state="stale", reason="a newer pack of the same folder and recipe is there")
        if pack.base and pack.state == "current" and pack.used < newest[pack.dataset, pack.base, pack.recipe]
        else pack
        for pack in packs
    ]
    found += [_read_index(file) for file in _children(root / index_cache.FOLDER)]
    for file in _children(root / "verify"):
        status = file.stat()
        found.append(Entry(file, "check", file.name.rpartition("-")[0], "", status.st_size, status.st_mtime))
    return sorted(found, key=lambda entry: (entry.used, entry.path.name))


def check(chosen: Iterable[Entry]) -> Iterator[Entry]:
    """Hash the pixels of all finished packs in full.

    Yields:
        Every entry that still exists; a pack is `damaged` if its pixels are not those that were packed.
    """
    for entry in chosen:
        if entry.kind == "pack" and entry.state != "unfinished":
            try:
                check_pack(entry.path)
            except StoreError as error:
                if not entry.path.is_dir():  # pruned meanwhile
                    continue
                reason = error.message.removeprefix("the pack is damaged: ")
                entry = replace(entry, state="damaged", reason=reason)
        yield entry


def prune(chosen: Sequence[Entry]) -> tuple[list[Entry], list[Entry]]:
    """Remove entries, except those in use.

    Args:
        chosen: What to remove.

    Returns:
        What was removed, and what was kept because a process uses it.

    Raises:
        StoreError: The cache cannot be written.
    """
    removed: list[Entry] = []
    kept: list[Entry] = []
    for entry in chosen:
        owned: IO[bytes] | None = None
        if entry.kind == "pack":
            owned = try_to_own(entry.path)
            if entry.in_use or owned is None:
                kept.append(entry)
                continue
        try:
            if entry.kind != "pack":
                entry.path.unlink(missing_ok=True)
            else:
                doomed = entry.path.with_name(f".{entry.path.name.lstrip('.')}.removed")
                entry.path.rename(doomed)  # first, so that no process opens half a pack
                shutil.rmtree(doomed)
        except OSError as error:
            raise StoreError(
                f"cannot be removed: {error.strerror}",
                file=entry.path,
                hint="FER_BENCH_CACHE names the cache; its owner can prune it",
            ) from None
        finally:
            if owned is not None:
                owned.close()
        removed.append(entry)
    return removed, kept


def _read_pack(folder: Path) -> Entry:
    size, written = 0, 0.0
    for file in _children(folder):
        with contextlib.suppress(OSError):
            status = file.stat()
            size += status.st_size
            if file.name != CHECKED:  # checking a pack is not using it
                written = max(written, status.st_mtime)
    entry = Entry(folder, "pack", folder.name.lstrip(".").rsplit("-", 2)[0], "", size, written)
    if folder.name.startswith("."):
        alive = time.time() - max(written, folder.stat().st_mtime) < GRACE
        reason = "being written, or left by a process that was killed less than a day ago"
        if not alive:
            reason = "left by a process that was killed"
        return replace(entry, state="unfinished", reason=reason, in_use=alive)
    try:
        facts = json.loads((folder / "pack.json").read_text(encoding="utf-8"))
        recipe, base = str(facts["recipe"]), str(facts.get("base", ""))
        version = facts.get("card_version")
        if not (folder / "pixels.npy").is_file():
            raise ValueError
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return replace(entry, state="damaged", reason="it cannot be read")
    owned = try_to_own(folder)
    if owned is not None:
        owned.close()
    entry = replace(entry, recipe=recipe, base=base, in_use=owned is None)
    reason = _outdated(entry, version)
    return replace(entry, state="stale", reason=reason) if reason else entry


def _outdated(pack: Entry, version: object) -> str:
    """Return why a pack is stale, the empty string if nothing says so."""
    if not pack.base:
        return "an earlier version of this package wrote it"
    if not Path(pack.base).is_dir():
        return f"its pictures are gone: {pack.base}"
    if pack.dataset not in datasets.names():
        return "its dataset is unknown"
    now = datasets.get(pack.dataset).card.version
    return "" if now == version else f"the reader has version {now}, this is {version}"


def _read_index(file: Path) -> Entry:
    """Return a kept index; it is stale if it would be built anew."""
    status = file.stat()
    name = file.name.lstrip(".").rpartition("-")[0]
    entry = Entry(file, "index", name, "", status.st_size, status.st_mtime)
    if file.suffix != ".parquet":
        reason = "being written, or left by a process that was killed"
        return replace(entry, state="unfinished", reason=reason)
    try:
        stale = index_cache.outdated(index_cache.read_facts(file), datasets.get(name))
    except ValueError:
        return replace(entry, state="damaged", reason="it cannot be read")
    except FerBenchError:
        stale = "its dataset is unknown"
    return entry if stale is None else replace(entry, state="stale", reason=stale)


def _children(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []
