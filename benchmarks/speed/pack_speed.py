"""Measure what packing costs against merely decoding and scaling the same pictures.

Writes JPEG files about as large as RAF-DB's (5 kB) in class folders, then in turn decodes and scales every
picture with OpenCV, and packs them. Packing also checks the files, stores the crops and hashes them
(SHA-256), which grows with the size of the crops; `crops in memory` is packing without storing and hashing.

    python -m benchmarks.speed.pack_speed
"""

from __future__ import annotations

import itertools
import os
import tempfile
from pathlib import Path

import cv2
import numpy as np

from benchmarks.speed.harness import Ratio, Report, alternate, median_ratio, run_benchmark
from benchmarks.speed.pictures import write_pictures
from fer_bench import allocator
from fer_bench.data.crops.recipe import recipe_for
from fer_bench.data.packs.filling import fill
from fer_bench.data.packs.pack import open_pack
from fer_bench.data.reading.dataset import FaceDataset
from fer_bench.datasets import get

PICTURES = 1_500
SIDE = 100
SIZES = (64, 112, 224)


def plain(dataset: FaceDataset, size: int) -> None:
    """Decode and scale every picture into one array."""
    pixels = np.empty((len(dataset.index), size, size, 3), np.uint8)
    for at, path in enumerate(dataset.index["path"]):
        picture = cv2.imread(os.path.join(dataset.base, path))
        assert picture is not None
        shrinking = max(picture.shape[:2]) > size
        how = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
        pixels[at] = cv2.resize(picture, (size, size), interpolation=how)


def decoded(dataset: FaceDataset, size: int) -> None:
    """Decode and crop every picture as packing does, into memory."""
    pixels = np.empty((len(dataset.index), size, size, 3), np.uint8)
    fill(dataset, recipe_for(dataset, size), pixels, lambda done, total: None)


def packed(dataset: FaceDataset, size: int, cache: Path) -> None:
    """Pack every picture."""
    open_pack(dataset, size, cache=cache, progress=lambda done, total: None)


def measure(rounds: int) -> Report:
    """Measure all sizes, on one core."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    cv2.setNumThreads(1)
    allocator.keep_memory()  # as every command does
    ratios, micro = [], {}
    with tempfile.TemporaryDirectory() as place:
        root, caches = Path(place) / "mmafedb", itertools.count()
        write_pictures(root, PICTURES, SIDE)
        dataset = get("mmafedb")(root)
        rows = len(dataset.index)
        for size in SIZES:
            steps = {
                "plain": lambda size=size: plain(dataset, size),
                "in memory": lambda size=size: decoded(dataset, size),
                "packed": lambda size=size: packed(dataset, size, Path(place) / str(next(caches))),
            }
            seconds = alternate(steps, rounds)
            for name, what in (("in memory", "crops in memory"), ("packed", "packing")):
                ratio = median_ratio(seconds, name, "plain")
                ratios.append(Ratio(f"{what} / decoding and scaling, {size} px", ratio, better="lower"))
            micro[size] = {name: round(min(each) / rows * 1e6, 1) for name, each in seconds.items()}
    return Report(
        title="Packing",
        text=f"Packing JPEG pictures of {SIDE} pixels on one core, against decoding and scaling them with "
        "OpenCV.",
        ratios=ratios,
        figures={"pictures": rows, "microseconds a picture": micro},
    )


if __name__ == "__main__":
    run_benchmark(__doc__, measure)
