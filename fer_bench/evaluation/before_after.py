"""The scores of two models on the same rows, and their paired difference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from fer_bench.errors import StoreError
from fer_bench.evaluation.estimates import Estimate, answers, estimate
from fer_bench.evaluation.intervals import Value, difference
from fer_bench.results.predictions import Predictions
from fer_bench.results.scores import Change


class Metrics(NamedTuple):
    """A metric of two models.

    Attributes:
        before: Of the first.
        after: Of the second.
        difference: Second minus first, paired by unit.
    """

    before: Value
    after: Value
    difference: Value

    @property
    def change(self) -> Change:
        """Return it as a record holds it."""
        ends = self.difference.interval
        return Change(
            before=self.before.value,
            after=self.after.value,
            difference=self.difference.value,
            low=None if ends is None else ends.low,
            high=None if ends is None else ends.high,
        )


@dataclass(frozen=True)
class Comparison:
    """What two models score on the same rows.

    Attributes:
        label_set: Classes that both know, in the second's order; answers are restricted to them.
        before: Scores of the first; None with fewer than two such classes, or without a row of them.
        after: Scores of the second.
        metrics: Both with their difference, by metric.
    """

    label_set: tuple[str, ...]
    before: Estimate | None
    after: Estimate | None
    metrics: dict[str, Metrics]


def compare(before: Predictions, after: Predictions) -> Comparison:
    """Compare two models on the same rows, over the classes that both know.

    The intervals are about these weights and other units of the same kind: another training seed would give
    other weights.

    Args:
        before: Predictions of the first.
        after: Predictions of the second, on the same rows in any order.

    Raises:
        StoreError: Rows or labels of the two differ.
    """
    one, two = (
        p.frame[["sample_id", "unit", "label"]].sort_values("sample_id", ignore_index=True)
        for p in (before, after)
    )
    if not one.equals(two):
        raise StoreError("the rows or labels of two predictions differ, so they cannot be compared")
    label_set = tuple(name for name in after.meta.classes if name in before.meta.classes)
    target = after.meta.target
    if len(label_set) < 2 or not two["label"].isin(label_set).any():
        return Comparison(label_set, None, None, {})
    first = estimate([answers(before, label_set)], target, seeds=(0,), training="before")
    second = estimate([answers(after, label_set)], target, seeds=(0,), training="after")
    found = {}
    for name, value in second.values.items():
        earlier = first.values.get(name)
        apart = None if earlier is None else difference(value, earlier)
        if earlier is not None and apart is not None:
            found[name] = Metrics(earlier, value, apart)
    return Comparison(label_set, first, second, found)
