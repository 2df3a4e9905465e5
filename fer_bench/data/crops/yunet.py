"""YuNet, the fast detector, which runs from a file that the user brings or fetches."""

from __future__ import annotations

import hashlib
import os
import threading
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from fer_bench.data.crops.faces import DetectorError, Face, in_order, left_first
from fer_bench.data.reading.pictures import Image
from fer_bench.distribution import reinstall_hint
from fer_bench.errors import DataError, one_line
from fer_bench.files import cache_root, expand_home, file_hash, write_atomic

YUNET_VARIABLE = "FER_BENCH_YUNET"
YUNET_NAME = "face_detection_yunet_2023mar.onnx"
YUNET_ADDRESS = f"https://github.com/opencv/opencv_zoo/raw/main/models/face_detection_yunet/{YUNET_NAME}"
YUNET_SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
"""The oid of this file in the OpenCV model zoo (github.com/opencv/opencv_zoo, MIT licence)."""
YUNET_SIDE = 640
"""Pixels of the longer side to which larger pictures are scaled before YuNet sees them."""
YUNET_SCORE = 0.6
LARGEST_DOWNLOAD = 10_000_000
"""Bytes that are downloaded at most; the model has 233 kB."""
TIMEOUT = 30
"""Seconds to wait for the server."""
_local = threading.local()


def yunet_file() -> Path | None:
    """Return the YuNet model: the file named by `FER_BENCH_YUNET`, else the one in the cache, else None.

    Raises:
        DataError: The named file does not exist, or a file is not the known model.
    """
    named = os.environ.get(YUNET_VARIABLE)
    file = expand_home(named) if named else _cached_yunet()
    if not file.is_file():
        if named:
            raise DataError(
                f"the YuNet model named by {YUNET_VARIABLE} does not exist", file=file, hint=_hint()
            )
        return None
    _refuse_unknown(_hash(file, file.stat().st_mtime_ns), file, _hint())
    return file


def fetch_yunet(address: str = YUNET_ADDRESS) -> Path:
    """Download the YuNet model into the cache, where `yunet_file` finds it.

    Args:
        address: Where to download it from; OpenCV's model zoo by default (MIT licence).

    Returns:
        The file in the cache.

    Raises:
        DataError: The address cannot be reached or serves another file; the cache is then unchanged.
    """
    from http.client import HTTPException
    from urllib.request import urlopen

    file = _cached_yunet()  # first, because it may be unknown where that is
    by_hand = f"download it where there is network, then set {YUNET_VARIABLE}=FILE: {YUNET_ADDRESS}"
    try:
        with urlopen(address, timeout=TIMEOUT) as answer:
            content: bytes = answer.read(LARGEST_DOWNLOAD)
    except (OSError, HTTPException, ValueError) as error:
        raise DataError(
            f"the YuNet model could not be fetched: {error}", file=address, hint=by_hand
        ) from None
    _refuse_unknown(hashlib.sha256(content).hexdigest(), address, by_hand)
    write_atomic(file, lambda temporary: temporary.write_bytes(content))
    return file


def need_yunet() -> Path:
    """Return the YuNet model.

    Raises:
        DetectorError: It is not there.
        DataError: See `yunet_file`.
    """
    file = yunet_file()
    if file is None:
        raise DetectorError("YuNet was chosen, and its model is not there", hint=_hint())
    return file


def _cached_yunet() -> Path:
    return cache_root() / "models" / YUNET_NAME


def _refuse_unknown(found: str, file: Path | str, hint: str) -> None:
    if found != YUNET_SHA256:
        raise DataError(
            f"this is not the known YuNet model, whose SHA-256 is {YUNET_SHA256}",
            file=file,
            value=found,
            hint=hint,
        )


def _hint() -> str:
    return (
        f"fer-bench data fetch-detector; or get {YUNET_NAME} from github.com/opencv/opencv_zoo (Git LFS, "
        f"233 kB) and set {YUNET_VARIABLE}=FILE"
    )


@cache
def _hash(file: Path, changed: int) -> str:
    return file_hash(file)


def find_with_yunet(image: Image) -> list[Face]:
    """Return all faces that YuNet finds, the largest first.

    Raises:
        DetectorError: The model is not available, or this OpenCV cannot run it.
    """
    import cv2

    detector = _yunet()
    height, width = image.shape[:2]
    scale = min(1.0, YUNET_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    shrunk = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if scale < 1 else image
    detector.setInputSize(size)
    found = detector.detect(np.ascontiguousarray(shrunk[:, :, ::-1]))[1]
    faces = []
    for line in [] if found is None else found.astype(np.float64):
        line[:14:2] *= width / size[0]
        line[1:14:2] *= height / size[1]
        x, y, w, h = line[:4].tolist()
        faces.append(Face((x, y, x + w, y + h), left_first(line[4:14].reshape(5, 2)), float(line[14])))
    return in_order(faces)


def _yunet() -> Any:
    """Return this thread's YuNet."""
    import cv2

    if not hasattr(_local, "yunet"):
        file = need_yunet()
        try:
            _local.yunet = cv2.FaceDetectorYN.create(str(file), "", (320, 320), YUNET_SCORE)
        except (AttributeError, cv2.error) as error:  # built without its networks
            reason = f"this OpenCV cannot run YuNet: {one_line(error)}"
            raise DetectorError(reason, file=file, hint=reinstall_hint("opencv-python-headless")) from None
    return _local.yunet
