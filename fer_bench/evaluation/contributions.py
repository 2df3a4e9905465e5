"""What units and seeds add to UAR, to accuracy and to any other score of a confusion matrix.

UAR is a sum over rows: a row answered right adds 1 / (k n_c) with k present classes and n_c rows of its
class. Accuracy is the same with all rows in one class. Any other score is taken as linear around the
confusion matrix that was observed.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_bench.evaluation.components import TINY, Component
from fer_bench.evaluation.confusion import Floats
from fer_bench.evaluation.statistics import Answers, Units, find_units

LEAST_REST = 0.1
"""A unit that holds more than nine tenths of a class's rows counts as if it held so many."""
SHARED_ROWS = 0.1
"""Units are pictures if at most this share of the rows is not the first of its unit."""
NUDGE = 1e-3
"""Rows by which a count of the confusion matrix is moved to see how a score follows."""


@dataclass(frozen=True)
class Classes:
    """Recall of every class that has a row, over all seeds, and how surely it is known.

    Attributes:
        recall: Share answered right, averaged over seeds [k].
        own: Variance of the class's term in the score over units [k].
        effective: Number of equal units that would tell as much [k].
        unseen: Variance of outcomes that too few units show [k]: where all units of a class are right (or
            wrong), half a unit more might not have been.
        most: Independent answers that the class's rows can amount to [k]: its units if all are alike, up to
            all answers of all seeds where units differ.
    """

    recall: Floats
    own: Floats
    effective: Floats
    unseen: Floats
    most: Floats

    def freedom(self, units: int) -> float:
        """Return the degrees of freedom of the variance over units (Welch and Satterthwaite)."""
        parts = self.own + self.unseen
        below = float((parts**2 / np.maximum(self.effective - 1, 0.5)).sum())
        found = float(parts.sum()) ** 2 / below if below > TINY**2 else units - 1.0
        return max(1.0, min(found, units - 1.0))


@dataclass(frozen=True)
class Recalls:
    """What seeds and units add to UAR, or to accuracy.

    Attributes:
        seeds: Distinct seeds, sorted [S].
        scores: Score of each seed, its folds averaged [S].
        units: Units with a scored row, sorted [U].
        terms: See `Component`.
        pulls: See `Component`.
        classes: The classes; a single one in accuracy.
        pictures: Whether units are single rows.
        rows: Hash of the scored rows and labels of the folds.
    """

    seeds: tuple[int, ...]
    scores: Floats
    units: NDArray[np.object_]
    terms: Floats
    pulls: Floats
    classes: Classes
    pictures: bool
    rows: str

    def component(
        self, target: str, training: str, condition: str = "", *, scale: float = 1.0, shift: float = 0.0
    ) -> Component:
        """Return the score, multiplied and shifted, as a component.

        Args:
            target: Dataset tested on.
            training: Names what was trained.
            condition: What two scores must share to be compared, besides rows and labels.
            scale: Factor.
            shift: Added.
        """
        return Component(
            training=training,
            target=target,
            seeds=self.seeds,
            scores=self.scores * scale + shift,
            units=self.units,
            terms=self.terms * scale,
            pulls=self.pulls * scale,
            unseen=float(self.classes.unseen.sum()) * scale**2,
            freedom=self.classes.freedom(len(self.units)),
            pictures=self.pictures,
            rows=f"{self.rows} {condition}".strip(),
        )


def recalls(
    answered: Sequence[Answers], seeds: Sequence[int], units: Units | None = None, *, by_class: bool = True
) -> Recalls:
    """Return what seeds and units add to UAR (or to accuracy).

    Args:
        answered: Answers of R >= 1 models, each with a scored row.
        seeds: Seed of each model [R]; models of one seed are its folds, which are averaged.
        units: From `find_units`, found here by default.
        by_class: UAR; otherwise all rows count as one class, which gives accuracy.
    """
    units = units or find_units(answered)
    k = len(answered[0].classes) if by_class else 1
    names = tuple(sorted({*map(int, seeds)}))
    size = (len(names), len(units.names), k)
    hits, scores = np.zeros(size), np.zeros(len(names))
    terms, pulls, rows = np.zeros(size), np.zeros(size), np.zeros(size[1:])
    for model, unit, (at, share) in zip(answered, units.of_rows, _places(seeds, names), strict=True):
        right, held = by_unit(model, unit, len(units.names), k)
        total = held.sum(0)
        recall = right.sum(0) / np.maximum(total, 1)
        term = share / (np.maximum(total, 1) * np.count_nonzero(total))
        rest = np.maximum(1 - held / np.maximum(total, 1), LEAST_REST)
        scores[at] += float((right * term).sum())
        terms[at] += right * term
        pulls[at] += (right - recall * held) * term / rest
        hits[at] += right * share
        rows += held * share / len(names)
    scored = rows.any(1)
    return Recalls(
        seeds=names,
        scores=scores,
        units=units.names[scored],
        terms=terms[:, scored].sum(2),
        pulls=pulls[:, scored].sum(2),
        classes=_classes(hits[:, scored], rows[scored], pulls[:, scored]),
        pictures=rows.sum() <= (1 + SHARED_ROWS) * scored.sum(),
        rows=_rows(answered, seeds) if by_class else "",
    )


