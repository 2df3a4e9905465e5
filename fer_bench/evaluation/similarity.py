"""How alike two datasets look to a network that was trained on neither.

Two numbers per pair, from features of faces. *Told apart*: how often a linear classifier says rightly from
which of the two a face of an unseen person is; 50 % is guessing. *Distance*: how far the mean faces of the
same expression lie apart, in units of the spread within an expression. Both are symmetric, and neither knows
of any method: they stand beside the transfer scores that they may explain. Gaya-Morey et al.
(arXiv:2503.20428) ask the same of 24 datasets with local, global and paired similarities; the definitions
here are ours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fer_bench.emotions import NEVER_TRANSFERRED

FOLDS = 5
"""Parts of the people (videos, pictures) in turn kept from the classifier."""
LEAST_ROWS = 5
"""Expressions with fewer faces in one of the two are left out of the distance."""
PERMUTATIONS = 5000
"""Ways of naming the datasets anew for the p-value of `explained`."""


@dataclass(frozen=True)
class Faces:
    """Features of some faces of a dataset.

    Attributes:
        features: float [n, D].
        labels: Canonical expression of each face [n].
        units: Person, video or picture of each face [n].
    """

    features: NDArray[np.float64]
    labels: NDArray[np.object_]
    units: NDArray[np.object_]


@dataclass(frozen=True)
class Likeness:
    """How alike two datasets look.

    Attributes:
        told_apart: Balanced accuracy of the classifier of datasets on unseen units, in [0, 1]; guessing: 0.5.
        distance: Mean over expressions of the distance of the two means, in standard deviations within
            expression and dataset; at least 0. NaN without a common expression.
        expressions: Over which the distance is averaged.
    """

    told_apart: float
    distance: float
    expressions: tuple[str, ...]


def likeness(one: Faces, other: Faces) -> Likeness:
    """Compare two datasets.

    Args:
        one: Faces of the first.
        other: Faces of the second, features of the same network.
    """
    features = np.concatenate([one.features, other.features])
    truth = np.repeat([0, 1], [len(one.features), len(other.features)])
    units = np.array([*(f"0 {u}" for u in one.units), *(f"1 {u}" for u in other.units)])
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000, C=0.1, class_weight="balanced"))
    folds = GroupKFold(n_splits=min(FOLDS, len(np.unique(units))))
    answer = cross_val_predict(model, features, truth, groups=units, cv=folds)
    told_apart = float(np.mean([(answer[truth == side] == side).mean() for side in (0, 1)]))
    shared = _shared(one, other)
    gaps = [
        float(np.linalg.norm(_mean(one, name) - _mean(other, name))) / _spread(one, other, name)
        for name in shared
    ]
    return Likeness(told_apart, float(np.mean(gaps)) if gaps else float("nan"), shared)


def _shared(one: Faces, other: Faces) -> tuple[str, ...]:
    counts = [Counter(faces.labels.tolist()) for faces in (one, other)]
    never = {emotion.value for emotion in NEVER_TRANSFERRED}
    return tuple(
        sorted(
            name
            for name in counts[0]
            if name not in never and min(count[name] for count in counts) >= LEAST_ROWS
        )
    )


def _mean(faces: Faces, name: str) -> NDArray[np.float64]:
    found: NDArray[np.float64] = faces.features[faces.labels == name].mean(axis=0)
    return found


def _spread(one: Faces, other: Faces, name: str) -> float:
    """Return the root of the mean squared distance of a face from the mean of its expression and dataset."""
    squares = [
        ((f.features[f.labels == name] - _mean(f, name)) ** 2).sum(axis=1).mean() for f in (one, other)
    ]
    return float(np.sqrt(np.mean(squares))) or float("inf")


@dataclass(frozen=True)
class Explained:
    """How well a measure of likeness orders transfer scores.

    Attributes:
        rho: Spearman's rank correlation of the measure with transfer, over pairs source -> target.
        p: Two-sided probability of a correlation as strong if the datasets' names meant nothing: whole
            datasets are named anew (Mantel 1967), since pairs that share a dataset are not independent.
        pairs: Number of ordered pairs.
    """

    rho: float
    p: float
    pairs: int


def explained(
    names: Sequence[str], measure: Mapping[frozenset[str], float], transfer: Mapping[tuple[str, str], float]
) -> Explained | None:
    """Correlate a measure with transfer scores; None with fewer than four datasets or six pairs.

    Args:
        names: Datasets.
        measure: By pair of datasets.
        transfer: By source and target, averaged over methods.
    """
    order = [name for name in names if any(name in pair for pair in transfer)]
    pairs = [
        (a, b)
        for a in order
        for b in order
        if (a, b) in transfer and np.isfinite(measure.get(frozenset((a, b)), np.nan))
    ]
    if len(order) < 4 or len(pairs) < 6:
        return None
    place = {name: at for at, name in enumerate(order)}
    square = np.full((len(order), len(order)), np.nan)
    for a, b in combinations(order, 2):
        square[place[a], place[b]] = square[place[b], place[a]] = measure.get(frozenset((a, b)), np.nan)
    rows, columns = (np.array([place[pair[side]] for pair in pairs]) for side in (0, 1))
    scores = np.array([transfer[pair] for pair in pairs])
    rho = _rank_correlation(square[rows, columns], scores)
    generator = np.random.default_rng(0)
    as_strong = 0
    for _ in range(PERMUTATIONS):
        named = generator.permutation(len(order))
        as_strong += abs(_rank_correlation(square[named[rows], named[columns]], scores)) >= abs(rho) - 1e-12
    return Explained(rho, (as_strong + 1) / (PERMUTATIONS + 1), len(pairs))


def _rank_correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Return Spearman's correlation of the pairs in which both are known; 0 where one is constant."""
    known = np.isfinite(one)
    ranks = [rankdata(values[known]) - (known.sum() + 1) / 2 for values in (one, other)]
    scale = float(np.sqrt((ranks[0] ** 2).sum() * (ranks[1] ** 2).sum()))
    return float((ranks[0] * ranks[1]).sum()) / scale if scale else 0.0
