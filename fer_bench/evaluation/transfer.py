"""Generalisation to other datasets: mean transfer over a list of targets, and the share that is retained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fer_bench import datasets
from fer_bench.datasets import members_of
from fer_bench.evaluation.intervals import Value, average, ratio
from fer_bench.evaluation.statistics import Interval

MIN_IN_DOMAIN = 0.1
"""Retention is given only where the in-domain score is surely above this."""


def never_cross(names: Iterable[str]) -> frozenset[frozenset[str]]:
    """Return the pairs of datasets that hold the same pictures and are never counted as cross-dataset.

    Args:
        names: Dataset names; those that this installation does not know have no card.
    """
    asked = set(names)
    return frozenset(
        frozenset((name, other))
        for name, reader in datasets.REGISTRY.usable().items()  # not every copy names what it was made from
        for other in reader.card.shares_pixels_with
        if name in asked or other in asked
    )


def counted_targets(
    source: str, named: Sequence[str], excluded: frozenset[frozenset[str]] = frozenset()
) -> tuple[str, ...]:
    """Return the targets over which a source's generalisation is averaged.

    Args:
        source: Dataset or union trained on.
        named: The named target list.
        excluded: Pairs that are never counted, from `never_cross`.
    """
    own = members_of(source)
    return tuple(t for t in named if t not in own and not share_pictures(source, t, excluded))


def share_pictures(source: str, target: str, excluded: frozenset[frozenset[str]]) -> bool:
    """Return whether a source, or a member of it, and a target are a pair that is never counted."""
    return any(frozenset((member, target)) in excluded for member in members_of(source))


@dataclass(frozen=True)
class Generalisation:
    """Mean transfer of one source over the named target list.

    Attributes:
        mean: The mean over the targets that were scored, None when none was.
        scored: How many were.
        wanted: How many the list names for this source.
        in_domain: Mean over the same targets of the in-domain chance-corrected UAR on each pair's label
            set, None when it cannot be computed.
    """

    mean: Value | None
    scored: int
    wanted: int
    in_domain: Value | None = None

    @property
    def complete(self) -> bool:
        """Whether every target of the list was scored; only then it is compared."""
        return self.mean is not None and self.scored == self.wanted


def generalisation(
    transfers: Mapping[str, Value], wanted: Sequence[str], in_domain: Value | None = None
) -> Generalisation:
    """Return the mean transfer over the wanted targets.

    Args:
        transfers: Transfer score per target.
        wanted: From `counted_targets`.
        in_domain: Mean in-domain score on the same pairs' label sets.
    """
    found = [transfers[t] for t in wanted if t in transfers]
    return Generalisation(average(found) if found else None, len(found), len(wanted), in_domain)


def retention(parts: Sequence[Generalisation]) -> Value | None:
    """Return how much of the in-domain score is retained elsewhere: mean transfer over mean in-domain score.

    For several sources it is the ratio of the means over them. It is a share: where a method does at least as
    well elsewhere everything is retained, and ends of the interval are within 0 and 1. None when an in-domain
    score is unknown or the mean of the lower ends of their intervals is below 0.1.

    Args:
        parts: The source's generalisation, or those of a method's sources.
    """
    above = [p.mean for p in parts if p.mean is not None]
    below = [p.in_domain for p in parts if p.in_domain is not None]
    lows = [value.interval.low for value in below if value.interval is not None]
    if not parts or not len(above) == len(below) == len(lows) == len(parts) or np.mean(lows) < MIN_IN_DOMAIN:
        return None
    found = ratio(average(above), average(below))
    if found is None:
        return None
    ends = found.interval
    share = float(np.clip(found.value, 0, 1))
    if ends is not None:
        ends = Interval(float(np.clip(ends.low, 0, 1)), float(np.clip(ends.high, 0, 1)))
    return Value(share, ends, found.combined)
