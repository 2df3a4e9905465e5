"""Populations of persons, videos and pictures with known true scores, for `coverage.py`.

Two or more methods answer the same rows. Each training seed shifts a method's logits as a whole, so that its
UAR varies from seed to seed, and decides anew which rows are answered right, as trained networks do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit, ndtri

from fer_bench.evaluation import confusion
from fer_bench.evaluation.statistics import Answers

Floats = NDArray[np.float64]
RAF_LIKE = (0.22, 0.39, 0.16, 0.11, 0.02, 0.05, 0.05)
"""Shares of the classes in the official RAF-DB training set, rounded."""
VIDEO_SHARES = (0.33, 0.17, 0.15, 0.12, 0.08, 0.05, 0.05, 0.05)
SHARED = 0.6
"""How much of what makes a row easy or hard is common to both methods."""
MOST_FRAMES = 600
LARGE = 20_000
NODES = ndtri((np.arange(15) + 0.5) / 15)
"""Seeds, in standard deviations, over which true scores are averaged."""


@dataclass(frozen=True)
class Population:
    """A population of test units.

    Attributes:
        text: Description.
        units: Numbers of units that are simulated.
        rows: Draws the rows of n units per class [n, K].
        spread: Standard deviations of what makes a unit, and a class of a unit, easy or hard.
        alike: Probability that all rows of a unit and class are answered alike.
    """

    text: str
    units: tuple[int, ...]
    rows: Callable[[np.random.Generator, int], NDArray[np.int64]]
    spread: tuple[float, float]
    alike: float


def _persons(rng: np.random.Generator, n: int) -> NDArray[np.int64]:
    return np.full((n, 6), 3)


def _videos(rng: np.random.Generator, n: int) -> NDArray[np.int64]:
    frames = np.minimum(20 + np.exp(rng.normal(4.5, 1, n)).astype(int), MOST_FRAMES)
    mix = rng.gamma(3 * np.asarray(VIDEO_SHARES), size=(n, len(VIDEO_SHARES)))
    found: NDArray[np.int64] = rng.multinomial(frames, mix / mix.sum(1, keepdims=True))
    return found


def _pictures(shares: tuple[float, ...]) -> Callable[[np.random.Generator, int], NDArray[np.int64]]:
    def draw(rng: np.random.Generator, n: int) -> NDArray[np.int64]:
        label = rng.choice(len(shares), n, p=np.asarray(shares) / sum(shares))
        return (label[:, None] == np.arange(len(shares))).astype(np.int64)

    return draw


POPULATIONS = {
    "persons": Population(
        "a clip of three frames per person and class, six classes", (11, 40, 118), _persons, (0.8, 1.0), 0.6
    ),
    "videos": Population(
        "eight classes, few per video, lengths with a long tail", (38,), _videos, (1.2, 0.7), 0.0
    ),
    "pictures, even": Population(
        "seven classes, equal shares", (70, 300, 3000), _pictures((1.0,) * 7), (1.5, 0.0), 0.0
    ),
    "pictures, uneven": Population(
        "seven classes, shares as in RAF-DB (2 to 39 %)", (300, 3000), _pictures(RAF_LIKE), (1.5, 0.0), 0.0
    ),
}


@dataclass(frozen=True)
class Case:
    """What is simulated.

    Attributes:
        population: Name of the population.
        units: Units per sample.
        level: True UAR of the methods.
        seeds: Training seeds per method.
        seed_sd: Standard deviation of UAR over seeds.
        profiles: Whether the methods know the same classes best, or (of two) opposite ones.
        methods: How many there are.
    """

    population: str
    units: int
    level: float
    seeds: int
    seed_sd: float
    profiles: str = "same"
    methods: int = 2


@dataclass(frozen=True)
class Truth:
    """The true scores of a method, averaged over seeds, and how its logits are made.

    Attributes:
        level: Mean logit.
        shift: Standard deviation of the logits over seeds.
        scores: True score by name.
    """

    level: float
    shift: float
    scores: dict[str, float]


def slopes(classes: int, method: int, profiles: str) -> Floats:
    """Return how much easier each class is than the average, in logits [K]."""
    line = np.linspace(1, -1, classes)
    return line if method == 0 or profiles == "same" else -line


def effects(case: Case, rng: np.random.Generator, n: int, classes: int) -> Floats:
    """Return what makes units easy or hard for each method, in logits [M, n, K]."""
    whole, part = POPULATIONS[case.population].spread

    def draw(*first: int) -> Floats:
        drawn: Floats = rng.normal(0, whole, (*first, n, 1)) + rng.normal(0, 1, (*first, n, classes)) * part
        return drawn

    found: Floats = np.sqrt(SHARED) * draw() + np.sqrt(1 - SHARED) * draw(case.methods)
    return found


@cache
def truths(case: Case) -> tuple[Truth, Truth]:
    """Return the true scores of two methods, from a large sample; UAR is the case's level for both."""
    rng = np.random.default_rng(1)
    rows = POPULATIONS[case.population].rows(rng, LARGE)
    classes = rows.shape[1]
    hard = effects(case, rng, LARGE, classes)
    found = []
    for method in (0, 1):
        own = hard[method] + slopes(classes, method, case.profiles)
        nodes = NODES if case.seed_sd else np.zeros(1)

        def recalls(level: float, shift: float, own: Floats = own, nodes: Floats = nodes) -> Floats:
            p = [expit(level + shift * node + own) for node in nodes]
            return np.array([(one * rows).sum(0) / rows.sum(0) for one in p])

        level, shift = 0.0, 0.0
        for _ in range(4 if case.seed_sd else 1):
            level = brentq(lambda x, s=shift: recalls(x, s).mean() - case.level, -12, 14, xtol=1e-4)
            if case.seed_sd:
                scale = shift or 0.2
                shift = scale * case.seed_sd / float(recalls(level, scale).mean(1).std())
        by_class = recalls(level, shift)
        share = rows.sum(0) / rows.sum()
        matrices = [_confusion(one, share) for one in by_class]
        found.append(
            Truth(
                level,
                shift,
                {
                    "uar": float(by_class.mean()),
                    "accuracy": float((by_class * share).sum(1).mean()),
                    "macro_f1": float(np.mean([confusion.macro_f1(one) for one in matrices])),
                },
            )
        )
    return found[0], found[1]


