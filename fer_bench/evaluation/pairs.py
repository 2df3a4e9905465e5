"""Whether two methods differ: exchange tests over whole units, Holm's correction, tie groups.

If two methods are alike, the predictions of one for a person (video, picture) might as well be those of the
other. So both methods' predictions for whole units are swapped, over all folds and seeds at once, and the
observed difference of scores is compared with the differences after all (or many random) ways of swapping.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from fer_bench.evaluation.confusion import Floats

EXACT_UNITS = 13
"""Up to this many units that differ, all ways of swapping are counted."""
DRAWS = 10_000
"""Random ways of swapping where units are more."""
ALPHA = 0.05
_CHUNK_CELLS = 4_000_000


@dataclass(frozen=True)
class Comparable:
    """A score as a sum over units, so that units can be swapped with those of another method.

    Attributes:
        score: The score that ranks.
        units: Units with their target, distinct [U].
        terms: Their terms [U], which sum to the score up to a constant.
        rows: Hash of the scored rows; only scores on the same rows are compared.
    """

    score: float
    units: NDArray[np.object_]
    terms: Floats
    rows: str

    def corrected(self, score: float, k: int) -> Comparable:
        """Return this UAR over k > 1 classes corrected for chance.

        Args:
            score: The corrected score.
            k: Number of classes.
        """
        return Comparable(score, self.units, self.terms / (1 - 1 / k), f"{self.rows} {k}")


@dataclass(frozen=True)
class PairTest:
    """A test of two methods.

    Attributes:
        first: The method with the higher score.
        second: The other.
        difference: How much higher, at least 0.
        p: Two-sided probability of a difference as large when the methods are alike.
        adjusted: The same after Holm's correction over all pairs of the column.
        units: Units that both were scored on.
    """

    first: str
    second: str
    difference: float
    p: float
    adjusted: float
    units: int

    @property
    def significant(self) -> bool:
        """Whether the methods differ at the 5 % level after correction."""
        return self.adjusted < ALPHA


@dataclass(frozen=True)
class Column:
    """The methods of one column compared with each other.

    Attributes:
        ranks: Rank of every compared method, tied ones share it; best first.
        tests: All pairs.
        left_out: Methods that were scored on other rows, crops, folds or seeds than those compared.
    """

    ranks: Mapping[str, int]
    tests: tuple[PairTest, ...]
    left_out: tuple[str, ...] = ()

    @property
    def winners(self) -> tuple[str, ...]:
        """Return the first tie group if another follows, else an empty tuple."""
        first = tuple(name for name, rank in self.ranks.items() if rank == 1)
        return first if len(first) < len(self.ranks) else ()


def mean_of(parts: Sequence[Comparable], score: float) -> Comparable:
    """Return a mean of scores as a sum over units.

    A unit of a target that several parts share (models of several sources saw it) is one unit and is swapped
    in all of them at once; units of different targets are swapped independently.

    Args:
        parts: The scores.
        score: Their mean.
    """
    units, at = np.unique(np.concatenate([p.units for p in parts]), return_inverse=True)
    terms = np.concatenate([p.terms for p in parts]) / len(parts)
    summed = np.bincount(at, weights=terms, minlength=len(units)).astype(np.float64)
    return Comparable(score, units, summed, " ".join(p.rows for p in parts))


def swap_tests(differences: Floats, seed: int) -> list[float]:
    """Return two-sided p-values of sums of differences when the sign of each unit is open.

    Exact up to 13 units with a difference (the others change nothing), else (b + 1) / (B + 1) with B random
    draws of which b are as far from 0 as what was observed. A pair's result does not depend on which other
    pairs are tested.

    Args:
        differences: Difference of two methods' terms per unit and pair [U, P].
        seed: Of the random draws; flipping all signs of the differences does not change the result.
    """
    moved = [column[column != 0] for column in differences.T]
    return [_exact(column) if len(column) <= EXACT_UNITS else _by_draws(column, seed) for column in moved]


def _limit(terms: Floats) -> float:
    """Return the distance from 0 from which a sum counts as at least as far as the one observed."""
    rounding = 1e-9 * np.abs(terms).sum(0)  # sums of the same terms in another order are equal
    return float(np.abs(terms.sum(0)) - rounding)


def _exact(terms: Floats) -> float:
    ways = np.arange(2 ** len(terms))[:, None] >> np.arange(len(terms)) & 1
    return float((np.abs((2 * ways - 1) @ terms) >= _limit(terms)).mean())


def _by_draws(terms: Floats, seed: int) -> float:
    # Units with the same absolute difference are drawn together: how many of n are swapped is binomial.
    kinds, sizes = np.unique(np.abs(terms), return_counts=True)
    limit = _limit(terms)
    rng = np.random.default_rng(seed)
    step = max(1, _CHUNK_CELLS // len(kinds))
    beyond = 0
    for start in range(0, DRAWS, step):
        swapped = rng.binomial(sizes, 0.5, size=(min(step, DRAWS - start), len(sizes)))
        beyond += int((np.abs((sizes - 2.0 * swapped) @ kinds) >= limit).sum())
    return (beyond + 1) / (DRAWS + 1)


def holm(p: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number by Holm's step-down method, at most 1."""
    order = np.argsort(p, kind="stable")
    factors = len(p) - np.arange(len(p))
    stepped = np.maximum.accumulate(np.asarray(p, np.float64)[order] * factors)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(stepped, 1.0)
    return [float(v) for v in adjusted]


