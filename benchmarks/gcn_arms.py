"""gcn's stored runs by dataset and variant, and how much better one variant is than another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sweep_runs import finished_runs, runs_of_variant

from fer_bench import datasets
from fer_bench.config import SweepConfig
from fer_bench.evaluation import intervals
from fer_bench.evaluation.estimates import Estimate, answers, estimate
from fer_bench.evaluation.pairs import compare
from fer_bench.evaluation.stored import read_scored
from fer_bench.results.record import Record
from fer_bench.results.store import Store
from fer_bench.runs.resolve import resolve_folds


@dataclass(frozen=True)
class Arm:
    """The finished runs of one variant on one dataset.

    Attributes:
        dataset: Trained and tested on.
        name: Of the variant in its sweep file.
        records: By fold and seed.
        folds: How many folds the sweep has.
    """

    dataset: str
    name: str
    records: Mapping[tuple[int, int], Record]
    folds: int

    @property
    def first(self) -> Record:
        """The run of the first fold and seed."""
        return self.records[min(self.records)]

    def seeds(self) -> int:
        """Return how many repetitions there are."""
        return len({seed for _, seed in self.records})

    def only(self, other: Arm) -> Arm:
        """Return the runs that have a partner of the same fold and seed in another arm."""
        kept = {key: record for key, record in self.records.items() if key in other.records}
        return Arm(self.dataset, self.name, kept, self.folds)

    def estimate(self, store: Store) -> Estimate:
        """Return the test scores, averaged over folds and then over seeds."""
        given = []
        for record in self.records.values():
            score = record.score(self.dataset, record.headline)
            assert score is not None
            predictions = read_scored(store, record, self.dataset, record.headline)
            given.append(answers(predictions, score.label_set))
        return estimate(given, self.dataset, seeds=[seed for _, seed in self.records])


Arms = dict[str, dict[str, Arm]]
"""By dataset and variant."""


def read_arms(store: Store, sweep: SweepConfig, size: str | None = None) -> Arms:
    """Return the finished runs of a sweep file; of several with one fold and seed the last finished counts.

    Args:
        store: Where the runs are.
        sweep: What was to run.
        size: Leave out synthetic runs on a stand-in of another size.

    Raises:
        StoreError: A damaged record, or synthetic and real data in one store.
    """
    found: Arms = {}
    records = finished_runs(store, "gcn", sweep, size=size)
    for dataset in sweep.datasets:
        protocol, folds = resolve_folds(sweep, dataset, datasets.get(dataset).card, sweep.profile)
        tested = [r for r in records if (r.dataset, r.protocol) == (dataset, protocol) and r.fold in folds]
        for name, change in sweep.variants.items():
            by_run = {(r.fold, r.seed): r for r in runs_of_variant(tested, sweep, change)}
            if by_run:
                arm = Arm(dataset, name, dict(sorted(by_run.items())), len(folds))
                found.setdefault(dataset, {})[name] = arm
    return found


def difference(store: Store, first: Arm, second: Arm) -> str:
    """Return how much better the first is, in points of UAR, with its interval and the exchange test.

    Over the folds and seeds that both have; from three common seeds on the two are tested.
    """
    first, second = first.only(second), second.only(first)
    if not first.records:
        return "-"
    one, other = first.estimate(store), second.estimate(store)
    a, b = one.values["uar"], other.values["uar"]
    text = f"{100 * (a.value - b.value):+.1f}"
    found = intervals.difference(a, b)
    if found is None or found.interval is None or a.combined is None or b.combined is None:
        return text
    text += f" [{100 * found.interval.low:+.1f}, {100 * found.interval.high:+.1f}]"
    tests = compare({"first": a.combined, "second": b.combined}).tests
    return f"{text}, p = {tests[0].p:.2g}" if tests else f"{text}, provisional"
