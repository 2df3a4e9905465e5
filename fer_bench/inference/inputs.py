"""What a user names to be predicted: pictures, folders, patterns, videos and cameras."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from fer_bench.data.reading.folders import is_clutter
from fer_bench.data.reading.formats import USUAL_ENDINGS, is_picture
from fer_bench.errors import DataError, UsageError
from fer_bench.files import expand_home

VIDEO_ENDINGS = (
    *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp", ".mts"),
    *(".m2ts", ".ogv"),
)
"""Endings, in any case, of files that count as videos."""
_PATTERN = set("*?[")


@dataclass(frozen=True)
class Item:
    """A file, or a camera, that is predicted.

    Attributes:
        name: What its rows are called: the path as the user named it or as it was found below a folder.
        path: Where it is; of a camera its number.
        kind: `picture`, `video` or `camera`.
    """

    name: str
    path: Path
    kind: Literal["picture", "video", "camera"]

    @property
    def stamp(self) -> tuple[int, int]:
        """Size in bytes and time of the last change in ns, by which a changed file is noticed; else zeros."""
        try:
            state = self.path.stat()
        except OSError:
            return 0, 0
        return state.st_size, state.st_mtime_ns


@dataclass
class Inputs:
    """All that a call predicts.

    Attributes:
        items: Files and cameras, each once, in the order named; those of a folder are sorted.
        others: How many files in folders are neither pictures nor videos, by ending.
    """

    items: list[Item] = field(default_factory=list)
    others: dict[str, int] = field(default_factory=dict)

    @property
    def cameras(self) -> list[Item]:
        """Those that are cameras."""
        return [item for item in self.items if item.kind == "camera"]

    @property
    def other_endings(self) -> str:
        """How many other files there are by ending, as text."""
        return ", ".join(f"{count} {ending}" for ending, count in sorted(self.others.items()))


def find_inputs(paths: Sequence[str | Path]) -> Inputs:
    """Return what paths mean: pictures, videos, all below a folder, all that fits a pattern, a camera number.

    A file that is named counts as a picture unless its ending is a video's, so that one that cannot be
    decoded gets a row that says so. In folders, files that are neither pictures nor videos are counted.

    Args:
        paths: As on the command line. A number is a camera unless a file has that name.

    Raises:
        UsageError: No path at all.
        DataError: Nothing is there, a pattern fits nothing, or nothing is a picture or a video.
    """
    if not paths:
        raise UsageError("name pictures, videos or folders", hint="fer-bench predict CHECKPOINT FOLDER")
    found = Inputs()
    found.items = _each_once(item for path in paths for item in _items(path, found.others))
    if not found.items:
        raise DataError(
            "there are no pictures or videos here",
            file=" ".join(map(str, paths)),
            value=f"only other files: {found.other_endings}" if found.others else "no file",
            hint=f"pictures: {', '.join(USUAL_ENDINGS)}, or what begins like one; "
            f"videos: {', '.join(VIDEO_ENDINGS)}",
        )
    return found


def _each_once(items: Iterable[Item]) -> list[Item]:
    """Return the first of those that are the same file, however its path is written.

    Links to files count as files of their own.
    """
    folders: dict[Path, Path] = {}
    found: dict[tuple[str, Path], Item] = {}
    for item in items:
        place = item.path
        if item.kind != "camera":
            if place.parent not in folders:
                folders[place.parent] = place.parent.resolve()
            place = folders[place.parent] / place.name
        found.setdefault((item.kind, place), item)
    return list(found.values())


def _items(named: str | Path, others: dict[str, int]) -> Iterator[Item]:
    text, path = str(named), expand_home(named)
    if path.is_dir():
        yield from _of_folder(path, others)
    elif path.exists():
        yield _item(path)
    elif text.isdecimal():
        yield Item(f"camera {int(text)}", Path(str(int(text))), "camera")
    elif _PATTERN & set(text):
        fitting = sorted(glob.glob(str(path), recursive=True))
        if not fitting:
            raise DataError("no file matches this pattern", file=text)
        for each in map(Path, fitting):
            if each.is_dir():
                yield from _of_folder(each, others)
            elif _is_usable(each):
                yield _item(each)
            else:
                _count(each, others)
    else:
        raise DataError("there is no such file or folder", file=text)


def _of_folder(folder: Path, others: dict[str, int]) -> Iterator[Item]:
    """Yield what is below a folder; links to folders are not followed, since they may form circles."""

    def refuse(error: OSError) -> None:
        raise DataError(f"the folder cannot be read: {error.strerror}", file=error.filename)

    for place, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not is_clutter(name))
        for name in sorted(names):
            file = Path(place, name)
            if is_clutter(name):
                continue
            if _is_usable(file):
                yield _item(file)
            else:
                _count(file, others)


def _item(path: Path) -> Item:
    is_video = path.suffix.casefold() in VIDEO_ENDINGS
    name = os.fsencode(path).decode("utf-8", "backslashreplace")
    return Item(name, path, "video" if is_video else "picture")


def _is_usable(file: Path) -> bool:
    return file.suffix.casefold() in VIDEO_ENDINGS or is_picture(file)


def _count(file: Path, others: dict[str, int]) -> None:
    ending = file.suffix.casefold() or "without ending"
    others[ending] = others.get(ending, 0) + 1


def unique_stems(items: Iterable[Item]) -> dict[str, str]:
    """Return a name for a file made of each item: its stem, numbered where several are alike."""
    found: dict[str, str] = {}
    used: dict[str, int] = {}
    for item in items:
        stem = item.path.stem if item.kind != "camera" else item.name.replace(" ", "-")
        used[stem] = used.get(stem, 0) + 1
        found[item.name] = stem if used[stem] == 1 else f"{stem}-{used[stem]}"
    return found
