"""Face detectors: YuNet where its model file is available, else OpenCV's frontal cascade, which is weak."""

from __future__ import annotations

import hashlib
import os
import threading
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_bench.data.reading.pictures import Image
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
INSTALL_OPENCV = "pip install --force-reinstall 'opencv-python-headless>=4.10,<5'"
LARGEST_DOWNLOAD = 10_000_000
"""Bytes that are downloaded at most; the model has 233 kB."""
TIMEOUT = 30
"""Seconds to wait for the server."""
SMALLEST = 40
"""Pixels of the shorter side below which the cascade is not tried."""

CASCADE_NAME = "haarcascade_frontalface_default.xml"

Box = tuple[float, float, float, float]
_local = threading.local()


class DetectorError(DataError):
    """The face detector of this machine cannot be used, whatever the picture."""


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


def find_with_yunet(image: Image) -> tuple[Box, NDArray[np.float64]] | None:
    """Return box (x0, y0, x1, y1) and five points of the largest face that YuNet finds, None without one.

    The points are the eyes, the nose tip and the corners of the mouth; of each pair the one on the left of
    the picture comes first.

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
    faces = detector.detect(np.ascontiguousarray(shrunk[:, :, ::-1]))[1]
    if faces is None or len(faces) == 0:
        return None
    best = max(faces, key=lambda face: float(face[2] * face[3])).astype(np.float64)
    best[:14:2] *= width / size[0]
    best[1:14:2] *= height / size[1]
    x, y, w, h = (float(v) for v in best[:4])
    return (x, y, x + w, y + h), best[4:14].reshape(5, 2)


def _yunet() -> Any:
    """Return this thread's YuNet."""
    import cv2

    if not hasattr(_local, "yunet"):
        file = yunet_file()
        if file is None:
            raise DetectorError("the YuNet model is needed here", hint=_hint())
        try:
            _local.yunet = cv2.FaceDetectorYN.create(str(file), "", (320, 320), YUNET_SCORE)
        except (AttributeError, cv2.error) as error:  # built without its networks
            reason = f"this OpenCV cannot run YuNet: {one_line(error)}"
            raise DetectorError(reason, file=file, hint=INSTALL_OPENCV) from None
    return _local.yunet


def find_with_cascade(image: Image) -> tuple[int, int, int, int] | None:
    """Return x, y, width, height of the largest face that the frontal cascade finds, None without one.

    Raises:
        DetectorError: This OpenCV came without the cascade.
    """
    import cv2

    if min(image.shape[:2]) < SMALLEST:
        return None
    grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
    least = max(30, min(image.shape[:2]) // 5)
    faces = _cascade().detectMultiScale(grey, scaleFactor=1.1, minNeighbors=5, minSize=(least, least))
    if len(faces) == 0:
        return None
    x, y, w, h = max((tuple(int(v) for v in face) for face in faces), key=lambda face: face[2] * face[3])
    return x, y, w, h


def _cascade() -> Any:
    """Return this thread's cascade: two threads must not share a cv2.CascadeClassifier."""
    import cv2

    if not hasattr(_local, "cascade"):
        file = Path(cv2.__file__).parent / "data" / CASCADE_NAME
        try:  # the class is absent from OpenCV 5, and an absent file would only show when a face is searched
            cascade = cv2.CascadeClassifier(str(file)) if file.is_file() else None
        except (AttributeError, SystemError, cv2.error):
            cascade = None
        if cascade is None or cascade.empty():
            raise DetectorError(
                "this OpenCV came without its cascade of frontal faces, which finds faces without boxes",
                file=file,
                hint=f"{INSTALL_OPENCV}; or use the better detector: fer-bench data fetch-detector",
            )
        _local.cascade = cascade
    return _local.cascade
