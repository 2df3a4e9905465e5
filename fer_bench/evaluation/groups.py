"""Whether a model serves everybody: scores per group of rows, and the gap between the groups."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fer_bench.evaluation import confusion

PERSONAL: tuple[str, ...] = ("gender", "race", "age")
SUBJECT = "subject"
"""Single persons are scored and compared, and take no part in a headline gap: each has few rows."""
MIN_ROWS = 10
"""Smaller groups are listed and take no part in the gap."""
MIN_CLASS_ROWS = 5
"""Groups are compared over classes of which each has so many rows: one face is no recall."""
MIN_CLASSES = 2
MOST_LISTED = 20
"""Attributes with more groups (persons) are summarised by their lowest and highest."""


def attributes_of(rows: pd.DataFrame, target: str) -> dict[str, pd.Series]:
    """Return the attributes that group rows of a dataset, by name.

    The recording condition (`variant`) is taken apart as the dataset's card says: Oulu's `VL/Strong` is a
    camera and an illumination, KDEF's `HL` a pose.

    Args:
        rows: Columns of a kept index.
        target: Dataset name; one that this installation does not know has no card to say so.

    Returns:
        Name -> values [N]; only attributes that some row has.
    """
    from fer_bench import datasets

    found = {name: rows[name] for name in (*PERSONAL, SUBJECT) if name in rows.columns}
    if "variant" in rows.columns and rows["variant"].fillna("").ne("").any():
        card = datasets.get(target).card if target in datasets.names() else None
        names = card.variant_parts if card else ()
        parts = rows["variant"].fillna("").str.split("/", expand=True)
        if names and parts.shape[1] == len(names):
            found |= {name: parts[i].fillna("") for i, name in enumerate(names)}
        else:
            found["variant"] = rows["variant"].fillna("")
    return {name: values for name, values in found.items() if (values.notna() & (values != "")).any()}


@dataclass(frozen=True)
class GroupResult:
    """One group's score.

    Attributes:
        value: Value of the attribute.
        n: Scored rows.
        k: Scored classes with a row in the group.
        accuracy: Share answered right.
        uar: Mean recall over the classes of which every compared group has at least five rows; None for a
            group that is not compared.
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
        classes: Positions of the classes of which every compared group has five rows.
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
    values: pd.Series, truth: NDArray[np.int64], answer: NDArray[np.int64], k: int, repeats: int = 1
) -> GroupsResult | None:
    """Score every group of an attribute; the groups share the classes they are compared on.

    A group that leaves the others fewer than two common classes is not compared.

    Args:
        values: Attribute of each scored row [N], missing allowed.
        truth: Positions of the true classes [N].
        answer: Positions of the answered classes [N].
        k: Number of classes.
        repeats: How often each row comes, once per seed; rows are counted once.

    Returns:
        None where fewer than two groups exist.
    """
    known = (values.notna() & (values != "")).to_numpy()
    code, names = pd.factorize(values[known], sort=True)
    if len(names) < 2:
        return None
    cell = (code * k + truth[known]) * k + answer[known]
    confusions = np.bincount(cell, minlength=len(names) * k * k).reshape(-1, k, k)
    rows = confusion.support(confusions) / repeats
    compared = _comparable(rows)
    common = np.flatnonzero((rows[compared] >= MIN_CLASS_ROWS).all(0)) if compared else np.array([], np.int64)
    recall = confusion.recalls(confusions)
    accuracy = confusion.accuracy(confusions)
    groups = tuple(
        GroupResult(
            value=str(name),
            n=round(rows[i].sum()),
            k=int((rows[i] > 0).sum()),
            accuracy=float(accuracy[i]),
            uar=float(recall[i, common].mean()) if i in compared else None,
        )
        for i, name in enumerate(names)
    )
    return GroupsResult(groups, tuple(common.tolist()), round((~known).sum() / repeats))


def _comparable(rows: confusion.Floats) -> list[int]:
    """Return the groups, of rows per class [G, K], that share enough classes; as many as possible."""
    enough = rows >= MIN_CLASS_ROWS
    total, classes = rows.sum(1), enough.sum(1)
    order = np.lexsort((total, classes))  # those that would leave the others least go first
    order = order[(total[order] >= MIN_ROWS) & (classes[order] >= MIN_CLASSES)]
    shared = np.logical_and.accumulate(enough[order][::-1])[::-1].sum(1)  # by a group and all after it
    left: list[int] = order[shared >= MIN_CLASSES].tolist()
    return left if len(left) > 1 else []
