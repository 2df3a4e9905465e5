"""Reading text lists and annotations line by line, tolerating what differs between copies of a dataset."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path

from fer_bench.data.reading.dependencies import note_read
from fer_bench.data.reading.problems import raise_or_collect
from fer_bench.errors import DataError


def numbered_lines(file: Path, *, may_be_empty: bool = False) -> Iterator[tuple[int, str]]:
    """Yield the lines of a UTF-8 text file with their 1-based numbers, without line ends.

    Carriage returns, a byte-order mark, a missing final newline and blank lines at the end are tolerated.
    A blank line between others is yielded, so that the caller can reject it.

    Args:
        file: The file, which is read as a stream.
        may_be_empty: Whether the format allows a file without lines.

    Raises:
        DataError: The file cannot be read, is empty, or is not UTF-8 text.
    """
    note_read(file)
    blank: list[tuple[int, str]] = []
    seen = False
    try:
        with file.open("rb") as stream:
            for number, raw in enumerate(stream, start=1):
                try:
                    line = _decode(raw, file, number)
                except DataError as error:
                    raise_or_collect(error)
                    continue
                if not line.strip():
                    blank.append((number, line))
                    continue
                seen = True
                yield from blank
                blank.clear()
                yield number, line
    except OSError as error:
        raise DataError(f"the file cannot be read: {error.strerror}", file=file) from None
    if not seen and not may_be_empty:
        raise DataError("the file is empty", file=file)


def _decode(raw: bytes, file: Path, number: int) -> str:
    if number == 1:
        raw = raw.removeprefix(codecs.BOM_UTF8)
    try:
        line = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        found = raw[error.start : error.start + 4]
        raise DataError("the file is not UTF-8 text", file=file, line=number, value=found) from None
    if "\0" in line:  # what UTF-16 without a mark, or a binary file, looks like
        raise DataError("the file is not UTF-8 text", file=file, line=number, value=raw[:8])
    return line.rstrip("\r\n")
