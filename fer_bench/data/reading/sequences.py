"""What readers of recorded sequences share: folder listings and the choice of frames."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fer_bench.data.reading.dependencies import note_read
from fer_bench.data.reading.folders import is_clutter, list_folder
from fer_bench.data.reading.links import leaving_error
from fer_bench.data.reading.missing import refuse_dangling


def matching(folder: Path, base: Path, pattern: str, *, folders: bool = False) -> list[re.Match[str]]:
    """Return the names in a folder that a pattern describes completely, sorted; stray files fall through.

    Args:
        folder: The folder to list; one that does not exist is empty.
        base: The dataset's base folder, which neither `folder` nor any match may leave through a link.
        pattern: Regular expression for the whole name.
        folders: Whether folders are wanted instead of files.

    Returns:
        Matches in the order of their names; `match.string` is the name.

    Raises:
        DataError: The folder cannot be listed, or a link leads out of the base folder.
    """
    if not folder.is_dir():
        note_read(folder)
        return []
    listing = list_folder(folder, base)
    expression = re.compile(pattern)
    for name in sorted(listing.leaving):
        if expression.fullmatch(name):
            raise leaving_error(
                folder / name, base, file=folder / name, value=os.path.realpath(folder / name)
            )
    refuse_dangling(folder, [name for name in listing.dangling if expression.fullmatch(name)])
    names = listing.folders if folders else listing.files
    return [match for name in sorted(names) if (match := expression.fullmatch(name)) is not None]


def subfolders(folder: Path) -> list[Path]:
    """Return the visible folders in a folder by name; one that cannot be listed has none.

    This is for finding a dataset, which asks about folders that may be anything. Reading uses `matching`.
    """
    note_read(folder)
    try:
        with os.scandir(folder) as entries:
            return sorted(Path(e.path) for e in entries if not is_clutter(e.name) and e.is_dir())
    except OSError:
        return []


def some_files(folder: Path, most: int = 50) -> list[str]:
    """Return names of visible files in a folder, for finding a dataset; none if it cannot be listed.

    Args:
        folder: The folder.
        most: How many entries are looked at: all need not be listed to recognise a dataset.
    """
    note_read(folder)
    try:
        with os.scandir(folder) as entries:
            return [e.name for e, _ in zip(entries, range(most), strict=False) if not is_clutter(e.name)]
    except OSError:
        return []


def neutral_and_peak(numbers: Sequence[int]) -> tuple[int | None, list[int]]:
    """Return the neutral and the expression frames of a sequence that runs from neutral to its peak.

    That is the first frame, and the last three; a short sequence gives fewer, never one frame twice, and a
    single frame is taken to be the peak.

    Args:
        numbers: Frame numbers in ascending order, at least one.

    Returns:
        The first frame's number, None when there is one frame only; and the last frames' numbers, ascending.
    """
    if len(numbers) == 1:
        return None, [numbers[0]]
    return numbers[0], list(numbers[1:][-3:])


def nearest_frames(frames: Sequence[int], references: Sequence[int]) -> list[int]:
    """Return the reference frame that is nearest to each frame of a video, the earlier one on ties.

    Args:
        frames: Frame numbers in any order.
        references: Frame numbers in ascending order, at least one.
    """
    known = np.asarray(references, np.int64)
    wanted = np.asarray(frames, np.int64)
    if len(known) == 1:
        return [int(known[0])] * len(wanted)
    after = np.searchsorted(known, wanted).clip(1, len(known) - 1)
    earlier, later = known[after - 1], known[after]
    nearest: list[int] = np.where(wanted - earlier <= later - wanted, earlier, later).tolist()
    return nearest
