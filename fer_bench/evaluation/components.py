"""Sums of scores with their uncertainty: what every training seed scored, and what every test unit adds.

A method's score varies with the test units (persons, videos, pictures) and with the training seed. Both are
random factors that cross: each seed's models answer the same units. A `Component` keeps what is needed of one
source's models on one target; weighted sums of components (means over targets and sources, differences of
methods) keep units and seeds that they share, so their uncertainty follows from one rule, `Combined.spread`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fer_bench.evaluation.confusion import Floats
from fer_bench.evaluation.statistics import mean_and_sd

LEVEL = 0.95
"""Wanted coverage of every interval."""
MIN_UNITS = 10
"""With fewer units of a target no interval is given: it would say more about the rule than about the data."""
TINY = 1e-12


@dataclass(frozen=True)
class Component:
    """The score of one source's models on one target.

    Attributes:
        training: Names what was trained; components with the same name are about the same models.
        target: Dataset tested on.
        seeds: Distinct seeds [S].
        scores: Score per seed, its folds averaged [S].
        units: Distinct units with a scored row, sorted [U].
        terms: What each unit adds to each seed's score [S, U]; they sum to the score up to a constant.
        pulls: The same less what a unit as good as the average would add, enlarged as by a jackknife [S, U].
        unseen: Variance of outcomes that too few units show, see `contributions.Recalls`.
        freedom: Degrees of freedom of the variance over units.
        pictures: Whether units are single rows, so that no unit holds several classes.
        rows: Hash of the scored rows, labels and crops; only scores on equal rows are compared.
        weight: Factor in the sum.
    """

    training: str
    target: str
    seeds: tuple[int, ...]
    scores: Floats
    units: NDArray[np.object_]
    terms: Floats
    pulls: Floats
    unseen: float
    freedom: float
    pictures: bool
    rows: str
    weight: float = 1.0

    def on(self, seeds: Collection[int]) -> Component:
        """Return the component of some of the seeds."""
        kept = [place for place, seed in enumerate(self.seeds) if seed in seeds]
        return replace(
            self,
            seeds=tuple(self.seeds[place] for place in kept),
            scores=self.scores[kept],
            terms=self.terms[kept],
            pulls=self.pulls[kept],
        )

    @property
    def exchangeable(self) -> Floats:
        """Return the weighted terms that an exchange test swaps, averaged over seeds [U].

        Pictures are swapped about the mean of their class: where two methods differ in *which* classes they
        know, swapping uncentred terms would count this difference as noise. Persons and videos hold several
        classes each, and are swapped as they are.
        """
        terms: Floats = self.weight * (self.pulls if self.pictures else self.terms).mean(axis=0)
        return terms


class Spread(NamedTuple):
    """The variance of a score, by source.

    Attributes:
        units: From the choice of test units.
        seeds: From the training seed, beyond what units and seeds share; 0 for a single seed.
        shared: What units and seeds do together, a part of `units` that falls with more seeds.
        freedom: Degrees of freedom of their sum (Satterthwaite 1946).
        seeds_freedom: The same if the variance over units were known, as in an exchange test.
    """

    units: float
    seeds: float
    shared: float
    freedom: float
    seeds_freedom: float

    @property
    def variance(self) -> float:
        """Return the whole variance."""
        return self.units + self.seeds

    def half_width(self, level: float = LEVEL) -> float:
        """Return half the width of Student's interval."""
        return self.quantile(level) * float(np.sqrt(self.variance))

    def quantile(self, level: float = LEVEL) -> float:
        """Return Student's quantile of a two-sided interval."""
        from scipy.special import stdtrit  # takes longer to import than all of numpy

        return float(stdtrit(self.freedom, (1 + level) / 2))


class OverSeeds(NamedTuple):
    """How the scores of a training's seeds vary.

    Attributes:
        raw: Variance of their mean.
        shared: The part of it that the variance over units holds already.
        freedom: Degrees of freedom of `raw`.
    """

    raw: float
    shared: float
    freedom: float


