"""FERPlus's votes: reading them, and the label distributions that the official code makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fer_bench.errors import DataError

Floats = NDArray[np.float64]

CLASSES = (
    *("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt"),
    *("unknown", "NF"),
)
"""Names of the ten columns of votes; NF is not a face."""
FACES = 8
"""Columns that are emotions: the first ones."""


def parse_votes(fields: Sequence[str]) -> Floats:
    """Return ten counts of votes.

    Raises:
        DataError: A field that is not an integer from 0 to 10.
    """
    for field in fields:
        if not (field.isascii() and field.isdigit() and int(field) <= 10):
            raise DataError("a count of votes is not an integer from 0 to 10", value=field)
    return np.array(fields, np.float64)


def official_distribution(votes: Floats, kind: Literal["majority", "probability"]) -> Floats | None:
    """Return the official label distribution of one picture (microsoft/FERPlus: src/ferplus.py).

    Single votes count as slips and are set to zero. `majority` then wants one class with more than half of
    the rest. `probability` collects the classes in the order of their counts, ties together, until they have
    three quarters of the rest or are three; unknown and not a face end the collection and count only where
    nothing comes before them. A picture is dropped where more than three classes, or half of the votes or
    less, are collected.

    Args:
        votes: Ten counts in the order of `CLASSES`.
        kind: The official mode.

    Returns:
        Shares of the eight emotions that sum to one, or None when the picture is dropped.
    """
    left = np.where(votes > 1, votes, 0.0)
    total = left.sum()
    kept = np.zeros_like(left)
    if kind == "majority":
        winner = int(np.argmax(left))
        if left[winner] > 0.5 * total:
            kept[winner] = left[winner]
    else:
        collected = count = 0
        open_ended = True
        while collected < 0.75 * total and count < 3 and open_ended:
            most = left.max()
            for place in np.flatnonzero(left == most):
                collected += most
                left[place] = 0.0
                if place >= FACES:
                    open_ended = False
                    if not kept.any():
                        kept[place] = most
                        count += 1
                    break
                kept[place] = most
                count += 1
        if count > 3:
            return None
    if kept.sum() <= 0.5 * total or int(np.argmax(kept)) >= FACES:
        return None
    emotions = kept[:FACES]
    return np.asarray(emotions / emotions.sum(), np.float64)
