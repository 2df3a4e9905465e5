"""What models answered, and the units (persons, videos or pictures) that their rows belong to.

Rows of one person or one video are not independent evidence, so uncertainty is computed over whole units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray


@dataclass(frozen=True)
class Interval:
    """An interval for a score.

    Attributes:
        low: Lower end.
        high: Upper end.
    """

    low: float
    high: float


@dataclass(frozen=True)
class Answers:
    """One model's answers on the scored rows of a target.

    Attributes:
        truth: Positions of the true classes [n].
        answer: Positions of the answered classes [n].
        units: Unit of each row [n].
        samples: Sample id of each row [n].
        labelled: Number of labelled rows of the target.
        classes: Ordered classes of the model, which positions refer to.
        scored_classes: Those of them that are scored.
    """

    truth: NDArray[np.int64]
    answer: NDArray[np.int64]
    units: NDArray[np.object_]
    samples: NDArray[np.object_]
    labelled: int
    classes: tuple[str, ...]
    scored_classes: tuple[str, ...]


@dataclass(frozen=True)
class Units:
    """The units of several models' rows.

    Attributes:
        names: Units of all scored rows, sorted [U].
        of_rows: Position of each scored row's unit among them, per model [n].
    """

    names: NDArray[np.object_]
    of_rows: tuple[NDArray[np.int64], ...]


def find_units(answers: Sequence[Answers]) -> Units:
    """Return the units of several models' rows; a model need not have rows of every unit."""
    codes, names = pd.factorize(np.concatenate([one.units for one in answers]), sort=True)
    ends = np.cumsum([len(one.units) for one in answers])[:-1]
    return Units(np.asarray(names, object), tuple(np.split(codes.astype(np.int64), ends)))


def mean_and_sd(values: Sequence[float]) -> tuple[float, float | None]:
    """Return the mean and the standard deviation (ddof 1); no deviation for a single value."""
    array = np.asarray(values, np.float64)
    return float(array.mean()), float(array.std(ddof=1)) if len(array) > 1 else None
