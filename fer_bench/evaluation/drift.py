"""Whether two sets of predictions without labels differ: two-sample tests over whole units, and effect sizes.

A unit is a picture or a video: the faces of one file are not independent, so each file counts once, by the
mean over its faces. p-values are of permutations of whole files, or of Kolmogorov and Smirnov's test on their
means, and are adjusted for the number of tests (Holm 1979).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.special import binom
from scipy.stats import chi2, fisher_exact, ks_2samp, rankdata

from fer_bench.errors import DataError
from fer_bench.evaluation.confusion import Floats
from fer_bench.evaluation.pairs import holm

PERMUTATIONS = 1999
MANY = 1000
"""Units of both sides above which class shares are compared by the chi-square limit, not by permutation."""
MOST_DISTANCES = 300
"""Units per side whose distances are computed; more are drawn at random from all."""
EXACT = 500
"""Units per side up to which p-values of Kolmogorov and Smirnov are exact."""
AT_ONCE = 200
"""Permutations at a time."""


@dataclass(frozen=True)
class Observed:
    """Predictions of one time or place.

    Attributes:
        classes: Class names.
        units: Unit of each face [N].
        probabilities: Of the classes [N, K].
        values: Further numbers of each face by name [N], such as `detector score`; NaN where one is missing.
        features: What faces are compared by, [N, D]; None takes the logarithms of the probabilities.
        faceless: Names of units in which no face was found, or that could not be read.
    """

    classes: tuple[str, ...]
    units: NDArray[np.str_]
    probabilities: Floats
    values: Mapping[str, Floats] = field(default_factory=dict)
    features: Floats | None = None
    faceless: frozenset[str] = frozenset()

    @property
    def count(self) -> int:
        """Return the number of units with a face."""
        return len(np.unique(self.units))


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One comparison.

    Attributes:
        name: What is compared.
        test: The test, in words.
        old: Value on the old side, in words.
        new: Value on the new side.
        effect: Size of the difference, 0 for none and 1 for the largest there can be.
        measure: What the effect is.
        p: Its p-value.
        adjusted: The p-value adjusted for the number of tests; NaN until all tests are done.
        units: Units compared, old and new.
    """

    name: str
    test: str
    old: str
    new: str
    effect: float
    measure: str
    p: float
    adjusted: float = math.nan
    units: tuple[int, int]


@dataclass(frozen=True)
class Drift:
    """What two sets of predictions differ in.

    Attributes:
        findings: One per test.
        shares: Share of each class on the old and the new side, units counting the same.
        alpha: Chance of a false alarm over all tests together.
        least: Least effect that counts.
    """

    findings: tuple[Finding, ...]
    shares: dict[str, tuple[float, float]]
    alpha: float
    least: float

    @property
    def alarms(self) -> tuple[Finding, ...]:
        """Return the comparisons that show drift."""
        return tuple(one for one in self.findings if one.adjusted <= self.alpha and one.effect >= self.least)

    @property
    def drifted(self) -> bool:
        """Return whether anything drifted."""
        return bool(self.alarms)