def _wrong(classes: int) -> Floats:
    """Return how wrong answers to each class fall on the others, neighbours first [K, K]."""
    away = np.abs(np.arange(classes)[:, None] - np.arange(classes))
    share = np.where(away > 0, 1 / np.maximum(away, 1), 0.0)
    found: Floats = share / share.sum(1, keepdims=True)
    return found


def _confusion(recall: Floats, share: Floats) -> Floats:
    wrong = _wrong(len(recall)) * (1 - recall)[:, None]
    found: Floats = (wrong + np.diag(recall)) * share[:, None]
    return found


def sample(case: Case, rng: np.random.Generator, shifts: Floats | None = None) -> list[list[Answers]]:
    """Return what the methods answer on the rows of a sample: per method, a model per seed.

    Args:
        case: What is simulated.
        rng: Source of randomness.
        shifts: How good each seed of each method is [M, S], in standard deviations; drawn by default.
    """
    population = POPULATIONS[case.population]
    rows = population.rows(rng, case.units)
    classes = rows.shape[1]
    hard = effects(case, rng, case.units, classes)
    unit, truth = np.nonzero(rows)
    count = rows[unit, truth]
    unit_of, truth_of = np.repeat(unit, count), np.repeat(truth, count)
    first = np.repeat(np.cumsum(count) - count, count)
    names = np.array([f"u{i:06d}" for i in range(case.units)], object)[unit_of]
    ids = np.arange(len(unit_of)).astype(str).astype(object)
    labels = tuple(f"c{i}" for i in range(classes))
    cumulated = _wrong(classes).cumsum(1)
    shifts = rng.normal(size=(case.methods, case.seeds)) if shifts is None else shifts
    first_two = truths(replace(case, methods=2))
    models: list[list[Answers]] = []
    for method in range(case.methods):
        known = first_two[min(method, 1)]
        logits = known.level + slopes(classes, method, case.profiles) + hard[method]
        models.append([])
        for shift in shifts[method]:
            p = expit(logits + known.shift * shift)[unit_of, truth_of]
            luck = rng.random(len(p))
            together = (rng.random(rows.shape) < population.alike)[unit_of, truth_of]
            luck = np.where(together, luck[first], luck)
            wrong = (rng.random((len(p), 1)) > cumulated[truth_of]).sum(1).clip(max=classes - 1)
            answer = np.where(luck < p, truth_of, wrong)
            models[-1].append(Answers(truth_of, answer, names, ids, len(ids), labels, labels))
    return models
