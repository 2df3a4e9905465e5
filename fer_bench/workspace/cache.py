"""What stands in the cache, whether it is still what was put there, and taking away what nobody needs."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from fer_bench import datasets
from fer_bench.data.packs import index_cache
from fer_bench.data.packs.pack import CHECKED, check_pack, try_to_own
from fer_bench.errors import FerBenchError, StoreError
from fer_bench.files import cache_root

State = Literal["current", "stale", "unfinished", "damaged"]
GRACE = 24 * 3600.0
"""Seconds without a write after which an unfinished pack is nobody's."""


@dataclass(frozen=True)
class Entry:
    """One thing in the cache.

    Attributes:
        path: The folder or file.
        kind: `pack`, a kept `index`, or the state of a `check`.
        dataset: Name of the dataset, empty when nothing tells.
        recipe: How crops were cut.
        size: Bytes on disk.
        used: When it was last used, seconds since 1970.
        state: Whether it can still be of use.
        reason: Why not.
        in_use: Whether a process reads or writes it now.
    """

    path: Path
    kind: Literal["pack", "index", "check"]
    dataset: str
    recipe: str
    size: int
    used: float
    state: State
    reason: str = ""
    in_use: bool = False


def entries(cache: Path | None = None) -> list[Entry]:
    """Return what stands in the cache, least recently used first.

    A pack is stale when its pictures are gone, its reader has a newer version, or a newer pack of the same
    folder and recipe stands beside it (its labels or pictures have changed since).
    """
    root = cache or cache_root()
    now = time.time()
    packs: list[tuple[Entry, str]] = []
    found: list[Entry] = []
    for folder in _children(root / "packs"):
        if folder.is_dir():
            packs.append(_read_pack(folder, now))
    newest: dict[tuple[str, str, str], float] = {}
    for entry, base in packs:
        place = (entry.dataset, base, entry.recipe)
        if base:
            newest[place] = max(newest.get(place, 0.0), entry.used)
    for entry, base in packs:
        if entry.state == "current" and entry.used < newest.get((entry.dataset, base, entry.recipe), 0.0):
            entry = _with_state(entry, "stale", "a newer pack of the same folder and recipe is there")
        found.append(entry)
    found += [_read_index(file) for file in _children(root / index_cache.FOLDER)]
    for file in _children(root / "verify"):
        status = file.stat()
        name = file.name.rpartition("-")[0]
        found.append(Entry(file, "check", name, "", status.st_size, status.st_mtime, "current"))
    return sorted(found, key=lambda entry: (entry.used, entry.path.name))


def prune(chosen: list[Entry]) -> tuple[list[Entry], list[Entry]]:
    """Remove entries, never one in use.

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
                entry.path.rename(doomed)  # first, so that nobody opens half a pack
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


def check(chosen: list[Entry]) -> Iterator[Entry]:
    """Hash the pixels of packs in full.

    Args:
        chosen: What to check; what is no finished pack is left out.

    Yields:
        Every pack that is still there, `damaged` with the reason where its pixels are not those packed.
    """
    for entry in chosen:
        if entry.kind != "pack" or entry.state == "unfinished":
            continue
        try:
            check_pack(entry.path)
        except StoreError as error:
            if not entry.path.is_dir():  # pruned meanwhile
                continue
            entry = _with_state(entry, "damaged", error.message.removeprefix("the pack is damaged: "))
        yield entry


def _read_pack(folder: Path, now: float) -> tuple[Entry, str]:
    """Return a pack and the base folder of its pictures, empty when nothing tells."""
    size, written = 0, 0.0
    for file in _children(folder):
        with contextlib.suppress(OSError):
            status = file.stat()
            size += status.st_size
            if file.name != CHECKED:  # being checked is no use
                written = max(written, status.st_mtime)
    name = folder.name.lstrip(".").rsplit("-", 2)[0]
    if folder.name.startswith("."):
        alive = now - max(written, folder.stat().st_mtime) < GRACE
        reason = "being written, or left by a process that was killed less than a day ago"
        if not alive:
            reason = "left by a process that was killed"
        return Entry(folder, "pack", name, "", size, written, "unfinished", reason, alive), ""
    try:
        facts = json.loads((folder / "pack.json").read_text(encoding="utf-8"))
        recipe, base = str(facts["recipe"]), str(facts.get("base", ""))
        version = facts.get("card_version")
        if not (folder / "pixels.npy").is_file():
            raise ValueError
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Entry(folder, "pack", name, "", size, written, "damaged", "it cannot be read"), ""
    owned = try_to_own(folder)
    if owned is not None:
        owned.close()
    entry = Entry(folder, "pack", name, recipe, size, written, "current", in_use=owned is None)
    if not base:
        return _with_state(entry, "stale", "an earlier version of this package wrote it"), ""
    if not Path(base).is_dir():
        return _with_state(entry, "stale", f"its pictures are gone: {base}"), base
    try:
        reader = datasets.get(name)
    except FerBenchError:
        return _with_state(entry, "stale", "no such dataset is known"), base
    if reader.card.version != version:
        entry = _with_state(
            entry, "stale", f"the reader has version {reader.card.version}, this is {version}"
        )
    return entry, base


def _read_index(file: Path) -> Entry:
    """Return a kept index; it is stale when it would be built anew."""
    status = file.stat()
    name = file.name.lstrip(".").rpartition("-")[0]
    entry = Entry(file, "index", name, "", status.st_size, status.st_mtime, "current")
    if file.suffix != ".parquet":
        return _with_state(entry, "unfinished", "being written, or left by a process that was killed")
    try:
        facts = index_cache.read_facts(file)
        reason = index_cache.outdated(facts, datasets.get(name))
    except ValueError:
        return _with_state(entry, "damaged", "it cannot be read")
    except FerBenchError:
        reason = "no such dataset is known"
    return entry if reason is None else _with_state(entry, "stale", reason)


def _with_state(entry: Entry, state: State, reason: str) -> Entry:
    return Entry(**{**vars(entry), "state": state, "reason": reason})


def _children(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []
