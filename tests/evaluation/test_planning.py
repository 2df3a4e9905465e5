from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import wilcoxon

from fer_bench.evaluation import pairs
from fer_bench.evaluation.pairs import compare
from fer_bench.evaluation.planning import MOST_SEEDS, over_sources, power, seeds_for
from tests.evaluation.samples import single


def methods(rng, *, seeds=3, units=60, seed_sd=0.03, sd=0.3, difference=0.0):
    """Return two methods: units that both find hard, what a seed makes better, and chance."""
    hard = rng.normal(0, 0.2, units)

    def one(mean):
        return single(mean + hard + rng.normal(0, seed_sd, (seeds, 1)) + rng.normal(0, sd, (seeds, units)))

    return {"a": one(0.5 + difference), "b": one(0.5)}


@pytest.mark.parametrize(("seed_sd", "difference"), [(0.0, 0.1), (0.03, 0.1), (0.05, 0.2)])
def test_power_is_the_share_of_samples_in_which_a_difference_is_shown(seed_sd, difference, monkeypatch):
    monkeypatch.setattr(pairs, "LEAST_DRAWS", 1500)
    monkeypatch.setattr(pairs, "MOST_DRAWS", 1500)
    rng = np.random.default_rng(0)
    shown, said = [], []
    for _ in range(250):
        column = compare(methods(rng, seed_sd=seed_sd, difference=difference))
        shown.append(column.tests[0].significant)
        said.append(power(column, difference))
    assert np.mean(said) == pytest.approx(np.mean(shown), abs=0.13)
    assert 0.2 < np.mean(shown) < 0.95


def test_power_grows_with_the_difference_and_is_the_level_without_one():
    column = compare(methods(np.random.default_rng(1)))
    chances = [power(column, difference) for difference in (0.0, 0.05, 0.1, 0.2, 5.0)]
    assert chances[0] == pytest.approx(0.05)
    assert chances == sorted(chances)
    assert chances[-1] == pytest.approx(1)
    assert power(column, -0.1) == pytest.approx(power(column, 0.1))


@pytest.mark.parametrize("difference", np.linspace(0.05, 3, 12))
def test_power_is_a_number(difference):
    """Far in its tail the noncentral distribution is not, as computed."""
    rng = np.random.default_rng(4)
    for seed_sd in (0.02, 0.1, 0.3):
        found = power(compare(methods(rng, seed_sd=seed_sd)), difference)
        assert 0 <= found <= 1


def test_power_of_nothing_tested_is_unknown():
    two = {name: one.on((0, 1)) for name, one in methods(np.random.default_rng(1)).items()}
    assert power(compare(two), 0.1) is None
    assert power(compare({}), 0.1) is None


def test_smaller_differences_need_more_seeds():
    column = compare(methods(np.random.default_rng(2), units=2000, seed_sd=0.05))
    counts = [seeds_for(column, wanted) for wanted in (0.5, 0.2, 0.1, 0.05)]
    assert counts == sorted(counts)
    assert counts[0] < counts[-1] <= MOST_SEEDS


def shown(rng, count, difference, **kwargs):
    """Return how often a difference is shown with so many seeds."""
    found = [compare(methods(rng, seeds=count, difference=difference, **kwargs)) for _ in range(60)]
    return np.mean([column.tests[0].significant for column in found])


@pytest.mark.parametrize(
    ("kwargs", "difference"),
    [
        ({"units": 600, "seed_sd": 0.05}, 0.06),  # seeds scatter
        ({"units": 60, "seed_sd": 0.0, "sd": 0.5}, 0.08),  # units and seeds together
    ],
)
def test_so_many_seeds_do_show_the_difference(kwargs, difference, monkeypatch):
    monkeypatch.setattr(pairs, "LEAST_DRAWS", 1500)
    monkeypatch.setattr(pairs, "MOST_DRAWS", 1500)
    rng = np.random.default_rng(3)
    count = seeds_for(compare(methods(rng, seeds=40, **kwargs)), difference)
    assert 5 < count < 30
    assert 0.65 <= shown(rng, count, difference, **kwargs) <= 0.95
    assert shown(rng, count // 3, difference, **kwargs) < 0.65


def test_where_units_leave_more_no_number_of_seeds_is_enough():
    column = compare(methods(np.random.default_rng(2), units=12, sd=0.01, seed_sd=0.0))
    assert seeds_for(column, 1e-5) == MOST_SEEDS + 1


def test_one_common_seed_tells_nothing_about_others():
    whole = methods(np.random.default_rng(2))
    assert seeds_for(compare({"a": whole["a"], "b": whole["b"].on((2,))}), 0.1) is None
    assert seeds_for(compare({"a": whole["a"]}), 0.1) is None
    assert seeds_for(compare({name: one.on((0, 1)) for name, one in whole.items()}), 0.5) is not None


def test_sources_are_counted_and_ranked_by_wilcoxon():
    assert over_sources([0.1, 0.2, 0.3, 0.4, 0.5]) == (5, pytest.approx(2 / 2**5))
    known = wilcoxon([0.1, -0.2, 0.4, 0.5]).pvalue
    assert over_sources([0.1, -0.2, 0.0, 0.4, 0.5]) == (3, pytest.approx(known))
    assert over_sources([0.1, 0.0]) == (1, None)
    assert over_sources([]) == (0, None)
