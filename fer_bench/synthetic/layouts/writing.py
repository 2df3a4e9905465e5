"""Write a synthetic dataset: run its drawing jobs in processes, then put the finished folder in place.

A dataset is written into a hidden folder next to its final place, with a journal of the jobs done. If the
writer is killed, the next one with the same settings continues there, job by job.
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
from fer_bench.synthetic.layouts.journal import JOURNAL, JobResult, Journal, head_of, locked
from fer_bench.synthetic.marker import read_marker, write_marker
from fer_bench.synthetic.population import Population, PopulationName
from fer_bench.synthetic.truth import TRUTH, write_truth

Size = Literal["tiny", "quick", "full"]
SIZES: tuple[Size, ...] = ("tiny", "quick", "full")

_DAY = 86400.0
_KEPT_DAYS = 7
"""Days for which an unfinished dataset that can be continued is kept."""


@dataclass(frozen=True)
class DrawingJob:
    """A part of a dataset that can be written on its own, and again.

    Attributes:
        pictures: Number of pictures it draws.
        run: Writes them and returns the lines of the dataset's lists and the truth.
    """

    pictures: int
    run: Callable[[], JobResult]


@dataclass(frozen=True)
class Plan:
    """All drawing jobs of a dataset and what is written after them. Making a plan writes nothing.

    Attributes:
        jobs: Independent of each other and of their order; for a large dataset made on demand.
        finish: Writes the lists from the lines of every job, in the order of the jobs.
    """

    jobs: Sequence[DrawingJob]
    finish: Callable[[Sequence[list[str]]], None] = lambda lines: None


Writer = Callable[[Path, Population, Size], Plan]


@dataclass(frozen=True)
class Drawing:
    """How the drawing of a dataset went.

    Attributes:
        faces: Faces drawn.
        kept: Faces that an earlier, interrupted writer had drawn.
        seconds: Wall time.
        processor_seconds: Processor time of all processes.
    """

    faces: int
    kept: int
    seconds: float
    processor_seconds: float


@dataclass(frozen=True)
class Observer:
    """What to call while a dataset is written.

    Attributes:
        progress: Called with pictures written and total pictures.
        report: Called once when everything is drawn.
        notice: Called with a sentence when it waits for another writer or continues where one stopped.
    """

    progress: Callable[[int, int], None] | None = None
    report: Callable[[Drawing], None] | None = None
    notice: Callable[[str], None] = lambda text: None


def write_folder(
    writer: Writer,
    dataset: str,
    out: Path,
    *,
    size: Size,
    population: PopulationName,
    seed: int,
    processes: int,
    observer: Observer,
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
    scratch = target.with_name(f".{dataset}.{short_hash(marker, 8)}.partial")
    waiting = f"waiting: {dataset} is being written by another process"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with locked(target.with_name(f".{dataset}.lock"), lambda: observer.notice(waiting)):
            if _is_current(target, marker):
                return target
            _remove_old_leftovers(scratch)
            if not _is_complete(scratch, marker):
                plan = writer(scratch, Population(dataset, population, seed), size)
                _write(scratch, plan, marker, processes, observer)
            _put_in_place(scratch, target, marker)
    except OSError as error:
        raise DataError(f"the synthetic data cannot be written: {error.strerror}", file=target) from error
    return target


def _write(scratch: Path, plan: Plan, marker: dict[str, Any], processes: int, observer: Observer) -> None:
    pictures = sum(job.pictures for job in plan.jobs)
    journal = Journal(scratch, {**marker, "tasks": len(plan.jobs), "pictures": pictures})
    try:
        if len(journal):
            observer.notice(f"{marker['dataset']}: going on where an earlier writer stopped")
        drawing = _draw(plan.jobs, journal, processes, observer.progress)
        if observer.report is not None:
            observer.report(drawing)
        plan.finish(journal.lines())
        write_truth(scratch / TRUTH, journal.truth())
        write_marker(scratch, marker)
        journal.remove()
    finally:
        journal.close()


def _is_complete(scratch: Path, marker: dict[str, Any]) -> bool:
    """Return whether a writer was killed between completing its folder and putting it in place."""
    return read_marker(scratch) == marker and not (scratch / JOURNAL).exists()


def _remove_old_leftovers(scratch: Path) -> None:
    """Remove what killed writers of the dataset left behind; call it under the lock.

    A folder that can be continued with its own settings is kept for a week, any other for a day.
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
        problem = "this folder is not synthetic data and is left alone"
        raise DataError(problem, file=target, hint="choose another output folder")
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
        # Where locks do not work, another process may have put the same data there: equally good.
        if read_marker(target) != marker:
            raise
        shutil.rmtree(scratch, ignore_errors=True)


_inherited: Sequence[DrawingJob] = ()


def _start_worker(jobs: Sequence[DrawingJob], parent: int) -> None:
    global _inherited
    _inherited = jobs
    cv2.setNumThreads(0)  # OpenCV's thread pool does not survive a fork
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent stops; a job that has started ends
    threading.Thread(target=_exit_with_parent, args=(parent,), daemon=True).start()


def _exit_with_parent(parent: int) -> None:
    """End this worker when its parent is killed: it would wait for jobs forever, and hold the lock."""
    while os.getppid() == parent:
        time.sleep(0.2)
    os._exit(1)


def _run_inherited(number: int) -> tuple[int, JobResult, float]:
    return _run(_inherited, number)


def _run(jobs: Sequence[DrawingJob], number: int) -> tuple[int, JobResult, float]:
    start = time.process_time()
    result = jobs[number].run()
    return number, result, time.process_time() - start


def _draw(
    jobs: Sequence[DrawingJob],
    journal: Journal,
    processes: int,
    progress: Callable[[int, int], None] | None,
) -> Drawing:
    """Run the jobs that are not in the journal."""
    pictures = [job.pictures for job in jobs]
    missing = [number for number in range(len(jobs)) if number not in journal]
    total = sum(pictures)
    done = total - sum(pictures[number] for number in missing)
    kept = sum(journal.faces.values())
    busy, start = 0.0, time.monotonic()
    with _results(jobs, missing, min(processes, len(missing))) as results:
        for number, result, seconds in results:
            journal.add(number, result)
            done += pictures[number]
            busy += seconds
            if progress is not None:
                progress(done, total)
    return Drawing(sum(journal.faces.values()) - kept, kept, time.monotonic() - start, busy)


@contextmanager
def _results(
    jobs: Sequence[DrawingJob], numbers: Sequence[int], processes: int
) -> Iterator[Iterator[tuple[int, JobResult, float]]]:
    """Give the results of the jobs with these numbers, in the order in which they end."""
    if processes <= 1:
        yield (_run(jobs, number) for number in numbers)
        return
    # Forked workers inherit the jobs, which are closures and cannot be pickled.
    context = multiprocessing.get_context("fork")
    pool = ProcessPoolExecutor(processes, context, _start_worker, (jobs, os.getpid()))
    try:
        futures = [pool.submit(_run_inherited, number) for number in numbers]
        yield (future.result() for future in as_completed(futures))
    except BrokenProcessPool as error:
        raise DataError(
            "a process that draws faces was killed, perhaps because memory ran out",
            hint="the same command goes on where it was; --jobs 1 needs least memory",
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
