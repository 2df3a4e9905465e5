from __future__ import annotations

import pytest

from fer_bench.evaluation.estimates import Estimate
from fer_bench.evaluation.intervals import Value
from fer_bench.evaluation.pairs import Column, PairTest
from fer_bench.evaluation.statistics import Interval
from fer_bench.leaderboard.wording import above_guessing, conclusion, p_text, plain_difference


def column(*tests, left_out=()):
    found = tuple(PairTest(a, b, d, p, p, units) for a, b, d, p, units in tests)
    names = dict.fromkeys(n for t in found for n in (t.first, t.second))
    return Column(dict.fromkeys(names, 1), found, left_out)


def test_differences_and_what_stays_open_are_named():
    found = column(("a", "b", 0.032, 0.004, 25), ("a", "c", 0.1, 0.0002, 25), ("b", "c", 0.07, 0.2, 25))
    assert conclusion(found, "persons") == (
        "a is better than b (+3.2 points, p = .004) and c (+10.0 points, p < .001); "
        "no difference is shown between b and c (25 persons)."
    )
    assert "(+0.03, p = .004)" in conclusion(found, "persons", plain_difference)


def test_no_difference_says_how_far_from_one():
    assert conclusion(column(("a", "b", 0.1, 0.31, 1200)), "pictures") == (
        "no difference between methods is shown (smallest p = .310) (1,200 pictures)."
    )


@pytest.mark.parametrize(("units", "few"), [(5, True), (6, False)])
def test_too_few_units_to_show_anything_are_called_so(units, few):
    text = conclusion(column(("a", "b", 0.5, 2.0 ** (1 - units) + 0.02, units)), "persons")
    assert ("too few to show any" in text) is few


def test_one_method_and_methods_on_other_rows():
    assert conclusion(Column({"a": 1}, (), ()), "persons").startswith("only one method")
    text = conclusion(Column({"a": 1}, (), ("b", "c")), "persons")
    assert "b and c were tested on other rows, crops, folds or seeds and not compared" in text


def test_pairs_above_guessing_are_counted():
    def one(low):
        value = Value(0.2, None if low is None else Interval(low, 0.5))
        return Estimate({"transfer": value}, 10, 2, 10, 1.0, ("a", "b"))

    text = above_guessing([one(0.1), one(-0.1), one(None)])
    assert text.startswith("The interval lies above guessing for 1 of 2 pairs; 1 has too few units for one.")


@pytest.mark.parametrize(("p", "text"), [(0.0004, "p < .001"), (0.0312, "p = .031"), (1.0, "p = 1.000")])
def test_p_values(p, text):
    assert p_text(p) == text
