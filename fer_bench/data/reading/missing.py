"""Listed pictures that are not on disk.

One rule holds for all readers of lists. A whole unit that is absent (a still, or a video without any frame)
is an error unless the user leaves it out by name. Single frames of a video, which exist only where a face was
detected, are counted and named in a note.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

from fer_bench.data.reading.links import FETCH
from fer_bench.data.reading.problems import raise_or_collect
from fer_bench.errors import DataError


@dataclass
class _Excused:
    """Names that the user leaves out.

    Attributes:
        base: The dataset's base folder.
        names: Paths relative to it; other names are ignored.
        met: The paths among them that are absent.
    """

    base: Path
    names: frozenset[str]
    met: set[str] = field(default_factory=set)


_current: ContextVar[_Excused | None] = ContextVar("excused", default=None)


@contextmanager
def excusing(names: Iterable[str], base: Path) -> Iterator[set[str]]:
    """Let readers leave out absent pictures by name inside the block.

    Args:
        names: Paths relative to the base folder.
        base: The dataset's base folder.

    Yields:
        The names whose pictures were found to be absent, complete after the index is read.
    """
    found = _Excused(base, frozenset(names))
    token = _current.set(found)
    try:
        yield found.met
    finally:
        _current.reset(token)


def any_excused() -> bool:
    """Return whether the index that is being read lacks pictures that the user leaves out."""
    found = _current.get()
    return found is not None and bool(found.met)


def is_excused(path: Path) -> bool:
    """Return whether the user leaves out this absent file or folder."""
    found = _current.get()
    if found is None or not path.is_relative_to(found.base):
        return False
    name = path.relative_to(found.base).as_posix()
    if name not in found.names:
        return False
    found.met.add(name)
    return True


def refuse_missing(missing: Sequence[tuple[int, str]], *, file: Path, folder: Path, dataset: str) -> None:
    """Refuse a list with missing pictures; a check of the data counts them and continues.

    Args:
        missing: Line and name of every listed picture that is absent.
        file: The list.
        folder: Where the pictures should be.
        dataset: Name of the dataset, for the hint.

    Raises:
        DataError: At least one is missing that the user does not leave out, and no check collects the
            problems; the first is named and all are counted.
    """
    missing = [(line, name) for line, name in missing if not is_excused(folder / name)]
    if not missing:
        return
    line, name = missing[0]
    count = "1 listed picture is" if len(missing) == 1 else f"{len(missing)} listed pictures are"
    links = [folder / name for _, name in missing if (folder / name).is_symlink()]
    nowhere = f"; {len(links)} of them are links to nothing, first {_arrow(links[0])}" if links else ""
    advice = FETCH if links else "unpack the pictures again"
    advice += f"; for the expected tree: fer-bench data describe {dataset}"
    raise_or_collect(
        DataError(
            f"{count} missing from {folder}, first {name!r}{nowhere}",
            file=file,
            line=line,
            hint=f"{advice}\n  {leave_out(dataset)}",
        ),
        rows=len(missing),
        missing=frozenset(folder / absent for _, absent in missing),
    )


def refuse_absent_videos(
    absent: Mapping[str, int],
    *,
    videos: int,
    frames: int,
    file: Path,
    folder: Path,
    dataset: str,
    archive: str,
) -> None:
    """Refuse lists with videos that have no picture at all; a check of the data continues.

    Args:
        absent: Labelled frames of each such video.
        videos: Listed videos.
        frames: Their labelled frames.
        file: The list, or the folder of lists.
        folder: Where the folders of the videos should be.
        dataset: Name of the dataset, for the hint.
        archive: The archive that is easily forgotten.

    Raises:
        DataError: There is such a video that the user does not leave out, and no check collects the problems.
    """
    absent = {video: count for video, count in absent.items() if not is_excused(folder / video)}
    if not absent:
        return
    lost, first = sum(absent.values()), ", ".join(sorted(absent)[:5])
    more = f" and {len(absent) - 5} more" if len(absent) > 5 else ""
    raise_or_collect(
        DataError(
            f"{len(absent)} of {videos} listed videos have no picture, so {lost} of {frames} labelled frames "
            f"({lost / max(1, frames):.0%}) are lost: {first}{more}",
            file=file,
            hint=f"the crops are distributed in two archives: unpack {archive} too, next to {folder.name}; "
            f"fer-bench data describe {dataset}\n  {leave_out(dataset)}",
        ),
        rows=lost,
        missing=frozenset(folder / video for video in absent),
    )


def refuse_dangling(folder: Path, names: Sequence[str]) -> None:
    """Refuse links in a folder that lead to nothing, in place of pictures.

    Raises:
        DataError: There is one, and no check collects the problems.
    """
    names = sorted(name for name in names if not is_excused(folder / name))
    if names:
        count = "1 link leads" if len(names) == 1 else f"{len(names)} links lead"
        raise_or_collect(
            DataError(f"{count} to nothing, first {_arrow(folder / names[0])}", file=folder, hint=FETCH),
            rows=len(names),
            missing=frozenset(folder / name for name in names),
        )


def leave_out(dataset: str) -> str:
    """Return the advice on how to leave out pictures by name."""
    return (
        f"or leave them out by name: fer-bench data verify --dataset {dataset} --write-exclude FILE, then "
        "--exclude FILE when running"
    )


def _arrow(link: Path) -> str:
    return f"{link.name} -> {os.path.realpath(link)}"
