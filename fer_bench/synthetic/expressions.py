"""Expressions: prototypes of action units, styles of datasets, valence and arousal, labels and votes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fer_bench.emotions import ACTION_UNITS, BASIC_SIX, Emotion, LabelSet
from fer_bench.synthetic.anatomy import FACE_AUS, Array

ROW = {number: row for row, number in enumerate(FACE_AUS)}
"""Row of each action unit in an intensity array [17, 2]."""

PROTOTYPES: dict[Emotion, tuple[tuple[float, dict[int, tuple[float, float]]], ...]] = {
    Emotion.NEUTRAL: ((1.0, {}),),
    Emotion.HAPPINESS: (
        (0.7, {6: (0.9, 0.75), 12: (1.0, 0.85), 25: (1.0, 0.75), 26: (0.25, 0.25)}),
        (0.3, {6: (0.7, 0.55), 12: (1.0, 0.75), 7: (0.3, 0.3)}),
    ),
    Emotion.SADNESS: (
        (0.7, {1: (0.95, 0.8), 4: (0.85, 0.6), 15: (1.0, 0.8), 17: (0.6, 0.5), 7: (0.2, 0.3)}),
        (0.3, {1: (0.8, 0.6), 4: (0.6, 0.4), 15: (0.9, 0.6), 25: (0.4, 0.3), 24: (0.3, 0.4)}),
    ),
    Emotion.SURPRISE: (
        (0.8, {1: (1.0, 0.85), 2: (1.0, 0.85), 5: (0.9, 0.75), 25: (1.0, 0.8), 26: (1.0, 0.8)}),
        (0.2, {1: (1.0, 0.7), 2: (1.0, 0.75), 5: (0.8, 0.6), 25: (0.8, 0.4), 26: (0.6, 0.35)}),
    ),
    Emotion.FEAR: (
        (0.6, {1: (1.0, 0.85), 2: (0.7, 0.5), 4: (0.9, 0.65), 5: (0.95, 0.85), 20: (0.95, 0.75),
               25: (0.9, 0.6), 26: (0.3, 0.3)}),
        (0.4, {1: (1.0, 0.8), 2: (0.8, 0.7), 4: (0.6, 0.5), 5: (1.0, 0.9), 7: (0.4, 0.3), 25: (0.9, 0.6),
               26: (0.7, 0.45), 20: (0.6, 0.5)}),
    ),
    Emotion.DISGUST: (
        (0.6, {9: (1.0, 0.8), 10: (0.6, 0.6), 4: (0.5, 0.4), 7: (0.5, 0.5), 17: (0.5, 0.5), 6: (0.3, 0.4)}),
        (0.4, {10: (1.0, 0.85), 9: (0.5, 0.4), 15: (0.4, 0.4), 25: (0.6, 0.5), 4: (0.4, 0.4), 7: (0.4, 0.4)}),
    ),
    Emotion.ANGER: (
        (0.6, {4: (1.0, 0.85), 5: (0.4, 0.4), 7: (0.8, 0.6), 23: (0.8, 0.7), 24: (0.8, 0.7), 17: (0.5, 0.4)}),
        (0.4, {4: (1.0, 0.8), 5: (0.5, 0.5), 7: (0.6, 0.5), 10: (0.7, 0.5), 23: (0.6, 0.5), 25: (0.9, 0.6),
               20: (0.3, 0.3)}),
    ),
    Emotion.CONTEMPT: (
        (0.7, {12: (0.9, 0.5), 14: (1.0, 0.85)}),
        (0.3, {14: (1.0, 0.9), 2: (0.4, 0.5), 24: (0.3, 0.3)}),
    ),
    Emotion.OTHER: (
        (0.3, {25: (1.0, 0.6), 26: (0.8, 0.4), 4: (0.3, 0.3), 2: (0.3, 0.4)}),
        (0.3, {4: (0.8, 0.4), 12: (0.7, 0.4), 7: (0.6, 0.5)}),
        (0.2, {24: (0.9, 0.6), 14: (0.8, 0.6), 1: (0.5, 0.4), 2: (0.5, 0.4)}),
        (0.2, {17: (1.0, 0.7), 23: (0.6, 0.4), 2: (0.4, 0.4)}),
    ),
}  # fmt: skip
"""Per emotion its variants: weight, {action unit: (probability, mean intensity)}, after EMFACS."""

_ONE_SIDED: dict[Emotion, tuple[int, ...]] = {Emotion.CONTEMPT: (12, 14, 2)}

_VALENCE: dict[int, float] = {
    1: -0.08, 2: 0.05, 4: -0.40, 6: 0.30, 7: -0.05, 9: -0.40, 10: -0.30, 12: 0.75, 14: -0.15, 15: -0.45,
    17: -0.15, 20: -0.35, 23: -0.20, 24: -0.15, 26: 0.02,
}  # fmt: skip
_AROUSAL: dict[int, float] = {
    1: 0.10, 2: 0.20, 4: 0.15, 5: 0.45, 6: 0.10, 7: 0.20, 9: 0.25, 10: 0.20, 12: 0.20, 15: -0.35, 17: -0.10,
    20: 0.35, 23: 0.15, 24: 0.10, 25: 0.15, 26: 0.35,
}  # fmt: skip

CONFUSIONS: dict[Emotion, dict[Emotion, float]] = {
    Emotion.NEUTRAL: {
        Emotion.SADNESS: 0.4,
        Emotion.ANGER: 0.2,
        Emotion.HAPPINESS: 0.25,
        Emotion.CONTEMPT: 0.15,
    },
    Emotion.HAPPINESS: {Emotion.NEUTRAL: 0.6, Emotion.CONTEMPT: 0.2, Emotion.SURPRISE: 0.2},
    Emotion.SADNESS: {Emotion.NEUTRAL: 0.5, Emotion.FEAR: 0.2, Emotion.ANGER: 0.15, Emotion.DISGUST: 0.15},
    Emotion.SURPRISE: {Emotion.FEAR: 0.5, Emotion.HAPPINESS: 0.2, Emotion.NEUTRAL: 0.3},
    Emotion.FEAR: {Emotion.SURPRISE: 0.6, Emotion.SADNESS: 0.25, Emotion.NEUTRAL: 0.15},
    Emotion.DISGUST: {
        Emotion.ANGER: 0.45,
        Emotion.SADNESS: 0.25,
        Emotion.NEUTRAL: 0.15,
        Emotion.CONTEMPT: 0.15,
    },
    Emotion.ANGER: {Emotion.DISGUST: 0.4, Emotion.NEUTRAL: 0.35, Emotion.SADNESS: 0.25},
    Emotion.CONTEMPT: {Emotion.NEUTRAL: 0.4, Emotion.HAPPINESS: 0.35, Emotion.DISGUST: 0.25},
    Emotion.OTHER: {Emotion.NEUTRAL: 0.5, Emotion.HAPPINESS: 0.2, Emotion.SADNESS: 0.15, Emotion.ANGER: 0.15},
}
"""Emotions that each emotion is mistaken for, with probabilities."""


@dataclass(frozen=True)
class Style:
    """How clearly people of a dataset show emotions, and how well these are labelled.

    Attributes:
        strength: Range of intensities, 1 = full prototype.
        habits: Shares in which the variants of `PROTOTYPES` occur, where they are not the prototype's own:
            people asked in a studio, or found by a search engine, differ from people elsewhere.
        blend: Probability that a second emotion is mixed in.
        stray: Mean intensity of action units that are part of no expression.
        mislabelled: Probability that the label is not the emotion that was shown.
    """

    strength: tuple[float, float] = (0.6, 1.0)
    habits: Mapping[Emotion, tuple[float, ...]] = field(default_factory=dict)
    blend: float = 0.1
    stray: float = 0.04
    mislabelled: float = 0.0


def _habits(*first: float) -> dict[Emotion, tuple[float, float]]:
    """Return shares of the two variants, given that of the first for the basic six in their order."""
    return {emotion: (share, 1 - share) for emotion, share in zip(BASIC_SIX, first, strict=True)}


STYLES: dict[str, Style] = {
    "ckplus": Style((0.55, 1.0), _habits(0.80, 0.90, 0.95, 0.85, 0.90, 0.95), blend=0.05, stray=0.04),
    "mmi": Style((0.70, 1.0), _habits(0.40, 0.70, 0.80, 0.30, 0.70, 0.80), blend=0.08, stray=0.04),
    "oulu": Style((0.45, 0.95), _habits(0.70, 0.40, 0.60, 0.70, 0.75, 0.50), blend=0.12, stray=0.05),
    "rafdb": Style(
        (0.40, 1.0), _habits(0.85, 0.35, 0.90, 0.25, 0.30, 0.25), blend=0.18, stray=0.05, mislabelled=0.05
    ),
    "affectnet7": Style(
        (0.7, 1.05), _habits(0.90, 0.60, 0.50, 0.60, 0.40, 0.20), blend=0.12, stray=0.04, mislabelled=0.05
    ),
    "expw": Style(
        (0.6, 1.0), _habits(0.60, 0.30, 0.50, 0.50, 0.20, 0.75), blend=0.12, stray=0.05, mislabelled=0.05
    ),
    "affwild2": Style(
        (0.75, 1.1), _habits(0.25, 0.70, 0.50, 0.80, 0.60, 0.60), blend=0.10, stray=0.04, mislabelled=0.03
    ),
    "fer2013": Style(
        (0.40, 1.0), _habits(0.75, 0.50, 0.70, 0.40, 0.40, 0.40), blend=0.18, stray=0.05, mislabelled=0.09
    ),
}
"""Style of each dataset."""


@dataclass(frozen=True)
class Expression:
    """The apex of a facial expression.

    Attributes:
        emotion: The emotion it was drawn from.
        au: Intensities [17, 2] in the order of `FACE_AUS`, sides left and right of the picture.
        clarity: 1 for a full, unblended prototype, towards 0 for a weak or blended one.
    """

    emotion: Emotion
    au: Array
    clarity: float


def mean_of(weights: Mapping[int, float], au: Array) -> float:
    """Return the weighted sum of side-averaged intensities."""
    level = au.mean(axis=1)
    return float(sum(weight * level[ROW[number]] for number, weight in weights.items()))


def valence_arousal(au: Array) -> tuple[float, float]:
    """Return valence and arousal in [-1, 1] that follow from intensities [17, 2]."""
    return math.tanh(1.25 * mean_of(_VALENCE, au)), math.tanh(1.1 * (mean_of(_AROUSAL, au) - 0.06))


def coded_units(au: Array, threshold: float = 0.3) -> NDArray[np.int8]:
    """Return what a FACS coder would code for `ACTION_UNITS`: int8 [12], 1 = present on either side."""
    level = au.max(axis=1)
    return np.array([level[ROW[number]] >= threshold for number in ACTION_UNITS], np.int8)


def at_strength(rest: Array, apex: Array, share: float) -> Array:
    """Return the intensities [17, 2] on the way from rest (0) to apex (1)."""
    found: Array = np.clip(rest + share * (apex - rest), 0, 1)
    return found


def draw_prototype(rng: np.random.Generator, emotion: Emotion, style: Style) -> Array:
    """Return the intensities [17, 2] of a random variant of an emotion's prototype."""
    variants = PROTOTYPES[emotion]
    weights = np.array(style.habits.get(emotion, [weight for weight, _ in variants]))
    units = variants[int(rng.choice(len(variants), p=weights / weights.sum()))][1]
    au = np.zeros((len(FACE_AUS), 2))
    side = int(rng.integers(2))
    for number, (probability, mean) in units.items():
        level = mean * min(max(rng.normal(1, 0.16), 0.5), 1.4) if rng.random() < probability else 0.0
        au[ROW[number]] = level
        if number in _ONE_SIDED.get(emotion, ()):
            au[ROW[number], 1 - side] = 0.08 * level
    return au


