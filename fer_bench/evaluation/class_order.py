"""Does a model answer in another class order than its card says? Found on half of the units, confirmed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from fer_bench.results.predictions import Predictions

GAIN = 0.05
"""UAR that another order must gain on both halves."""
ERRORS = 3.0
"""Standard errors by which the gain on the second half must differ from nothing: guesses gain by chance."""


@dataclass(frozen=True)
class OtherOrder:
    """An order of the outputs that fits the labels better than the card's.

    Attributes:
        moves: Class of the labels by class of the card, where they differ.
        found: Gain of UAR on the half on which it was found.
        confirmed: Gain on the other half.
    """

    moves: dict[str, str]
    found: float
    confirmed: float

    @property
    def text(self) -> str:
        """Return it as one sentence for a warning."""
        pairs = ", ".join(f"{card} answers {label}" for card, label in self.moves.items())
        return (
            f"the outputs may be in another order than the card says: what it calls {pairs}; that gains "
            f"{100 * self.found:.0f} UAR points on half of the units and {100 * self.confirmed:.0f} on the "
            "other"
        )


def other_order(predictions: Predictions) -> OtherOrder | None:
    """Return an order of the outputs that gains more than five UAR points on both halves, None without one.

    Units are dealt to the halves by a hash of their names. On the first the order with the highest UAR is the
    assignment of outputs to classes with the largest sum of recalls (Kuhn 1955). On the second its gain must
    be more than three standard errors, too, of whole units.

    Args:
        predictions: A model's predictions on a target.
    """
    classes = predictions.meta.classes
    frame = predictions.frame
    labels = frame["label"].to_numpy(object)
    known = np.isin(labels.astype(str), classes)
    truth = np.array([classes.index(label) for label in labels[known]], np.int64)
    answer = predictions.logits[known].argmax(axis=1)
    units = frame["unit"].to_numpy(str)[known]
    first = _in_first_half(units)
    if not first.any() or first.all():
        return None
    here = _recalls(truth[first], answer[first], len(classes))
    present = np.flatnonzero(~np.isnan(here[:, 0]))
    _, outputs = linear_sum_assignment(here[present], maximize=True)
    order = np.full(len(classes), -1)
    order[present] = outputs
    found = float(np.mean([here[row, order[row]] - here[row, row] for row in present]))
    rest = ~first & (order[truth] >= 0)
    if found <= GAIN or not rest.any():
        return None
    confirmed, error = _gain(truth[rest], answer[rest], units[rest], order)
    if confirmed <= max(GAIN, ERRORS * error):
        return None
    moves = {classes[order[row]]: classes[row] for row in present if order[row] != row}
    return OtherOrder(moves, found, confirmed)


def _gain(
    truth: NDArray[np.int64], answer: NDArray[np.int64], units: NDArray[np.str_], order: NDArray[np.int64]
) -> tuple[float, float]:
    """Return what an order gains in UAR, and its standard error from whole units."""
    gains = (answer == order[truth]).astype(np.float64) - (answer == truth)
    present, place = np.unique(truth, return_inverse=True)
    rows = np.bincount(place)
    means = np.bincount(place, gains) / rows
    parts = (gains - means[place]) / (rows[place] * len(present))
    _, unit = np.unique(units, return_inverse=True)
    return float(means.mean()), float(np.sqrt((np.bincount(unit, parts) ** 2).sum()))


def _recalls(truth: NDArray[np.int64], answer: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """Return the share of each class's rows [K, K] that got each answer, NaN for classes without a row."""
    counts = np.zeros((count, count))
    np.add.at(counts, (truth, answer), 1)
    rows = counts.sum(axis=1, keepdims=True)
    shares: NDArray[np.float64] = np.full_like(counts, np.nan)
    np.divide(counts, rows, out=shares, where=rows > 0)
    return shares


def _in_first_half(units: Sequence[str] | NDArray[np.str_]) -> NDArray[np.bool_]:
    """Return which rows belong to the first half of the units."""
    names = sorted(set(units), key=lambda name: hashlib.sha256(f"class order/{name}".encode()).digest())
    half = set(names[: len(names) // 2])
    return np.array([unit in half for unit in units], bool)
