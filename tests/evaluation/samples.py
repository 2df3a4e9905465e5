"""Answers and components of tests in this folder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fer_bench.evaluation.components import Combined, Component
from fer_bench.evaluation.contributions import recalls
from fer_bench.evaluation.statistics import Answers


def answers(truth: ArrayLike, answer: ArrayLike, units: Sequence[str] | None = None, k: int = 3) -> Answers:
    """Return answers of K classes; each row is its own unit by default."""
    given, labels = np.asarray(truth), tuple(f"c{i}" for i in range(k))
    ids = np.array([f"s{i:05d}" for i in range(len(given))], object)
    names = ids if units is None else np.array(units, object)
    return Answers(given, np.asarray(answer), names, ids, len(ids), labels, labels)


def guesses(
    truth: NDArray[Any], right: float | Sequence[float], rng: np.random.Generator, k: int
) -> NDArray[Any]:
    """Return answers that are right with a probability (per class), else another class."""
    sure = np.broadcast_to(right, k)[truth]
    return np.where(rng.random(len(truth)) < sure, truth, (truth + rng.integers(1, k, len(truth))) % k)


def random_answers(seed: int, n: int = 120, units: int = 12, right: float = 0.6, k: int = 4) -> Answers:
    """Return answers of units with several rows; rows and units are the same for every seed."""
    rng = np.random.default_rng(seed)
    truth = (np.arange(n) * 7 + np.arange(n) // units) % k
    return answers(truth, guesses(truth, right, rng, k), [f"u{i % units:03d}" for i in range(n)], k)


def perfect(rows: Sequence[int]) -> Answers:
    """Return right answers on pictures, so many of each class."""
    truth = np.repeat(np.arange(len(rows)), rows)
    return answers(truth, truth, k=len(rows))


def component(values: ArrayLike, **fields: Any) -> Component:
    """Return the mean over units of values [S, U], units being of equal size and one class."""
    array = np.atleast_2d(np.asarray(values, np.float64))
    count = array.shape[1]
    mean = array.mean(axis=1, keepdims=True)
    given: dict[str, Any] = {
        "training": "source",
        "target": "target",
        "seeds": tuple(range(len(array))),
        "scores": array.mean(axis=1),
        "units": np.array([f"u{i:04d}" for i in range(count)], object),
        "terms": array / count,
        "pulls": (array - mean) / (count - 1),
        "unseen": 0.0,
        "freedom": count - 1.0,
        "pictures": False,
        "rows": "rows",
    }
    return Component(**given | fields)


def single(values: ArrayLike, **fields: Any) -> Combined:
    """Return a sum of one such component."""
    return Combined((component(values, **fields),))


def scored(models: Sequence[Answers], **fields: Any) -> Combined:
    """Return the UAR of models with the seeds 0, 1, ... as a sum."""
    return Combined((recalls(models, range(len(models))).component("target", "source", **fields),))