@dataclass(frozen=True)
class Combined:
    """A weighted sum of components.

    Attributes:
        parts: The components.
    """

    parts: tuple[Component, ...]

    @property
    def value(self) -> float:
        """Return the sum of the scores, each averaged over its seeds."""
        return float(sum(part.weight * part.scores.mean() for part in self.parts))

    @property
    def seeds(self) -> tuple[int, ...]:
        """Return the seeds that all components have."""
        common = set.intersection(*({*part.seeds} for part in self.parts)) if self.parts else set()
        return tuple(sorted(common))

    @property
    def rows(self) -> tuple[str, ...]:
        """Return what two sums must share to be compared."""
        return tuple(sorted(f"{part.training} {part.target} {part.rows}" for part in self.parts))

    @property
    def fewest_units(self) -> int:
        """Return the number of units of the target with the fewest."""
        return min(max(len(part.units) for part in parts) for parts in _grouped(self.parts, "target"))

    def by_seed(self) -> dict[int, float]:
        """Return the sum of each seed's scores; empty where components have other seeds than others."""
        if len({part.seeds for part in self.parts}) != 1:
            return {}
        sums = np.sum([part.weight * part.scores for part in self.parts], axis=0)
        return dict(zip(self.parts[0].seeds, map(float, sums), strict=True))

    @property
    def seed_sd(self) -> float | None:
        """Return the standard deviation (ddof 1) over seeds; None for one, or where parts have others."""
        values = list(self.by_seed().values())
        return mean_and_sd(values)[1] if values else None

    def on(self, seeds: Collection[int]) -> Combined:
        """Return the sum over some of the seeds."""
        return Combined(tuple(part.on(seeds) for part in self.parts))

    def times(self, factor: float, training: str = "") -> Combined:
        """Return a multiple, of models that are named apart if `training` is given."""
        return Combined(
            tuple(
                replace(part, weight=part.weight * factor, training=f"{training}{part.training}")
                for part in self.parts
            )
        )

    def minus(self, other: Combined) -> Combined:
        """Return the difference from the score of other models."""
        return Combined(self.times(1.0, "first ").parts + other.times(-1.0, "second ").parts)

    @cached_property
    def spread(self) -> Spread:
        """Return the variance over units and seeds.

        Units are crossed with seeds. The variance over units of the seed means holds the units' own variance
        and a share 1/S of what units and seeds do together; so that share is taken off the variance of the
        seeds' scores, down to 0, and not counted twice. Trainings of different methods or sources are
        independent even where their seeds have the same number.
        """
        units, below, below_seeds = 0.0, 0.0, 0.0
        for parts in _grouped(self.parts, "target"):
            _, pulls = _aligned(parts, [p.weight * p.pulls.mean(axis=0) for p in parts])
            variance = float((pulls**2).sum()) + sum(p.weight**2 * p.unseen for p in parts)
            units += variance
            below += variance**2 / min(p.freedom for p in parts)
        seeds, shared = 0.0, 0.0
        for found in self._trainings:
            own = max(0.0, found.raw - found.shared)
            seeds += own
            shared += found.shared
            below_seeds += found.raw**2 / found.freedom if own > 0 else 0.0
        whole = (units + seeds) ** 2
        return Spread(
            units=units,
            seeds=seeds,
            shared=min(shared, units),
            freedom=max(1.0, whole / (below + below_seeds)) if below + below_seeds > TINY**2 else np.inf,
            seeds_freedom=whole / below_seeds if below_seeds > TINY**2 else np.inf,
        )

    @property
    def over_seeds(self) -> OverSeeds:
        """Return how the sum varies over seeds, all trainings together."""
        raw = sum(found.raw for found in self._trainings)
        shared = sum(found.shared for found in self._trainings)
        below = sum(found.raw**2 / found.freedom for found in self._trainings)
        known = sum(found.freedom for found in self._trainings)
        return OverSeeds(raw, shared, raw**2 / below if below > TINY**2 else known)

    @cached_property
    def _trainings(self) -> list[OverSeeds]:
        found = (_over_seeds(parts) for parts in _grouped(self.parts, "training"))
        return [one for one in found if one is not None]

    def exchangeable(self) -> tuple[NDArray[np.object_], Floats]:
        """Return the units of all targets, target by target [U], and what an exchange test swaps [U]."""
        names, terms = [], []
        for parts in sorted(_grouped(self.parts, "target"), key=lambda parts: parts[0].target):
            units, summed = _aligned(parts, [p.exchangeable for p in parts])
            names.append(units)
            terms.append(summed)
        return np.concatenate(names), np.concatenate(terms)

    def unseen(self) -> float:
        """Return the variance of outcomes that swapping pictures about their class's mean cannot show."""
        return float(sum(p.weight**2 * p.unseen for p in self.parts if p.pictures))


def _over_seeds(parts: Sequence[Component]) -> OverSeeds | None:
    count = len(parts[0].seeds)
    if count < 2:
        return None
    scores = np.sum([p.weight * p.scores for p in parts], axis=0)
    shared = 0.0
    for alike in _grouped(parts, "target"):
        _, pulls = _aligned(alike, [p.weight * p.pulls for p in alike])
        shared += float(pulls.var(axis=0, ddof=1).sum())
    return OverSeeds(float(scores.var(ddof=1)) / count, shared / count, count - 1)


def _grouped(parts: Sequence[Component], name: str) -> list[list[Component]]:
    """Return the components that share a field, in the order in which its values come first."""
    values = dict.fromkeys(getattr(part, name) for part in parts)
    return [[part for part in parts if getattr(part, name) == value] for value in values]


def _aligned(parts: Sequence[Component], arrays: Sequence[Floats]) -> tuple[NDArray[np.object_], Floats]:
    """Return the units of several components of one target, and the sum of their arrays unit by unit.

    Args:
        parts: The components.
        arrays: One array [..., U] per component.
    """
    first = parts[0].units
    if all(part.units is first or np.array_equal(part.units, first) for part in parts):
        whole: Floats = np.sum(arrays, axis=0)
        return first, whole
    units = np.unique(np.concatenate([part.units for part in parts]))
    whole = np.zeros((*arrays[0].shape[:-1], len(units)))
    for part, array in zip(parts, arrays, strict=True):
        whole[..., np.searchsorted(units, part.units)] += array
    return units, whole


def mean_of(given: Sequence[Combined]) -> Combined:
    """Return the mean of several sums."""
    return Combined(tuple(part for one in given for part in one.times(1 / len(given)).parts))
