"""Whether a model serves everybody: scores per group of rows, and the gap between the groups."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fer_bench.evaluation import metrics

ATTRIBUTES: tuple[str, ...] = ("gender", "race", "age", "variant", "subject")
"""Index columns that group rows; `variant` is the recording condition: illumination, camera or view."""
MIN_ROWS = 10
"""Smaller groups are listed and take no part in the gap."""
MOST_LISTED = 20
"""Attributes with more groups (persons) are summarised by their lowest and highest."""


@dataclass(frozen=True)
class GroupResult:
    """One group's score.

    Attributes:
        value: Value of the attribute.
        n: Scored rows.
        k: Scored classes with a row in the group.
        accuracy: Share answered right.
        uar: Mean recall over the classes that every compared group has; None for a group that is not
            compared or when they have no class in common.
    """

    value: str
    n: int
    k: int
    accuracy: float
    uar: float | None


@dataclass(frozen=True)
class GroupsResult:
    """The groups of one attribute.

    Attributes:
        groups: In the order of their values.
        classes: Positions of the classes that every compared group has.
        missing: Scored rows without a value.
    """

    groups: tuple[GroupResult, ...]
    classes: tuple[int, ...]
    missing: int

    @property
    def compared(self) -> tuple[GroupResult, ...]:
        """Return the groups that take part in the gap, worst first."""
        ranked = [g for g in self.groups if g.uar is not None]
        return tuple(sorted(ranked, key=lambda g: (g.uar, g.value)))


def group_scores(
    values: pd.Series, truth: NDArray[np.int64], answer: NDArray[np.int64], k: int
) -> GroupsResult | None:
    """Score every group of an attribute; the groups share the classes they are compared on.

    Args:
        values: Attribute of each scored row [N], missing allowed.
        truth: Positions of the true classes [N].
        answer: Positions of the answered classes [N].
        k: Number of classes.

    Returns:
        None where fewer than two groups exist.
    """
    known = (values.notna() & (values != "")).to_numpy()
    code, names = pd.factorize(values[known], sort=True)
    if len(names) < 2:
        return None
    cell = (code * k + truth[known]) * k + answer[known]
    confusions = np.bincount(cell, minlength=len(names) * k * k).reshape(-1, k, k)
    rows = metrics.support(confusions)
    large = rows.sum(1) >= MIN_ROWS
    common = np.flatnonzero((rows[large] > 0).all(0)) if large.any() else np.array([], np.int64)
    recall = metrics.recalls(confusions)
    accuracy = metrics.accuracy(confusions)
    groups = tuple(
        GroupResult(
            value=str(name),
            n=int(rows[i].sum()),
            k=int((rows[i] > 0).sum()),
            accuracy=float(accuracy[i]),
            uar=float(recall[i, common].mean()) if large[i] and len(common) else None,
        )
        for i, name in enumerate(names)
    )
    return GroupsResult(groups, tuple(common.tolist()), int((~known).sum()))
