"""Mean ranks and critical differences, against published values and scipy."""

import numpy as np
import pytest
from scipy.stats import friedmanchisquare

from fer_bench.evaluation.ranks import mean_ranks

# Demšar (2006), table 6: AUC of C4.5 and its variants m, cf, m+cf on 14 data sets.
DEMSAR = {
    "C4.5": [
        0.763,
        0.599,
        0.954,
        0.628,
        0.882,
        0.936,
        0.661,
        0.583,
        0.775,
        1.000,
        0.940,
        0.619,
        0.972,
        0.957,
    ],
    "C4.5+m": [
        0.768,
        0.591,
        0.971,
        0.661,
        0.888,
        0.931,
        0.668,
        0.583,
        0.838,
        1.000,
        0.962,
        0.666,
        0.981,
        0.978,
    ],
    "C4.5+cf": [
        0.771,
        0.590,
        0.968,
        0.654,
        0.886,
        0.916,
        0.609,
        0.563,
        0.866,
        1.000,
        0.965,
        0.614,
        0.9751,
        0.946,
    ],
    "C4.5+m+cf": [
        0.798,
        0.569,
        0.967,
        0.657,
        0.898,
        0.931,
        0.685,
        0.625,
        0.875,
        1.000,
        0.962,
        0.669,
        0.975,
        0.970,
    ],
}


def test_example_of_demsar():
    found = mean_ranks(DEMSAR)
    assert {name: round(rank, 3) for name, rank in found.means.items()} == {
        "C4.5+m+cf": 1.964,
        "C4.5+m": 2.0,
        "C4.5+cf": 2.893,
        "C4.5": 3.143,
    }
    assert found.blocks == 14
    assert found.critical == pytest.approx(1.25, abs=0.005)  # q = 2.569 for four methods
    assert found.p == pytest.approx(friedmanchisquare(*DEMSAR.values()).pvalue)


def test_groups_are_runs_within_the_critical_difference():
    blocks = 40
    rng = np.random.default_rng(0)
    base = rng.normal(size=blocks)
    scores = {
        name: (base + shift + 0.01 * rng.normal(size=blocks)).tolist()
        for name, shift in (("a", 3.0), ("b", 3.0), ("c", 1.0), ("d", 0.0))
    }
    found = mean_ranks(scores)
    assert found.p < 0.05
    assert [set(group) for group in found.groups] == [{"a", "b"}]


def test_where_friedman_shows_nothing_all_are_one_group():
    rng = np.random.default_rng(1)
    scores = {name: rng.normal(size=4).tolist() for name in "abcd"}
    found = mean_ranks(scores)
    assert found.p >= 0.05
    assert [set(group) for group in found.groups] == [set("abcd")]


@pytest.mark.parametrize(
    "scores",
    [
        {},
        {"a": [1, 2, 3], "b": [3, 2, 1]},
        {"a": [1, 2], "b": [2, 1], "c": [1, 1]},
        {"a": [1, 1, 1], "b": [1, 1, 1], "c": [1, 1, 1]},
    ],
)
def test_too_few_or_equal_scores_are_not_ranked(scores):
    assert mean_ranks(scores) is None


def test_equal_scores_share_their_rank():
    found = mean_ranks({"a": [2, 2, 2, 2], "b": [2, 2, 2, 2], "c": [1, 1, 1, 1]})
    assert found.means == {"a": 1.5, "b": 1.5, "c": 3.0}


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="numbers of blocks"):
        mean_ranks({"a": [1, 2, 3], "b": [1, 2], "c": [1, 2, 3]})
