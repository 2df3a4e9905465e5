"""Several people's votes on one face: what a model is worth against them, and what a person is worth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fer_bench.evaluation import metrics
from fer_bench.evaluation.metrics import Floats

PREFIX = "votes_"
"""Columns `votes_<emotion>` of a stored index hold the number of votes."""


@dataclass(frozen=True)
class VoteResult:
    """Scores against votes.

    Attributes:
        n: Rows with at least two votes for scored classes.
        votes: Mean number of votes per row.
        agreement: Probability that a random vote names the model's answer.
        cross_entropy: Mean of -sum over classes of vote share times ln p, in nats.
        human_accuracy: Expected accuracy of one held-out vote against the majority of the rest.
        human_uar: Its expected unweighted average recall.
    """

    n: int
    votes: float
    agreement: float
    cross_entropy: float
    human_accuracy: float
    human_uar: float


def human_confusion(votes: Floats) -> Floats:
    """Return the expected confusion matrix of one held-out vote against the majority of the others.

    Each vote is held out in turn. Where the others tie, each of the tied classes is the truth in equal parts.

    Args:
        votes: Votes per row and class [N, K]; every row has at least two.

    Returns:
        Expected counts [K, K], rows are the majority of the others; all entries sum to N.
    """
    k = votes.shape[1]
    table = np.zeros((k, k))
    total = votes.sum(1)
    for held_out in range(k):
        has = votes[:, held_out] > 0
        rest = votes[has].copy()
        rest[:, held_out] -= 1
        leads = rest == rest.max(1, keepdims=True)
        weight = votes[has, held_out] / total[has]
        table[:, held_out] = (leads * (weight / leads.sum(1))[:, None]).sum(0)
    return table


def score_votes(votes: Floats, answer: NDArray[np.int64], log_p: Floats) -> VoteResult | None:
    """Score answers against votes.

    Args:
        votes: Votes per row and scored class [N, K].
        answer: Positions of the answered classes among them [N].
        log_p: Log-probabilities [N, K].

    Returns:
        None when no row has two votes.
    """
    enough = votes.sum(1) >= 2
    if not enough.any():
        return None
    votes, answer, log_p = votes[enough], answer[enough], log_p[enough]
    share = votes / votes.sum(1, keepdims=True)
    human = human_confusion(votes)
    return VoteResult(
        n=len(votes),
        votes=float(votes.sum(1).mean()),
        agreement=float(share[np.arange(len(share)), answer].mean()),
        cross_entropy=float(-(share * np.where(share > 0, log_p, 0.0)).sum(1).mean()),
        human_accuracy=float(metrics.accuracy(human)),
        human_uar=float(metrics.uar(human)),
    )
