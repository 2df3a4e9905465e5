"""How alike the datasets of a section look, beside the transfer between them that this may explain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from fer_bench.evaluation.similarity import Explained, explained
from fer_bench.leaderboard.tables import Section
from fer_bench.results.similarity import Pair, Similarity


@dataclass(frozen=True)
class Alike:
    """What one network says of the datasets of a section.

    Attributes:
        similarity: Where it comes from.
        pairs: The section's pairs, the least alike first.
        transfer: Transfer score by source and target, averaged over the methods that were tested on it.
        by_classifier: How well being told apart orders transfer; None with too few datasets.
        by_distance: The same of the distance.
    """

    similarity: Similarity
    pairs: tuple[Pair, ...]
    transfer: Mapping[tuple[str, str], float]
    by_classifier: Explained | None
    by_distance: Explained | None


def alike(section: Section, known: Sequence[Similarity]) -> list[Alike]:
    """Return what is known of how alike a section's datasets look.

    Pairs are left out where a dataset is not the version that the section's runs were tested on.

    Args:
        section: The section.
        known: From `read_similarities`.
    """
    tested = {
        (target, data.fingerprint) for record in section.finished for target, data in record.targets.items()
    }
    transfer = mean_transfer(section)
    found = []
    for one in known:
        here = {name for name, (fingerprint, _) in one.data.items() if (name, fingerprint) in tested}
        pairs = [pair for pair in one.pairs if {pair.first, pair.second} <= here]
        if not pairs:
            continue
        pairs.sort(key=lambda pair: (-pair.told_apart, -(pair.distance or 0.0), pair.first, pair.second))
        by_pair = {frozenset((pair.first, pair.second)): pair for pair in pairs}
        told = {names: pair.told_apart for names, pair in by_pair.items()}
        apart = {names: pair.distance for names, pair in by_pair.items() if pair.distance is not None}
        names = [name for name in section.targets if name in here]
        found.append(
            Alike(
                one,
                tuple(pairs),
                transfer,
                explained(names, told, transfer),
                explained(names, apart, transfer),
            )
        )
    return found


def mean_transfer(section: Section) -> dict[tuple[str, str], float]:
    """Return the transfer score by source and target, averaged over methods of usual settings."""
    scores: dict[tuple[str, str], list[float]] = {}
    for cell in section.cells:
        if cell.usual and cell.headline:
            for target, estimate in cell.cross.items():
                if "transfer" in estimate.values:
                    scores.setdefault((cell.source, target), []).append(estimate.values["transfer"].value)
    return {pair: fmean(values) for pair, values in scores.items()}
