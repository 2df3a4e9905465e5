"""Who shows what in a synthetic dataset, and how a sequence rises and falls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_bench.emotions import LABEL_SETS, Emotion
from fer_bench.synthetic.layouts.frame import Task
from fer_bench.synthetic.population import (
    STYLES,
    Expression,
    Person,
    Population,
    behind_label,
    valence_arousal,
)

Array = NDArray[np.float64]
Counts = Mapping[Emotion, int]
Rng = np.random.Generator


@dataclass(frozen=True)
class Recording:
    """Who shows what in a sequence: person, emotion, number of frames, and the sequence's own number."""

    person: int
    emotion: Emotion
    frames: int
    serial: int


def deal(counts: Counts, people: int, rng: Rng) -> list[list[Emotion]]:
    """Return the emotions of each person, so that nobody has one twice and all have about as many.

    Raises:
        ValueError: An emotion is wanted more often than there are people.
    """
    hands: list[list[Emotion]] = [[] for _ in range(people)]
    for emotion in sorted(counts, key=lambda e: -counts[e]):
        if counts[emotion] > people:
            raise ValueError(f"{counts[emotion]} x {emotion} for {people} people")
        luck = rng.random(people)
        order = sorted(range(people), key=lambda i: (len(hands[i]), luck[i]))
        for i in order[: counts[emotion]]:
            hands[i].append(emotion)
    return hands


def shuffled(counts: Counts, rng: Rng) -> list[Emotion]:
    """Return every emotion as often as wanted, in random order."""
    everything = [emotion for emotion, count in counts.items() for _ in range(count)]
    return [everything[i] for i in rng.permutation(len(everything))]


def scaled(counts: Counts, factor: float, least: int) -> dict[Emotion, int]:
    """Return the counts times a factor, none below the least."""
    return {emotion: max(least, round(count * factor)) for emotion, count in counts.items()}


def counts_of(*numbers: int, order: Sequence[Emotion] = LABEL_SETS["7"]) -> dict[Emotion, int]:
    """Return counts by emotion, given in the order of the label set."""
    return dict(zip(order, numbers, strict=True))


def rise(frames: int) -> Array:
    """Return how much of the apex each frame of a neutral-to-apex sequence shows: 0 first, 1 last."""
    t = np.linspace(0, 1, frames)
    return np.minimum(1.0, 1.12 * t * t * (3 - 2 * t))


def swell(frames: int) -> tuple[Array, int, int]:
    """Return the shares of an onset-apex-offset clip and the first and last frame (from 0) of the apex."""
    first, last = max(1, round(0.38 * frames)), min(frames - 2, round(0.66 * frames))
    t = np.arange(frames)
    rise, fall = np.clip(t / first, 0, 1), np.clip((frames - 1 - t) / (frames - 1 - last), 0, 1)
    ramp = np.minimum(rise, fall)
    return ramp * ramp * (3 - 2 * ramp), first, last


_CHUNK = 20


def chunked(items: Sequence[Any], run: Callable[[int, Any], str]) -> list[Task]:
    """Return tasks of up to 20 pictures each, every picture giving one line."""

    def task(start: int) -> Task:
        part = items[start : start + _CHUNK]
        return Task(len(part), lambda: [run(start + i, item) for i, item in enumerate(part)])

    return [task(start) for start in range(0, len(items), _CHUNK)]


def wild(population: Population, serial: int, label: Emotion) -> tuple[Rng, Person, Expression]:
    """Return chance, person and expression of a picture from the web."""
    rng = population.rng("photo", serial)
    person = population.person(serial)
    style = STYLES[population.dataset]
    return rng, person, person.express(rng, behind_label(rng, label, style), style)


def rated(au: Array, rng: Rng, doubt: float) -> tuple[float, float]:
    """Return valence and arousal as a rater gives them, in [-1, 1]."""
    valence, arousal = np.clip(np.array(valence_arousal(au)) + rng.normal(0, doubt, 2), -1, 1)
    return float(valence), float(arousal)
