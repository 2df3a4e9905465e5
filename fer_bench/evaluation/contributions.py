"""What each unit adds to an average score: the basis of exchange tests and of the small-sample correction.

UAR is a sum over rows: a row answered right adds 1 / (k n_c) with k present classes and n_c rows of its
class. Accuracy is the same with all rows in one class. So the score after any exchange of units between two
methods is a sum of per-unit terms, without counting confusion matrices again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fer_bench.evaluation.confusion import Floats
from fer_bench.evaluation.statistics import Answers, Units, find_units


@dataclass(frozen=True)
class Contributions:
    """What the units add to the average score of one or several models on a target.

    Attributes:
        units: Units with a scored row, sorted [U].
        parts: Their terms per class [U, K]; all of them sum to the score.
        expected: Terms they would have if they were as good as the average unit [U, K].
        holds: Whether a unit has a row of a class [U, K].
        rows: Hash of the scored rows and labels of each model with its share; only scores with equal hashes
            are comparable.
    """

    units: NDArray[np.object_]
    parts: Floats
    expected: Floats
    holds: NDArray[np.bool_]
    rows: str


def contributions(
    answered: Sequence[Answers], share: Floats, units: Units | None = None, *, by_class: bool = True
) -> Contributions:
    """Return what each unit adds to UAR (or to accuracy), averaged over models.

    Args:
        answered: Answers of R >= 1 models, each with a scored row.
        share: Share of each model in the average [R].
        units: From `find_units`, found here by default.
        by_class: UAR; otherwise all rows count as one class, which gives accuracy.
    """
    units = units or find_units(answered)
    k = len(answered[0].classes) if by_class else 1
    cells = len(units.names) * k
    parts, expected, holds = np.zeros(cells), np.zeros(cells), np.zeros(cells, bool)
    for model, weight, unit in zip(answered, share, units.of_rows, strict=True):
        truth = model.truth if by_class else np.zeros_like(model.truth)
        right = model.truth == model.answer
        rows = np.bincount(truth, minlength=k)
        recall = np.bincount(truth, weights=right, minlength=k) / np.maximum(rows, 1)
        value = (weight / (np.count_nonzero(rows) * np.maximum(rows, 1)))[truth]
        cell = unit * k + truth
        parts += np.bincount(cell, weights=value * right, minlength=cells)
        expected += np.bincount(cell, weights=value * recall[truth], minlength=cells)
        holds[cell] = True
    scored = holds.reshape(-1, k).any(1)
    return Contributions(
        units=units.names[scored],
        parts=parts.reshape(-1, k)[scored],
        expected=expected.reshape(-1, k)[scored],
        holds=holds.reshape(-1, k)[scored],
        rows=_rows(answered, share) if by_class else "",
    )


def _rows(answered: Sequence[Answers], share: Floats) -> str:
    shares: dict[str, float] = {}
    for model, weight in zip(answered, share, strict=True):
        order = np.argsort(model.samples.astype(str), kind="stable")
        names = np.asarray(model.classes, object)[model.truth[order]]
        text = "\n".join(f"{s}\x1f{name}" for s, name in zip(model.samples[order], names, strict=True))
        digest = hashlib.sha256(text.encode()).hexdigest()
        shares[digest] = shares.get(digest, 0.0) + float(weight)
    text = ";".join(f"{digest} {weight:.9f}" for digest, weight in sorted(shares.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
