"""Whether methods differ: exchange tests over units and seeds, adjusted for the number of pairs.

If two methods are alike, the answers of one for a person (video, picture) might as well be those of the
other. So both methods' answers for whole units are swapped, over all folds, seeds and sources at once, and
the difference of the seed means is compared with the differences after many random ways of swapping. What
another seed would change is added as a normal variable with the variance over seeds. Differences are divided
by their standard deviation, anew in each draw, and the observed one is taken back by as much as Student's
quantile is larger for few seeds. Three seeds tell little about a method's variance, and among many pairs some
look steady by chance; so half of it (with three seeds) is the mean of all methods of the column, as moderated
t-tests do (Smyth 2004).

All pairs of a column are swapped together: the probability that *any* pair differs by chance as much as this
one (Westfall and Young's step-down max-T) needs no more draws for fifty methods than for two.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations

import numpy as np
from scipy.special import stdtr, stdtrit

from fer_bench.evaluation.components import Combined
from fer_bench.evaluation.confusion import Floats
from fer_bench.evaluation.intervals import Value, symmetric
from fer_bench.evaluation.letters import letters
from fer_bench.evaluation.statistics import Interval

EXACT_UNITS = 14
"""Up to this many units that differ, all ways of swapping are counted."""
LEAST_DRAWS = 20_000
"""Random ways of swapping where units are more."""
MOST_DRAWS = 1_280_000
"""Drawn where a p-value is close to 0.05."""
MIN_SEEDS = 3
"""With fewer common seeds two methods are not tested: two seeds hardly tell how much a third would change."""
ALPHA = 0.05
PRIOR = 2.0
"""Degrees of freedom that the mean variance over seeds of a column's methods counts for in each method's."""
_CHUNK_CELLS = 1_000_000
_MOST_CELLS = 200_000_000
_SURE = 4.0
"""Drawing stops when no adjusted p-value is within so many standard errors of 0.05."""
SHARP = _SURE * (ALPHA * (1 - ALPHA) / LEAST_DRAWS) ** 0.5
"""p-values this close to 0.05 are drawn until their third digit tells something."""
_SAME = 1e-12
"""Terms are the same if they differ by less than this share of the largest."""
_NEARLY = 1 - 1e-9
"""Sums of the same terms in another order are as far from 0."""
_ROUNDING = 1e-12
"""And so are, by less than this many standard deviations, sums whose terms cancel."""
_SMALLEST = 1e-300
MANY = 1e6
"""Degrees of freedom from which Student's distribution is the normal one."""


@dataclass(frozen=True)
class PairTest:
    """A test of two methods on the seeds that both have.

    Attributes:
        first: The method with the higher mean.
        second: The other.
        difference: How much higher, at least 0.
        interval: 95 % interval of the difference, None with under ten units.
        p: Two-sided probability of a difference as large when the methods are alike.
        adjusted: Probability that any pair of the column differs as much when all are alike.
        units: Units that both were scored on.
        seeds: Seeds that both have.
    """

    first: str
    second: str
    difference: float
    interval: Interval | None
    p: float
    adjusted: float
    units: int
    seeds: tuple[int, ...]

    @property
    def significant(self) -> bool:
        """Whether the methods differ at the 5 % level after adjustment."""
        return self.adjusted < ALPHA


