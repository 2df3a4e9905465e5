from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import permutation_test

from fer_bench.evaluation import pairs
from fer_bench.evaluation.pairs import (
    Comparable,
    compare,
    holm,
    mean_of,
    swap_tests,
    tie_groups,
)


def one_p(differences, seed=0):
    (p,) = swap_tests(np.asarray(differences, float)[:, None], seed)
    return p


def test_few_units_are_counted_exactly_as_scipy_does():
    rng = np.random.default_rng(0)
    for n in (2, 5, 9):
        a, b = rng.random(n), rng.random(n)
        reference = permutation_test(
            (a, b), lambda x, y: (x - y).sum(), permutation_type="samples", n_resamples=np.inf
        )
        assert one_p(a - b) == pytest.approx(reference.pvalue)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(-3, 3), min_size=1, max_size=9))
def test_exact_p_counts_all_ways_also_with_ties_and_zeros(differences):
    d = np.array(differences, float)
    sums = [abs(np.dot(signs, d)) for signs in product((1, -1), repeat=len(d))]
    assert one_p(d / 7) == pytest.approx(np.mean(np.array(sums) >= abs(d.sum()) - 1e-9))


def test_the_border_between_exact_and_drawn_is_thirteen_units():
    thirteen = np.ones(13)
    assert one_p(thirteen) == 2 / 2**13
    assert one_p(np.r_[thirteen, np.zeros(500)]) == 2 / 2**13  # units without a difference change nothing
    drawn = one_p(np.ones(14))
    assert drawn == pytest.approx(1 / (pairs.DRAWS + 1), abs=5e-4)
    assert (drawn * (pairs.DRAWS + 1)) == pytest.approx(round(drawn * (pairs.DRAWS + 1)))


def test_drawn_p_agrees_with_the_exact_one_and_ignores_who_is_first():
    d = np.random.default_rng(3).normal(0.3, 1, 16)
    exact = float(
        (np.abs(((np.arange(2**16)[:, None] >> np.arange(16) & 1) * 2 - 1) @ d) >= abs(d.sum())).mean()
    )
    assert one_p(d) == pytest.approx(exact, abs=4 * np.sqrt(exact / pairs.DRAWS))
    assert one_p(d) == one_p(-d)
    assert one_p(d) == one_p(d * 100)


def test_alike_units_are_drawn_together_without_changing_the_distribution():
    rng = np.random.default_rng(0)
    d = rng.choice([-1.0, 1.0], 400, p=[0.46, 0.54])
    sums = np.abs((2 * rng.integers(2, size=(20_000, 400)) - 1).sum(1))
    assert one_p(d) == pytest.approx((sums >= abs(d.sum())).mean(), abs=0.02)


def test_p_values_are_uniform_when_methods_are_alike():
    rng = np.random.default_rng(1)
    p = np.array([one_p(rng.normal(size=12), seed) for seed in range(300)])
    assert (p < 0.05).mean() == pytest.approx(0.05, abs=0.04)
    assert p.mean() == pytest.approx(0.5, abs=0.06)


def test_no_difference_at_all_is_p_one():
    assert one_p(np.zeros(40)) == 1


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    assert holm([0.2]) == [0.2]
    assert holm([]) == []


def test_tie_groups_compare_with_the_groups_first_only():
    scores = {"a": 0.9, "b": 0.8, "c": 0.7, "d": 0.6}
    p = {frozenset(x): 1.0 for x in ("ab", "ac", "ad", "bc", "bd", "cd")}
    assert tie_groups(scores, p) == {"a": 1, "b": 1, "c": 1, "d": 1}
    p[frozenset("ac")] = 0.01  # c opens a group although b is no better than c
    p[frozenset("ad")] = 0.01
    assert tie_groups(scores, p) == {"a": 1, "b": 1, "c": 3, "d": 3}
    p[frozenset("cd")] = 0.049
    assert tie_groups(scores, p) == {"a": 1, "b": 1, "c": 3, "d": 4}


def terms(values, score, target="rafdb", rows="r"):
    units = np.array([f"{target}\x1fu{i}" for i in range(len(values))], object)
    return Comparable(score, units, np.asarray(values, float), rows)


def test_methods_on_other_rows_are_left_out():
    entries = {
        "a": terms([0.4, 0.4], 0.8),
        "b": terms([0.2, 0.3], 0.5),
        "c": terms([0.5, 0.5], 1.0, rows="other"),
    }
    found = compare(entries)
    assert (found.left_out, dict(found.ranks)) == (("c",), {"a": 1, "b": 1})
    assert found.tests[0].difference == pytest.approx(0.3)
    assert found.winners == ()
    assert compare({}).ranks == {}


def test_the_order_of_units_and_entries_does_not_matter():
    rng = np.random.default_rng(0)
    names = np.array([f"t\x1f{i}" for i in range(30)], object)
    order = rng.permutation(30)
    a, b = rng.random(30) / 30, rng.random(30) / 30
    one = Comparable(a.sum(), names, a, "r")
    two = Comparable(b.sum(), names, b, "r")
    shuffled = Comparable(b.sum(), names[order], b[order], "r")
    assert compare({"a": one, "b": two}).tests == compare({"b": shuffled, "a": one}).tests


def test_generalisation_swaps_a_unit_of_a_target_for_all_sources_at_once():
    first = terms([0.5, 0.25], 0.7).corrected(0.6, k=4)
    second = terms([0.25, 0.25], 0.6).corrected(0.4, k=3)
    other = terms([0.5], 0.6, target="expw").corrected(0.2, k=2)
    whole = mean_of([first, second, other], 0.4)
    assert list(whole.units) == ["expw\x1fu0", "rafdb\x1fu0", "rafdb\x1fu1"]
    assert whole.terms == pytest.approx(
        np.array([0.5 * 2, 0.5 * 4 / 3 + 0.25 * 3 / 2, 0.25 * 4 / 3 + 0.25 * 3 / 2]) / 3
    )
