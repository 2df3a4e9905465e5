"""Decoding picture files to RGB arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fer_bench.errors import DataError

Image = NDArray[np.uint8]
"""RGB uint8 [H, W, 3]."""


def read_picture(file: Path) -> Image:
    """Decode a picture file to RGB uint8 [H, W, 3], refusing a truncated one.

    Args:
        file: A JPEG, PNG, TIFF or BMP file; a grey picture gets three equal channels.

    Raises:
        DataError: The file is missing, empty, truncated or not a picture.
    """
    import cv2

    try:
        raw = file.read_bytes()
    except OSError as error:
        raise DataError(f"the picture cannot be read: {error.strerror}", file=file) from None
    if raw[:2] == b"\xff\xd8" and raw.rfind(b"\xff\xd9") < _start_of_scan(raw):
        raise DataError("the JPEG is truncated (no end marker)", file=file, value=f"{len(raw)} bytes")
    try:
        decoded = cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_COLOR) if raw else None
    except cv2.error:  # more pixels than OpenCV accepts
        decoded = None
    if decoded is None:
        raise DataError("the picture cannot be decoded", file=file, value=f"{len(raw)} bytes")
    return np.ascontiguousarray(decoded[:, :, ::-1])


def _start_of_scan(raw: bytes) -> int:
    """Return the position where the pixels of a JPEG start, its length if they never do.

    A preview in the header has its own end marker, and cameras append data after the last one. So the picture
    is whole if there is an end marker anywhere after this position.
    """
    place = 2
    while place + 4 <= len(raw) and raw[place] == 0xFF and raw[place + 1] != 0xDA:
        is_fill_byte = raw[place + 1] == 0xFF
        place += 1 if is_fill_byte else 2 + int.from_bytes(raw[place + 2 : place + 4], "big")
    found = raw.find(b"\xff\xda", place)  # decoders skip stray bytes between segments, and so do we
    return len(raw) if found < 0 else found
