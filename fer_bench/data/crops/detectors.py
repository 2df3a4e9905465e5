"""Finding faces: YuNet where its file is there, else OpenCV's own frontal cascade, which is weak."""

from __future__ import annotations

import os
import threading
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_bench.data.reading.dataset import Image
from fer_bench.errors import DataError
from fer_bench.files import file_hash

YUNET_VARIABLE = "FER_BENCH_YUNET"
YUNET_NAME = "face_detection_yunet_2023mar.onnx"
YUNET_SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
"""The oid of this file in the OpenCV model zoo (github.com/opencv/opencv_zoo, MIT licence)."""
YUNET_SIDE = 640
"""Longer side to which larger pictures are shrunk first."""
YUNET_SCORE = 0.6
SMALLEST = 40
"""Pictures with a shorter side below this are not searched by the cascade."""

Box = tuple[float, float, float, float]
_local = threading.local()


def yunet_file() -> Path | None:
    """Return the YuNet model: the file named by `FER_BENCH_YUNET`, else the one in the cache, else None.

    Raises:
        DataError: The named file does not exist, or a file is not the known model.
    """
    from fer_bench.data.packs.pack import cache_root

    named = os.environ.get(YUNET_VARIABLE)
    file = Path(named).expanduser() if named else cache_root() / "models" / YUNET_NAME
    if not file.is_file():
        if named:
            raise DataError(
                f"the YuNet model named by {YUNET_VARIABLE} does not exist", file=file, hint=_hint()
            )
        return None
    found = _hash(file, file.stat().st_mtime_ns)
    if found != YUNET_SHA256:
        raise DataError(
            f"this is not the known YuNet model, whose SHA-256 is {YUNET_SHA256}",
            file=file,
            value=found,
            hint=_hint(),
        )
    return file


def _hint() -> str:
    return (
        f"get models/face_detection_yunet/{YUNET_NAME} of github.com/opencv/opencv_zoo (Git LFS, 233 kB), "
        f"then set {YUNET_VARIABLE}=FILE or put it into the folder models of the cache, see fer-bench doctor"
    )


@cache
def _hash(file: Path, changed: int) -> str:
    return file_hash(file)


def find_with_yunet(image: Image) -> tuple[Box, NDArray[np.float64]] | None:
    """Return box (x0, y0, x1, y1) and five points of the largest face that YuNet finds, None without one.

    The points are the eyes, the nose tip and the corners of the mouth, the one on the left of the picture
    first.

    Raises:
        DataError: The model is not there.
    """
    import cv2

    file = yunet_file()
    if file is None:
        raise DataError("the YuNet model is needed here", hint=_hint())
    if not hasattr(_local, "yunet"):
        _local.yunet = cv2.FaceDetectorYN.create(str(file), "", (320, 320), YUNET_SCORE)
    height, width = image.shape[:2]
    scale = min(1.0, YUNET_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    shrunk = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if scale < 1 else image
    _local.yunet.setInputSize(size)
    faces = _local.yunet.detect(np.ascontiguousarray(shrunk[:, :, ::-1]))[1]
    if faces is None or len(faces) == 0:
        return None
    best = max(faces, key=lambda face: float(face[2] * face[3])).astype(np.float64)
    best[:14:2] *= width / size[0]
    best[1:14:2] *= height / size[1]
    x, y, w, h = (float(v) for v in best[:4])
    return (x, y, x + w, y + h), best[4:14].reshape(5, 2)


def find_with_cascade(image: Image) -> tuple[int, int, int, int] | None:
    """Return x, y, width, height of the largest face that the frontal cascade finds."""
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
    """Return this thread's cascade: a cv2.CascadeClassifier must not be used by two threads at once."""
    import cv2

    if not hasattr(_local, "cascade"):
        folder = Path(cv2.__file__).parent / "data"
        file = folder / "haarcascade_frontalface_default.xml"
        _local.cascade = cv2.CascadeClassifier(str(file))
    return _local.cascade