def compare(old: Observed, new: Observed, *, alpha: float = 0.05, least: float = 0.0, seed: int = 0) -> Drift:
    """Test whether two sets of predictions are of the same kind.

    If they are, the chance that anything is called drift is `alpha` at most.

    Args:
        old: What was seen when the model was tested.
        new: What is seen now.
        alpha: Chance of a false alarm over all tests together.
        least: Effects below this do not count, however sure they are.
        seed: Of the permutations.

    Raises:
        DataError: Other classes, or so few units that no test could show anything.
    """
    if set(old.classes) != set(new.classes):
        raise DataError(
            "the two files have different classes, so they come from different models",
            value=", ".join(sorted({*old.classes} ^ {*new.classes})),
        )
    place = [new.classes.index(name) for name in old.classes]
    before, after = _Units(old, old.probabilities), _Units(new, new.probabilities[:, place])
    rng = np.random.default_rng(seed)
    shared = [name for name in old.values if name in new.values]
    smallest = max(binom(old.count + new.count, old.count) ** -1, 1 / (PERMUTATIONS + 1))
    if smallest * (4 + len(shared)) > alpha:
        raise DataError(
            "too few files: even the largest difference could be chance",
            value=f"{old.count} and {new.count}",
            hint="predict more files; of long videos, --block SECONDS counts pieces of them",
        )
    results = [
        _of_shares(before, after, old.classes, rng),
        _of_values("top probability", before.means(_top(before.faces)), after.means(_top(after.faces))),
        _of_features(before, after, rng),
    ]
    for name in shared:
        one, two = before.means(old.values[name]), after.means(new.values[name])
        if len(one) and len(two):
            results.append(_of_values(name, one, two))
    if old.faceless or new.faceless:
        results.append(_of_faceless(old, new))
    adjusted = holm([one.p for one in results])
    findings = tuple(replace(one, adjusted=p) for one, p in zip(results, adjusted, strict=True))
    shares = {
        name: (float(a), float(b))
        for name, a, b in zip(old.classes, before.answers.mean(0), after.answers.mean(0), strict=True)
    }
    return Drift(findings, shares, alpha, least)


class _Units:
    """The faces of one side, and means over the faces of each unit."""

    def __init__(self, observed: Observed, probabilities: Floats) -> None:
        self.observed, self.faces = observed, probabilities
        self.names, self.code = np.unique(observed.units, return_inverse=True)

    def means(self, values: Floats) -> Floats:
        """Return the mean of a number over the faces of each unit; units without one are left out."""
        known = np.isfinite(values)
        held = np.bincount(self.code[known], minlength=len(self.names))
        sums = np.bincount(self.code[known], weights=values[known], minlength=len(self.names))
        found: Floats = sums[held > 0] / held[held > 0]
        return found

    def rows(self, values: Floats) -> Floats:
        """Return the mean of rows [N, D] over the faces of each unit [U, D]."""
        sums = np.zeros((len(self.names), values.shape[1]))
        np.add.at(sums, self.code, values)
        found: Floats = sums / np.bincount(self.code)[:, None]
        return found

    @cached_property
    def answers(self) -> Floats:
        """The share of each answer among the faces of each unit [U, K]."""
        return self.rows(np.eye(self.faces.shape[1])[self.faces.argmax(1)])


def _top(probabilities: Floats) -> Floats:
    top: Floats = probabilities.max(1)
    return top


def _drawn(rows: Floats, most: int, rng: np.random.Generator) -> Floats:
    """Return the rows, or so many of them at random."""
    if len(rows) <= most:
        return rows
    return rows[np.sort(rng.choice(len(rows), most, replace=False))]


def _deals(first: int, second: int, rng: np.random.Generator) -> Iterator[Floats]:
    """Yield random deals of units to the first side, rows of 0 and 1, some at a time; the true one first."""
    truth = np.zeros((1, first + second))
    truth[0, :first] = 1
    yield truth
    for start in range(0, PERMUTATIONS, AT_ONCE):
        count = min(AT_ONCE, PERMUTATIONS - start)
        yield rng.permuted(np.repeat(truth, count, axis=0), axis=1)


def _p_value(statistics: Floats) -> float:
    """Return the p-value of the first statistic among those of all deals."""
    return float((statistics >= statistics[0] * (1 - 1e-12)).mean())


def _of_shares(before: _Units, after: _Units, classes: tuple[str, ...], rng: np.random.Generator) -> Finding:
    """Compare class shares by a chi-square statistic, under permutation of units where they are few."""
    one, two = before.answers, after.answers
    rows = np.concatenate([one, two])
    if len(rows) > MANY:
        p, test = _wald(one, two), "chi-square of unit means"
    else:
        rows = rows[:, rows.any(0)]
        overall, whole = rows.mean(0), rows.sum(0)
        found = []
        for deal in _deals(len(one), len(two), rng):
            dealt = deal @ rows
            apart = dealt / len(one) - (whole - dealt) / len(two)
            found.append((apart**2 / overall).sum(1))
        p, test = _p_value(np.concatenate(found)), "chi-square under permutation"
    shares = one.mean(0), two.mean(0)
    most = int(np.abs(shares[1] - shares[0]).argmax())
    return Finding(
        name="class shares",
        test=test,
        old=f"{classes[most]} {shares[0][most]:.1%}",
        new=f"{classes[most]} {shares[1][most]:.1%}",
        effect=float(np.abs(shares[1] - shares[0]).sum() / 2),
        measure="share that answers otherwise (total variation)",
        p=p,
        units=(len(one), len(two)),
    )


