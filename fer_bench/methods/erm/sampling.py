"""Class-balanced sampling: every class of every member equally often."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def balanced_rows(
    rows: NDArray[np.int64],
    labels: NDArray[np.int64],
    member: NDArray[np.int64],
    count: int,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Return rows of an epoch in random order: members equally often, and within each its classes.

    Shares differ by one row at most. A class gives its rows in random order, and begins anew when it has
    given all of them. Rows without a label are left out.

    Args:
        rows: int64 [N], index positions.
        labels: int64 [N], classes, -1 = missing.
        member: int64 [N], the dataset of each row.
        count: Rows to return.
        rng: Decides everything.
    """
    known = labels >= 0
    members = rng.permutation(np.unique(member[known]))
    chosen = []
    for of_member, share in zip(members, _shares(count, len(members)), strict=True):
        mine = known & (member == of_member)
        classes = rng.permutation(np.unique(labels[mine]))
        for of_class, wanted in zip(classes, _shares(share, len(classes)), strict=True):
            pool = rows[mine & (labels == of_class)]
            turns = [rng.permutation(pool) for _ in range(-(-wanted // len(pool)))]
            chosen.append(np.concatenate([np.zeros(0, np.int64), *turns])[:wanted])
    return rng.permutation(np.concatenate(chosen))


def _shares(count: int, parts: int) -> list[int]:
    """Return how many each part gets of a count, as equal as can be; the first ones get the remainder."""
    return [count // parts + (number < count % parts) for number in range(parts)]
