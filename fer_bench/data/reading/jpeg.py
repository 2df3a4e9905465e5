"""The structure of JPEG files, as far as it tells whether pixels are lost."""

from __future__ import annotations

from collections.abc import Iterator

SIGNATURE = b"\xff\xd8"
END = b"\xff\xd9"
_SCAN, _TABLES, _SEQUENTIAL = 0xDA, 0xC4, (0xC0, 0xC1)
_ZEROS = bytes(32)


def start_of_scan(raw: bytes) -> int:
    """Return the position where the pixels of a JPEG start, its length if they never do.

    A preview in the header has its own end marker, and cameras append data after the last one. So the picture
    is whole if there is an end marker anywhere after this position.
    """
    place = 2
    while place + 4 <= len(raw) and raw[place] == 0xFF and raw[place + 1] != _SCAN:
        is_fill_byte = raw[place + 1] == 0xFF
        place += 1 if is_fill_byte else 2 + int.from_bytes(raw[place + 2 : place + 4], "big")
    found = raw.find(b"\xff\xda", place)  # decoders skip stray bytes between segments, and so do we
    return len(raw) if found < 0 else found


def has_zeroed_pixels(raw: bytes) -> bool:
    """Return whether zeros replace pixels of a JPEG, which decoders may not notice.

    A run of zero bits is legitimate only where the zero codes of the first component's Huffman tables mean
    "no change" and "end of block": flat areas then are zeros. Progressive files and files of several scans
    are not judged.
    """
    if raw[:2] != SIGNATURE or _ZEROS not in raw:
        return False
    start = start_of_scan(raw)
    end = raw.find(END, start)
    if raw.find(_ZEROS, start, end) < 0 or raw.find(b"\xff\xda", start + 2, end) >= 0:
        return False
    first_symbols: dict[int, int] = {}
    is_sequential = False
    for kind, body in _segments(raw, start):
        is_sequential |= kind in _SEQUENTIAL
        while kind == _TABLES and len(body) > 17:
            first_symbols[body[0]] = body[17]
            body = body[17 + sum(body[1:17]) :]
    if not is_sequential or start + 7 > len(raw):
        return False
    selector = raw[start + 6]
    flat = first_symbols.get(selector >> 4), first_symbols.get(0x10 | selector & 15)
    return flat != (0, 0)


def _segments(raw: bytes, end: int) -> Iterator[tuple[int, bytes]]:
    """Yield marker and content of the segments before a position."""
    place = 2
    while place + 4 <= end and raw[place] == 0xFF:
        length = int.from_bytes(raw[place + 2 : place + 4], "big")
        if raw[place + 1] != 0xFF:
            yield raw[place + 1], raw[place + 4 : place + 2 + length]
            place += 1 + length
        place += 1
