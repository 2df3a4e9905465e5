"""How surely a score is known from some labelled pictures, and how many more would halve its interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fer_bench.evaluation.components import MIN_UNITS, Spread
from fer_bench.evaluation.confusion import Floats
from fer_bench.evaluation.contributions import recalls
from fer_bench.evaluation.intervals import Value
from fer_bench.evaluation.statistics import Answers

MOST = 10_000_000
"""More units than this are not planned."""


@dataclass(frozen=True)
class Growth:
    """How many more units make an interval narrower.

    Attributes:
        units: Units now.
        more: Further units of the same mix of classes that halve the interval.
        half_width: Half its width now.
        by_class: Where units are pictures: further pictures per class that do the same with the fewest in
            all, the classes that need none left out.
    """

    units: int
    more: int
    half_width: float
    by_class: dict[str, int]


def growth(value: Value, given: Answers, share: float = 0.5) -> Growth | None:
    """Return how many more units would make the interval of a UAR narrower, from the measured spread.

    The variance over units falls as one over their number; Student's quantile falls with it.

    Args:
        value: The UAR of one model, with its interval.
        given: Its answers.
        share: Wanted width as a share of today's.

    Returns:
        None with too few units for an interval, or where nothing varies.
    """
    if value.interval is None or value.combined is None or value.combined.spread.variance <= 0:
        return None
    spread, part = value.combined.spread, value.combined.parts[0]
    units = len(part.units)
    wanted = share * spread.half_width()
    needed = _units_for(spread, units, wanted)
    if needed is None:
        return None
    by_class: dict[str, int] = {}
    if part.pictures:
        by_class = _pictures_for(given, (wanted / _grown(spread, needed / units).quantile()) ** 2)
    return Growth(units, needed - units, (value.interval.high - value.interval.low) / 2, by_class)


def units_without_interval(units: int) -> int:
    """Return how many more units it takes for an interval at all."""
    return max(0, MIN_UNITS - units)


def _grown(spread: Spread, times: float) -> Spread:
    """Return the spread with so many times the units; the seeds' part does not shrink."""
    return spread._replace(units=spread.units / times, freedom=spread.freedom * times)


def _units_for(spread: Spread, units: int, half_width: float) -> int | None:
    """Return the least number of units whose interval is narrow enough; None where that is too many."""

    def is_enough(count: int) -> bool:
        return _grown(spread, count / units).half_width() <= half_width

    low, high = units, 2 * units
    while not is_enough(high):
        low, high = high, 2 * high
        if high > MOST:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high


def _pictures_for(given: Answers, variance: float) -> dict[str, int]:
    """Return further pictures per class that bring the variance of UAR down with the fewest in all.

    Pictures are dealt in proportion to the spread of each class's outcomes (Neyman 1934); classes that have
    more than their part already keep what they have.

    Args:
        given: The answers of one model, each row a unit.
        variance: Wanted variance.
    """
    found = recalls([given], [0]).classes
    held = np.bincount(given.truth, minlength=len(given.classes))
    names = [name for name, count in zip(given.classes, held, strict=True) if count]
    rows = held[held > 0].astype(np.float64)
    spread = np.sqrt((found.own + found.unseen) * rows)
    wanted = _allocation(rows, spread, variance)
    more = np.ceil(wanted - rows - 1e-9).astype(int)
    return {name: int(count) for name, count in zip(names, more, strict=True) if count > 0}


def _allocation(rows: Floats, spread: Floats, variance: float) -> Floats:
    """Return rows per class, none fewer than now, that give a variance with the fewest in all."""
    grows = np.ones(len(rows), bool)
    while True:
        fixed = float((spread[~grows] ** 2 / rows[~grows]).sum())
        if variance <= fixed or not grows.any():
            return rows
        wanted = np.where(grows, spread * float(spread[grows].sum()) / (variance - fixed), rows)
        too_few = grows & (wanted < rows)
        if not too_few.any():
            return wanted
        grows &= ~too_few
