"""Assign emotions to the people of a synthetic dataset, and intensities to the frames of a sequence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_bench.emotions import LABEL_SETS, Emotion
from fer_bench.synthetic.expressions import STYLES, Expression, behind_label, valence_arousal
from fer_bench.synthetic.layouts.journal import JobResult
from fer_bench.synthetic.layouts.writing import DrawingJob
from fer_bench.synthetic.population import Person, Population

Array = NDArray[np.float64]
Counts = Mapping[Emotion, int]
Rng = np.random.Generator


@dataclass(frozen=True)
class Recording:
    """A sequence: person, emotion, number of frames, and the number of the sequence."""

    person: int
    emotion: Emotion
    frames: int
    serial: int


def deal(counts: Counts, people: int, rng: Rng) -> list[list[Emotion]]:
    """Return the emotions of each person, so that all people have about as many.

    A person has an emotion twice only if it is wanted more often than there are people.
    """
    hands: list[list[Emotion]] = [[] for _ in range(people)]
    for emotion in sorted(counts, key=lambda e: -counts[e]):
        for start in range(0, counts[emotion], people):
            luck = rng.random(people)
            order = sorted(range(people), key=lambda i: (len(hands[i]), luck[i]))
            for i in order[: counts[emotion] - start]:
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


class Chunks(Sequence[DrawingJob]):
    """Drawing jobs of up to 20 pictures each, made on demand: a hundred thousand faces are one object.

    Args:
        count: Number of pictures.
        run: Draws a picture by its number and returns its lines and truth.
    """

    size = 20

    def __init__(self, count: int, run: Callable[[int], JobResult]) -> None:
        self._count, self._run = count, run

    def __len__(self) -> int:
        return -(-self._count // self.size)

    def __getitem__(self, number: Any) -> Any:
        number = range(len(self))[number]
        serials = range(number * self.size, min((number + 1) * self.size, self._count))
        return DrawingJob(len(serials), lambda: together(self._run(serial) for serial in serials))


def together(results: Iterable[JobResult]) -> JobResult:
    """Return the lines and the truth of several pictures as one."""
    whole = JobResult()
    for result in results:
        whole.lines.extend(result.lines)
        whole.truth.extend(result.truth)
    return whole


def planted(count: int, share: float, rng: Rng, *, least: int = 0) -> frozenset[int]:
    """Return which of `count` numbers have a rare quirk: a share of them, but at least `least`."""
    wanted = min(count, max(least, round(share * count)))
    return frozenset(rng.choice(count, wanted, replace=False).tolist())


def wild(population: Population, serial: int, label: Emotion) -> tuple[Rng, Person, Expression]:
    """Return random generator, person and expression of a picture from the web."""
    rng = population.rng("photo", serial)
    person = population.person(serial)
    style = STYLES[population.dataset]
    return rng, person, person.express(rng, behind_label(rng, label, style), style)


def rated(au: Array, rng: Rng, doubt: float) -> tuple[float, float]:
    """Return valence and arousal as rated by a noisy annotator, in [-1, 1]."""
    valence, arousal = np.clip(np.array(valence_arousal(au)) + rng.normal(0, doubt, 2), -1, 1)
    return float(valence), float(arousal)
