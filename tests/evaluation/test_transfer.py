from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fer_bench.emotions import LABEL_SETS
from fer_bench.evaluation.estimates import answers, estimate
from fer_bench.evaluation.intervals import Value, average, symmetric
from fer_bench.evaluation.transfer import (
    Generalisation,
    counted_targets,
    generalisation,
    retention,
)
from tests.evaluation.samples import single

SEVEN_C = [e.value for e in LABEL_SETS["7c"]]
SEVEN = [e.value for e in LABEL_SETS["7"]]


def one_hot(classes, answered, size=3.0):
    return [[size if name == answer else 0.0 for name in classes] for answer in answered]


def test_folds_are_averaged_before_seeds(make):
    labels = ["happiness", "sadness"] * 10
    right, wrong = (
        answers(make(SEVEN, labels, one_hot(SEVEN, said)), ["happiness", "sadness"])
        for said in (labels, ["fear"] * 20)
    )
    half = answers(make(SEVEN, labels, one_hot(SEVEN, ["happiness"] * 20)), ["happiness", "sadness"])
    found = estimate([half, half, wrong, right], "rafdb", seeds=[0, 0, 0, 1])
    assert found.by_seed["uar"] == pytest.approx({0: 0.5, 1: 1.0})
    assert found.values["uar"].value == pytest.approx(0.75)
    assert found.seed_sd("uar") == pytest.approx(np.sqrt(0.125))
    assert estimate([half, right], "rafdb", seeds=[3, 3]).seed_sd("uar") is None


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
    values = np.random.default_rng(0).random((2, 30))
    part, other = (symmetric(single(v, target=name)) for v, name in zip(values, "ab", strict=True))
    both = average([part, other])
    assert both.value == pytest.approx(values.mean())
    assert both.interval.low < both.value < both.interval.high
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


def source(transfer, in_domain, *, training="source", sd=0.1, target="elsewhere"):
    """Return a source whose models have these scores on 40 units in two seeds."""
    rng = np.random.default_rng(0)
    noise = rng.normal(0, sd, (2, 2, 40))
    noise -= noise.mean(-1, keepdims=True)
    above = symmetric(single(transfer + noise[0], training=training, target=target))
    below = symmetric(single(in_domain + noise[1], training=training, target=f"own {training}"))
    return Generalisation(above, 6, 6, below)


def test_retention_is_a_ratio_of_means_with_an_interval():
    found = retention([source(0.2, 0.8)])
    assert found.value == pytest.approx(0.25)
    assert 0.15 < found.interval.low < 0.25 < found.interval.high < 0.35
    wider = retention([source(0.2, 0.8, sd=0.2)]).interval
    assert wider.high - wider.low == pytest.approx(2 * (found.interval.high - found.interval.low), rel=0.05)
    both = retention([source(0.2, 0.8), source(0.1, 0.4, training="other")])
    assert both.value == pytest.approx(0.15 / 0.6)


def test_retention_is_within_nothing_and_all():
    more = retention([source(0.9, 0.8)])
    assert (more.value, more.interval.high) == (1, 1)
    assert more.interval.low > 0.9
    less = retention([source(-0.1, 0.8)])
    assert (less.value, less.interval.low) == (0, 0)
    near = retention([source(0.02, 0.8, sd=0.3)])
    assert near.interval.low == 0 < near.value < near.interval.high


def test_retention_is_withheld_near_chance_and_where_a_score_is_unknown():
    assert retention([source(0.2, 0.3, sd=0.1)]) is not None
    assert retention([source(0.2, 0.3, sd=1.2)]) is None  # not surely above .1
    known = source(0.2, 0.8)
    assert retention([replace(known, in_domain=Value(0.8, None))]) is None
    assert retention([replace(known, in_domain=None)]) is None
    assert retention([known, replace(known, in_domain=None)]) is None
    assert retention([replace(known, mean=Value(0.2, None))]) is None
    assert retention([]) is None
