from __future__ import annotations

from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from fer_bench.evaluation.letters import letters


def pair(text):
    return frozenset(text)


@st.composite
def verdicts(draw):
    """Return names in order and pairs that are apart."""
    order = draw(st.permutations("abcdefgh"[: draw(st.integers(0, 8))]))
    pairs = [frozenset(found) for found in combinations(order, 2)]
    apart = draw(st.sets(st.sampled_from(pairs))) if pairs else set()
    return order, apart


@settings(deadline=None, max_examples=300)
@given(verdicts())
def test_names_share_a_letter_if_and_only_if_they_are_not_apart(given_):
    order, apart = given_
    found = letters(order, apart)
    assert list(found) == list(order)
    for one, other in combinations(order, 2):
        assert bool({*found[one]} & {*found[other]}) is (frozenset((one, other)) not in apart)


@settings(deadline=None, max_examples=300)
@given(verdicts())
def test_no_letter_is_contained_in_another_and_the_best_has_the_first(given_):
    order, apart = given_
    found = letters(order, apart)
    marks = sorted({mark for text in found.values() for mark in text})
    groups = [{name for name in order if mark in found[name]} for mark in marks]
    assert all(not one <= other for one in groups for other in groups if one is not other)
    assert all(found.values())
    assert marks == list("abcdefghijklmnopqrstuvwxyz"[: len(marks)])
    if order:
        assert found[order[0]].startswith("a")
    starts = [min(map(order.index, group)) for group in groups]
    assert starts == sorted(starts)


def test_the_order_of_the_pairs_does_not_matter():
    apart = [pair("ad"), pair("bd"), pair("ac")]
    assert letters("abcd", apart) == letters("abcd", apart[::-1]) == letters("abcd", {*apart})


def test_by_hand():
    assert letters("abcd", {pair("ad")}) == {"a": "a", "b": "ab", "c": "ab", "d": "b"}
    assert letters("abc", {pair("ab"), pair("ac"), pair("bc")}) == {"a": "a", "b": "b", "c": "c"}
    assert letters("abc", set()) == {"a": "a", "b": "a", "c": "a"}
    # a and c, and b and c, cannot be told apart, but a and b can: c is in both groups
    assert letters("abc", {pair("ab")}) == {"a": "a", "b": "b", "c": "ab"}
    assert letters("", set()) == {}


def test_thirty_methods_that_all_differ_have_letters_of_their_own():
    names = [f"m{i:02d}" for i in range(30)]
    found = letters(names, {frozenset(p) for p in combinations(names, 2)})
    assert [found[name] for name in (names[0], names[25], names[26], names[29])] == ["a", "z", "aa", "ad"]
