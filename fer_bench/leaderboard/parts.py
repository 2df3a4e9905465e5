"""A cell's scores on named subsets of test rows, such as turned or occluded faces."""

from __future__ import annotations

from dataclasses import dataclass

from fer_bench.evaluation.estimates import Estimate, answers, estimate
from fer_bench.evaluation.subsets import has_scored_rows, of_subset
from fer_bench.leaderboard.in_domain import pool
from fer_bench.results.predictions import Predictions
from fer_bench.results.record import Record, Score
from fer_bench.results.store import Store
from fer_bench.results.subsets import Subset, subsets_of


@dataclass(frozen=True)
class Part:
    """A score on a named subset of rows of a target.

    Attributes:
        target: The target.
        subset: The subset.
        tested: Rows of it that were tested, over all folds.
        estimate: Score on these, over the classes of the whole target.
    """

    target: str
    subset: Subset
    tested: int
    estimate: Estimate


class SubsetModels:
    """The predictions of a cell's runs on the subsets that the store names.

    Args:
        store: The store.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._models: dict[tuple[str, str], list[tuple[Record, Predictions]]] = {}
        self._subsets: dict[tuple[str, str], tuple[Subset, tuple[str, ...]]] = {}

    def add(self, record: Record, score: Score, predictions: Predictions) -> None:
        """Take the predictions of a run on a target."""
        for subset in subsets_of(self.store.root, score.target):
            place = score.target, subset.name
            self._subsets[place] = subset, score.label_set
            self._models.setdefault(place, []).append((record, of_subset(predictions, subset)))

    def estimates(self, runs: int) -> tuple[Part, ...]:
        """Return the estimates on all subsets that the runs of the cell have tested, by target and name.

        In-domain, folds are pooled, since each tests other rows; elsewhere the mean is over models, as for
        the whole target.

        Args:
            runs: Runs of the cell.
        """
        found = []
        for (target, name), models in sorted(self._models.items()):
            subset, label_set = self._subsets[target, name]
            if len(models) < runs or not any(has_scored_rows(p, label_set) for _, p in models):
                continue
            if models[0][0].dataset == target:
                pooled = pool(models, label_set)
                given, seeds = list(pooled.values()), list(pooled)
                tested = sum(len(p.frame) for r, p in models if r.seed == seeds[0])
            else:
                given, seeds = [answers(p, label_set) for _, p in models], [r.seed for r, _ in models]
                tested = len(models[0][1].frame)
            found.append(Part(target, subset, tested, estimate(given, target, seeds=seeds)))
        return tuple(found)
