"""Measure what packing costs against merely decoding and scaling the same pictures, in CPU time on one core.

Writes JPEG files about as large as RAF-DB's (5 kB) in class folders (MMAFEDB layout), then measures in turn,
several times in one process, `cv2.imread` and `cv2.resize` of every picture, and packing. Packing also checks
the files, stores the crops and hashes them (SHA-256), which grows with the size of the crops; `decode` is
packing without storing and hashing. Ratios are those of the fastest of each.

    python -m benchmarks.speed.pack_speed --pictures 4000 --side 100 --size 64
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from benchmarks.speed.verify_scale import CLASSES, PARTS
from fer_bench.data.crops.recipe import recipe_for
from fer_bench.data.packs.filling import fill
from fer_bench.data.packs.pack import open_pack
from fer_bench.data.reading.dataset import FaceDataset
from fer_bench.datasets import get


def write(root: Path, pictures: int, side: int, *, grey: bool = False) -> None:
    """Write that many JPEG files, each another smooth picture with the noise of a camera."""
    rng = np.random.default_rng(0)
    for part, share in PARTS.items():
        for code in CLASSES:
            folder = root / part / code
            folder.mkdir(parents=True)
            for number in range(max(2, int(pictures * share / len(CLASSES)))):
                coarse = rng.integers(0, 256, (9, 9, 3)).astype(np.uint8)
                smooth = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
                noisy = np.clip(smooth + rng.normal(0, 4, smooth.shape), 0, 255).astype(np.uint8)
                noisy = cv2.cvtColor(noisy, cv2.COLOR_BGR2GRAY) if grey else noisy
                cv2.imwrite(str(folder / f"{part}{code}{number}.jpg"), noisy)


def plain(dataset: FaceDataset, size: int) -> float:
    """Return the CPU seconds of decoding and scaling every picture into one array."""
    files = [str(dataset.base / path) for path in dataset.index["path"]]
    pixels = np.empty((len(files), size, size, 3), np.uint8)
    began = time.process_time()
    for at, file in enumerate(files):
        picture = cv2.imread(file)
        assert picture is not None
        shrinking = max(picture.shape[:2]) > size
        how = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
        pixels[at] = cv2.resize(picture, (size, size), interpolation=how)
    return time.process_time() - began


def decoded(dataset: FaceDataset, size: int) -> float:
    """Return the CPU seconds of decoding and cropping every picture as packing does, into memory."""
    pixels = np.empty((len(dataset.index), size, size, 3), np.uint8)
    began = time.process_time()
    fill(dataset, recipe_for(dataset, size), pixels, lambda done, total: None)
    return time.process_time() - began


def packed(dataset: FaceDataset, size: int, cache: Path) -> float:
    """Return the CPU seconds of packing every picture."""
    began = time.process_time()
    open_pack(dataset, size, cache=cache, progress=lambda done, total: None)
    return time.process_time() - began


def main() -> None:
    """Run the measurement and print one JSON document."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=4000)
    parser.add_argument("--side", type=int, default=100)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dir", type=Path, default=None)
    given = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory(dir=given.dir) as folder:
        root = Path(folder) / "mmafedb"
        write(root, given.pictures, given.side)
        dataset = get("mmafedb")(root)
        rows = len(dataset.index)
        seconds: dict[str, list[float]] = {"plain": [], "decode": [], "pack": []}
        for number in range(given.rounds):
            seconds["plain"].append(plain(dataset, given.size))
            seconds["decode"].append(decoded(dataset, given.size))
            seconds["pack"].append(packed(dataset, given.size, Path(folder) / str(number)))
    best = {name: min(each) for name, each in seconds.items()}
    micro = {f"{name}_us_per_picture": round(each / rows * 1e6, 1) for name, each in best.items()}
    ratios = {f"{name}_ratio": round(best[name] / best["plain"], 2) for name in ("decode", "pack")}
    print(json.dumps({"rows": rows, **micro, **ratios}, indent=2))


if __name__ == "__main__":
    main()
