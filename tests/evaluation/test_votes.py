from __future__ import annotations

import numpy as np
import pytest

from fer_bench.evaluation.votes import human_confusion, score_votes


def test_a_held_out_vote_is_judged_by_the_majority_of_the_rest():
    votes = np.array([[3.0, 1.0, 0.0]])
    # holding out a vote for 0 (3 of 4): the rest say 0 twice, 1 once; holding out the other: all say 0
    assert human_confusion(votes) == pytest.approx(np.array([[3 / 4, 1 / 4, 0], [0, 0, 0], [0, 0, 0]]))


def test_ties_among_the_rest_count_in_parts():
    table = human_confusion(np.array([[1.0, 1.0, 1.0]]))
    assert table == pytest.approx((np.ones((3, 3)) - np.eye(3)) / 6)


def test_the_ceiling_agrees_with_drawing_votes():
    rng = np.random.default_rng(0)
    votes = rng.multinomial(10, [0.6, 0.3, 0.1], size=40).astype(float)
    found = score_votes(votes, np.arange(3), np.zeros(40, int), np.log(np.full((40, 3), 1 / 3)))
    hits = 0.0
    for row in votes.astype(int):
        ballots = np.repeat(np.arange(3), row)
        for i, ballot in enumerate(ballots):
            rest = np.bincount(np.delete(ballots, i), minlength=3)
            leaders = np.flatnonzero(rest == rest.max())
            hits += (ballot in leaders) / len(leaders) / len(ballots)
    assert found.human_accuracy == pytest.approx(hits / 40)
    assert found.agreement == pytest.approx((votes[:, 0] / 10).mean())
    assert found.cross_entropy == pytest.approx(np.log(3))
    assert (found.n, found.votes) == (40, 10)


def test_full_agreement_is_a_ceiling_of_one_and_lone_votes_are_left_out():
    votes = np.array([[5.0, 0.0], [0.0, 5.0], [1.0, 0.0]])
    log_p = np.log(np.array([[1.0, 1e-300], [1e-300, 1.0], [0.5, 0.5]]))
    found = score_votes(votes, np.arange(2), np.array([0, 1, 1]), log_p)
    assert (found.n, found.human_accuracy, found.human_uar, found.agreement) == (2, 1, 1, 1)
    assert found.cross_entropy == pytest.approx(0)
    assert (
        score_votes(np.array([[1.0, 0.0]]), np.arange(2), np.array([0]), np.log(np.full((1, 2), 0.5))) is None
    )


def test_votes_for_other_classes_are_wrong_and_not_forgotten():
    votes = np.array([[6.0, 0.0, 4.0]])  # the third class is not scored
    found = score_votes(votes, np.arange(2), np.array([0]), np.log(np.full((1, 2), 0.5)))
    # a held-out vote: 6 of 10 name the majority of the rest, 4 of 10 name the class outside
    assert (found.human_accuracy, found.human_uar, found.agreement) == pytest.approx((0.6, 0.6, 0.6))
    assert found.votes == 10
    most_outside = score_votes(np.array([[1.0, 0.0, 9.0]]), np.arange(2), np.array([0]), np.zeros((1, 2)))
    assert most_outside.human_accuracy == 0  # nobody's majority is a scored class
