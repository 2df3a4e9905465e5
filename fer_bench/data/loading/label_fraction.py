"""Hiding the labels of training rows, for semi-supervised training on any dataset."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fer_bench.data.card import Protocol
from fer_bench.data.protocols import in_label_set, unit_interval
from fer_bench.data.reading.dataset import FaceDataset
from fer_bench.errors import UsageError

FEWEST = 2
"""Labelled rows that each class must keep."""


def hidden_rows(dataset: FaceDataset, protocol: Protocol, fold: int, fraction: float) -> NDArray[np.bool_]:
    """Return which training rows of a protocol's label set lose their label, see `hide_labels`.

    Args:
        dataset: The dataset.
        protocol: The protocol.
        fold: Fold from 1.
        fraction: Share of the labels that is shown, in (0, 1]; 1 hides nothing.

    Returns:
        bool [N].

    Raises:
        UsageError: A class would keep fewer than two labelled rows.
    """
    if fraction == 1:
        return np.zeros(len(dataset.index), bool)
    labelled = in_label_set(dataset.index, protocol) & (dataset.roles(protocol, fold) == "train")
    return hide_labels(dataset.index, labelled, fraction, dataset.card.name)


def hide_labels(
    index: pd.DataFrame, labelled: NDArray[np.bool_], fraction: float, dataset: str
) -> NDArray[np.bool_]:
    """Return which labelled rows lose their label.

    Groups (subjects, videos or photos; single pictures if nothing more is known) keep or lose their labels as
    a whole. They are visited in an order drawn from the dataset's name, so that every method and repetition
    sees the same labels, and a group keeps its labels if that brings the rows per class closer to `fraction`
    of each class. If every row is a group, this is an exact stratified draw. A class with fewer than two rows
    left gets the group that fits best.

    Args:
        index: The dataset's index.
        labelled: bool [N], the rows to choose from.
        fraction: Share of the rows of each class whose label is shown, in (0, 1).
        dataset: Name of the dataset, which seeds the order.

    Returns:
        bool [N].

    Raises:
        UsageError: A class would keep fewer than two labelled rows.
    """
    rows = np.flatnonzero(labelled)
    class_of, names = pd.factorize(index["label"].to_numpy(object)[rows], sort=True)
    group_of, groups = pd.factorize(index["group"].to_numpy(object)[rows], sort=True)
    counts = np.zeros((len(groups), len(names)), np.int64)
    np.add.at(counts, (group_of, class_of), 1)
    wanted = np.floor(fraction * counts.sum(axis=0) + 0.5).astype(np.int64)
    missing = wanted.copy()
    shown = np.zeros(len(groups), bool)
    order = np.argsort(unit_interval(list(groups), f"labels/{dataset}"), kind="stable")
    for group in order:
        if np.abs(missing - counts[group]).sum() < np.abs(missing).sum():
            missing -= counts[group]
            shown[group] = True
    for name in np.flatnonzero(wanted >= FEWEST):  # whole groups may leave a class without rows
        while wanted[name] - missing[name] < FEWEST:
            useful = order[~shown[order] & (counts[order, name] > 0)]
            group = useful[np.abs(missing - counts[useful]).sum(axis=1).argmin()]
            missing -= counts[group]
            shown[group] = True
    kept = counts[shown].sum(axis=0)
    if kept.min() < FEWEST:
        least, rarest = int(kept.argmin()), int(counts.sum(axis=0).min())
        enough = math.ceil(100 * (FEWEST - 0.5) / rarest) / 100
        raise UsageError(
            f"this label fraction leaves {dataset} {kept[least]} labelled training row(s) of {names[least]}, "
            f"and every class needs {FEWEST}",
            value=fraction,
            hint=f"a larger one: --set train.label_fraction={enough:g}"
            if rarest >= FEWEST
            else "only a label_fraction of 1 is possible: a class has too few rows",
        )
    hidden = np.zeros(len(index), bool)
    hidden[rows] = ~shown[group_of]
    return hidden
