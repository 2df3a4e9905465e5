"""Scores against the votes of several people on each face: of a model, and of one of these people."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fer_bench.evaluation.confusion import Floats
from fer_bench.results.scores import VoteScore

PREFIX = "votes_"
"""Columns `votes_<emotion>` of a stored index hold the number of votes."""


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


def score_votes(
    votes: Floats, scored: NDArray[np.int64], answer: NDArray[np.int64], log_p: Floats
) -> VoteScore | None:
    """Score answers against votes.

    Votes for classes that are not scored count: they agree with no answer, and as a held-out vote they are
    wrong. A person is not scored on rows whose remaining majority is not a scored class.

    Args:
        votes: Votes per row and class that was voted for [N, V].
        scored: Position among them of each scored class [K].
        answer: Positions of the answered classes among the scored ones [N].
        log_p: Log-probabilities of the scored classes [N, K].

    Returns:
        None when no row has two votes.
    """
    total = votes.sum(1)
    own = votes[:, scored]
    enough = (total >= 2) & (own.sum(1) > 0)
    if not enough.any():
        return None
    votes, total, own, answer, log_p = (
        votes[enough],
        total[enough],
        own[enough],
        answer[enough],
        log_p[enough],
    )
    share = own / own.sum(1, keepdims=True)
    human = human_confusion(votes)[scored]
    rows, right = human.sum(1), human[np.arange(len(scored)), scored]
    seen = rows > 0
    return VoteScore(
        n=len(votes),
        votes=float(total.mean()),
        agreement=float((own[np.arange(len(own)), answer] / total).mean()),
        cross_entropy=float(-(share * np.where(share > 0, log_p, 0.0)).sum(1).mean()),
        human_accuracy=float(right.sum() / rows.sum()) if seen.any() else 0.0,
        human_uar=float((right[seen] / rows[seen]).mean()) if seen.any() else 0.0,
    )
