"""What decoders write to standard error: kept off the terminal, and read for signs of damage.

libjpeg fills in what it cannot decode and says so on standard error only.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fer_bench.data.reading import jpeg

_STDERR = 2
_BY_DECODERS = re.compile(
    r"Corrupt JPEG data|Premature end of JPEG|Inconsistent progression sequence|Warning: unknown JFIF"
    r"|Unknown Adobe color|Invalid SOS parameters|Unsupported marker type|libpng (warning|error):"
    r"|\[ ?(WARN|ERROR|INFO):\d+@|\[\w+ @ 0x[0-9a-f]+\]|OpenCV\("
)
_DAMAGE = re.compile(
    r"(Corrupt JPEG data: .*|Premature end of JPEG file|Inconsistent progression sequence.*"
    r"|libpng error: .*|TIFF_Error .*)"
)
_EXTRA = re.compile(r"(\d+) extraneous bytes before marker 0x([0-9a-f]{2})")
_END = "d9"
_PADDING = frozenset((0x00, 0xFF))
_IN_PIXELS = (_END, "c4", "da", *(f"d{number}" for number in range(8)))
"""Markers that follow pixels: bytes left over before them belonged to pixels that were lost."""
_CONSUMED = 4
"""Bytes before padding at the end; if all of them are zero, zeros were decoded as pixels."""
ZEROED = "Corrupt JPEG data: zeros replace pixels"
"""What is reported of JPEG files of whose lost pixels decoders say nothing."""
_lock = threading.RLock()
_captures: list[list[str]] = []


def report(line: str) -> None:
    """Add a line to those of the decoders, where they are captured; may be called in any thread."""
    if _captures:
        _captures[-1].append(line)


def tells_of_damage(messages: Iterable[str]) -> bool:
    """Return whether a line may be about lost pixels."""
    return any(_DAMAGE.search(line) for line in messages)


@contextmanager
def captured_messages() -> Iterator[list[str]]:
    """Collect the lines that decoders write to standard error inside the block; they are complete at its end.

    Whatever else was written there appears on standard error at the end of the block.
    """
    lines: list[str] = []
    with _lock, tempfile.TemporaryFile() as kept, _reported_to(lines):
        try:
            terminal = os.dup(_STDERR)
        except OSError:  # there is no standard error
            yield lines
            return
        _flush()
        os.dup2(kept.fileno(), _STDERR)
        try:
            yield lines
        finally:
            _flush()
            os.dup2(terminal, _STDERR)
            os.close(terminal)
            if kept.tell():
                kept.seek(0)
                _sort(kept.read(), lines)


@contextmanager
def _reported_to(lines: list[str]) -> Iterator[None]:
    _captures.append(lines)
    try:
        yield
    finally:
        _captures.remove(lines)


def damage(messages: Iterable[str], file: Path) -> str | None:
    """Return what a decoder said about pixels that it lost in a file, None if it lost none.

    Args:
        messages: Lines written while this file was decoded.
        file: The file.
    """
    for line in messages:
        found = _DAMAGE.search(line)
        if found is None:
            continue
        extra = _EXTRA.search(line)
        if extra is None or (extra[2] in _IN_PIXELS and not _is_padding(file, int(extra[1]), extra[2])):
            return found[0].removeprefix("Corrupt JPEG data: ").removeprefix("TIFF_Error ")
    return None


def _is_padding(file: Path, extra: int, marker: str) -> bool:
    """Return whether bytes left over before the end of a JPEG only fill it up, as some cameras do."""
    if marker != _END:
        return False
    raw = file.read_bytes()
    end = raw.find(jpeg.END, jpeg.start_of_scan(raw))
    used = raw[end - extra - _CONSUMED : end - extra]
    return _PADDING.issuperset(raw[end - extra : end]) and any(used)


def _sort(written: bytes, lines: list[str]) -> None:
    """Append what decoders wrote to `lines`; write the rest to standard error."""
    others: list[bytes] = []
    is_decoders = False
    for raw in written.splitlines(keepends=True):
        text = raw.decode(errors="replace").strip()
        is_decoders = _BY_DECODERS.match(text) is not None or (is_decoders and not text)
        if is_decoders:
            lines.append(text)
        else:
            others.append(raw)
    if others:
        with suppress(OSError):
            os.write(_STDERR, b"".join(others))


def _flush() -> None:
    with suppress(OSError, ValueError, AttributeError):
        sys.stderr.flush()
