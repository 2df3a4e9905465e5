"""Find pictures that are nearly the same: small prints of faces, and the pairs that agree."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fer_bench.data.reading.pictures import Image

DISTANCE = 3
"""Bits of 64 in which the difference hashes of two near duplicates may differ."""
CORRELATION = 0.985
"""Least correlation of the 16x16 thumbnails of two near duplicates; faces in one pose have similar hashes."""
BANDS = 4
"""More than `DISTANCE`, so that two hashes this close agree in at least one band (pigeonhole)."""
THUMBNAIL = 16
CELLS = (8, 9)
"""Rows and columns of the grid of the difference hash."""
HALVES = THUMBNAIL // CELLS[0]
MULTIPLIED = 1 << 14
"""Pixels up to which means are matrix products, which then start no threads; OpenCV is slower with so few."""
MOST_NEIGHBOURS = 512
"""Most hashes of a band that each hash is compared with; bounds the time where many share a band."""
PAIRS_AT_ONCE = 1 << 12
PRINT = np.dtype([("pixels", "<u8"), ("hash", "<u8"), ("mirrored", "<u8"), ("thumbnail", "u1", (256,))])
"""A print: hash of the pixels, difference hashes of the face and of its mirror image, thumbnail."""


def face_region(image: Image, box: Any) -> Image:
    """Return the part of a picture inside a box; the whole picture without a box or with one outside."""
    if box is None:
        return image
    height, width = image.shape[:2]
    x0, y0, x1, y1 = np.clip(np.round(box), 0, [width, height] * 2).astype(int)
    return image[y0:y1, x0:x1] if x1 > x0 and y1 > y0 else image


class Shrunk(NamedTuple):
    """What is kept of a face until its print is made.

    Attributes:
        pixels: Checksum of the pixels (CRC-32).
        shape: Checksum of height and width.
        means: float32 [16, 25], mean greys: [:, :16] the thumbnail, [:, 16:] cells of half the height of
            those that the difference hash compares.
    """

    pixels: int
    shape: int
    means: NDArray[np.float32]


def shrink_all(faces: Sequence[Image]) -> list[Shrunk]:
    """Return what is kept of faces; each step is taken for all of them, which is faster by half.

    Args:
        faces: RGB uint8 [H, W, 3] each.
    """
    import cv2

    faces = [np.ascontiguousarray(face) for face in faces]
    greys = [cv2.cvtColor(face, cv2.COLOR_RGB2GRAY) for face in faces]
    means = [_means(grey) for grey in greys]
    pixels = [_checksum(face) for face in faces]
    shapes = [zlib.crc32(b"%dx%d" % face.shape[:2]) for face in faces]
    return [Shrunk(*each) for each in zip(pixels, shapes, means, strict=True)]


def _means(grey: NDArray[Any]) -> NDArray[np.float32]:
    import cv2

    height, width = grey.shape
    if min(height, width) < THUMBNAIL or height * width > MULTIPLIED:
        thumbnail = cv2.resize(grey, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
        cells = cv2.resize(grey, CELLS[::-1], interpolation=cv2.INTER_AREA)
        return np.concatenate([thumbnail, cells.repeat(HALVES, axis=0)], axis=1, dtype=np.float32)
    return _shares(height)[:THUMBNAIL] @ grey.astype(np.float32) @ _shares(width).T


def take_prints(faces: Sequence[Shrunk]) -> NDArray[np.void]:
    """Return the prints of faces, dtype `PRINT` [N].

    The difference hash compares each of 8x8 cells with its right neighbour (dHash); it survives scaling,
    recompression and changes of brightness. Faces with the same pixels have the same `pixels`; others almost
    never, because thumbnail and size count as well as the checksum.
    """
    found = np.zeros(len(faces), PRINT)
    if not faces:
        return found
    means = np.stack([face.means for face in faces])
    cells = _rounded(means[:, :, THUMBNAIL:].reshape(-1, CELLS[0], HALVES, CELLS[1]).mean(axis=2))
    found["hash"], found["mirrored"] = _bits(cells), _bits(cells[:, :, ::-1])
    thumbnails = _rounded(means[:, :, :THUMBNAIL]).reshape(len(faces), -1)
    found["thumbnail"] = thumbnails
    found["pixels"] = [
        face.pixels << 32 | _checksum(thumbnail, face.shape)
        for face, thumbnail in zip(faces, thumbnails, strict=True)
    ]
    return found


def _bits(cells: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return which cells of [N, 8, 9] are brighter than their left neighbour, as the bits of numbers [N]."""
    brighter = np.packbits(cells[:, :, 1:] > cells[:, :, :-1], axis=2)
    return brighter.reshape(len(cells), 8).view(">u8")[:, 0].astype(np.uint64)


