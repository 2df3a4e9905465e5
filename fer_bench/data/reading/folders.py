"""Folder listings, read once per folder instead of once per file."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from fer_bench.data.reading.dependencies import note_read
from fer_bench.data.reading.formats import USUAL_ENDINGS
from fer_bench.data.reading.links import leaving_error, may_leave
from fer_bench.data.reading.missing import refuse_dangling
from fer_bench.errors import DataError

_LEAVES = "the path leaves the dataset root"
_CLUTTER = frozenset(
    {
        "__macosx",
        "@eadir",
        "#recycle",
        "$recycle.bin",
        "lost+found",
        "system volume information",
        "thumbs.db",
        "ehthumbs.db",
        "desktop.ini",
    }
)
"""Names, case-folded, that systems and archivers leave behind in folders."""
_DRIVE = re.compile(r"[A-Za-z]:")


@dataclass(frozen=True)
class Listing:
    """The names in one folder.

    Attributes:
        folder: The folder.
        files: Names of the files in it, clutter left out (see `is_clutter`).
        folders: Names of the folders in it, clutter left out.
        leaving: Names of symlinks that lead out of the dataset's base folder.
        dangling: Names of symlinks inside the base folder that lead nowhere.
        base: The dataset's base folder.
    """

    folder: Path
    files: frozenset[str]
    folders: frozenset[str]
    leaving: frozenset[str]
    dangling: frozenset[str]
    base: Path

    def has(self, name: str, *, file: Path | None = None, line: int | None = None) -> bool:
        """Return whether a file is in the folder.

        Args:
            name: File name, as a list says or implies it.
            file: The list, for the message; None where `parse_line` adds it.
            line: 1-based line of the list.

        Raises:
            DataError: The name is a symlink that leaves the dataset's base folder.
        """
        self._refuse_leaving(name, file, line)
        return name in self.files

    def has_folder(self, name: str, *, file: Path | None = None, line: int | None = None) -> bool:
        """Return whether a folder is in the folder; see `has`."""
        self._refuse_leaving(name, file, line)
        return name in self.folders

    def picture(self, name: str, *, file: Path | None = None, line: int | None = None) -> str | None:
        """Return the name of a listed picture in the folder, None where it is absent; see `has`.

        Its ending may differ from the list's in case and, in converted copies, altogether.
        """
        if self.has(name, file=file, line=line):
            return name
        found = self.pictures.get(name.rpartition(".")[0])
        return found if found is not None and self.has(found, file=file, line=line) else None

    @cached_property
    def pictures(self) -> dict[str, str]:
        """The name of each picture by its stem; of several, the one with the most usual ending.

        Symlinks that leave the base folder are among them; `has` refuses these.
        """
        found: dict[str, str] = {}
        rank = {ending: place for place, ending in enumerate(USUAL_ENDINGS)}
        names = [n for n in sorted(self.files | self.leaving) if Path(n).suffix.casefold() in rank]
        for name in sorted(names, key=lambda n: rank[Path(n).suffix.casefold()]):
            found.setdefault(name.rpartition(".")[0], name)
        return found

    def refuse_links(self) -> None:
        """Refuse a folder in which any name is a symlink that leaves the dataset's base folder.

        Raises:
            DataError: There is such a symlink.
        """
        if self.leaving:
            first = min(self.leaving)
            raise leaving_error(self.folder / first, self.base, file=self.folder, value=first)

    def _refuse_leaving(self, name: str, file: Path | None, line: int | None) -> None:
        if name in self.leaving:
            raise leaving_error(self.folder / name, self.base, file=file, line=line, value=name)


def is_clutter(name: str) -> bool:
    """Return whether a file or folder is hidden or left behind by a system, and no part of a dataset."""
    return name.startswith(".") or name.casefold() in _CLUTTER


def list_folder(folder: Path, base: Path) -> Listing:
    """List a folder below the dataset's base folder with one directory scan.

    Args:
        folder: The folder to list.
        base: The dataset's base folder, which no link may leave.

    Raises:
        DataError: The folder cannot be read, is outside the base, or has a file name that is not valid UTF-8.
    """
    note_read(folder)
    root, follow = base.resolve(), may_leave()
    if not follow and not folder.resolve().is_relative_to(root):
        raise leaving_error(folder, base, file=folder, value=str(folder.resolve()))
    files, folders, leaving, dangling = [], [], [], []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                name = entry.name
                if is_clutter(name):
                    continue
                if not name.isascii() and _undecodable(name):
                    raise DataError("a file name is not valid UTF-8", file=folder, value=name)
                if entry.is_file(follow_symlinks=False):
                    files.append(name)
                elif (
                    not follow and entry.is_symlink() and not Path(entry.path).resolve().is_relative_to(root)
                ):
                    leaving.append(name)
                elif entry.is_dir():
                    folders.append(name)
                elif entry.is_file():
                    files.append(name)
                elif entry.is_symlink():
                    dangling.append(name)
    except OSError as error:
        raise DataError(f"the folder cannot be read: {error.strerror}", file=folder) from None
    return Listing(
        folder, frozenset(files), frozenset(folders), frozenset(leaving), frozenset(dangling), base
    )


def listed_path(name: str) -> str:
    """Return a listed name as a path relative to its folder; backslashes separate folders as well.

    Raises:
        DataError: The name is absolute or contains `..`.
    """
    path = name.replace("\\", "/").removeprefix("./")
    if path.startswith("/") or _DRIVE.match(path) or (".." in path and ".." in path.split("/")):
        raise DataError(_LEAVES, value=name)
    return path


def _undecodable(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return True
    return False


def _ending(name: str) -> str:
    """Return the ending of a listed name in lower case with the dot, sooner than `Path.suffix` does."""
    return os.path.splitext(name)[1].casefold()


def pictures_of_class(listing: Listing, endings: Collection[str], *, hint: str | None = None) -> list[str]:
    """Return the sorted names of the pictures in a class folder.

    Args:
        listing: The folder.
        endings: Endings of pictures, in lower case with the dot.
        hint: What to do about an empty folder.

    Raises:
        DataError: There is no picture, or a file links out of the dataset root.
    """
    listing.refuse_links()
    refuse_dangling(listing.folder, [n for n in listing.dangling if _ending(n) in endings])
    names = sorted(name for name in listing.files if _ending(name) in endings)
    if not names:
        raise DataError("empty class: no picture in this folder", file=listing.folder, hint=hint)
    return names
