"""Populations of persons, videos and pictures with known true scores, for `coverage.py`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], tuple[Floats, Floats]]
GAP = 0.4
"""How much better, in logits, the first of two compared methods is."""


@dataclass(frozen=True)
class Scenario:
    """A population.

    Attributes:
        text: Description.
        draw: Returns rows answered correctly by two methods [2, U, K] and rows [U, K] of a sample of units.
    """

    text: str
    draw: Draw


def _levels(level: float) -> Floats:
    return np.array([level, level - GAP]).reshape(2, 1, 1)


def _uniforms(rng: np.random.Generator, n: int, k: int) -> Floats:
    """Return the random numbers that decide rows for two methods [2, n, k]: six in ten are shared."""
    own, same = rng.random((2, n, k)), rng.random((n, k)) < 0.6
    return np.where(same, own[:1], own)


def persons(level: float, has: tuple[float, ...] = (1.0,) * 6, frames: int = 3) -> Draw:
    """Return a lab population: a clip per person and class, whose frames are mostly alike.

    Args:
        level: Mean logit of a correct answer; persons and person-class pairs vary around it.
        has: Share of persons with a clip of each class.
        frames: Rows per clip.
    """

    def draw(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
        k = len(has)
        logit = rng.normal(0, 0.8, (n, 1)) + np.linspace(-1, 1, k) + rng.normal(0, 1, (n, k))
        p = expit(_levels(level) + logit)
        together = rng.random((n, k)) < 0.6
        hits = np.where(together, frames * (_uniforms(rng, n, k) < p), rng.binomial(frames, p))
        there = rng.random((n, k)) < has
        there[~there.any(1), 0] = True
        return hits * there, frames * there.astype(np.float64)

    return draw


def videos(level: float, priors: tuple[float, ...]) -> Draw:
    """Return a video population: hundreds of frames each, few classes, heavy-tailed lengths."""

    def draw(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
        k = len(priors)
        frames = 20 + np.exp(rng.normal(6, 1, n)).astype(int)
        mix = rng.gamma(3 * np.asarray(priors), size=(n, k))
        rows = rng.multinomial(frames, mix / mix.sum(1, keepdims=True))
        logit = rng.normal(0, 1.2, (n, 1)) + np.linspace(1, -1, k) + rng.normal(0, 0.7, (n, k))
        return rng.binomial(rows, expit(_levels(level) + logit)).astype(np.float64), rows.astype(np.float64)

    return draw


def pictures(level: float, priors: tuple[float, ...]) -> Draw:
    """Return a population of single pictures with given class shares."""

    def draw(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
        k = len(priors)
        label = rng.choice(k, n, p=np.asarray(priors) / sum(priors))
        rows = (label[:, None] == np.arange(k)).astype(np.float64)
        right = _uniforms(rng, n, 1) < expit(_levels(level) + np.linspace(1, -1, k))
        return rows * right, rows

    return draw


SCENARIOS = {
    "persons, hard": Scenario("six classes per person, true UAR about .5", persons(0.0)),
    "persons": Scenario("six classes per person, about .75", persons(1.8)),
    "persons, easy": Scenario("six classes per person, about .9", persons(3.0)),
    "persons, gaps": Scenario(
        "seven classes, 15 to 70 % of persons have one",
        persons(2.2, (0.7, 0.58, 0.5, 0.38, 0.23, 0.21, 0.15)),
    ),
    "videos": Scenario(
        "eight classes, few per video, long-tailed lengths",
        videos(0.3, (0.33, 0.17, 0.15, 0.12, 0.08, 0.05, 0.05, 0.05)),
    ),
    "pictures": Scenario("seven classes, even", pictures(1.5, (1.0,) * 7)),
    "pictures, uneven": Scenario(
        "seven classes, 2 to 39 % of rows each", pictures(1.5, (0.22, 0.39, 0.16, 0.11, 0.02, 0.05, 0.05))
    ),
}
MEANS = {
    "three lab targets": ("persons, hard", "persons", "persons, gaps"),
    "three picture targets": ("pictures", "pictures, uneven", "pictures"),
    "six targets of all kinds": (
        *("persons, hard", "persons", "persons, gaps"),
        *("videos", "pictures", "pictures, uneven"),
    ),
}
"""Targets whose transfer scores are averaged; each has the number of units in the table."""


POPULATIONS = {name: scenario.text for name, scenario in SCENARIOS.items()}
POPULATIONS |= {name: "; ".join(targets) for name, targets in MEANS.items()}
