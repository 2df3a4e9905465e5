"""Folder listings, read once per folder instead of once per file."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from fer_bench.data.reading.dependencies import note_read
from fer_bench.data.reading.problems import raise_or_collect
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


@dataclass(frozen=True)
class Listing:
    """The names in one folder.

    Attributes:
        folder: The folder.
        files: Names of the files in it, clutter left out (see `is_clutter`).
        folders: Names of the folders in it, clutter left out.
        leaving: Names of symlinks that lead out of the dataset's base folder.
        dangling: Names of symlinks inside the base folder that lead nowhere.
    """

    folder: Path
    files: frozenset[str]
    folders: frozenset[str]
    leaving: frozenset[str]
    dangling: frozenset[str] = frozenset()

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

    def refuse_links(self) -> None:
        """Refuse a folder in which any name is a symlink that leaves the dataset's base folder.

        Raises:
            DataError: There is such a symlink.
        """
        if self.leaving:
            raise DataError(_LEAVES, file=self.folder, value=min(self.leaving))

    def _refuse_leaving(self, name: str, file: Path | None, line: int | None) -> None:
        if name in self.leaving:
            raise DataError(_LEAVES, file=file, line=line, value=name)


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
    root = base.resolve()
    if not folder.resolve().is_relative_to(root):
        raise DataError(_LEAVES, file=folder, value=str(folder.resolve()))
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
                elif entry.is_symlink() and not Path(entry.path).resolve().is_relative_to(root):
                    leaving.append(name)
                elif entry.is_dir():
                    folders.append(name)
                elif entry.is_file():
                    files.append(name)
                elif entry.is_symlink():
                    dangling.append(name)
    except OSError as error:
        raise DataError(f"the folder cannot be read: {error.strerror}", file=folder) from None
    return Listing(folder, frozenset(files), frozenset(folders), frozenset(leaving), frozenset(dangling))


def refuse_leaving(name: str) -> None:
    """Refuse a listed name that is absolute or leaves its folder.

    Raises:
        DataError: The name is absolute, contains `..` or a backslash.
    """
    if name.startswith("/") or "\\" in name or (".." in name and ".." in name.split("/")):
        raise DataError(_LEAVES, value=name)


def refuse_missing(missing: Sequence[tuple[int, str]], *, file: Path, folder: Path, dataset: str) -> None:
    """Refuse a list with missing pictures; a check of the data counts them and continues.

    Args:
        missing: Line and name of every listed picture that is absent.
        file: The list.
        folder: Where the pictures should be.
        dataset: Name of the dataset, for the hint.

    Raises:
        DataError: At least one is missing, and no check collects the problems; the first is named and all
            are counted.
    """
    if not missing:
        return
    line, name = missing[0]
    count = "1 listed picture is" if len(missing) == 1 else f"{len(missing)} listed pictures are"
    raise_or_collect(
        DataError(
            f"{count} missing from {folder}, first {name!r}",
            file=file,
            line=line,
            hint=f"unpack the pictures again; for the expected tree: fer-bench data describe {dataset}",
        ),
        rows=len(missing),
        missing=frozenset(folder / absent for _, absent in missing),
    )


def _undecodable(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return True
    return False


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
    names = sorted(name for name in listing.files if Path(name).suffix.casefold() in endings)
    if not names:
        raise DataError("empty class: no picture in this folder", file=listing.folder, hint=hint)
    return names
