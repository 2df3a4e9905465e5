"""Decoding and cropping every picture of a dataset into an array, in threads."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fer_bench.data.crops.faces import DetectorError
from fer_bench.data.crops.recipe import CropRecipe, Found, crop_face
from fer_bench.data.reading.dataset import FaceDataset
from fer_bench.data.reading.decoder_messages import captured_messages, damage, tells_of_damage
from fer_bench.errors import DataError, FerBenchError
from fer_bench.files import usable_cores

FRAMES_AT_ONCE = 4096
FILES_AT_ONCE = 64
"""Files per thread between two reports of progress."""
PARTS = 4
"""Parts per thread that these files are dealt in: one task per picture costs as much as decoding it."""
WAYS: tuple[Found, ...] = get_args(Found)
Progress = Callable[[int, int], None]
Job = tuple[str, NDArray[np.int64]]
"""A file and its rows."""


@dataclass(frozen=True)
class Filled:
    """What was noted of crops as they were written.

    Attributes:
        ways: uint8 [N], how each face was found, as positions in `WAYS`.
        damaged: bool [N], rows whose picture decodes only in part.
        sides: float32 [N, 2], width and height of each face in pixels of its picture, see `Crop`.
    """

    ways: NDArray[np.uint8]
    damaged: NDArray[np.bool_]
    sides: NDArray[np.float32]


def fill(
    dataset: FaceDataset, recipe: CropRecipe, pixels: NDArray[np.uint8], progress: Progress | None
) -> Filled:
    """Write all crops of a dataset to `pixels`.

    Args:
        dataset: The dataset.
        recipe: How crops are cut.
        pixels: uint8 [N, size, size, 3], written in the order of the index.
        progress: Called with rows done and total rows.

    Raises:
        DataError: Pictures cannot be decoded or cropped; all are named or counted.
    """
    index = dataset.index
    boxes, landmarks = index["box"].to_list(), index["landmarks"].to_list()
    frames = index["frame"].to_list()
    ways, damaged = np.zeros(len(index), np.uint8), np.zeros(len(index), np.bool_)
    sides = np.zeros((len(index), 2), np.float32)
    broken: list[FerBenchError] = []

    def work(jobs: Sequence[Job]) -> list[FerBenchError]:
        problems = []
        for path, rows in jobs:
            try:
                places = rows.tolist()
                images = dataset.load(path, [frames[row] for row in places])
                for row, image in zip(places, images, strict=True):
                    pixels[row], way, sides[row] = crop_face(image, boxes[row], landmarks[row], recipe)
                    ways[row] = WAYS.index(way)
            except DetectorError:  # no fault of this picture
                raise
            except FerBenchError as error:
                if error.file is None:
                    error = DataError(error.message, file=dataset.base / path, value=error.value)
                problems.append(error)
        return problems

    done, workers = 0, usable_cores()
    with ThreadPoolExecutor(workers) as pool:
        for jobs in batched(by_file(index), workers):
            with captured_messages() as messages:
                for problems in pool.map(work, in_parts(jobs, workers)):
                    broken += problems
            suspected = tells_of_damage(messages)
            for path, rows in jobs:
                if suspected and lost_pixels(dataset, path, [frames[row] for row in rows]) is not None:
                    damaged[rows] = True
                done += len(rows)
                if progress is not None:
                    progress(done, len(index))
    if broken:
        raise _unreadable(dataset, broken)
    return Filled(ways, damaged, sides)


def lost_pixels(dataset: FaceDataset, path: str, frames: Sequence[int]) -> str | None:
    """Decode a file again, alone, and return what was said about pixels that it lost, None if it lost none.

    Args:
        dataset: The dataset.
        path: Path of the index.
        frames: Frames of the file.
    """
    with captured_messages() as messages, suppress(FerBenchError):
        dataset.load(path, frames)
    return damage(messages, dataset.base / path)


def batched(jobs: Iterable[Job], workers: int) -> Iterator[list[Job]]:
    """Yield files with their rows in lists that some workers process at once, with progress in between.

    Args:
        jobs: Files with their rows, as from `by_file`.
        workers: Number of threads.
    """
    batch: list[Job] = []
    rows = 0
    for job in jobs:
        if batch and (len(batch) == FILES_AT_ONCE * workers or rows + len(job[1]) > FRAMES_AT_ONCE * workers):
            yield batch
            batch, rows = [], 0
        batch.append(job)
        rows += len(job[1])
    if batch:
        yield batch


def in_parts(jobs: Sequence[Job], workers: int) -> list[Sequence[Job]]:
    """Return files in parts that some workers process one after the other.

    Args:
        jobs: Files with their rows, from `batched`.
        workers: Number of threads.
    """
    size = math.ceil(len(jobs) / (workers * PARTS))
    return [jobs[start : start + size] for start in range(0, len(jobs), size)]


def by_file(index: pd.DataFrame) -> Iterator[Job]:
    """Yield each file with its rows, so that a photo or clip is decoded once."""
    number, paths = pd.factorize(index["path"], sort=True)  # groups would take 300 bytes per file
    order = np.argsort(number, kind="stable").astype(np.int64)
    ends = np.cumsum(np.bincount(number))
    for path, end, start in zip(paths, ends, np.r_[0, ends[:-1]], strict=True):
        for first in range(start, end, FRAMES_AT_ONCE):
            yield str(path), order[first : min(first + FRAMES_AT_ONCE, end)]


def _unreadable(dataset: FaceDataset, broken: list[FerBenchError]) -> DataError:
    name = dataset.card.name
    listed = "".join(f"\n    {error}" for error in broken[:5])
    more = f"\n    and {len(broken) - 5} more" if len(broken) > 5 else ""
    return DataError(
        f"{len(broken)} file(s) of {name} cannot be used:{listed}{more}",
        file=dataset.base,
        hint=f"restore them, or leave them out by name: fer-bench data verify --dataset {name} "
        "--write-exclude FILE, then --exclude FILE",
    )
