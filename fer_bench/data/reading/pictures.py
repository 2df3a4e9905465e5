"""Decoding picture files to RGB arrays."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_bench.data.reading import jpeg
from fer_bench.data.reading.decoder_messages import ZEROED, report
from fer_bench.errors import DataError

Image = NDArray[np.uint8]
"""RGB uint8 [H, W, 3]."""
BACKGROUND = 128
"""Grey that shows through the transparent parts of a picture."""
BIT_DEPTHS = (8, 10, 12, 14)
"""Depths that cameras store in 16 bits; a picture that uses more of the range uses all of it."""
_BMP, _PNG = b"BM", b"\x89PNG\r\n\x1a\n"


def read_picture(file: Path | str) -> Image:
    """Decode a picture file to RGB uint8 [H, W, 3], refusing a truncated one.

    A grey picture gets three equal channels. Transparent parts show the grey `BACKGROUND`. Of a picture with
    16 bits the range in use decides: the fewest of 8, 10, 12, 14 or 16 bits that hold its brightest value
    become 8.

    Args:
        file: A file that OpenCV decodes: JPEG, PNG, TIFF, BMP, WebP and others.

    Raises:
        DataError: The file is missing, empty, truncated, not a picture, or its pixels are not integers of 8
            or 16 bits.
    """
    import cv2

    try:
        raw = _content(file)
    except OSError as error:
        raise DataError(f"the picture cannot be read: {error.strerror}", file=file) from None
    if raw[:2] == jpeg.SIGNATURE and raw.rfind(jpeg.END) < jpeg.start_of_scan(raw):
        raise DataError("the JPEG is truncated (no end marker)", file=file, value=f"{len(raw)} bytes")
    try:
        decoded = _decode(raw, file) if raw else None
    except cv2.error:  # more pixels than OpenCV accepts
        decoded = None
    if decoded is None:
        raise DataError("the picture cannot be decoded", file=file, value=f"{len(raw)} bytes")
    if jpeg.has_zeroed_pixels(raw):
        report(ZEROED)
    return decoded  # type: ignore[no-any-return]


def _content(file: Path | str) -> bytes:
    """Return the content of a file with fewer system calls than `read_bytes`."""
    opened = os.open(file, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        size = os.fstat(opened).st_size
        raw = os.read(opened, size)
        while len(raw) < size and (more := os.read(opened, size - len(raw))):
            raw += more
    finally:
        os.close(opened)
    return raw


def _decode(raw: bytes, file: Path | str) -> Any:
    """Return a picture as RGB uint8 [H, W, 3], None if it cannot be decoded."""
    import cv2

    data: Any = np.frombuffer(raw, np.uint8)
    if _is_plain(raw):
        return cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)
    stored: Any = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    if stored is None:
        return None
    if stored.dtype not in (np.uint8, np.uint16):
        problem = "pixels are integers of 8 or 16 bits, and this picture has others"
        raise DataError(problem, file=file, value=str(stored.dtype), hint="save it as a PNG file of 8 bits")
    has_alpha = stored.ndim == 3 and stored.shape[2] == 4
    if stored.dtype == np.uint8 and not has_alpha:
        return cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)
    colours: Any = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)  # as RGB wrong in TIFF files
    colours = cv2.cvtColor(colours, cv2.COLOR_BGR2RGB)
    bits = bits_in_use(colours)
    uses_all = colours.dtype == np.uint8 or bits == 16
    shown: Any = (
        cv2.imdecode(data, cv2.IMREAD_COLOR_RGB) if uses_all else (colours >> (bits - 8)).astype(np.uint8)
    )
    return _composite(shown, _alpha(stored, colours)) if has_alpha else shown


def bits_in_use(values: NDArray[Any]) -> int:
    """Return the fewest of 8, 10, 12, 14 or 16 bits that hold all of some unsigned integers."""
    brightest = int(values.max())
    return next((bits for bits in BIT_DEPTHS if brightest < 1 << bits), 16)


def _alpha(stored: NDArray[Any], colours: NDArray[Any]) -> NDArray[np.float32]:
    """Return the opacity [H, W, 1] from 0 to 1, turned as the colours are.

    Args:
        stored: BGRA [h, w, 4] as stored, which ignores the file's orientation.
        colours: RGB [H, W, 3] in the file's orientation.
    """
    stored = stored[:, :, [2, 1, 0, 3]]
    turned = [np.rot90(each, turns) for each in (stored, stored[:, ::-1]) for turns in range(4)]
    upright = next((each for each in turned if np.array_equal(each[:, :, :3], colours)), stored)
    opaque = (1 << bits_in_use(stored[:, :, 3])) - 1
    return np.asarray(upright[:, :, 3:] / opaque, np.float32)


def _composite(shown: NDArray[np.uint8], opacity: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return a picture on the grey `BACKGROUND`; where it is opaque its values stay as they are."""
    mixed = np.rint(shown * opacity + BACKGROUND * (1 - opacity))
    return np.asarray(mixed, np.uint8)


def _is_plain(raw: bytes) -> bool:
    """Return whether a picture is known to have 8 bits or fewer and no transparency.

    The fourth byte of a BMP's pixels is padding.
    """
    if raw[:2] in (jpeg.SIGNATURE, _BMP):
        return True
    if raw[:8] != _PNG or len(raw) < 26:
        return False
    depth, colour_type = raw[24], raw[25]
    return depth <= 8 and not colour_type & 4 and b"tRNS" not in raw[: max(raw.find(b"IDAT"), 0)]
