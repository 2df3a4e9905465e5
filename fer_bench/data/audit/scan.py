"""Decode every picture once and keep a small print of each, so that a check can be continued."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_bench.data.audit.lookalikes import PRINT, Shrunk, face_region, shrink_all, take_prints
from fer_bench.data.crops.recipe import LARGEST
from fer_bench.data.index import fingerprint
from fer_bench.data.packs.filling import Job, batched, by_file, in_parts, lost_pixels
from fer_bench.data.packs.pack import file_stamp
from fer_bench.data.reading.dataset import FaceDataset
from fer_bench.data.reading.decoder_messages import captured_messages, tells_of_damage
from fer_bench.data.reading.pictures import Image
from fer_bench.errors import DataError, FerBenchError, StoreError
from fer_bench.files import cache_root, short_hash, usable_cores, write_atomic

STATE_VERSION = 5
SAVED_EVERY = 10.0
"""Seconds between savings of the state."""
SAMPLED = 64
"""Files whose sizes tell how many threads are worth it."""
BYTES_PER_THREAD = 5_000
"""Bytes of a picture for each thread; with fewer, threads wait for each other more than they decode."""
TOGETHER = 1 << 18
"""Bytes of pictures that are decoded before they are judged: as many as stay in a core's own memory."""
NOT_SEEN, FINE, UNREADABLE = 0, 1, 2
BEYOND = 0.15
"""Share of a picture's side; an annotation that reaches further beyond the picture is not just loose."""
SEEN = np.dtype([("state", "u1"), ("constant", "?"), ("outside", "?"), ("beyond", "?"), ("print", PRINT)])
"""State of one row, whether it has one colour only, whether its annotation is outside or far beyond the
picture, and its print."""


Looked = tuple[str, NDArray[np.int64], str | None]
"""A file, its rows, and what is wrong with it."""


