"""Mean ranks of methods over blocks, and the critical difference between them (Demšar 2006)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import friedmanchisquare, rankdata, studentized_range

from fer_bench.evaluation.pairs import ALPHA

LEAST = 3
"""Methods, and blocks, below which ranks are not compared."""


@dataclass(frozen=True)
class Ranks:
    """Methods ranked within blocks, such as datasets that all were trained on.

    Attributes:
        means: Mean rank of every method, the best (1) first; equal scores share their mean rank.
        blocks: Number of blocks.
        p: Friedman's test that all methods rank alike.
        critical: Difference of two mean ranks that Nemenyi's test takes for real at the 5 % level.
        groups: Methods not shown to differ, best first, each a run of neighbours of two or more; all methods
            where Friedman's test shows nothing.
    """

    means: Mapping[str, float]
    blocks: int
    p: float
    critical: float
    groups: tuple[tuple[str, ...], ...]


def mean_ranks(scores: Mapping[str, Sequence[float]]) -> Ranks | None:
    """Rank methods within blocks.

    Args:
        scores: Score of every method in each block, higher being better; all of one length.

    Returns:
        None with fewer than three methods or blocks, or where all scores of every block are equal.

    Raises:
        ValueError: Methods have different numbers of blocks.
    """
    names = list(scores)
    if len({len(values) for values in scores.values()}) > 1:
        raise ValueError("methods have different numbers of blocks")
    if len(names) < LEAST or len(scores[names[0]]) < LEAST:
        return None
    table = np.array([scores[name] for name in names], np.float64)
    if (table == table[0]).all():
        return None
    means = rankdata(-table, axis=0).mean(axis=1)
    order = sorted(range(len(names)), key=lambda i: (means[i], names[i]))
    k, blocks = table.shape
    critical = float(studentized_range.ppf(1 - ALPHA, k, np.inf) * np.sqrt(k * (k + 1) / (12 * blocks)))
    p = float(friedmanchisquare(*table).pvalue)
    ranked = {names[i]: float(means[i]) for i in order}
    groups = _neighbours(ranked, critical) if p < ALPHA else (tuple(ranked),)
    return Ranks(ranked, blocks, p, critical, groups)


def _neighbours(ranked: Mapping[str, float], critical: float) -> tuple[tuple[str, ...], ...]:
    """Return the longest runs of neighbours whose ends are no further apart than the critical difference."""
    names, found, last = list(ranked), [], 0
    for start in range(len(names)):
        end = (
            max(i for i in range(start, len(names)) if ranked[names[i]] - ranked[names[start]] <= critical)
            + 1
        )
        if end - start > 1 and end > last:
            found.append(tuple(names[start:end]))
            last = end
    return tuple(found)
