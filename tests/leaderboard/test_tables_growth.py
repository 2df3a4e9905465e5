"""What a board says while the runs of a sweep come in, one by one and in any order."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from fer_bench.evaluation import pairs
from fer_bench.leaderboard.notes import notes_of
from tests.leaderboard.test_tables import only_section

SKILLS = {"resemotenet": 2.2, "gcn": 1.9, "cafe": 1.0}


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    monkeypatch.setattr(pairs, "LEAST_DRAWS", 2000)
    monkeypatch.setattr(pairs, "MOST_DRAWS", 2000)


def better(column):
    return {(test.first, test.second) for test in column.tests if test.significant}


@pytest.mark.parametrize("case", [0, 1])
def test_a_growing_sweep_never_says_what_all_its_runs_refute(case, store, add):
    runs = list(product(SKILLS, range(4)))
    said, tested = [], set()
    for place in np.random.default_rng(case).permutation(len(runs)):
        method, seed = runs[place]
        add(method, "rafdb", skill=SKILLS[method], seed=seed, targets=("expw",), rows=140)
        column = only_section(store).own_columns["rafdb"]
        assert column.left_out == ()
        now = {frozenset((test.first, test.second)) for test in column.tests}
        assert now >= tested
        tested = now
        said.append((better(column), column.leaders))
    assert len(tested) == 3
    final = better(column)
    assert ("resemotenet", "cafe") in final
    for step, leaders in said:
        assert not {(second, first) for first, second in step} & final
        assert not set(leaders) & {second for _, second in step}
        assert "cafe" not in leaders


def test_folds_of_a_further_seed_take_no_comparison_away(store, add):
    """A half-done seed is left out of its cell until its folds are there."""
    for method, seed, fold in product(("gcn", "cafe"), range(3), (1, 2)):
        add(method, "oulu", skill=SKILLS[method], seed=seed, fold=fold, targets=())
    before = only_section(store).own_columns["oulu"]
    assert before.tests
    for fold in (1, 2):
        add("gcn", "oulu", skill=SKILLS["gcn"], seed=3, fold=fold, targets=())
        after = only_section(store).own_columns["oulu"]
        (one,), (other,) = before.tests, after.tests
        assert (one.first, one.seeds, one.significant) == (other.first, other.seeds, other.significant)
        assert other.difference == pytest.approx(one.difference)
        assert other.p == pytest.approx(one.p, abs=0.005)


def test_a_further_fold_of_one_seed_takes_no_comparison_away(store, add):
    for method, seed, fold in product(("gcn", "cafe"), range(3), (1, 2)):
        add(method, "oulu", skill=SKILLS[method], seed=seed, fold=fold, targets=())
    before = only_section(store).own_columns["oulu"]
    assert before.tests
    add("gcn", "oulu", skill=SKILLS["gcn"], seed=0, fold=3, targets=())
    section = only_section(store)
    assert section.own_columns["oulu"].tests == before.tests
    cell = section.cell("gcn", "oulu")
    assert (cell.folds, cell.seeds, cell.partial, cell.ahead) == ((1, 2), (0, 1, 2), {}, {0: (3,)})
    assert "left out of the means until more seeds have them: fold 3 of seed 0" in notes_of(cell)
