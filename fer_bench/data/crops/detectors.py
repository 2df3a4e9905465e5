"""The face detectors: MTCNN unless another is chosen, YuNet for speed, OpenCV's cascade as a last resort."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fer_bench.data.crops.faces import DetectorError, Face, in_order
from fer_bench.data.crops.mtcnn import find_with_mtcnn
from fer_bench.data.crops.yunet import find_with_yunet
from fer_bench.data.reading.pictures import Image
from fer_bench.distribution import reinstall_hint

Detector = Literal["mtcnn", "yunet", "cascade"]
SMALLEST = 40
"""Pixels of the shorter side below which the cascade is not tried."""
CASCADE_NAME = "haarcascade_frontalface_default.xml"
_local = threading.local()


def find_faces(image: Image, detector: Detector = "mtcnn") -> list[Face]:
    """Return all faces of a picture, the largest first; an empty list without one.

    Args:
        image: RGB uint8 [H, W, 3] of any size, from one pixel to a panorama.
        detector: `mtcnn`, whose result is the same on every processor; `yunet`, which is faster and needs
            its file; or `cascade`, which is weak and gives no landmarks.

    Raises:
        DetectorError: The detector is not available on this machine, whatever the picture.
    """
    if detector == "mtcnn":
        return find_with_mtcnn(image)
    return find_with_yunet(image) if detector == "yunet" else find_with_cascade(image)


def find_with_cascade(image: Image) -> list[Face]:
    """Return all faces that the frontal cascade finds, the largest first.

    Raises:
        DetectorError: This OpenCV came without the cascade.
    """
    import cv2

    if min(image.shape[:2]) < SMALLEST:
        return []
    grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
    least = max(30, min(image.shape[:2]) // 5)
    faces = _cascade().detectMultiScale(grey, scaleFactor=1.1, minNeighbors=5, minSize=(least, least))
    found = np.reshape(faces, (-1, 4)).astype(float).tolist()
    return in_order([Face((x, y, x + w, y + h), None, float("nan")) for x, y, w, h in found])


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
                "this OpenCV came without its cascade of frontal faces",
                file=file,
                hint="take the default detector, --detector mtcnn; or "
                + reinstall_hint("opencv-python-headless"),
            )
        _local.cascade = cascade
    return _local.cascade
