from __future__ import annotations

import numpy as np
import pytest

from fer_bench.emotions import LABEL_SETS
from fer_bench.evaluation.estimates import answers, average, estimate, seed_shares
from fer_bench.evaluation.intervals import Value
from fer_bench.evaluation.statistics import Interval
from fer_bench.evaluation.transfer import (
    Generalisation,
    counted_targets,
    generalisation,
    retention,
)

SEVEN_C = [e.value for e in LABEL_SETS["7c"]]
SEVEN = [e.value for e in LABEL_SETS["7"]]


def one_hot(classes, answered, size=3.0):
    return [[size if name == answer else 0.0 for name in classes] for answer in answered]


def test_folds_are_averaged_before_seeds():
    shares = seed_shares([0, 0, 0, 1])
    assert shares == pytest.approx([1 / 6, 1 / 6, 1 / 6, 1 / 2])


def test_models_are_averaged_and_never_pooled(make):
    labels = ["happiness"] * 10 + ["sadness"] * 30
    always = {
        name: answers(make(SEVEN, labels, one_hot(SEVEN, [name] * 40)), ["happiness", "sadness"])
        for name in ("happiness", "sadness")
    }
    right = answers(make(SEVEN, labels, one_hot(SEVEN, labels)), ["happiness", "sadness"])
    found = estimate([always["happiness"], right], "rafdb")
    assert found.values["uar"].value == 0.75
    assert found.values["accuracy"].value == (0.25 + 1) / 2
    assert (found.n, found.k, found.units) == (40, 2, 40)


@pytest.mark.parametrize(("units", "expected"), [(9, False), (10, True)])
def test_under_ten_units_there_is_no_interval(make, units, expected):
    labels = [("happiness", "sadness")[i // units % 2] for i in range(60)]
    rng = np.random.default_rng(0)
    given = answers(
        make(SEVEN, labels, rng.normal(size=(60, 7)), [f"u{i % units}" for i in range(60)]), SEVEN
    )
    found = estimate([given], "rafdb")
    assert found.units == units
    assert (found.values["uar"].interval is not None) is expected
    again = estimate([given], "rafdb")
    assert found == again


def test_average_needs_an_interval_of_every_part():
    draws = np.linspace(0, 1, 11)
    part = Value(0.4, Interval(0.1, 0.7), draws)
    both = average([part, Value(0.6, Interval(0.1, 0.7), draws[::-1])])
    assert both.value == 0.5
    assert both.interval == Interval(0.5, 0.5)  # opposite draws cancel
    assert average([part, Value(0.6, None)]).interval is None


def test_targets_are_the_list_without_own_members_and_shared_pictures():
    named = ("ckplus", "mmi", "oulu", "expw")
    shared = frozenset({frozenset(("expw", "mmafedb"))})
    assert counted_targets("oulu", named) == ("ckplus", "mmi", "expw")
    assert counted_targets("ckplus+mmi", named) == ("oulu", "expw")
    assert counted_targets("mmafedb", named, shared) == ("ckplus", "mmi", "oulu")


def test_a_missing_target_makes_generalisation_incomplete():
    transfers = {"a": Value(0.2, None), "b": Value(0.4, None)}
    whole, part = generalisation(transfers, ["a", "b"]), generalisation(transfers, ["a", "b", "c"])
    assert whole.mean == part.mean == Value(pytest.approx(0.3), None)
    assert whole.complete
    assert (part.complete, part.scored, part.wanted) == (False, 2, 3)
    assert not generalisation({}, []).complete


def source(transfer, in_domain, low):
    return Generalisation(Value(transfer, None), 6, 6, Value(in_domain, Interval(low, 1.0)))


def test_retention_is_a_ratio_of_means_and_withheld_near_chance():
    assert retention([source(0.2, 0.8, 0.7)]) == pytest.approx(0.25)
    assert retention([source(0.2, 0.8, 0.7), source(0.1, 0.2, 0.15)]) == pytest.approx(0.15 / 0.5)
    assert retention([source(0.2, 0.3, 0.09)]) is None
    assert retention([Generalisation(Value(0.2, None), 6, 6, Value(0.8, None))]) is None
    assert retention([Generalisation(Value(0.2, None), 6, 6, None)]) is None
    assert retention([]) is None
