"""Lists of rows, such as the public ones of turned or occluded faces, whatever names they use."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fer_bench.data.reading.textfile import numbered_lines
from fer_bench.errors import DataError

_COLUMN = re.compile(r"[,;\t]|\s")
_CLASS = re.compile(r"^\d+_")
_SHORT = 5
"""Shorter names, and names of digits alone, identify a picture only with their folder."""


@dataclass(frozen=True)
class RowList:
    """The rows that a file lists.

    Attributes:
        rows: Their sample ids, sorted.
        repeated: Lines that name a row again.
    """

    rows: tuple[str, ...]
    repeated: int


def read_row_list(file: Path, dataset: str, sample_ids: Sequence[str], paths: Sequence[str]) -> RowList:
    """Read a list with one row per line: a sample id, or a file by its path, its name or its stem.

    What follows the name in a line (labels, yaw, kind of occlusion) is ignored, and so are lines that begin
    with `#`. Folders before the name may be others than in the dataset (`3/test_0025_aligned.jpg`), a class
    may be before the name (`3_fer0034234.png`), and the picture may be a folder in the list
    (`val/0/<hash>/8.jpg` for `<hash>.jpg`), as in the lists of Wang et al. (2020) for RAF-DB, FERPlus and
    AffectNet.

    Args:
        file: The list.
        dataset: Dataset name, for messages.
        sample_ids: Sample ids of its rows [N].
        paths: Their paths [N]; an empty one where it is not known.

    Raises:
        DataError: The file cannot be read or names nothing; a line names no row or several.
    """
    if not file.is_file():
        raise DataError("the list of rows does not exist", file=file)
    names = _Names(sample_ids, paths)
    found: dict[str, int] = {}
    unknown: list[tuple[int, str]] = []
    lines = 0
    for number, line in numbered_lines(file):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        lines += 1
        rows = names.find(text)
        if len(rows) > 1:
            shown = ", ".join(sample_ids[row] for row in rows[:3])
            raise DataError(
                f"this name is that of {len(rows)} rows of {dataset}",
                file=file,
                line=number,
                value=text,
                hint=f"write the sample id instead: {shown}",
            )
        if not rows:
            unknown.append((number, text))
        else:
            found[sample_ids[rows[0]]] = number
    if unknown:
        number, text = unknown[0]
        raise DataError(
            f"{len(unknown)} of {lines} lines name no row of {dataset}",
            file=file,
            line=number,
            value=text,
            hint=f"a line is a sample id, such as {sample_ids[0]}, or the name of a picture; rows that were "
            "left out cannot be listed",
        )
    if not found:
        raise DataError("the list of rows is empty", file=file)
    return RowList(tuple(sorted(found)), lines - len(found))


class _Names:
    """Rows by all their names."""

    def __init__(self, sample_ids: Sequence[str], paths: Sequence[str]) -> None:
        self.exact = {name: row for row, name in enumerate(sample_ids)}
        self.places: list[list[tuple[str, ...]]] = []
        self.by_stem: dict[str, list[int]] = {}
        for row, texts in enumerate(zip(sample_ids, paths, strict=True)):
            own = [parts for text in dict.fromkeys(texts) if (parts := _parts(text))]
            self.places.append(own)
            for stem in {parts[-1] for parts in own}:
                self.by_stem.setdefault(stem, []).append(row)

    def find(self, line: str) -> list[int]:
        """Return the rows that a line names: one, none, or several of which it cannot tell the one meant."""
        for text in dict.fromkeys(_readings(line)):
            if text in self.exact:
                return [self.exact[text]]
            if rows := self._of_path(_parts(text)):
                return rows
        return []

    def _of_path(self, parts: tuple[str, ...]) -> list[int]:
        for end in range(len(parts), 0, -1):  # where the picture is a folder, its name is higher up
            whole = end == len(parts)
            for name in dict.fromkeys((parts[end - 1], _CLASS.sub("", parts[end - 1]))):
                rows = self.by_stem.get(name, [])
                folders = parts[: end - 1]
                if rows and folders and (nearest := self._nearest(rows, folders)):
                    return nearest
                if rows and (_is_distinct(name) or (whole and not folders)):
                    return rows
        return []

    def _nearest(self, rows: Iterable[int], folders: tuple[str, ...]) -> list[int]:
        """Return the rows that share most folders with a path, none if they share none."""
        shared = {row: max(_common(parts[:-1], folders) for parts in self.places[row]) for row in rows}
        most = max(shared.values())
        return [row for row, count in shared.items() if count == most] if most else []


def _readings(line: str) -> Iterator[str]:
    """Yield what may be the name in a line: all of it, or what comes before its columns."""
    yield line
    for sign in (",", ";", "\t"):
        yield line.partition(sign)[0].strip()
    yield _COLUMN.split(line, maxsplit=1)[0]


def _parts(text: str) -> tuple[str, ...]:
    """Return the folders and the stem of a path."""
    path = PurePosixPath(text.replace("\\", "/").strip("/"))
    return (*path.parts[:-1], path.stem) if path.parts else ()


def _is_distinct(name: str) -> bool:
    return len(name) >= _SHORT and not name.isdecimal()


def _common(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    """Return how many of the last folders are the same."""
    count = 0
    for a, b in zip(reversed(one), reversed(other), strict=False):
        if a != b:
            break
        count += 1
    return count
