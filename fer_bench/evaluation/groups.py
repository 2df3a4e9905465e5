"""Scores per group of rows, such as men and women, and the gap between the groups."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fer_bench.evaluation import confusion
from fer_bench.results.scores import Groups, GroupScore

PERSONAL: tuple[str, ...] = ("gender", "race", "age")
SUBJECT = "subject"
"""Single people are scored and compared, but left out of the widest gap: each has few rows."""
MIN_ROWS = 10
"""Smaller groups are listed and not compared."""
MIN_CLASS_ROWS = 5
"""Groups are compared over classes of which each has at least so many rows."""
MIN_CLASSES = 2
MOST_LISTED = 20
"""Of attributes with more groups (such as people) only the lowest and highest are listed."""


def attributes_of(rows: pd.DataFrame, target: str) -> dict[str, pd.Series]:
    """Return the attributes that group rows of a dataset, by name.

    The recording condition (`variant`) is split into the parts that the dataset's card names: Oulu's
    `VL/Strong` is a camera and an illumination, KDEF's `HL` a pose.

    Args:
        rows: Columns of a kept index.
        target: Dataset name; the condition stays whole if this installation does not know it.

    Returns:
        Name -> values [N]; only attributes that some row has.
    """
    from fer_bench import datasets

    found = {name: rows[name] for name in (*PERSONAL, SUBJECT) if name in rows.columns}
    if "variant" in rows.columns and rows["variant"].fillna("").ne("").any():
        reader = datasets.REGISTRY.usable().get(target)
        names = reader.card.variant_parts if reader else ()
        parts = rows["variant"].fillna("").str.split("/", expand=True)
        if names and parts.shape[1] == len(names):
            found |= {name: parts[i].fillna("") for i, name in enumerate(names)}
        else:
            found["variant"] = rows["variant"].fillna("")
    return {name: values for name, values in found.items() if (values.notna() & (values != "")).any()}


def group_scores(
    values: pd.Series,
    truth: NDArray[np.int64],
    answer: NDArray[np.int64],
    classes: Sequence[str],
    repeats: int = 1,
) -> Groups | None:
    """Score every group of an attribute; the groups share the classes they are compared on.

    A group that leaves the others fewer than two common classes is not compared.

    Args:
        values: Attribute of each scored row [N], missing allowed.
        truth: Positions of the true classes [N].
        answer: Positions of the answered classes [N].
        classes: Their names [K].
        repeats: How often each row comes, once per seed; rows are counted once.

    Returns:
        None where fewer than two groups exist.
    """
    known = (values.notna() & (values != "")).to_numpy()
    code, names = pd.factorize(values[known], sort=True)
    if len(names) < 2:
        return None
    k = len(classes)
    cell = (code * k + truth[known]) * k + answer[known]
    confusions = np.bincount(cell, minlength=len(names) * k * k).reshape(-1, k, k)
    rows = confusion.support(confusions) / repeats
    compared = _comparable(rows)
    common = np.flatnonzero((rows[compared] >= MIN_CLASS_ROWS).all(0)) if compared else np.array([], np.int64)
    recall, accuracy = confusion.recalls(confusions), confusion.accuracy(confusions)
    groups = {
        str(name): GroupScore(
            n=round(rows[i].sum()),
            k=int((rows[i] > 0).sum()),
            accuracy=float(accuracy[i]),
            uar=float(recall[i, common].mean()) if i in compared else None,
        )
        for i, name in enumerate(names)
    }
    uar = {name: group.uar for name, group in groups.items() if group.uar is not None}
    by_uar = sorted(uar, key=lambda name: (uar[name], name))
    ends = (by_uar[0], by_uar[-1]) if by_uar else None
    listed = groups
    if len(groups) > MOST_LISTED:
        by_accuracy = sorted(groups, key=lambda name: (groups[name].accuracy, name))
        listed = {name: groups[name] for name in ends or (by_accuracy[0], by_accuracy[-1])}
    return Groups(
        count=len(groups),
        compared=len(compared),
        classes=tuple(classes[c] for c in common),
        missing=round((~known).sum() / repeats),
        lowest=ends[0] if ends else None,
        highest=ends[1] if ends else None,
        gap=uar[ends[1]] - uar[ends[0]] if ends else None,
        groups=listed,
    )


def _comparable(rows: confusion.Floats) -> list[int]:
    """Return the groups, of rows per class [G, K], that share enough classes; as many as possible."""
    enough = rows >= MIN_CLASS_ROWS
    total, classes = rows.sum(1), enough.sum(1)
    order = np.lexsort((total, classes))  # those that would leave the others least go first
    order = order[(total[order] >= MIN_ROWS) & (classes[order] >= MIN_CLASSES)]
    shared = np.logical_and.accumulate(enough[order][::-1])[::-1].sum(1)  # by a group and all after it
    left: list[int] = order[shared >= MIN_CLASSES].tolist()
    return left if len(left) > 1 else []
