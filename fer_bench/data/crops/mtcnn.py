"""MTCNN (Zhang et al. 2016, arXiv:1604.02878): all faces of a picture with five landmarks.

Three networks, each with a closer look at what the one before it left: PNet slides over a pyramid of the
picture, RNet and ONet see each window that is left, at 24 and 48 pixels. Each moves the windows to the face,
and of windows that overlap the likeliest is kept. Windows are passed on in batches.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fer_bench.data.crops.faces import Face, in_order, left_first
from fer_bench.data.crops.mtcnn_networks import SIDE, Array, Found, Stage, decide, propose
from fer_bench.data.reading.pictures import Image

PIXELS = 1280 * 1024
"""Pixels to which a larger picture is scaled down before it is searched."""
SMALLEST = 20
"""Side in pixels of the smallest face, in the picture as it is searched."""
STEP = 0.709
"""Scale from one level of the pyramid to the next: half the area."""
THRESHOLDS: dict[Stage, float] = {"pnet": 0.6, "rnet": 0.7, "onet": 0.7}
"""Probabilities from which a window is kept, as published with the networks."""
EVIDENCE: dict[Stage, float] = {stage: math.log(p / (1 - p)) for stage, p in THRESHOLDS.items()}
"""The thresholds as logarithms of odds."""
MARGIN = 0.02
"""How far below the threshold a proposal is still decided; OpenCV and exact sums differ far less."""
MOST = 2000
"""Windows of each level that are kept at most, the likeliest: more come only from noise."""
BORDER = 0.25
"""Width of the border in the second search, in shorter sides of the picture."""
CUT_OFF = 0.01
"""Share of the values that become black, and white, when grey levels are spread."""
STRIDE = 2
"""Pixels of a level between two windows of PNet."""


def find_with_mtcnn(image: Image) -> list[Face]:
    """Return all faces of a picture, the largest first.

    A picture without any is searched once more with its grey levels spread and its border repeated outwards:
    that finds faces in the dark and those that fill their picture. The result is the same on every processor,
    see `mtcnn_networks`.

    Args:
        image: RGB uint8 [H, W, 3] of any size.

    Raises:
        DetectorError: The networks are not installed or damaged, or this OpenCV cannot run them.
    """
    import cv2

    height, width = image.shape[:2]
    shrink = min(1.0, math.sqrt(PIXELS / (height * width)))
    size = (max(1, int(width * shrink)), max(1, int(height * shrink)))
    seen = (
        image if shrink == 1 else np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    )
    faces = _search(seen)
    if not faces and (clearer := _spread(seen)) is not None:
        border = round(BORDER * min(size))
        wider = cv2.copyMakeBorder(clearer, border, border, border, border, cv2.BORDER_REPLICATE)
        faces = [face.moved(-border, -border) for face in _search(np.asarray(wider, np.uint8))]
    return in_order([face.scaled(width / size[0], height / size[1]) for face in faces])


def _search(image: Image) -> list[Face]:
    """Return the faces of a picture as it is."""
    boxes, found = _look(image, "rnet", _slide(image))
    kept = _unlike(boxes, found.evidence, 0.7)
    boxes, found = _look(image, "onet", _changed(boxes[kept], found.change[kept]))
    points = boxes[:, None, :2] + found.points * (boxes[:, 2:] - boxes[:, :2])[:, None, :]
    boxes = _changed(boxes, found.change)
    faces = []
    for number in _apart(boxes, found.evidence, 0.7):
        x0, y0, x1, y1 = boxes[number].tolist()
        score = round(1 / (1 + math.exp(-found.evidence[number])), 4)
        faces.append(Face((x0, y0, x1, y1), left_first(points[number]), score))
    return faces


def _spread(image: Image) -> Image | None:
    """Return a picture whose grey levels reach from black to white, None of one that shows nothing."""
    import cv2

    counts = np.bincount(image.reshape(-1), minlength=256).cumsum()
    low, high = (int(np.searchsorted(counts, share * counts[-1])) for share in (CUT_OFF, 1 - CUT_OFF))
    if high <= low:
        return None
    levels = np.rint(np.clip((np.arange(256) - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    return np.asarray(cv2.LUT(image, levels), np.uint8)


def _slide(image: Image) -> Array:
    """Return the boxes [N, 4] that PNet finds on all levels of the pyramid."""
    import cv2

    side, scale = SIDE["pnet"], SIDE["pnet"] / SMALLEST
    height, width = image.shape[:2]
    every: list[tuple[Array, Array, Array]] = []
    while min(level := (math.ceil(width * scale), math.ceil(height * scale))) >= side:
        resized = np.asarray(cv2.resize(image, level, interpolation=cv2.INTER_AREA), np.uint8)
        windows = np.lib.stride_tricks.sliding_window_view(resized, (side, side), axis=(0, 1))[
            ::STRIDE, ::STRIDE
        ]
        chances = propose("pnet", resized[None])[0, : len(windows), : windows.shape[1]]  # some reach beyond
        rows, columns = np.nonzero(chances >= THRESHOLDS["pnet"] - MARGIN)
        found = decide("pnet", windows[rows, columns].transpose(0, 2, 3, 1))
        corners = np.stack([columns, rows], axis=1) * float(STRIDE)
        boxes = np.concatenate([corners, corners + side], axis=1) * (
            [width / level[0], height / level[1]] * 2
        )
        sure = np.flatnonzero(found.evidence >= EVIDENCE["pnet"])
        sure = sure[np.argsort(-found.evidence[sure], kind="stable")[:MOST]]
        kept = sure[_unlike(boxes[sure], found.evidence[sure], 0.5)]
        every.append((boxes[kept], found.evidence[kept], found.change[kept]))
        scale *= STEP
    if not every:
        return np.empty((0, 4))
    boxes, evidence, change = (np.concatenate(parts) for parts in zip(*every, strict=True))
    kept = _unlike(boxes, evidence, 0.7)
    return _changed(boxes[kept], change[kept])


def _look(image: Image, stage: Stage, boxes: Array) -> tuple[Array, Found]:
    """Show squares around boxes to RNet or ONet; return those with a face, and what it says of them."""
    squares = _squares(image, boxes)
    windows = np.empty((len(squares), SIDE[stage], SIDE[stage], 3), np.uint8)
    for number, square in enumerate(squares.tolist()):
        windows[number] = _window(image, square, SIDE[stage])
    if not len(squares):
        return squares.astype(np.float64), decide(stage, windows)
    likely = np.flatnonzero(propose(stage, windows) >= THRESHOLDS[stage] - MARGIN)
    found = decide(stage, windows[likely])
    sure = np.flatnonzero(found.evidence >= EVIDENCE[stage])
    kept = Found(found.evidence[sure], found.change[sure], found.points[sure])
    return squares[likely][sure].astype(np.float64), kept


def _squares(image: Image, boxes: Array) -> NDArray[np.int64]:
    """Return squares of whole pixels around the middles of boxes, without those outside the picture."""
    height, width = image.shape[:2]
    sides = np.rint((boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0))
    low = np.rint((boxes[:, :2] + boxes[:, 2:] - sides[:, None]) / 2)
    squares: NDArray[np.int64] = np.concatenate([low, low + sides[:, None]], axis=1).astype(np.int64)
    inside = (sides >= 1) & (sides <= 2 * max(height, width)) & (squares[:, 2:] > 0).all(axis=1)
    inside &= (squares[:, 0] < width) & (squares[:, 1] < height)
    found: NDArray[np.int64] = squares[inside]
    return found


def _window(image: Image, square: list[int], side: int) -> Image:
    """Return a square of a picture at a network's side, black beyond the picture as in training."""
    import cv2

    x0, y0, x1, y1 = square
    height, width = image.shape[:2]
    left, top, right, bottom = max(0, x0), max(0, y0), min(width, x1), min(height, y1)
    piece = image[top:bottom, left:right]
    if piece.shape[:2] != (y1 - y0, x1 - x0):
        black = np.zeros((y1 - y0, x1 - x0, 3), np.uint8)
        black[top - y0 : bottom - y0, left - x0 : right - x0] = piece
        piece = black
    return np.asarray(cv2.resize(piece, (side, side), interpolation=cv2.INTER_AREA), np.uint8)


def _changed(boxes: Array, change: Array) -> Array:
    """Return boxes moved by shares of their own sides."""
    moved: Array = boxes + change * np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    return moved


def _unlike(boxes: Array, evidence: Array, most: float) -> NDArray[np.int64]:
    """Return the positions of the likeliest of boxes whose intersection over union exceeds `most`."""
    import cv2

    if not len(boxes):
        return np.empty(0, np.int64)
    corners = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    return np.asarray(cv2.dnn.NMSBoxes(corners, evidence.astype(np.float32), 0.0, most), np.int64)  # type: ignore[arg-type]


def _apart(boxes: Array, evidence: Array, most: float) -> list[int]:
    """Return the positions of the likeliest of boxes that share more than `most` of the smaller one."""
    kept: list[int] = []
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    for number in np.argsort(-evidence, kind="stable").tolist():
        low = np.maximum(boxes[kept, :2], boxes[number, :2])
        common = np.prod(np.maximum(0.0, np.minimum(boxes[kept, 2:], boxes[number, 2:]) - low), axis=1)
        if (common <= most * np.minimum(areas[kept], areas[number])).all():
            kept.append(number)
    return kept