def _places(seeds: Sequence[int], names: Sequence[int]) -> list[tuple[int, float]]:
    """Return for each model the position of its seed, and its share in the mean over the seed's folds."""
    counts = Counter(seeds)
    return [(names.index(seed), 1 / counts[seed]) for seed in seeds]


def by_unit(model: Answers, unit: NDArray[np.int64], units: int, k: int) -> tuple[Floats, Floats]:
    """Return right answers and rows per unit and class, both [U, k]."""
    cell = unit * k + (model.truth if k > 1 else 0)
    hit = (model.truth == model.answer).astype(np.float64)
    right = np.asarray(np.bincount(cell, weights=hit, minlength=units * k), np.float64)
    held: Floats = np.bincount(cell, minlength=units * k).astype(np.float64)
    return right.reshape(units, k), held.reshape(units, k)


def _classes(hits: Floats, rows: Floats, pulls: Floats) -> Classes:
    """Return how surely the recall of each class is known.

    Args:
        hits: Rows answered right, folds averaged [S, U, K].
        rows: Rows [U, K].
        pulls: [S, U, K].
    """
    total = rows.sum(0)
    seen = total > 0
    hits, rows, total, mean = hits[..., seen].mean(0), rows[:, seen], total[seen], pulls[..., seen].mean(0)
    effective = 1 / ((rows / total) ** 2).sum(0)
    held = (rows > 0).sum(0)
    wrong, right = (hits < rows - 1e-9).sum(0), (hits > 1e-9).sum(0)
    differ = np.minimum(wrong, right)  # units that show the rarer outcome
    count = seen.sum()
    return Classes(
        recall=hits.sum(0) / total,
        own=(mean**2).sum(0),
        effective=effective,
        unseen=0.5 / ((effective + 1) * (effective + 2) * (1 + differ)) / count**2,
        most=held * (1 + (total * len(pulls) / held - 1) * differ / (differ + 1)),
    )


def influence(
    answered: Sequence[Answers],
    seeds: Sequence[int],
    function: Callable[[NDArray[Any]], NDArray[Any]],
    like: Recalls,
    units: Units,
) -> Recalls:
    """Return what seeds and units add to any score of a confusion matrix, to first order.

    Args:
        answered: Answers of R >= 1 models.
        seeds: Seed of each model [R].
        function: The score of counts [..., K, K].
        like: UAR of the same answers, whose classes say what too few units show.
        units: From `find_units`.
    """
    k = len(answered[0].classes)
    scores = np.zeros(len(like.seeds))
    pulls = np.zeros((len(like.seeds), len(units.names)))
    held = np.zeros(len(units.names))
    for model, unit, (at, share) in zip(answered, units.of_rows, _places(seeds, like.seeds), strict=True):
        cells = model.truth * k + model.answer
        counts = np.bincount(cells, minlength=k * k).astype(np.float64)
        value, slopes = _slopes(function, counts, k)
        scores[at] += share * value
        own = np.bincount(unit, minlength=len(held)).astype(np.float64)
        rest = np.maximum(1 - own / own.sum(), LEAST_REST)
        pulls[at] += share * np.bincount(unit, weights=slopes[cells], minlength=len(held)) / rest
        held += own
    kept = pulls[:, held > 0]
    return Recalls(like.seeds, scores, like.units, kept, kept, like.classes, like.pictures, like.rows)


def _slopes(function: Callable[[NDArray[Any]], NDArray[Any]], counts: Floats, k: int) -> tuple[float, Floats]:
    """Return a score and how it follows each count that is not 0, [K * K]."""
    used = np.flatnonzero(counts)
    moved = np.repeat(counts[None], len(used) + 1, axis=0)
    moved[np.arange(len(used)), used] += NUDGE
    values = np.asarray(function(moved.reshape(-1, k, k)), np.float64)
    slopes = np.zeros(k * k)
    slopes[used] = (values[:-1] - values[-1]) / NUDGE
    return float(values[-1]), slopes


def _rows(answered: Sequence[Answers], seeds: Sequence[int]) -> str:
    """Return a hash of the rows and labels that the folds of one seed are scored on.

    The seeds of a cell have the same folds, so they share it.
    """
    found: dict[int, list[str]] = {}
    for model, seed in zip(answered, seeds, strict=True):
        order = np.argsort(model.samples.astype(str), kind="stable")
        names = np.asarray(model.classes, object)[model.truth[order]]
        text = "\n".join(f"{s}\x1f{name}" for s, name in zip(model.samples[order], names, strict=True))
        found.setdefault(seed, []).append(hashlib.sha256(text.encode()).hexdigest())
    whole = sorted({";".join(sorted(hashes)) for hashes in found.values()})
    return hashlib.sha256("|".join(whole).encode()).hexdigest()[:16]
