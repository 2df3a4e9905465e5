"""Uncertainty: the bootstrap over units (persons, videos or pictures), vectorised over resamples.

Rows of one person or one video are not independent evidence, so whole units are drawn with replacement. The
draws depend on the target and its units only: every method sees the same resamples of the same rows, and the
same store always gives the same intervals.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from fer_bench.evaluation.confusion import Floats

RESAMPLES = 1000
"""Resamples per interval."""
MIN_UNITS = 10
"""With fewer units no interval is given: the bootstrap would be far too narrow."""
LEVEL = 0.95
_CHUNK_CELLS = 4_000_000


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
        all_units: Units of all labelled rows of the target, scored or not, sorted; these are resampled, so
            that models with different classes share the resamples.
        labelled: Number of labelled rows of the target.
        classes: Ordered classes of the model, which positions refer to.
        scored_classes: Those of them that are scored.
    """

    truth: NDArray[np.int64]
    answer: NDArray[np.int64]
    units: NDArray[np.object_]
    samples: NDArray[np.object_]
    all_units: NDArray[np.object_]
    labelled: int
    classes: tuple[str, ...]
    scored_classes: tuple[str, ...]


@dataclass(frozen=True)
class Counts:
    """Per-unit confusion matrices of several models on the same units.

    Attributes:
        table: Sparse counts [U, R * K * K].
        models: R, the number of models.
        classes: K, the number of classes.
        scored_units: Units with at least one scored row.
    """

    table: Any
    models: int
    classes: int
    scored_units: int

    def total(self) -> NDArray[np.int64]:
        """Return the confusion matrices over all units, [R, K, K]."""
        flat = np.asarray(self.table.sum(axis=0)).astype(np.int64)
        return flat.reshape(self.models, self.classes, self.classes)


@dataclass(frozen=True)
class Units:
    """The units of several models' rows.

    Attributes:
        names: Units of all labelled rows, sorted [U].
        of_rows: Position of each scored row's unit among them, per model [n].
    """

    names: NDArray[np.object_]
    of_rows: tuple[NDArray[np.int64], ...]


def find_units(answers: Sequence[Answers]) -> Units:
    """Return the units of several models' rows; a model need not have rows of every unit."""
    names = np.unique(np.concatenate([one.all_units for one in answers]))
    index = pd.Index(names)
    return Units(names, tuple(index.get_indexer(pd.Index(one.units)).astype(np.int64) for one in answers))


def count_by_unit(answers: Sequence[Answers], units: Units | None = None) -> Counts:
    """Return the per-unit confusion matrices of several models with the same classes.

    Args:
        answers: Answers of R >= 1 models.
        units: From `find_units`, found here by default.
    """
    units = units or find_units(answers)
    k = len(answers[0].classes)
    rows, cells = [], []
    for model, one in enumerate(answers):
        rows.append(units.of_rows[model])
        cells.append(model * k * k + one.truth * k + one.answer)
    row, cell = np.concatenate(rows), np.concatenate(cells)
    table = sparse.csr_array((np.ones(len(row)), (row, cell)), shape=(len(units.names), len(answers) * k * k))
    return Counts(table, len(answers), k, len(np.unique(row)))


def seed_of(target: str, units: Iterable[str]) -> int:
    """Return the seed of a target's resamples: it depends on the target and its units only."""
    digest = hashlib.sha256(target.encode())
    for unit in units:
        digest.update(b"\x1f" + unit.encode())
    return int.from_bytes(digest.digest()[:8], "big")


@lru_cache(maxsize=8)
def resample_weights(seed: int, units: int, resamples: int = RESAMPLES) -> NDArray[np.uint16]:
    """Return how often each unit is drawn in each resample, [resamples, units]; every row sums to `units`."""
    rng = np.random.default_rng(seed)
    weights = np.empty((resamples, units), np.uint16)
    step = max(1, _CHUNK_CELLS // units)
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        drawn = rng.integers(units, size=(size, units)) + np.arange(size)[:, None] * units
        weights[start : start + size] = np.bincount(drawn.ravel(), minlength=size * units).reshape(
            size, units
        )
    weights.flags.writeable = False
    return weights


def bootstrap(
    counts: Counts,
    share: Floats,
    seed: int,
    functions: Mapping[str, Callable[[Floats], Floats]],
    resamples: int = RESAMPLES,
) -> dict[str, Floats]:
    """Return resampled values of scores, averaged over the models.

    The models are resampled together: a draw takes the same units for all of them.

    Args:
        counts: Per-unit confusion matrices of R models.
        share: Share of each model in the average, [R], summing to 1.
        seed: From `seed_of`.
        functions: Scores of confusion matrices [..., K, K], by name.
        resamples: Number of draws, B.

    Returns:
        Name -> values [B]; NaN where a draw holds no scored row of a model.
    """
    units = counts.table.shape[0]
    weights = resample_weights(seed, units, resamples)
    draws: dict[str, list[Floats]] = {name: [] for name in functions}
    step = max(1, _CHUNK_CELLS // max(units, counts.table.shape[1]))
    transposed = counts.table.T.tocsr()
    for start in range(0, resamples, step):
        drawn = transposed @ weights[start : start + step].T.astype(np.float64, order="C")
        confusions = drawn.T.reshape(-1, counts.models, counts.classes, counts.classes)
        for name, function in functions.items():
            draws[name].append((function(confusions) * share).sum(-1))
    return {name: np.concatenate(parts) for name, parts in draws.items()}


def interval(draws: Floats, tail: float = (1 - LEVEL) / 2) -> Interval:
    """Return the interval between two quantiles of resampled values, draws without a value left out.

    Args:
        draws: Resampled values [B].
        tail: Share of draws cut off at each end; `Spread.tail` corrects it for few units.
    """
    low, high = np.nanquantile(draws, (tail, 1 - tail))
    return Interval(float(low), float(high))


def mean_and_sd(values: Sequence[float]) -> tuple[float, float | None]:
    """Return the mean and the standard deviation (ddof 1); no deviation for a single value."""
    array = np.asarray(values, np.float64)
    return float(array.mean()), float(array.std(ddof=1)) if len(array) > 1 else None
