"""Which files are pictures: those that the decoder knows, whatever they are called."""

from __future__ import annotations

from pathlib import Path

USUAL_ENDINGS: tuple[str, ...] = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
"""Endings, in any case, of files that count as pictures without a look inside; a damaged one is an error."""
ENDING = r"\.(?i:jpe?g|png|bmp|tiff?|webp)"
"""A usual ending as a regular expression."""


def is_picture(file: Path) -> bool:
    """Return whether a file is a picture, by a usual ending, else by its first bytes.

    Args:
        file: An existing file with any ending or none (`.jfif`, `.gif`, `.avif`, `.png_large`).
    """
    if file.suffix.casefold() in USUAL_ENDINGS:
        return True
    import cv2

    try:
        return file.stat().st_size > 0 and bool(cv2.haveImageReader(str(file)))
    except (OSError, cv2.error):
        return False