def tie_groups(scores: Mapping[str, float], adjusted: Mapping[frozenset[str], float]) -> dict[str, int]:
    """Return the rank of every method: 1 + the number of methods in better groups.

    The best opens a group; the next joins unless it is significantly worse than the group's first, else it
    opens the next group.

    Args:
        scores: Score per method.
        adjusted: Adjusted p-value per pair.
    """
    ranks: dict[str, int] = {}
    leader, rank = "", 1
    for place, name in enumerate(sorted(scores, key=lambda n: (-scores[n], n)), start=1):
        if not leader or adjusted[frozenset((leader, name))] < ALPHA:
            leader, rank = name, place
        ranks[name] = rank
    return ranks


def compare(entries: Mapping[str, Comparable]) -> Column:
    """Test all pairs of methods of one column and rank them.

    Methods scored on other rows than most are left out; on a tie the group with the best score is kept.

    Args:
        entries: Score per method.
    """
    groups: dict[str, list[str]] = {}
    for name in sorted(entries, key=lambda n: (-entries[n].score, n)):
        groups.setdefault(entries[name].rows, []).append(name)
    compared = max(groups.values(), key=len, default=[])
    pairs = list(combinations(compared, 2))
    p = _p_values(entries, pairs)
    tests = tuple(
        PairTest(
            first=a,
            second=b,
            difference=entries[a].score - entries[b].score,
            p=raw,
            adjusted=adjusted,
            units=len(entries[a].units),
        )
        for (a, b), raw, adjusted in zip(pairs, p, holm(p), strict=True)
    )
    ranks = tie_groups(
        {name: entries[name].score for name in compared},
        {frozenset((t.first, t.second)): t.adjusted for t in tests},
    )
    return Column(ranks, tests, tuple(name for name in entries if name not in compared))


def _p_values(entries: Mapping[str, Comparable], pairs: Sequence[tuple[str, str]]) -> list[float]:
    if not pairs:
        return []
    orders = {name: np.argsort(entries[name].units, kind="stable") for pair in pairs for name in pair}
    terms = {name: entries[name].terms[order] for name, order in orders.items()}
    differences = np.stack([terms[a] - terms[b] for a, b in pairs], axis=1)
    size = max(float(np.abs(t).max()) for t in terms.values())
    differences[np.abs(differences) < 1e-12 * size] = 0.0  # rounding only
    units = entries[pairs[0][0]].units[orders[pairs[0][0]]]
    digest = hashlib.sha256("\n".join(units).encode()).digest()
    return swap_tests(differences, int.from_bytes(digest[:8], "big"))