@dataclass(frozen=True)
class Column:
    """The methods of one column compared with each other.

    Attributes:
        scores: Score of every method on all its seeds, the best first.
        tests: The pairs with enough common seeds.
        untested: The pairs without.
        left_out: Methods that were scored on other rows, crops or folds than those compared.
    """

    scores: Mapping[str, float]
    tests: tuple[PairTest, ...]
    untested: tuple[tuple[str, str], ...] = ()
    left_out: tuple[str, ...] = ()
    sums: Mapping[str, Combined] = field(default_factory=dict, compare=False, repr=False)

    @property
    def provisional(self) -> bool:
        """Whether no pair has enough common seeds to be tested."""
        return len(self.scores) > 1 and not self.tests

    @cached_property
    def letters(self) -> dict[str, str]:
        """Return the letter display: methods that share a letter are not shown to differ."""
        if not self.tests:
            return {}
        apart = {frozenset((t.first, t.second)) for t in self.tests if t.significant}
        return letters(tuple(self.scores), apart)

    @cached_property
    def leaders(self) -> tuple[str, ...]:
        """Return the methods that no other is shown to be better than, if some method is not one of them.

        A method with an untested pair is not a leader: it may be anywhere.
        """
        beaten = {t.second for t in self.tests if t.significant}
        unsure = {name for pair in self.untested for name in pair}
        return tuple(n for n in self.scores if n not in beaten | unsure) if beaten else ()

    @property
    def best(self) -> str:
        """Return the method with the best mean, whether or not a test backs it; nothing without methods."""
        return next(iter(self.scores), "")

    def difference(self, name: str, reference: str) -> Value | None:
        """Return how far a method is above another on the seeds that both have, with the interval.

        None for a method and itself, and where the two were not scored on the same rows with a common seed.

        Args:
            name: A method.
            reference: The other.
        """
        if name == reference or not {name, reference} <= {*self.sums}:
            return None
        apart = apart_on_common_seeds(self.sums[name], self.sums[reference])
        return None if apart is None else symmetric(apart)

    def test(self, name: str, reference: str) -> PairTest | None:
        """Return the test of two methods, None where they were not tested."""
        return next((t for t in self.tests if {t.first, t.second} == {name, reference}), None)


def common_seeds(first: Combined, second: Combined) -> tuple[int, ...]:
    """Return the seeds that both methods have throughout."""
    return tuple(sorted({*first.seeds} & {*second.seeds}))


def apart_on_common_seeds(first: Combined, second: Combined) -> Combined | None:
    """Return the difference of two methods on the seeds that both have, None without a common seed."""
    seeds = common_seeds(first, second)
    return first.on(seeds).minus(second.on(seeds)) if seeds else None


def compare(entries: Mapping[str, Combined], least_seeds: int = MIN_SEEDS) -> Column:
    """Test all pairs of methods of one column.

    Methods scored on other rows than most are left out; on a tie the group with the best score is kept.

    Args:
        entries: Score per method. Components of what is compared must have the same training names for all.
        least_seeds: Pairs with fewer common seeds are not tested; 1 compares trained files, not methods.
    """
    scores = {name: entries[name].value for name in entries}
    order = sorted(scores, key=lambda n: (-scores[n], n))
    groups: dict[tuple[str, ...], list[str]] = {}
    for name in order:
        groups.setdefault(entries[name].rows, []).append(name)
    compared = max(groups.values(), key=len, default=[])
    pairs = {(a, b): common_seeds(entries[a], entries[b]) for a, b in combinations(compared, 2)}
    tested = {pair: seeds for pair, seeds in pairs.items() if len(seeds) >= least_seeds}
    return Column(
        scores={name: scores[name] for name in compared},
        tests=_test(entries, tested),
        untested=tuple(pair for pair in pairs if pair not in tested),
        left_out=tuple(name for name in order if name not in compared),
        sums={name: entries[name] for name in compared},
    )


@dataclass(frozen=True)
class _Pair:
    """Two methods on their common seeds.

    Attributes:
        columns: Positions of the two in the drawn sums.
        difference: Of their seed means.
        squares: Sum of the squares of what is swapped.
        units: Units that differ.
        extra: Variance that swaps do not show.
        distance: The difference in standard deviations, taken back for few seeds.
        interval: 95 % interval of the difference.
    """

    columns: tuple[int, int]
    difference: float
    squares: float
    units: int
    extra: float
    distance: float
    interval: Interval | None


