"""What all layouts share: tasks, processes, the marker, and a folder that appears complete or not at all.

A dataset is written into a hidden folder beside its place, which a journal belongs to until it is complete. A
writer that was killed is continued there by the next one with the same settings, task by task.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2

from fer_bench.errors import DataError
from fer_bench.files import short_hash
from fer_bench.synthetic import GENERATOR_VERSION
from fer_bench.synthetic.layouts.journal import JOURNAL, Journal, Outcome, head_of, locked
from fer_bench.synthetic.marker import read_marker, write_marker
from fer_bench.synthetic.population import Population, PopulationName
from fer_bench.synthetic.truth import TRUTH, write_truth

Size = Literal["tiny", "quick", "full"]
SIZES: tuple[Size, ...] = ("tiny", "quick", "full")

_DAY = 86400.0
_KEPT_DAYS = 7
"""Days for which an unfinished dataset that somebody may go on with is kept."""


@dataclass(frozen=True)
class Task:
    """A part of a dataset that can be written on its own, also a second time.

    Attributes:
        pictures: Number of pictures it draws.
        run: Writes them and returns what belongs into the dataset's lists and its truth.
    """

    pictures: int
    run: Callable[[], Outcome]


@dataclass(frozen=True)
class Plan:
    """All tasks of a dataset and what is written when they are done. Making one writes nothing.

    Attributes:
        tasks: Independent of each other and of their order; of a large dataset made when asked for.
        finish: Writes the lists from the lines of every task, in the order of the tasks.
    """

    tasks: Sequence[Task]
    finish: Callable[[Sequence[list[str]]], None] = lambda lines: None


Writer = Callable[[Path, Population, Size], Plan]


@dataclass(frozen=True)
class Drawing:
    """How the drawing of a dataset went.

    Attributes:
        faces: Faces drawn.
        kept: Faces that an earlier, interrupted writer had drawn.
        seconds: Time from the first to the last.
        processor_seconds: Time that processors spent on them, over all processes.
    """

    faces: int
    kept: int
    seconds: float
    processor_seconds: float


@dataclass(frozen=True)
class Watch:
    """Who wants to know what while a dataset is written.

    Attributes:
        progress: Called with (pictures there, pictures in all).
        report: Called once when all is drawn.
        notice: Called with a sentence about what is unusual: waiting for another writer, going on.
    """

    progress: Callable[[int, int], None] | None = None
    report: Callable[[Drawing], None] | None = None
    notice: Callable[[str], None] | None = None


def write_folder(
    writer: Writer,
    dataset: str,
    out: Path,
    *,
    size: Size,
    population: PopulationName,
    seed: int,
    jobs: int,
    watch: Watch,
) -> Path:
    """Write one dataset with its writer; see `fer_bench.synthetic.layouts.write`."""
    target = Path(out) / dataset
    marker = {
        "synthetic": True,
        "generator_version": GENERATOR_VERSION,
        "dataset": dataset,
        "size": size,
        "population": population,
        "seed": seed,
    }
    if _is_current(target, marker):
        return target
    notice = watch.notice or (lambda text: None)
    scratch = target.with_name(f".{dataset}.{short_hash(marker, 8)}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = target.with_name(f".{dataset}.lock")
        with locked(lock, lambda: notice(f"waiting: {dataset} is being written by another process")):
            if _is_current(target, marker):
                return target
            _sweep(scratch)
            if not _is_complete(scratch, marker):
                plan = writer(scratch, Population(dataset, population, seed), size)
                _write(scratch, plan, marker, jobs, watch)
            _put_in_place(scratch, target, marker)
    except OSError as error:
        raise DataError(f"the synthetic data cannot be written: {error.strerror}", file=target) from error
    return target


def _write(scratch: Path, plan: Plan, marker: dict[str, Any], jobs: int, watch: Watch) -> None:
    pictures = sum(task.pictures for task in plan.tasks)
    journal = Journal(scratch, {**marker, "tasks": len(plan.tasks), "pictures": pictures})
    try:
        if len(journal) and watch.notice is not None:
            watch.notice(f"{marker['dataset']}: going on where an earlier writer stopped")
        drawing = _draw(plan.tasks, journal, jobs, watch.progress)
        if watch.report is not None:
            watch.report(drawing)
        plan.finish(journal.lines())
        write_truth(scratch / TRUTH, journal.truth())
        write_marker(scratch, marker)
        journal.remove()
    finally:
        journal.close()


def _is_complete(scratch: Path, marker: dict[str, Any]) -> bool:
    """Return whether a writer was killed between completing its folder and putting it in place."""
    return read_marker(scratch) == marker and not (scratch / JOURNAL).exists()


def _sweep(scratch: Path) -> None:
    """Remove what other killed writers of the dataset left; call it under the lock.

    What may be continued with its own settings stays a week, the rest a day.
    """
    for leftover in scratch.parent.glob(f".{scratch.name.split('.')[1]}.*.partial*"):
        if leftover == scratch:
            continue
        head = head_of(leftover)
        may_go_on = head is not None and head.get("generator_version") == GENERATOR_VERSION
        touched = (leftover / JOURNAL if may_go_on else leftover).stat().st_mtime
        if time.time() - touched > _DAY * (_KEPT_DAYS if may_go_on else 1):
            shutil.rmtree(leftover, ignore_errors=True)


def _is_current(target: Path, marker: dict[str, Any]) -> bool:
    if not target.exists():
        return False
    found = read_marker(target)
    if found is None:
        raise DataError(
            "this folder holds no synthetic data and is left alone",
            file=target,
            hint="choose another output folder",
        )
    return found == marker


def _put_in_place(scratch: Path, target: Path, marker: dict[str, Any]) -> None:
    if target.exists():
        outdated = scratch.with_name(f"{scratch.name}.old")
        shutil.rmtree(outdated, ignore_errors=True)
        os.rename(target, outdated)
        shutil.rmtree(outdated, ignore_errors=True)
    try:
        os.rename(scratch, target)
    except OSError:
        # Where locks do not work another process may have put the same data there, which is as good.
        if read_marker(target) != marker:
            raise
        shutil.rmtree(scratch, ignore_errors=True)


_adopted: Sequence[Task] = ()


def _adopt(tasks: Sequence[Task], parent: int) -> None:
    global _adopted
    _adopted = tasks
    cv2.setNumThreads(0)  # OpenCV's thread pool does not survive a fork.
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent stops; a task that has begun ends
    threading.Thread(target=_follow, args=(parent,), daemon=True).start()


def _follow(parent: int) -> None:
    """End this worker when its parent was killed: it would wait for tasks for ever, and hold the lock."""
    while os.getppid() == parent:
        time.sleep(0.2)
    os._exit(1)


def _run_adopted(number: int) -> tuple[int, Outcome, float]:
    return _run(_adopted, number)


def _run(tasks: Sequence[Task], number: int) -> tuple[int, Outcome, float]:
    start = time.process_time()
    outcome = tasks[number].run()
    return number, outcome, time.process_time() - start


def _draw(
    tasks: Sequence[Task], journal: Journal, jobs: int, progress: Callable[[int, int], None] | None
) -> Drawing:
    """Run the tasks that the journal does not have."""
    pictures = [task.pictures for task in tasks]
    missing = [number for number in range(len(tasks)) if number not in journal]
    total = sum(pictures)
    done = total - sum(pictures[number] for number in missing)
    kept = sum(journal.faces.values())
    busy, start = 0.0, time.monotonic()
    with _results(tasks, missing, min(jobs, len(missing))) as results:
        for number, outcome, seconds in results:
            journal.add(number, outcome)
            done += pictures[number]
            busy += seconds
            if progress is not None:
                progress(done, total)
    return Drawing(sum(journal.faces.values()) - kept, kept, time.monotonic() - start, busy)


@contextmanager
def _results(
    tasks: Sequence[Task], numbers: Sequence[int], jobs: int
) -> Iterator[Iterator[tuple[int, Outcome, float]]]:
    """Give what the tasks of these numbers return, as they end."""
    if jobs <= 1:
        yield (_run(tasks, number) for number in numbers)
        return
    # Forked workers inherit the tasks, which are closures and could not be pickled.
    context = multiprocessing.get_context("fork")
    pool = ProcessPoolExecutor(jobs, context, _adopt, (tasks, os.getpid()))
    try:
        futures = [pool.submit(_run_adopted, number) for number in numbers]
        yield (future.result() for future in as_completed(futures))
    except BrokenProcessPool as error:
        raise DataError(
            "a process that draws faces was killed, perhaps as memory ran out",
            hint="the same command goes on where it was; --jobs 1 needs least memory",
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
