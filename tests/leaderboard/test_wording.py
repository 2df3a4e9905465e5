from __future__ import annotations

import numpy as np
import pytest

from fer_bench.evaluation.estimates import Estimate
from fer_bench.evaluation.intervals import Value
from fer_bench.evaluation.pairs import Column, PairTest, compare
from fer_bench.evaluation.statistics import Interval
from fer_bench.leaderboard.wording import above_guessing, conclusion, outlook, p_text, plain_difference
from tests.evaluation.samples import single


def column(*tests, left_out=(), untested=()):
    found = tuple(PairTest(a, b, d, None, p / 2, p, units, (0, 1, 2)) for a, b, d, p, units in tests)
    names = dict.fromkeys(n for t in found for n in (t.first, t.second))
    return Column(dict.fromkeys(names, 1.0), found, untested, left_out)


def noisy(means, seeds=3, units=60):
    rng = np.random.default_rng(0)
    return compare({name: single(mean + rng.normal(0, 0.2, (seeds, units))) for name, mean in means.items()})


def test_what_the_best_is_better_than_and_what_stays_open_are_named():
    found = column(("a", "b", 0.032, 0.004, 25), ("a", "c", 0.1, 0.0002, 25), ("b", "c", 0.07, 0.2, 25))
    assert conclusion(found, "persons") == (
        "a is better than b (+3.2 points, adjusted p = .004) and c (+10.0 points, adjusted p < .001) "
        "(25 persons, 3 seeds)."
    )
    assert "(+0.03, adjusted p = .004)" in conclusion(found, "persons", plain_difference)
    open_ = column(("a", "b", 0.01, 0.6, 25), ("a", "c", 0.1, 0.0002, 25), ("b", "c", 0.09, 0.01, 25))
    assert conclusion(open_, "persons") == (
        "a is better than c (+10.0 points, adjusted p < .001); a is not shown to differ from b; "
        "1 further pair differs (25 persons, 3 seeds)."
    )


def test_no_difference_is_said_to_be_none_that_is_shown():
    assert conclusion(column(("a", "b", 0.1, 0.31, 1200)), "pictures") == (
        "a is not shown to differ from b (1,200 pictures, 3 seeds)."
    )


def test_a_method_with_a_better_mean_on_other_seeds_is_not_called_better():
    """The best of all seeds may be the second in a test on common seeds."""
    found = column(("b", "a", 0.1, 0.001, 25))
    found = Column({"a": 1.0, "b": 0.9}, found.tests)
    assert "a is better" not in conclusion(found, "persons")
    assert "1 further pair differs" in conclusion(found, "persons")


@pytest.mark.parametrize(("seeds", "words"), [(1, "1 seed"), (2, "2 seeds")])
def test_few_seeds_are_provisional(seeds, words):
    found = noisy({"a": 0.9, "b": 0.2}, seeds)
    text = conclusion(found, "persons")
    assert text == f"provisional with {words}: methods are compared from 3 common seeds on."
    assert "better" not in text


def test_pairs_without_enough_common_seeds_are_counted():
    found = column(("a", "b", 0.1, 0.001, 25), untested=(("a", "c"), ("b", "c")))
    assert "2 pairs have fewer than 3 common seeds" in conclusion(found, "persons")
    one = column(("a", "b", 0.1, 0.001, 25), untested=(("a", "c"),))
    assert "1 pair has fewer than 3 common seeds" in conclusion(one, "persons")


def test_one_method_and_methods_on_other_rows():
    assert conclusion(Column({"a": 1}, ()), "persons") == ("only one method, so there is nothing to compare.")
    text = conclusion(Column({"a": 1}, (), (), ("b", "c")), "persons")
    assert "b and c were tested on other rows, crops or folds and not compared" in text
    assert "b was tested" in conclusion(Column({"a": 1}, (), (), ("b",)), "persons")


def test_the_outlook_names_the_chance_and_the_seeds():
    text = outlook({"rafdb": noisy({"a": 0.5, "b": 0.5}), "mmi": Column({"a": 1}, ())}, 0.05)
    assert "a true difference of 5 points" in text
    assert "rafdb" in text
    assert "mmi" not in text
    assert outlook({"mmi": Column({"a": 1}, ())}, 0.05) == ""


def test_pairs_above_guessing_are_counted():
    def one(low):
        value = Value(0.2, None if low is None else Interval(low, 0.5))
        return Estimate({"transfer": value}, 10, 2, 10, 1.0, ("a", "b"))

    text = above_guessing([one(0.1), one(-0.1), one(None)])
    assert text == "1 of 2 (1 with too few units)"
    assert above_guessing([one(0.1)]) == "1 of 1"


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (0.0004, "p < .001"),
        (0.0081, "p = .008"),
        (0.0312, "p = .03"),
        (0.0477, "p = .048"),
        (0.0523, "p = .052"),
        (1.0, "p = 1.00"),
    ],
)
def test_p_values(p, text):
    assert p_text(p) == text