def _test(
    entries: Mapping[str, Combined], pairs: Mapping[tuple[str, str], tuple[int, ...]]
) -> tuple[PairTest, ...]:
    """Test pairs of methods, each on the seeds given for it."""
    if not pairs:
        return ()
    places: dict[tuple[str, tuple[int, ...]], int] = {}
    sums: list[Combined] = []
    for names, seeds in pairs.items():
        for name in names:
            if (name, seeds) not in places:
                places[name, seeds] = len(sums)
                sums.append(entries[name].on(seeds))
    swapped = [one.exchangeable() for one in sums]
    units, terms = swapped[0][0], np.stack([found for _, found in swapped], axis=1)
    noise = _SeedNoise.of(sums)
    extra = np.array([one.unseen() for one in sums]) + noise.own
    found = [_pair(sums, terms, extra, noise, (places[a, s], places[b, s])) for (a, b), s in pairs.items()]
    digest = hashlib.sha256("\n".join(units).encode()).digest()
    p, adjusted = _p_values(terms, extra, found, int.from_bytes(digest[:8], "big"))
    tests = []
    for ((a, b), seeds), pair, raw, over in zip(pairs.items(), found, p, adjusted, strict=True):
        flip = pair.difference < 0
        ends = pair.interval
        if flip and ends is not None:
            ends = Interval(-ends.high, -ends.low)
        names = (b, a) if flip else (a, b)
        tests.append(PairTest(*names, abs(pair.difference), ends, raw, over, len(units), seeds))
    return tuple(tests)


@dataclass(frozen=True)
class _SeedNoise:
    """The variance over seeds of several methods, each drawn towards their mean.

    Attributes:
        own: Variance of the seed means beyond what units show already [M].
        raw: Variance of the seed means as measured [M].
        freedom: Degrees of freedom of `raw` [M].
    """

    own: Floats
    raw: Floats
    freedom: Floats

    @classmethod
    def of(cls, sums: Sequence[Combined]) -> _SeedNoise:
        """Return the variances of some methods."""
        raw, shared, freedom = np.array([one.over_seeds for one in sums], np.float64).T
        weight = _own_weight(freedom)
        drawn = weight * raw + (1 - weight) * raw.mean()
        return cls(np.maximum(0.0, drawn - shared), raw, freedom)

    def below(self, a: int, b: int) -> float:
        """Return the sum of squares over degrees of freedom of a pair's variance (Satterthwaite 1946)."""
        if self.own[a] + self.own[b] <= 0:
            return 0.0
        weight = _own_weight(self.freedom)
        share = np.full(len(self.raw), (2 - weight[a] - weight[b]) / len(self.raw))
        for place in (a, b):
            share[place] += weight[place]
        return float(((share * self.raw) ** 2 / np.maximum(self.freedom, 1.0)).sum())


def _own_weight(freedom: Floats) -> Floats:
    """Return how much of its variance over seeds a method keeps, when it is drawn towards the mean."""
    weight: Floats = freedom / (PRIOR + freedom)
    return weight


def _pair(
    sums: Sequence[Combined], terms: Floats, extra: Floats, noise: _SeedNoise, at: tuple[int, int]
) -> _Pair:
    a, b = at
    apart = sums[a].minus(sums[b])
    value = symmetric(apart)
    swaps = terms[:, a] - terms[:, b]
    size = float(np.abs(terms[:, [a, b]]).max(initial=0.0))
    swaps = swaps[np.abs(swaps) > _SAME * size]
    squares, own = float((swaps**2).sum()), float(extra[a] + extra[b])
    variance = float(_variance(np.array(swaps.sum()), squares, len(swaps), own))
    distance = abs(value.value) / np.sqrt(variance) if variance > 0 else 0.0
    below = noise.below(a, b)
    if below > 0 and variance > 0:
        whole = apart.spread.units + float(noise.own[a] + noise.own[b])
        known = (apart.spread.units / whole) ** 2 / max(len(swaps) - 1.0, 1.0)
        drawn = min(1 / known, MANY) if known > 0 else MANY  # freedom of the drawn statistic
        chance = max(float(stdtr(max(1.0, 1 / (known + below / whole**2)), -distance)), _SMALLEST)
        distance = -float(stdtrit(max(1.0, drawn), chance))
    return _Pair(at, value.value, squares, len(swaps), own, distance, value.interval)


