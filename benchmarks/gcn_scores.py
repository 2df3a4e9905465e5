"""The lines of gcn's tables: which variants they are of, how they score, and how far one is above another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from gcn_arms import Arm
from gcn_people import Beside, People, Trained

from fer_bench.evaluation.estimates import Estimate, estimate
from fer_bench.evaluation.intervals import Value, difference
from fer_bench.leaderboard.markup import signed_percent, with_interval
from fer_bench.results.store import Store

PLAIN, SCRATCH, PRETRAINED, CONTROL, ENROLLED = (
    "plain encoder",
    "gcn from scratch",
    "gcn pre-trained",
    "control",
    "gcn enrolled",
)
"""Variants of the sweep."""
ROWS: tuple[tuple[str, str, Beside], ...] = (
    (PLAIN, PLAIN, "generated"),
    (SCRATCH, SCRATCH, "generated"),
    ("control: plain encoder, started from the generator's encoder", CONTROL, "generated"),
    (PRETRAINED, PRETRAINED, "generated"),
    (f"{ENROLLED}: own neutral frame", ENROLLED, "own"),
    (f"{ENROLLED}: neutral frame of another person", ENROLLED, "other"),
    (f"{ENROLLED}: generated reference", ENROLLED, "generated"),
)
"""Lines of the table: the name, the variant, and what its faces are compared with."""
AGAINST = (PLAIN, ROWS[2][0])
"""Lines that the others are compared with."""
TrainedModels = Mapping[str, Sequence[Trained]]
"""By variant."""


def common_runs(arms: Mapping[str, Arm]) -> dict[str, Arm]:
    """Return the runs of the folds and seeds that all variants have."""
    common = set.intersection(*({*arm.records} for arm in arms.values()))
    return {name: only(arm, common) for name, arm in arms.items()}


def only(arm: Arm, common: set[tuple[int, int]]) -> Arm:
    """Return the runs of some folds and seeds."""
    return replace(arm, records={key: record for key, record in arm.records.items() if key in common})


def trained_models(store: Store, arms: Mapping[str, Arm]) -> dict[str, list[Trained]]:
    """Return the models of all variants."""
    return {name: [Trained(store, each) for each in arm.records.values()] for name, arm in arms.items()}


def score(
    models: TrainedModels, people: Sequence[People], rows: Sequence[tuple[str, str, Beside]] = ROWS
) -> dict[str, Estimate]:
    """Return the scores of every line of a table, averaged over folds and then over seeds."""
    found = {}
    for name, variant, beside in rows:
        if mine := models.get(variant):
            given = [each.answers(people, beside) for each in mine]
            seeds = [each.record.seed for each in mine]
            found[name] = estimate(given, "oulu", seeds=seeds, training=variant)
    return found


def above(first: Value, second: Value) -> str:
    """Return how far a score is above another, in points, with its interval."""
    found = difference(first, second)
    if found is None:
        return f"{100 * (first.value - second.value):+.1f}"
    return with_interval(found, signed_percent)
