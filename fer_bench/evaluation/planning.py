"""What more seeds would buy, and how likely the tests of a column are to show a difference."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from scipy.special import chdtri, stdtrit
from scipy.stats import nct, wilcoxon

from fer_bench.evaluation.components import LEVEL, Combined
from fer_bench.evaluation.pairs import MANY, MIN_SEEDS, Column, apart_on_common_seeds

CHANCE = 0.8
"""Probability with which a planned comparison should show the difference."""
MOST_SEEDS = 100
"""More seeds than this are not planned."""
NODES = 25
"""Values of the true variance over which power is averaged."""


def power(column: Column, difference: float) -> float | None:
    """Return the probability that a test of two methods alone shows a true difference: the median over pairs.

    It is that of Student's test with the measured variance; the exchange test is a little more careful.

    Args:
        column: The methods compared.
        difference: The true difference, in the unit of the score.

    Returns:
        None where no pair was tested.
    """
    found = []
    for test in column.tests:
        apart = apart_on_common_seeds(column.sums[test.first], column.sums[test.second])
        if apart is not None and apart.spread.variance > 0:
            found.append(_power(apart.spread.variance, apart.spread.freedom, difference))
    return float(np.median(found)) if found else None


def _power(variance: float, freedom: float, difference: float, known: float | None = None) -> float:
    """Return the probability that Student's test shows a difference.

    Args:
        variance: Of the difference, as measured or planned.
        freedom: Degrees of freedom of the test.
        difference: The true difference.
        known: Degrees of freedom with which the variance was measured, by default those of the test. The true
            one may be larger or smaller: the result is a mean over what it may be.
    """
    freedom, known = min(freedom, MANY), min(freedom if known is None else known, MANY)
    true = variance * known / chdtri(known, (np.arange(NODES) + 0.5) / NODES)
    limit, shift = stdtrit(freedom, (1 + LEVEL) / 2), abs(difference) / np.sqrt(true)
    ahead, behind = nct.sf(limit, freedom, shift), nct.cdf(-limit, freedom, shift)
    # scipy gives NaN far in the tails
    return float(np.minimum(1.0, np.nan_to_num(ahead, nan=1.0) + np.nan_to_num(behind, nan=0.0)).mean())


def half_width(column: Column) -> float | None:
    """Return half the width of the interval of a difference, the median over pairs; None without one.

    Args:
        column: The methods compared.
    """
    pairs = (apart_on_common_seeds(a, b) for a, b in combinations(column.sums.values(), 2))
    found = [apart.spread.half_width() for apart in pairs if apart is not None]
    return float(np.median(found)) if found else None


def seeds_for(column: Column, difference: float) -> int | None:
    """Return how many seeds would show a true difference with probability `CHANCE`, the median over pairs.

    Computed from the measured variance over seeds, and of what units and seeds do together, for a test of two
    methods alone.

    Args:
        column: The methods compared.
        difference: The true difference, in the unit of the score.

    Returns:
        None where a pair has fewer than two common seeds, so that nothing is known about the variance over
        seeds; `MOST_SEEDS` + 1 where no number is enough: the choice of test units alone leaves more.
    """
    wanted = []
    for first, second in combinations(column.sums.values(), 2):
        apart = apart_on_common_seeds(first, second)
        if apart is None or len(apart.seeds) < 2:
            return None
        wanted.append(_seeds_for(apart, difference))
    return int(np.median(wanted)) if wanted else None


def _seeds_for(apart: Combined, difference: float) -> int:
    spread, have = apart.spread, len(apart.seeds)
    over_seeds, units = have * (spread.seeds + spread.shared), spread.units - spread.shared
    below = spread.variance**2 * max(0.0, 1 / spread.freedom - 1 / spread.seeds_freedom)
    below *= (units / spread.units) ** 2 if spread.units > 0 else 0.0
    for count in range(MIN_SEEDS, MOST_SEEDS + 1):
        variance = units + over_seeds / count
        whole = below + (over_seeds / count) ** 2 / (2 * (count - 1))
        freedom = max(1.0, variance**2 / whole) if whole > 0 else np.inf
        if variance == 0 or _power(variance, freedom, difference, spread.freedom) >= CHANCE:
            return count
    return MOST_SEEDS + 1


def over_sources(differences: Sequence[float]) -> tuple[int, float | None]:
    """Return on how many sources a method is ahead of another, and the p-value of Wilcoxon's signed ranks.

    Args:
        differences: Of the two methods, one per source.

    Returns:
        The second is None with fewer than two sources that differ.
    """
    apart = [d for d in differences if d != 0]
    won = sum(d > 0 for d in apart)
    return won, float(wilcoxon(apart).pvalue) if len(apart) > 1 else None
