"""The registered metrics: one entry each, used by every record, table, file and comparison."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from numpy.typing import NDArray

from fer_bench.errors import UsageError
from fer_bench.evaluation import confusion, intervals
from fer_bench.evaluation.intervals import IntervalRule
from fer_bench.registry import Registry

Place = Literal["cli", "page", "cells", "compare"]
"""What `run` and `submit check` print, the leaderboard's full in-domain table, `cells.csv`, and `compare`."""
RANKING = "uar"
"""The metric that ranks methods and is tested."""


@dataclass(frozen=True)
class Metric:
    """A score of a confusion matrix.

    Every metric is computed for every score: it is in records, in `results.csv`, in submissions' JSON and in
    what loggers get.

    Attributes:
        name: Its name in files: lower-case letters, digits and underscores.
        title: Its name in tables, short.
        function: Takes counts [..., K, K] (rows are true classes, columns answers) and returns values [...],
            NaN where it is undefined. Classes with neither a row nor an answer must not matter.
        percent: Whether it is shown in percent, else with two decimals.
        higher_is_better: Whether a model wants it high.
        shown: Where it is shown with its interval; nowhere else than in the files above if empty.
        interval: How its interval is made.
    """

    name: str
    title: str
    function: Callable[[NDArray[Any]], NDArray[Any]]
    percent: bool = True
    higher_is_better: bool = True
    shown: tuple[Place, ...] = ("cli", "page", "cells", "compare")
    interval: IntervalRule = intervals.of_counts

    @property
    def heading(self) -> str:
        """Return the title of a table's column."""
        unit = ", %" if self.percent else ""
        return f"{self.title}{unit}" if self.higher_is_better else f"{self.title}{unit} (lower is better)"

    def number(self, value: float | None) -> str:
        """Return a value as tables show it, `-` where there is none."""
        if value is None:
            return "-"
        return f"{100 * value:.1f}" if self.percent else f"{value:.2f}"

    def text(self, value: float | None) -> str:
        """Return a value with its percent sign, if it has one."""
        return f"{self.number(value)}{'%' if self.percent and value is not None else ''}"

    def signed(self, difference: float) -> str:
        """Return a difference of two values as tables show it: in points, or with two decimals."""
        return f"{100 * difference:+.1f}" if self.percent else f"{difference:+.2f}"

    def of(self, counts: NDArray[Any]) -> float | None:
        """Return the value of one confusion matrix [K, K], None where it is undefined."""
        value = float(self.function(counts))
        return value if math.isfinite(value) else None


BUILT_IN = (
    Metric(
        "accuracy",
        "accuracy",
        confusion.accuracy,
        shown=("cli", "page", "cells"),
        interval=intervals.of_rows,
    ),
    Metric("uar", "UAR", confusion.uar, interval=intervals.of_recalls),
    Metric(
        "macro_f1",
        "macro-F1",
        confusion.macro_f1,
        shown=("cli", "page", "cells"),
        interval=intervals.of_share,
    ),
    Metric(
        "transfer",
        "transfer",
        confusion.transfer,
        percent=False,
        shown=("cli", "cells", "compare"),
        interval=intervals.chance_corrected,
    ),
    Metric("mcc", "MCC", confusion.mcc, percent=False, shown=()),
)
OTHERS: Registry[Metric] = Registry("metric", "fer_bench.metrics", {})
"""The metrics of other packages."""


@cache
def registry() -> dict[str, Metric]:
    """Return all metrics by name: the built-in ones, then those of other packages.

    Raises:
        UsageError: An entry point names something other than a `Metric`.
    """
    found = {metric.name: metric for metric in BUILT_IN}
    for name in OTHERS.names():
        metric = OTHERS.get(name)
        if not isinstance(metric, Metric):
            raise UsageError(f"an entry point of {OTHERS.group} is not a Metric", value=OTHERS.targets[name])
        found.setdefault(metric.name, metric)
    return found


def modules() -> tuple[str, ...]:
    """Return the modules of other packages that define metrics: scores depend on them, too."""
    named = {metric.function.__module__ for metric in registry().values() if metric not in BUILT_IN}
    return tuple(sorted(named))


def shown_in(place: Place, *, ranking_first: bool = False) -> tuple[Metric, ...]:
    """Return the metrics that are shown in a place.

    Args:
        place: Where.
        ranking_first: Whether the metric that ranks comes before the others.
    """
    found = [metric for metric in registry().values() if place in metric.shown]
    return tuple(sorted(found, key=lambda metric: ranking_first and metric.name != RANKING))


def estimated() -> dict[str, Metric]:
    """Return the metrics that are shown somewhere, by name: they get intervals."""
    return {name: metric for name, metric in registry().items() if metric.shown}