def _checksum(values: NDArray[np.uint8], start: int = 0) -> int:
    return zlib.crc32(np.ascontiguousarray(values).data, start)


def _rounded(means: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.rint(means).astype(np.uint8, order="C")


@lru_cache(maxsize=1024)
def _shares(length: int) -> NDArray[np.float32]:
    """Return the shares of the pixels of a line, at least 16, in 16 equal parts and in 9: [25, length]."""
    edges = np.arange(length + 1)
    parts = [
        np.diff(np.clip(edges - np.linspace(0, length, count + 1)[:-1, None], 0, length / count))
        for count in (THUMBNAIL, CELLS[1])
    ]
    shares = np.concatenate(parts)
    return np.asarray(shares / shares.sum(axis=1, keepdims=True), np.float32)


def near_pairs(
    prints: NDArray[np.void],
    rows: NDArray[np.int64],
    differ: Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.bool_]],
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield pairs of rows whose faces are nearly the same, mirrored or not; memory does not grow with pairs.

    Two faces pair when their difference hashes differ in at most `DISTANCE` bits and their thumbnails
    correlate with at least `CORRELATION`. A pair may come more than once.

    Args:
        prints: Prints of all rows, dtype `PRINT` [N].
        rows: Rows to compare, without faces of one colour.
        differ: Returns which pairs of rows to report (not those of one sequence, for example).
    """
    hashes = np.concatenate([prints["hash"][rows], prints["mirrored"][rows]])
    owner = np.concatenate([rows, rows])
    is_mirrored = np.repeat([False, True], len(rows))
    width = 64 // BANDS
    for band in range(BANDS):
        keys = (hashes >> np.uint64(band * width)) & np.uint64((1 << width) - 1)
        order = np.lexsort((hashes, keys))
        keys, sorted_hashes = keys[order], hashes[order]
        active = np.arange(len(order) - 1)
        for step in range(1, MOST_NEIGHBOURS + 1):
            active = active[active + step < len(order)]
            active = active[keys[active] == keys[active + step]]
            if len(active) == 0:
                break
            close = np.bitwise_count(sorted_hashes[active] ^ sorted_hashes[active + step]) <= DISTANCE
            first, second = order[active[close]], order[active[close] + step]
            wanted = ~(is_mirrored[first] & is_mirrored[second]) & (owner[first] != owner[second])
            first, second = first[wanted], second[wanted]
            wanted = differ(owner[first], owner[second])
            first, second = first[wanted], second[wanted]
            for start in range(0, len(first), PAIRS_AT_ONCE):
                a, b = first[start : start + PAIRS_AT_ONCE], second[start : start + PAIRS_AT_ONCE]
                alike = _correlate(prints, owner[a], owner[b], is_mirrored[a] != is_mirrored[b])
                if alike.any():
                    yield owner[a[alike]], owner[b[alike]]


def _correlate(
    prints: NDArray[np.void], first: NDArray[np.int64], second: NDArray[np.int64], mirrored: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    shape = (-1, THUMBNAIL, THUMBNAIL)
    a = prints["thumbnail"][first].reshape(shape).astype(np.float32)
    b = prints["thumbnail"][second].reshape(shape).astype(np.float32)
    b = np.where(mirrored[:, None, None], b[:, :, ::-1], b)
    a = a - a.mean(axis=(1, 2), keepdims=True)
    b = b - b.mean(axis=(1, 2), keepdims=True)
    norm = np.sqrt((a * a).sum(axis=(1, 2)) * (b * b).sum(axis=(1, 2)))
    return np.asarray((a * b).sum(axis=(1, 2)) >= CORRELATION * np.maximum(norm, 1e-6))