def _variance(total: Floats, squares: Floats | float, units: Floats | int, extra: Floats | float) -> Floats:
    """Return the variance of a sum of signed terms, from how they vary about their mean.

    A real difference does not enlarge it, so that it can be told from the largest of many chance ones.

    Args:
        total: The sum.
        squares: Sum of the squares of the terms.
        units: Number of terms.
        extra: Variance of what is added to the sum.
    """
    count = np.maximum(units, 2)
    about = np.maximum(squares - total**2 / count, _SAME * np.asarray(squares))
    found: Floats = about * count / (count - 1) + extra
    return found


def _p_values(
    terms: Floats, extra: Floats, pairs: Sequence[_Pair], seed: int
) -> tuple[list[float], list[float]]:
    """Return the p-value of each pair alone and adjusted for all.

    Args:
        terms: What units add to each method's score [U, M].
        extra: Variance that swaps do not show, per method [M].
        pairs: The pairs.
        seed: Of the draws.
    """
    differ = terms[(np.ptp(terms, axis=1) > _SAME * np.abs(terms).max(initial=0.0))]
    distance = np.array([pair.distance for pair in pairs])
    least = distance * _NEARLY - _ROUNDING
    squares, own = np.array([pair.squares for pair in pairs]), np.array([pair.extra for pair in pairs])
    units = np.array([pair.units for pair in pairs])
    order = np.argsort(distance, kind="stable")  # the least apart first: step-down
    a, b = np.array([pair.columns for pair in pairs]).T
    exact = len(differ) <= EXACT_UNITS and not extra.any()
    alone, joint = np.zeros(len(pairs)), np.zeros(len(pairs))
    draws, wanted = 0, 2 ** len(differ) if exact else LEAST_DRAWS
    most = min(MOST_DRAWS, _MOST_CELLS // len(pairs))
    rng = np.random.default_rng(seed)
    step = max(1, _CHUNK_CELLS // max(len(differ), terms.shape[1], len(pairs)))
    while True:
        while draws < wanted:
            size = min(step, wanted - draws)
            signs = _all_signs(draws, size, len(differ)) if exact else _random_signs(rng, size, len(differ))
            swapped = signs @ differ
            swapped = swapped[:, a] - swapped[:, b]
            variance = _variance(swapped, squares, units, own)
            if not exact:
                more = np.sqrt(extra) * rng.standard_normal((size, len(extra)))
                swapped += more[:, a] - more[:, b]
            far = np.abs(swapped) / np.sqrt(np.where(variance > 0, variance, 1.0))
            alone += (far >= least).sum(0)
            running = np.maximum.accumulate(far[:, order], axis=1)
            joint[order] += (running >= least[order]).sum(0)
            draws += size
        added = 0 if exact else 1
        p, adjusted = (alone + added) / (draws + added), (joint + added) / (draws + added)
        adjusted[order[::-1]] = np.maximum.accumulate(adjusted[order[::-1]])
        close = np.abs(adjusted - ALPHA) < _SURE * np.sqrt(ALPHA * (1 - ALPHA) / draws)
        if exact or not close.any() or draws >= most:
            return [float(v) for v in p], [float(v) for v in adjusted]
        wanted = 4 * draws


def _random_signs(rng: np.random.Generator, size: int, units: int) -> Floats:
    """Return random signs [size, units]."""
    bits = np.frombuffer(rng.bytes(-(-size * units // 8)), np.uint8)
    signs: Floats = 1.0 - 2.0 * np.unpackbits(bits)[: size * units].reshape(size, units).astype(np.float64)
    return signs


def _all_signs(start: int, size: int, units: int) -> Floats:
    """Return a run of all ways to give signs to units [size, units]."""
    ways = np.arange(start, start + size)[:, None] >> np.arange(units) & 1
    signs: Floats = 1.0 - 2.0 * ways.astype(np.float64)
    return signs


def holm(p: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number by Holm's step-down method, at most 1."""
    order = np.argsort(p, kind="stable")
    factors = len(p) - np.arange(len(p))
    stepped = np.maximum.accumulate(np.asarray(p, np.float64)[order] * factors)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(stepped, 1.0)
    return [float(v) for v in adjusted]
