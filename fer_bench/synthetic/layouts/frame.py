"""What all layouts share: tasks, processes, the marker, and a folder that appears complete or not at all."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2

from fer_bench.errors import DataError
from fer_bench.synthetic import GENERATOR_VERSION
from fer_bench.synthetic.population import Population, PopulationName

Size = Literal["tiny", "quick", "full"]
SIZES: tuple[Size, ...] = ("tiny", "quick", "full")
MARKER = "synthetic.json"
NOTICE = "SYNTHETIC.txt"


@dataclass(frozen=True)
class Task:
    """A part of a dataset that can be written on its own.

    Attributes:
        pictures: Number of pictures it draws.
        run: Writes them and returns the lines that belong into the dataset's lists.
    """

    pictures: int
    run: Callable[[], list[str]]


@dataclass(frozen=True)
class Plan:
    """All tasks of a dataset and what is written when they are done.

    Attributes:
        tasks: Independent of each other and of their order.
        finish: Writes the lists from the lines of every task, in the order of the tasks.
    """

    tasks: Sequence[Task]
    finish: Callable[[list[list[str]]], None] = lambda lines: None


Writer = Callable[[Path, Population, Size], Plan]


def write_folder(
    writer: Writer,
    dataset: str,
    out: Path,
    *,
    size: Size,
    population: PopulationName,
    seed: int,
    jobs: int,
    progress: Callable[[int, int], None] | None,
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
    scratch = target.with_name(f".{dataset}.{os.getpid()}.partial")
    _sweep(scratch)
    try:
        scratch.mkdir(parents=True)
        plan = writer(scratch, Population(dataset, population, seed), size)
        plan.finish(_run(plan.tasks, jobs, progress))
        _mark(scratch, marker)
        _put_in_place(scratch, target, marker)
    except OSError as error:
        raise DataError(f"the synthetic data cannot be written: {error.strerror}", file=target) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return target


def _sweep(scratch: Path) -> None:
    """Remove a leftover of this process number, and what killed writers left more than a day ago."""
    shutil.rmtree(scratch, ignore_errors=True)
    for leftover in scratch.parent.glob(f".{scratch.name.split('.')[1]}.*.partial*"):
        if time.time() - leftover.stat().st_mtime > 86400:
            shutil.rmtree(leftover, ignore_errors=True)


def read_marker(folder: Path) -> dict[str, Any] | None:
    """Return the marker of a synthetic dataset folder, or None when the folder has none."""
    try:
        found = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.get("synthetic") is True else None


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


def _mark(folder: Path, marker: dict[str, Any]) -> None:
    (folder / MARKER).write_text(json.dumps(marker, indent=2) + "\n", encoding="utf-8")
    (folder / NOTICE).write_text(
        f"SYNTHETIC DATA. Every face in this folder was drawn by fer-bench (generator version "
        f"{marker['generator_version']}, size {marker['size']}, population {marker['population']}, seed "
        f"{marker['seed']}).\nOnly the layout of the files is that of {marker['dataset']}; none of it is "
        "from the real dataset,\nand results on it say nothing about results on the real one.\n",
        encoding="utf-8",
    )


def _put_in_place(scratch: Path, target: Path, marker: dict[str, Any]) -> None:
    if target.exists():
        outdated = scratch.with_name(f"{scratch.name}.old")
        os.rename(target, outdated)
        shutil.rmtree(outdated, ignore_errors=True)
    try:
        os.rename(scratch, target)
    except OSError:
        # Another process may have put the same data there in the meantime, which is as good.
        if read_marker(target) != marker:
            raise


_adopted: Sequence[Task] = ()


def _adopt(tasks: Sequence[Task]) -> None:
    global _adopted
    _adopted = tasks
    cv2.setNumThreads(0)  # OpenCV's thread pool does not survive a fork.


def _run_adopted(number: int) -> list[str]:
    return _adopted[number].run()


def _run(tasks: Sequence[Task], jobs: int, progress: Callable[[int, int], None] | None) -> list[list[str]]:
    total, done = sum(task.pictures for task in tasks), 0
    results: list[list[str]] = []

    def note(lines: list[str]) -> None:
        nonlocal done
        done += tasks[len(results)].pictures
        results.append(lines)
        if progress is not None:
            progress(done, total)

    if jobs <= 1 or len(tasks) < 2:
        for task in tasks:
            note(task.run())
        return results
    # Forked workers inherit the tasks, which are closures and could not be pickled.
    context = multiprocessing.get_context("fork")
    with context.Pool(min(jobs, len(tasks)), initializer=_adopt, initargs=(tasks,)) as pool:
        for lines in pool.imap(_run_adopted, range(len(tasks))):
            note(lines)
    return results
