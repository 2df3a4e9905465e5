"""Decode pictures and crop their faces in threads, while the network works on the last ones."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from fer_bench.data.crops.faces import DetectorError
from fer_bench.data.reading.decoder_messages import captured_messages, damage, tells_of_damage
from fer_bench.data.reading.pictures import Image, read_picture
from fer_bench.errors import DataError, FerBenchError
from fer_bench.files import usable_cores
from fer_bench.inference.faces import CroppedFace, FaceFinder
from fer_bench.inference.inputs import Item
from fer_bench.inference.video import Ending, Every, frames_of, opened

FIRST = 4
"""Pictures per core that are prepared at once in the beginning."""
MOST = 1024
BRISK, SLOW = 0.5, 2.0
"""Seconds below and above which more or fewer of them, up to `MOST`, are prepared at once."""
BYTES_AT_ONCE = 256 * 2**20
"""Bytes of a video's frames that are held at most while their faces are searched."""


@dataclass
class Stages:
    """Seconds spent per stage; decoding and detecting add up over threads.

    Attributes:
        decode: Reading and decoding files.
        detect: Finding and cropping faces.
        network: The model.
        write: Writing the file of predictions.
        pictures: Pictures and frames that were decoded.
        faces: Faces that were predicted.
    """

    decode: float = 0.0
    detect: float = 0.0
    network: float = 0.0
    write: float = 0.0
    pictures: int = 0
    faces: int = 0
    _lock: Any = field(default_factory=threading.Lock, repr=False)

    @contextmanager
    def counted(self, stage: str) -> Iterator[None]:
        """Add the time of the block to a stage."""
        started = time.perf_counter()
        try:
            yield
        finally:
            with self._lock:
                setattr(self, stage, getattr(self, stage) + time.perf_counter() - started)


@dataclass
class Job:
    """A picture or frame on its way; the last job of each item only says that it has ended."""

    item: int
    place: dict[str, Any]
    image: Image | None = None
    path: Path | None = None
    ending: Ending | None = None
    faces: list[CroppedFace] = field(default_factory=list)
    reason: str | None = None
    note: str | None = None


def jobs_of(
    items: Sequence[Item],
    every: Every,
    *,
    begun: Mapping[Item, int],
    seconds: float | None,
    stop: Callable[[], bool],
) -> Iterator[Job]:
    """Yield the pictures and frames of items; those of videos and cameras are decoded on the way.

    Args:
        items: What is predicted.
        every: Which frames of videos and cameras.
        begun: Frames of videos before which nothing is predicted.
        seconds: When a camera stops.
        stop: Asked before each frame whether to stop.

    Raises:
        DataError: A camera cannot be opened.
    """
    for number, item in enumerate(items):
        place, ending = {"file": item.name}, Ending()
        if item.kind == "picture":
            yield Job(number, place, path=item.path, ending=ending)
            continue
        limit, start = seconds if item.kind == "camera" else None, begun.get(item, 0)
        try:
            with opened(item) as capture:
                for frame in frames_of(capture, item, every, ending, start=start, seconds=limit, stop=stop):
                    where = {**place, "frame": frame.number, "time": round(frame.time, 4)}
                    yield Job(number, where, frame.image)
        except DataError as error:
            if item.kind == "camera":
                raise
            ending.reason = reason_of(error)
        yield Job(number, place, ending=ending)


class Pipeline:
    """From jobs with pictures to jobs with faces.

    Args:
        finder: How faces are found and cropped.

    Attributes:
        stages: Seconds spent per stage.
    """

    def __init__(self, finder: FaceFinder) -> None:
        self.finder, self.stages = finder, Stages()

    def run(self, jobs: Iterator[Job], stop: threading.Event | None = None) -> Iterator[list[Job]]:
        """Yield jobs whose faces are cropped, some at a time; the next ones are worked on meanwhile.

        Args:
            jobs: The jobs.
            stop: Set on Ctrl-C, which then ends the jobs instead of this call; None interrupts.
        """
        count = FIRST * usable_cores()
        with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(usable_cores()) as pool:
            coming = reader.submit(self._prepare, jobs, count, pool)
            while True:
                try:
                    some, took = coming.result()
                except KeyboardInterrupt:
                    if stop is None or stop.is_set():
                        raise
                    stop.set()
                    continue
                if not some:
                    return
                if took < BRISK and count < MOST:
                    count *= 2
                elif took > SLOW and count > usable_cores():
                    count //= 2
                coming = reader.submit(self._prepare, jobs, count, pool)
                yield some

    def _prepare(self, jobs: Iterator[Job], count: int, pool: ThreadPoolExecutor) -> tuple[list[Job], float]:
        """Take some jobs, decode their pictures and crop their faces; also return the seconds it took."""
        started, some, held = time.perf_counter(), list[Job](), 0
        with captured_messages() as messages:
            with self.stages.counted("decode"):
                for job in islice(jobs, count):
                    some.append(job)
                    held += 0 if job.image is None else job.image.nbytes
                    if held > BYTES_AT_ONCE or time.perf_counter() - started > SLOW:
                        break
            list(pool.map(self._work, some))
        if tells_of_damage(messages):
            for job in some:
                if job.path is not None and job.reason is None and (lost := _lost(job.path)) is not None:
                    job.note = f"the picture decodes only in part: {lost}"
        return some, time.perf_counter() - started

    def _work(self, job: Job) -> None:
        image, job.image = job.image, None
        try:
            if job.path is not None:
                with self.stages.counted("decode"):
                    image = read_picture(job.path)
            if image is None:
                return
            with self.stages.counted("detect"):
                job.faces, job.reason = self.finder.find(image)
        except DetectorError:  # no fault of this picture
            raise
        except FerBenchError as error:
            job.reason = reason_of(error)


def _lost(path: Path) -> str | None:
    """Decode a file alone, and return what is said about pixels that it lost, None if it lost none."""
    with captured_messages() as messages, suppress(FerBenchError):
        read_picture(path)
    return damage(messages, path)


def reason_of(error: FerBenchError) -> str:
    """Return an error as the reason of a row."""
    return error.message + ("" if error.value is None else f" ({error.value})")
