"""Parse the lines of lists, and the values that several datasets write alike.

A function that parses a line or a value raises a `DataError` without file and line; `parse_line` adds both.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from fer_bench.data.reading.problems import raise_or_collect
from fer_bench.data.reading.textfile import numbered_lines
from fer_bench.errors import DataError

Parsed = TypeVar("Parsed")
Line = tuple[int, str]


def parse_line(parse: Callable[[str], Parsed], text: str, *, file: Path, line: int) -> Parsed:
    """Return a parsed line.

    Args:
        parse: Parses the text, or raises a `DataError`.
        text: The line.
        file: The list.
        line: 1-based number of the line.

    Raises:
        DataError: That of `parse`, with file and line.
    """
    try:
        return parse(text)
    except DataError as error:
        if error.file is not None:
            raise
        raise DataError(error.message, file=file, line=line, value=error.value, hint=error.hint) from None


def parsed_lines(
    lines: Iterable[Line],
    parse: Callable[[str], Parsed | None],
    *,
    file: Path,
    unique: Callable[[Parsed], str] | None = None,
) -> Iterator[tuple[int, Parsed]]:
    """Yield the parsed lines of a list with their numbers.

    Where a check collects the problems, a malformed or repeated line is left out.

    Args:
        lines: Numbers and texts, from `numbered_lines` or `split_header`.
        parse: Parses one line or raises a `DataError`; None leaves it out.
        file: The list, for messages.
        unique: Returns what no two lines may share.

    Raises:
        DataError: A malformed or repeated line.
    """
    first_line: dict[str, int] = {}
    for line, text in lines:
        try:
            parsed = parse_line(parse, text, file=file, line=line)
            if parsed is None:
                continue
            if unique is not None:
                first = first_line.setdefault(key := unique(parsed), line)
                if first != line:
                    problem = f"it is on line {first} already"
                    raise DataError(problem, file=file, line=line, value=key)
        except DataError as error:
            raise_or_collect(error)
            continue
        yield line, parsed


def split_header(file: Path, is_header: Callable[[str], bool]) -> tuple[str | None, Iterator[Line]]:
    """Return the header of a list, None where it has none, and its other lines.

    Args:
        file: The list.
        is_header: Returns whether the first line is one.

    Raises:
        DataError: The file cannot be read, is empty, or is not UTF-8 text.
    """
    lines = numbered_lines(file)
    first = next(lines)
    return (first[1], lines) if is_header(first[1]) else (None, chain([first], lines))


def csv_fields(line: str) -> list[str]:
    """Return the fields of a csv line without surrounding blanks."""
    fields = next(csv.reader([line])) if '"' in line else line.split(",")  # a reader per line is slow
    return [field.strip() for field in fields]


def finite(text: str) -> float | None:
    """Return a finite number, None where the text is anything else."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def parse_affect(text: str, *, missing: float) -> float:
    """Return valence or arousal in [-1, 1], NaN where the annotators gave none.

    Args:
        text: As the list has it.
        missing: What the list has where none was given.

    Raises:
        DataError: Anything else.
    """
    try:
        value = float(text)
    except ValueError:
        raise DataError("valence or arousal is not a number", value=text) from None
    if value == missing:
        return math.nan
    if not -1 <= value <= 1:
        raise DataError(f"valence and arousal are in [-1, 1], or {missing:g} where missing", value=text)
    return value


def parse_points(words: Iterable[str | float], count: int) -> NDArray[np.float32]:
    """Return landmarks [count, 2] from their coordinates x, y, x, y, ...

    Raises:
        DataError: A word that is not a number, or another number of finite coordinates.
    """
    words = list(words)
    try:
        points = np.array([float(word) for word in words], np.float32)
    except ValueError:
        raise DataError("a landmark is not a number", value=words[:4]) from None
    if points.size != 2 * count or not np.isfinite(points).all():
        raise DataError(f"there are not {2 * count} finite landmark coordinates", value=points.size)
    return points.reshape(count, 2)