def behind_label(rng: np.random.Generator, label: Emotion, style: Style) -> Emotion:
    """Return the emotion behind an annotator's label: mostly the same, sometimes one mistaken for it."""
    if rng.random() >= style.mislabelled:
        return label
    return _weighted(rng, CONFUSIONS[label])


def votes(
    rng: np.random.Generator,
    label: Emotion,
    shown: Emotion,
    clarity: float,
    classes: LabelSet,
    count: int = 40,
) -> Array:
    """Return the shares of votes per class that led to a label, which always has the most.

    People vote for what they see. Where the label is another emotion, it has won by a single vote.

    Args:
        rng: Random generator.
        label: The winning class.
        shown: The emotion drawn, which may be none of the classes.
        clarity: 1 for a clear expression, towards 0 for a doubtful one.
        classes: Classes that annotators choose from, in the order of the result.
        count: Number of annotators.
    """
    agree = float(np.clip(0.45 + 0.5 * clarity + rng.normal(0, 0.05), 0.45, 0.98))
    others = {e: CONFUSIONS[shown].get(e, 0.03) for e in classes if e is not shown}
    total = sum(others.values())
    chances = np.array([agree if e is shown else (1 - agree) * others[e] / total for e in classes])
    given: Array = rng.multinomial(count, chances / chances.sum()).astype(np.float64)
    winner = list(classes).index(label)
    given[winner] = max(given[winner], np.delete(given, winner).max() + 1)
    given /= given.sum()
    return given


def _weighted(rng: np.random.Generator, shares: Mapping[Emotion, float]) -> Emotion:
    weights = np.array(list(shares.values()))
    return list(shares)[int(rng.choice(len(weights), p=weights / weights.sum()))]
