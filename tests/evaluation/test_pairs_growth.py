"""What a column says while runs are added to a store, one by one and in any order."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from fer_bench.evaluation import pairs
from fer_bench.evaluation.pairs import MIN_SEEDS, compare
from tests.evaluation.samples import answers, guesses, scored

SEEDS = 5
TRUTH = np.repeat(np.arange(3), (40, 30, 20))


def whole(rng, skills):
    """Return all seeds of methods whose training scatters by three points."""
    found = {}
    for name, right in skills.items():
        models = []
        for _ in range(SEEDS):
            skill = np.clip(right + rng.normal(0, 0.03), 0, 1)
            models.append(answers(TRUTH, guesses(TRUTH, skill, rng, 3)))
        found[name] = scored(models)
    return found


def steps(rng, entries):
    """Yield the column after each run that is added in random order, with the seeds of each method."""
    runs = [(name, seed) for name in entries for seed in range(SEEDS)]
    done = {}
    for place in rng.permutation(len(runs)):
        name, seed = runs[place]
        done.setdefault(name, set()).add(seed)
        yield compare({one: entries[one].on(seeds) for one, seeds in done.items()}), done


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    monkeypatch.setattr(pairs, "LEAST_DRAWS", 2000)
    monkeypatch.setattr(pairs, "MOST_DRAWS", 2000)


@pytest.mark.parametrize("case", range(6))
def test_no_step_says_what_the_whole_data_refute(case):
    rng = np.random.default_rng(case)
    skills = {"a": 0.8, "b": 0.78, "c": 0.7, "d": 0.5} if case % 2 else {"a": 0.7, "b": 0.7, "c": 0.55}
    entries = whole(rng, skills)
    final = {(t.first, t.second) for t in compare(entries).tests if t.significant}
    assert final
    tested = set()
    for column, done in steps(rng, entries):
        better = {(t.first, t.second) for t in column.tests if t.significant}
        assert not {(second, first) for first, second in better} & final
        # the seeds that both have say which pairs are tested, and no further run takes a test away
        known = {frozenset((t.first, t.second)) for t in column.tests}
        common = {frozenset(p) for p in combinations(done, 2) if len(done[p[0]] & done[p[1]]) >= MIN_SEEDS}
        assert known == common >= tested
        assert {frozenset(p) for p in column.untested} == {
            frozenset(p) for p in combinations(done, 2)
        } - known
        assert column.left_out == ()
        assert set(column.scores) == set(done)
        # none is put first that a test calls worse, and letters say what the tests say
        assert not {*column.leaders} & {second for _, second in better}
        for one, other in combinations(done, 2) if column.letters else ():
            share = bool({*column.letters[one]} & {*column.letters[other]})
            assert share is not bool({(one, other), (other, one)} & better)
        tested = known


def test_a_further_seed_of_the_best_method_takes_nothing_away():
    entries = whole(np.random.default_rng(0), {"best": 0.85, "second": 0.7, "third": 0.5})
    common = {name: one.on(range(3)) for name, one in entries.items()}
    before = compare(common)
    assert before.leaders == ("best",)
    for name in entries:
        after = compare(common | {name: entries[name].on(range(4))})
        assert after.leaders == ("best",)
        assert after.letters == before.letters
        assert [(t.first, t.second, t.difference) for t in after.tests] == [
            (t.first, t.second, t.difference) for t in before.tests
        ]


def test_until_three_seeds_are_common_nothing_is_said():
    entries = whole(np.random.default_rng(0), {"best": 0.9, "other": 0.4})
    for seeds in ((0,), (0, 1), (0, 3)):
        column = compare({"best": entries["best"], "other": entries["other"].on(seeds)})
        assert column.provisional
        assert (column.tests, column.leaders, column.letters) == ((), (), {})
    column = compare({"best": entries["best"].on((0, 1, 2)), "other": entries["other"].on((2, 3, 4))})
    assert column.provisional
