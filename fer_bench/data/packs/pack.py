"""Packs: the crops of a dataset, decoded once, as a uint8 memory map keyed by index and recipe."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fer_bench.data.crops.recipe import CropRecipe, recipe_for
from fer_bench.data.index import fingerprint
from fer_bench.data.packs.filling import WAYS, Progress, fill
from fer_bench.data.reading.dataset import FaceDataset
from fer_bench.errors import StoreError
from fer_bench.files import cache_root, file_hash, short_hash, write_json

try:
    import fcntl
except ImportError:  # on Windows, where we cannot tell whether a pack is in use
    fcntl = None  # type: ignore[assignment]

ROWS_AT_ONCE = 1 << 16
"""Paths that are hashed at once."""
PACK_VERSION = 4
"""Raised when the format of packs changes."""
CHECKED = "checked.json"
"""File with size and time of the pixel file when its hash was last checked. They are not in `pack.json`,
which is equal for equal packs and cannot be replaced while processes hold locks on it."""


@dataclass(frozen=True)
class Pack:
    """The packed crops of a dataset.

    Attributes:
        pixels: uint8 [N, size, size, 3], RGB, in the order of the index; a read-only memory map.
        fingerprint: Hash of the index.
        pixel_hash: SHA-256 of the pixel file.
        recipe: How crops were cut.
        found: Number of rows per way of finding the face.
        weak: bool [N], rows whose face was found by a weak detector or not at all.
        missed: bool [N], rows among these in which no face was found, so that the central square was cut.
        damaged: bool [N], rows whose picture decodes only in part; decoders fill in the rest.
        sides: float32 [N, 2], width and height of each face in pixels of its picture, before it was scaled.
    """

    pixels: NDArray[np.uint8]
    fingerprint: str
    pixel_hash: str
    recipe: CropRecipe
    found: dict[str, int]
    weak: NDArray[np.bool_]
    missed: NDArray[np.bool_]
    damaged: NDArray[np.bool_]
    sides: NDArray[np.float32]

    def weak_share(self, rows: NDArray[np.int64]) -> float:
        """Return the share of weakly found faces among some rows, 0 for no rows."""
        return float(self.weak[rows].mean()) if len(rows) else 0.0

    def missed_share(self, rows: NDArray[np.int64]) -> float:
        """Return the share of some rows in which no face was found, 0 for no rows."""
        return float(self.missed[rows].mean()) if len(rows) else 0.0


def open_pack(
    dataset: FaceDataset, size: int, *, cache: Path | None = None, progress: Progress | None = None
) -> Pack:
    """Return the pack of a dataset, built first if it is absent or if the pictures have changed.

    Several processes may call this at once: each builds under a temporary name, and the first rename wins.

    Args:
        dataset: The dataset.
        size: Side of the crops in pixels.
        cache: Folder of the cache, `cache_root()` by default.
        progress: Called with rows done and total rows.

    Raises:
        DataError: Pictures cannot be decoded or cropped; all are named or counted.
        StoreError: The cache cannot be written (full disk); nothing is left behind. Or the existing pack is
            damaged: its pixels are hashed if size or time of their file have changed.
    """
    recipe = recipe_for(dataset, size)
    index = dataset.index
    print_of_index = fingerprint(index)
    stamp = file_stamp(dataset.base, index)
    version = dataset.card.version
    mark = short_hash([recipe.model_dump(), stamp, version, PACK_VERSION], 12)
    name = f"{dataset.card.name}-{print_of_index}-{mark}"
    folder = (cache or cache_root()) / "packs" / name
    for _ in range(2):  # again if it has just been pruned
        if not (folder / "pack.json").exists():
            _build(dataset, recipe, folder, progress)
        if _note_use(folder):
            break
    return _open(folder, print_of_index, recipe, len(index))


def check_pack(folder: Path) -> None:
    """Hash the pixels of a pack, even if size and time of their file have not changed.

    Args:
        folder: The folder of the pack.

    Raises:
        StoreError: It is damaged; opening it fails from now on.
    """
    try:
        with (folder / "pack.json").open("rb") as opened:
            if fcntl is not None:
                with contextlib.suppress(OSError):  # without locks it is not protected from pruning
                    fcntl.flock(opened, fcntl.LOCK_SH)
            *_, facts = _read(folder)
            _check_pixels(folder, facts["pixel_hash"], in_full=True)
    except OSError as error:
        raise _damaged(folder, str(error)) from None


def _open(folder: Path, print_of_index: str, recipe: CropRecipe, rows: int) -> Pack:
    pixels, ways, sides, facts = _read(folder)
    if pixels.shape != (rows, recipe.size, recipe.size, 3):
        raise _damaged(folder, value=pixels.shape)
    _check_pixels(folder, facts["pixel_hash"])
    damaged = np.zeros(rows, np.bool_)
    try:
        damaged[facts["damaged"]] = True
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise _damaged(folder, str(error)) from None
    counts = np.bincount(ways, minlength=len(WAYS)).tolist()
    found = {str(way): int(count) for way, count in sorted(zip(WAYS, counts, strict=True)) if count}
    is_weak = np.array([recipe.is_weak(way) for way in WAYS])
    missed = np.array([way == "centre" for way in WAYS])
    return Pack(
        pixels,
        print_of_index,
        facts["pixel_hash"],
        recipe,
        found,
        is_weak[ways],
        missed[ways],
        damaged,
        sides,
    )


def _read(
    folder: Path,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32], dict[str, Any]]:
    """Return pixels, how faces were found, their sides, and what was noted of them as they were packed."""
    try:
        facts = json.loads((folder / "pack.json").read_text())
        facts["pixel_hash"]
        pixels, ways = np.load(folder / "pixels.npy", mmap_mode="r"), np.load(folder / "ways.npy")
        sides = np.load(folder / "sides.npy")
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise _damaged(folder, str(error)) from None
    if pixels.dtype != np.uint8 or ways.shape != pixels.shape[:1] or ways.max(initial=0) >= len(WAYS):
        raise _damaged(folder, value=pixels.shape)
    if sides.dtype != np.float32 or sides.shape != (len(pixels), 2) or not (sides > 0).all():
        raise _damaged(folder, "sides.npy does not hold the sides of its faces", value=sides.shape)
    return pixels, ways, sides, facts


def _check_pixels(folder: Path, pixel_hash: str, *, in_full: bool = False) -> None:
    """Check that the pixels are those that were packed.

    Reading them all takes long, so a file with the size and time of the last check is trusted. A copied or
    restored file has another time: it is hashed once and its time remembered.
    """
    file = folder / CHECKED
    try:
        look = _look(folder, pixel_hash)
        known = _last_look(file)
        if known == look and not in_full:
            return
        found = file_hash(folder / "pixels.npy")
    except OSError as error:
        raise _damaged(folder, str(error)) from None
    if found != pixel_hash:
        with contextlib.suppress(OSError):
            file.unlink(missing_ok=True)  # otherwise size and time would be trusted next time
        raise _damaged(folder, "its pixels are not those that were packed")
    if known != look:
        with contextlib.suppress(StoreError):  # the cache may be read-only or full
            write_json(file, look)


def _look(folder: Path, pixel_hash: str) -> dict[str, str | int]:
    status = (folder / "pixels.npy").stat()
    return {"pixel_hash": pixel_hash, "size": status.st_size, "mtime_ns": status.st_mtime_ns}


def _last_look(file: Path) -> Any:
    """Return what the last check stored, None if that is absent or damaged."""
    try:
        return json.loads(file.read_bytes())
    except (OSError, ValueError):
        return None


def _damaged(folder: Path, why: str = "", *, value: object | None = None) -> StoreError:
    return StoreError(
        f"the pack is damaged{f': {why}' if why else ''}",
        file=folder,
        value=value,
        hint="delete this folder and try again",
    )


_in_use: dict[Path, IO[bytes]] = {}
"""Open files with a shared lock on each pack that this process reads, held until it ends."""


def _note_use(folder: Path) -> bool:
    """Mark a pack as used now and, until this process ends, as in use; return whether it still exists.

    A read-only cache cannot be marked and does not need to be, because it cannot be pruned.
    """
    file = folder / "pack.json"
    with contextlib.suppress(OSError):
        os.utime(file)
    if fcntl is not None and folder not in _in_use:
        with contextlib.suppress(OSError):
            opened = file.open("rb")
            fcntl.flock(opened, fcntl.LOCK_SH)
            if not file.exists():
                opened.close()
                return False
            _in_use[folder] = opened
    return file.exists()


def try_to_own(folder: Path) -> IO[bytes] | None:
    """Return an open file that locks a pack for this caller alone, None while any process uses the pack."""
    for name in ("pack.json", "pixels.npy"):
        with contextlib.suppress(FileNotFoundError):
            opened = (folder / name).open("rb")
            break
    else:
        return open(os.devnull, "rb")
    if fcntl is not None:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            opened.close()
            return None
    return opened


def file_stamp(base: Path, index: pd.DataFrame) -> str:
    """Return a hash of the file of every row, and of size and modification time of every file."""
    digest, paths, folder = hashlib.sha256(), index["path"], str(base)
    for start in range(0, len(paths), ROWS_AT_ONCE):
        digest.update(("\0" * (start > 0) + "\0".join(paths.iloc[start : start + ROWS_AT_ONCE])).encode())
    for path in paths.drop_duplicates().sort_values():
        try:
            status = os.stat(os.path.join(folder, path))
        except OSError:
            digest.update(f"{path}\0absent\n".encode())
            continue
        digest.update(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def _build(dataset: FaceDataset, recipe: CropRecipe, folder: Path, progress: Progress | None) -> None:
    index = dataset.index
    temporary: Path | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
        shape = (len(index), recipe.size, recipe.size, 3)
        temporary.chmod(0o755)  # mkdtemp makes it private, but a cache may be shared
        pixels = np.lib.format.open_memmap(temporary / "pixels.npy", mode="w+", dtype=np.uint8, shape=shape)
        _claim(temporary / "pixels.npy")
        filled = fill(dataset, recipe, pixels, progress)
        pixels.flush()
        pixel_hash = _hash(temporary / "pixels.npy", pixels)
        del pixels
        look = _look(temporary, pixel_hash)
        facts = {
            "pixel_hash": pixel_hash,
            "recipe": recipe.text,
            "dataset": dataset.card.name,
            "card_version": dataset.card.version,
            "base": str(dataset.base.absolute()),
            "damaged": np.flatnonzero(filled.damaged).tolist(),
        }
        np.save(temporary / "ways.npy", filled.ways)
        np.save(temporary / "sides.npy", filled.sides)
        (temporary / "pack.json").write_text(json.dumps(facts))
        (temporary / CHECKED).write_text(json.dumps(look))
        try:
            temporary.rename(folder)
        except OSError:
            if not (folder / "pack.json").exists():
                raise
    except OSError as error:
        raise StoreError(
            f"the pack cannot be written: {error.strerror or error}",
            file=folder.parent,
            hint="free some space there, or set FER_BENCH_CACHE to a folder that has it",
        ) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def _hash(file: Path, pixels: NDArray[np.uint8]) -> str:
    """Return the SHA-256 of a file of pixels without copying what is mapped to memory."""
    with file.open("rb") as opened:
        digest = hashlib.sha256(opened.read(file.stat().st_size - pixels.nbytes))
    digest.update(pixels.reshape(-1).data)
    return digest.hexdigest()


def _claim(file: Path) -> None:
    """Allocate the disk space of a file: writing to a memory map on a full disk kills the process (SIGBUS).

    Raises:
        OSError: The disk is full.
    """
    if not hasattr(os, "posix_fallocate"):
        return
    with file.open("rb+") as opened:
        try:
            os.posix_fallocate(opened.fileno(), 0, file.stat().st_size)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
                raise