class Scan:
    """The pictures of all rows, checked.

    Args:
        dataset: The dataset.
        cache: Folder of the state, `cache_root()` by default.
        fresh: Ignore what an earlier check found.

    Attributes:
        seen: dtype `SEEN` [N], in the order of the index.
        errors: Message per unreadable file.
        resumed: Rows seen by an earlier check, whose files still have the same size and time.
        unsaved: Why the state could not be saved, or None.
        file: Where the state is saved.
    """

    def __init__(self, dataset: FaceDataset, *, cache: Path | None = None, fresh: bool = False) -> None:
        self.dataset = dataset
        index = dataset.index
        self.file = state_file(dataset, cache)
        self.seen = np.zeros(len(index), SEEN)
        if not fresh:
            self._resume()
        self.resumed = int((self.seen["state"] == FINE).sum())
        self.errors: dict[str, str] = {}
        self.unsaved: str | None = None
        self._saved_at = time.monotonic()

    def run(self, progress: Callable[[int, int], None] | None = None, *, jobs: int | None = None) -> None:
        """Check every picture that has not been seen; only the prints are kept in memory.

        Args:
            progress: Called with rows done and total rows.
            jobs: Threads that decode; by default as many as `useful_threads` returns.
        """
        index = self.dataset.index
        boxes, landmarks = index["box"].to_list(), index["landmarks"].to_list()
        frames = index["frame"].to_list()
        state = self.seen["state"]
        todo: Iterable[Job] = by_file(index)
        if self.resumed:
            todo = ((path, rows) for path, rows in todo if (state[rows] != FINE).any())
        done, total = self.resumed, len(index)

        def look(part: Sequence[Job]) -> list[Looked]:
            looked: list[Looked] = []
            marks: list[tuple[int, bool, bool, bool]] = []
            shrunk: list[Shrunk] = []
            decoded: list[tuple[int, Image]] = []

            def judge() -> None:
                faces = [face_region(image, boxes[row]) for row, image in decoded]
                shrunk.extend(shrink_all(faces))
                for (row, image), face in zip(decoded, faces, strict=True):
                    box, points = boxes[row], landmarks[row]
                    annotation = (False, False)
                    if box is not None or points is not None:
                        annotation = (lies_outside(image, box, points), reaches_beyond(image, box, points))
                    marks.append((row, has_one_colour(face), *annotation))
                decoded.clear()

            size = 0
            for path, rows in part:
                places = rows.tolist()
                try:
                    images = self.dataset.load(path, [frames[row] for row in places])
                except FerBenchError as error:
                    looked.append((path, rows, str(error)))
                    continue
                looked.append((path, rows, None))
                decoded += zip(places, images, strict=True)
                size += sum(image.nbytes for image in images)
                if size > TOGETHER:
                    judge()
                    size = 0
            judge()
            if marks:
                at, constant, outside, beyond = (np.array(each) for each in zip(*marks, strict=True))
                seen = np.zeros(len(marks), SEEN)
                seen["state"], seen["print"] = FINE, take_prints(shrunk)
                seen["constant"], seen["outside"], seen["beyond"] = constant, outside, beyond
                self.seen[at] = seen
            return looked

        workers = jobs or useful_threads(self.dataset)
        try:
            with ThreadPoolExecutor(workers) as pool:
                for batch in batched(todo, workers):
                    with captured_messages() as messages:
                        parts = in_parts(batch, workers) if workers > 1 else [batch]
                        found = [each for part in pool.map(look, parts) for each in part]
                    if tells_of_damage(messages):
                        found = self._name_damaged(found)
                    for path, rows, problem in found:
                        if problem is not None:
                            self.errors[path] = problem
                            state[rows] = UNREADABLE
                        done += len(rows)
                    if progress is not None:
                        progress(min(done, total), total)
                    if time.monotonic() - self._saved_at > SAVED_EVERY:
                        self._save()
        finally:  # also when stopped: the next check continues here
            if self.resumed < total:
                self._save()
        if progress is not None and done < total:
            progress(total, total)

    def _name_damaged(self, found: list[Looked]) -> list[Looked]:
        """Decode the files of a batch again one by one, to tell which of them a decoder complained about."""
        frames = self.dataset.index["frame"].to_numpy()
        judged: list[Looked] = []
        for path, rows, problem in found:
            wanted = [int(frames[row]) for row in rows]
            why = lost_pixels(self.dataset, path, wanted) if problem is None else None
            if why is not None:
                problem = str(damaged(why, self.dataset.base / path))
            judged.append((path, rows, problem))
        return judged

    def _resume(self) -> None:
        try:
            known = np.load(self.file, allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return  # missing or damaged: checking again is always right
        if known.dtype == SEEN and known.shape == self.seen.shape:
            self.seen = known

    def _save(self) -> None:
        if self.unsaved is not None:
            return

        def write(file: Path) -> None:
            with file.open("wb") as stream:
                np.save(stream, self.seen, allow_pickle=False)

        try:
            write_atomic(self.file, write)
        except StoreError as error:
            self.unsaved = error.message
        self._saved_at = time.monotonic()


def useful_threads(dataset: FaceDataset) -> int:
    """Return how many threads decode a dataset's files faster than fewer would.

    A thread leaves the interpreter to others only while it decodes. With small files they wait for each
    other: two threads take 1.6 times as long as one on grey pictures of 48 pixels (1 kB), and 0.6 of it on
    colour ones of 200 (16 kB).
    """
    paths = dataset.index["path"]
    sizes = []
    for at in np.linspace(0, len(paths) - 1, min(SAMPLED, len(paths))).astype(int):
        with suppress(OSError):  # a file that is not there is reported when it is decoded
            sizes.append((dataset.base / paths.iloc[at]).stat().st_size)
    files_per_row = paths.nunique() / len(paths)  # few, where one file holds many pictures
    mean = files_per_row * sum(sizes) / len(sizes) if sizes else 0
    return max(1, min(round(mean / BYTES_PER_THREAD), usable_cores()))


def damaged(why: str, file: Path) -> DataError:
    """Return the error that some pixels of a picture are lost."""
    return DataError(f"the picture is damaged: {why}", file=file)


def state_file(dataset: FaceDataset, cache: Path | None = None) -> Path:
    """Return the file for the state of a check; rows, labels, sizes and times of files decide its name.

    Args:
        dataset: The dataset.
        cache: Folder for the state, `cache_root()` by default.
    """
    index = dataset.index
    stamp = file_stamp(dataset.base, index)
    key = short_hash([fingerprint(index), stamp, dataset.card.version, STATE_VERSION], 20)
    return (cache or cache_root()) / "verify" / f"{dataset.card.name}-{key}.npy"


def has_one_colour(face: Image) -> bool:
    """Return whether all pixels of a picture are the same."""
    first, middle = face[0, 0], face[face.shape[0] // 2, face.shape[1] // 2]
    return bool(first.tolist() == middle.tolist() and (face == first).all())


def lies_outside(image: Image, box: Any, points: Any) -> bool:
    """Return whether the centre of a box or the mean of landmarks is outside the picture.

    So does a box much larger than its picture, and a landmark further away than the picture's size.
    """
    size = np.array([image.shape[1], image.shape[0]])
    if box is not None:
        low, high = np.array(box[:2]), np.array(box[2:])
        centre = (low + high) / 2
        if (centre < 0).any() or (centre > size).any() or (high - low > LARGEST * size.max()).any():
            return True
    if points is None:
        return False
    mean = np.mean(points, axis=0)
    far = (points < -size) | (points > 2 * size)
    return bool((mean < 0).any() or (mean > size).any() or far.any())


def reaches_beyond(image: Image, box: Any, points: Any) -> bool:
    """Return whether a box or a landmark reaches beyond the picture by more than `BEYOND` of its side."""
    size = np.array([image.shape[1], image.shape[0]])
    corners = [np.reshape(each, (-1, 2)) for each in (box, points) if each is not None]
    return any(bool(((c < -BEYOND * size) | (c > (1 + BEYOND) * size)).any()) for c in corners)
