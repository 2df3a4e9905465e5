"""Synthetic datasets on disk, each in the official layout of the real one.

One module per dataset plans its files as independent jobs; `write` runs them, in one process or several, and
puts the finished folder in place. Identifiers, splits and labels are made up by the generator; only the
form of files and names, and the quirks that trip up readers, follow the originals.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fer_bench.errors import UsageError, nearest
from fer_bench.synthetic.layouts import affectnet7, affwild2, ckplus, expw, fer2013, ferplus, mmi, oulu, rafdb
from fer_bench.synthetic.layouts.writing import SIZES, Drawing, Observer, Plan, Size, Writer, write_folder
from fer_bench.synthetic.population import PopulationName

__all__ = ["SIZES", "Drawing", "Plan", "Size", "Writer", "names", "write"]

_WRITERS: dict[str, Writer] = {
    "ckplus": ckplus.plan,
    "mmi": mmi.plan,
    "oulu": oulu.plan,
    "rafdb": rafdb.plan,
    "affectnet7": affectnet7.plan,
    "expw": expw.plan,
    "affwild2": affwild2.plan,
    "fer2013": fer2013.plan,
    "ferplus": ferplus.plan,
}


def names() -> tuple[str, ...]:
    """Return the datasets that can be written."""
    return tuple(_WRITERS)


def write(
    dataset: str,
    out: Path,
    *,
    size: Size = "quick",
    population: PopulationName = "benchmark",
    seed: int = 0,
    jobs: int = 1,
    progress: Callable[[int, int], None] | None = None,
    report: Callable[[Drawing], None] | None = None,
    notice: Callable[[str], None] | None = None,
) -> Path:
    """Write a synthetic dataset and return its folder `out/<dataset>`.

    The folder appears complete or not at all. One that was written with the same version, size, population
    and seed is left as it is; another synthetic one is replaced; a folder without the marker is not touched.
    Jobs that a stopped or killed writer with the same settings did are not done again. Of two writers at
    once, one waits for the other.

    Besides the dataset's own files there are a marker, a notice and what `fer_bench.synthetic.truth` reads.

    Args:
        dataset: One of `names()`.
        out: Data root to write into; created if missing.
        size: `tiny` (tests), `quick` (minutes on a CPU) or `full` (counts in the order of the real ones).
        population: `benchmark`, or `development` with other people and cameras.
        seed: Seed of everything.
        jobs: Number of processes; the bytes do not depend on it.
        progress: Called with pictures written and total pictures.
        report: Called with how the drawing went, unless nothing had to be written.
        notice: Called with a sentence when it waits for another writer or continues where one stopped.

    Raises:
        UsageError: No such dataset or size.
        DataError: The folder holds something that is not a synthetic dataset, or cannot be written.
    """
    if dataset not in _WRITERS:
        raise UsageError(
            "no synthetic version of this dataset", value=dataset, hint=nearest(dataset, names())
        )
    if size not in SIZES:
        raise UsageError("unknown size", value=size, hint=nearest(size, SIZES))
    return write_folder(
        _WRITERS[dataset],
        dataset,
        out,
        size=size,
        population=population,
        seed=seed,
        processes=jobs,
        observer=Observer(progress, report, notice or (lambda text: None)),
    )