def _wald(one: Floats, two: Floats) -> float:
    """Return the p-value of equal means of rows of shares, from their pooled covariance."""
    rows = np.concatenate([one, two])
    values, vectors = np.linalg.eigh(np.cov(rows.T, bias=True))
    used = values > 1e-9 * max(values.max(), 1e-12)  # shares sum to one, so that one direction is empty
    apart = (two.mean(0) - one.mean(0)) @ vectors[:, used]
    statistic = len(one) * len(two) / len(rows) * float((apart**2 / values[used]).sum())
    return float(chi2.sf(statistic, int(used.sum())))


def _of_values(name: str, one: Floats, two: Floats) -> Finding:
    """Compare the means of units by Kolmogorov and Smirnov's test."""
    ranks = rankdata(np.concatenate([one, two]))
    above = (ranks[len(one) :].sum() - len(two) * (len(two) + 1) / 2) / (len(one) * len(two))
    return Finding(
        name=name,
        test="Kolmogorov-Smirnov",
        old=f"{one.mean():.3g}",
        new=f"{two.mean():.3g}",
        effect=float(abs(2 * above - 1)),
        measure="chance that one side is higher, less that the other is (Cliff's delta)",
        p=float(ks_2samp(one, two, method="exact" if max(len(one), len(two)) <= EXACT else "asymp").pvalue),
        units=(len(one), len(two)),
    )


def _of_features(before: _Units, after: _Units, rng: np.random.Generator) -> Finding:
    """Compare where faces lie by the energy distance (Szekely and Rizzo 2013) under permutation of units."""
    one, two = before.observed.features, after.observed.features
    scaled = one is not None and two is not None
    if one is None or two is None:
        one, two = (np.log(np.clip(side.faces, 1e-6, None)) for side in (before, after))
    elif one.shape[1] != two.shape[1]:
        raise DataError("the features of the two files come from different networks: their number differs")
    sides = [_drawn(side.rows(rows), MOST_DISTANCES, rng) for side, rows in ((before, one), (after, two))]
    rows = np.concatenate(sides)
    if scaled:
        rows = (rows - rows.mean(0)) / np.maximum(rows.std(0), 1e-9)
    first, second = len(sides[0]), len(sides[1])
    distance = cdist(rows, rows)
    whole, coefficient = distance.sum(), 0.0
    found: list[Floats] = []
    for deal in _deals(first, second, rng):
        reached = deal @ distance
        inner = (reached * deal).sum(1)
        across = reached.sum(1) - inner
        outer = whole - 2 * across - inner
        twice = 2 * across / (first * second)
        statistic = twice - inner / first**2 - outer / second**2
        if not found:
            coefficient = float(statistic[0] / twice[0]) if twice[0] > 0 else 0.0
        found.append(statistic)
    return Finding(
        name="features" if scaled else "log-probabilities",
        test="energy distance under permutation",
        old="-",
        new="-",
        effect=float(np.clip(coefficient, 0, 1)),
        measure="energy distance as a share of the distance across",
        p=_p_value(np.concatenate(found)),
        units=(first, second),
    )


def _of_faceless(old: Observed, new: Observed) -> Finding:
    """Compare the shares of units without a face."""
    counts = [[len(one.faceless), one.count] for one in (old, new)]
    shares = [none / (none + some) for none, some in counts]
    return Finding(
        name="files without a face",
        test="Fisher's exact test",
        old=f"{shares[0]:.1%}",
        new=f"{shares[1]:.1%}",
        effect=abs(shares[1] - shares[0]),
        measure="difference of the shares",
        p=float(fisher_exact(counts).pvalue),
        units=(sum(counts[0]), sum(counts[1])),
    )
