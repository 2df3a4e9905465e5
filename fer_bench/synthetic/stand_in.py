"""The synthetic stand-in of a dataset, drawn into the cache on first use."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import cast

from fer_bench.errors import DataError
from fer_bench.files import cache_root, usable_cores
from fer_bench.synthetic import GENERATOR_VERSION, layouts
from fer_bench.synthetic.layouts.writing import Size
from fer_bench.synthetic.marker import MARKER
from fer_bench.synthetic.population import PopulationName


def stand_in(
    name: str,
    size: str = "quick",
    *,
    population: str = "benchmark",
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Return the folder of a dataset's synthetic stand-in, writing it on first use with all cores.

    Args:
        name: Dataset name.
        size: `tiny`, `quick` or `full`.
        population: `benchmark`, or `development` for choosing defaults.
        seed: Generator seed.
        progress: Called with pictures written and total pictures.

    Raises:
        DataError: The generator does not draw this dataset.
        UsageError: Unknown size.
    """
    if name not in layouts.names():
        raise DataError(
            f"there is no synthetic stand-in for {name}",
            hint=f"give its folder with --data-root DIR, or fer-bench data describe {name}",
        )
    parent = cache_root() / "synthetic" / f"v{GENERATOR_VERSION}-{size}-{population}-{seed}"
    if not (parent / name / MARKER).exists():
        layouts.write(
            name,
            parent,
            size=cast(Size, size),  # the writer refuses what it does not know
            population=cast(PopulationName, population),
            seed=seed,
            jobs=usable_cores(),
            progress=progress,
            notice=lambda text: print(text, file=sys.stderr, flush=True),  # else it would wait without a word
        )
    return parent / name
