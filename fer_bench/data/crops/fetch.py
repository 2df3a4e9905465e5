"""Fetching the one file that finding faces well needs and that no package carries: the YuNet model."""

from __future__ import annotations

import hashlib
from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

from fer_bench.data.crops.detectors import YUNET_NAME, YUNET_SHA256
from fer_bench.data.packs.pack import cache_root
from fer_bench.errors import DataError
from fer_bench.files import write_atomic

YUNET_ADDRESS = f"https://github.com/opencv/opencv_zoo/raw/main/models/face_detection_yunet/{YUNET_NAME}"
LARGEST = 10_000_000
"""Bytes that are read at most; the model has 233 kB."""
SECONDS = 30


def fetch_yunet(address: str = YUNET_ADDRESS) -> Path:
    """Download the YuNet model into the cache, from where every command takes it.

    Args:
        address: Where it lies; OpenCV's model zoo by default (MIT licence).

    Returns:
        The file, whose SHA-256 is the known one.

    Raises:
        DataError: No network, nothing there, or another file; the cache is then as it was.
    """
    by_hand = f"fetch it where there is network, then set FER_BENCH_YUNET=FILE: {YUNET_ADDRESS}"
    try:
        with urlopen(address, timeout=SECONDS) as answer:
            content: bytes = answer.read(LARGEST)
    except (OSError, HTTPException, ValueError) as error:
        raise DataError(
            f"the YuNet model could not be fetched: {error}", file=address, hint=by_hand
        ) from None
    found = hashlib.sha256(content).hexdigest()
    if found != YUNET_SHA256:
        raise DataError(
            f"this is not the known YuNet model, whose SHA-256 is {YUNET_SHA256}",
            file=address,
            value=found,
            hint=by_hand,
        )
    file = cache_root() / "models" / YUNET_NAME
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(file, lambda temporary: temporary.write_bytes(content))
    return file
