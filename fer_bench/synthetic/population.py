"""Who is in a synthetic dataset and what they feel: people, expressions, valence and arousal.

Everything is derived from (seed, dataset, population, numbers), so that a person or a photo is the same
whatever else was drawn before it and in whichever process. The *benchmark* population is the one that is
reported; the *development* population has other people (and other cameras), for choosing settings without
touching the former; the *pretraining* population, for image-text encoders, shares nobody with either.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fer_bench.emotions import ACTION_UNITS, BASIC_SIX, Emotion, LabelSet
from fer_bench.synthetic.face import FACE_AUS, Colour, Identity

PopulationName = Literal["benchmark", "development", "pretraining"]
Array = NDArray[np.float64]

_ROW = {number: row for row, number in enumerate(FACE_AUS)}


# --- Expressions

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
        (
            0.6,
            {
                1: (1.0, 0.85),
                2: (0.7, 0.5),
                4: (0.9, 0.65),
                5: (0.95, 0.85),
                20: (0.95, 0.75),
                25: (0.9, 0.6),
                26: (0.3, 0.3),
            },
        ),
        (
            0.4,
            {
                1: (1.0, 0.8),
                2: (0.8, 0.7),
                4: (0.6, 0.5),
                5: (1.0, 0.9),
                7: (0.4, 0.3),
                25: (0.9, 0.6),
                26: (0.7, 0.45),
                20: (0.6, 0.5),
            },
        ),
    ),
    Emotion.DISGUST: (
        (0.6, {9: (1.0, 0.8), 10: (0.6, 0.6), 4: (0.5, 0.4), 7: (0.5, 0.5), 17: (0.5, 0.5), 6: (0.3, 0.4)}),
        (0.4, {10: (1.0, 0.85), 9: (0.5, 0.4), 15: (0.4, 0.4), 25: (0.6, 0.5), 4: (0.4, 0.4), 7: (0.4, 0.4)}),
    ),
    Emotion.ANGER: (
        (0.6, {4: (1.0, 0.85), 5: (0.4, 0.4), 7: (0.8, 0.6), 23: (0.8, 0.7), 24: (0.8, 0.7), 17: (0.5, 0.4)}),
        (
            0.4,
            {
                4: (1.0, 0.8),
                5: (0.5, 0.5),
                7: (0.6, 0.5),
                10: (0.7, 0.5),
                23: (0.6, 0.5),
                25: (0.9, 0.6),
                20: (0.3, 0.3),
            },
        ),
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
}
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
"""What each emotion is mistaken for, with probabilities."""


@dataclass(frozen=True)
class Style:
    """How clearly people of a dataset show what they feel, and how well it is labelled.

    Attributes:
        strength: Range of intensities, 1 = full prototype.
        habits: Shares in which the variants of `PROTOTYPES` occur, where they are not the prototype's own:
            what was asked for in a studio, or what a search engine finds, is not what people do elsewhere.
        blend: Probability that a second emotion is mixed in.
        stray: Mean intensity of action units that belong to nothing.
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
"""How people of each dataset show what they feel, and how well it is labelled."""


@dataclass(frozen=True)
class Expression:
    """What a face does at its apex.

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
    return float(sum(weight * level[_ROW[number]] for number, weight in weights.items()))


def valence_arousal(au: Array) -> tuple[float, float]:
    """Return valence and arousal in [-1, 1] that follow from intensities [17, 2]."""
    valence = np.tanh(1.25 * mean_of(_VALENCE, au))
    arousal = np.tanh(1.1 * (mean_of(_AROUSAL, au) - 0.06))
    return float(valence), float(arousal)


def coded_units(au: Array, threshold: float = 0.3) -> NDArray[np.int8]:
    """Return what a FACS coder would note for `ACTION_UNITS`: int8 [12], 1 = present on either side."""
    level = au.max(axis=1)
    return np.array([level[_ROW[number]] >= threshold for number in ACTION_UNITS], np.int8)


def at_strength(rest: Array, apex: Array, share: float) -> Array:
    """Return the intensities [17, 2] on the way from rest (0) to apex (1)."""
    found: Array = np.clip(rest + share * (apex - rest), 0, 1)
    return found


# --- People


@dataclass(frozen=True)
class Person:
    """A person of a population.

    Attributes:
        number: Which one.
        identity: What they look like.
        gender: `female` or `male`.
        years: Age.
        race: `caucasian`, `african` or `asian`: how RAF-DB's annotators would code the face.
        rest: Intensities of the resting face [17, 2].
        dialect: How strongly each unit moves, relative to the average person [17].
    """

    number: int
    identity: Identity
    gender: str
    years: int
    race: str
    rest: Array
    dialect: Array

    def express(self, rng: np.random.Generator, emotion: Emotion, style: Style) -> Expression:
        """Return one way in which this person shows an emotion."""
        strength = float(rng.uniform(*style.strength))
        au = _prototype(rng, emotion, style) * strength
        clarity = strength if emotion is not Emotion.NEUTRAL else 1.0
        if rng.random() < style.blend:
            others = [e for e in PROTOTYPES if e not in (emotion, Emotion.OTHER)]
            share = float(rng.uniform(0.2, 0.45))
            second = _prototype(rng, others[int(rng.integers(len(others)))], style)
            au = au * (1 - 0.5 * share) + second * share * strength
            clarity *= 1 - share
        au = au * self.dialect[:, None]
        au *= 1 + rng.normal(0, 0.07, au.shape)
        stray = rng.exponential(style.stray, len(FACE_AUS)) * (rng.random(len(FACE_AUS)) < 0.5)
        return Expression(emotion, np.clip(np.maximum(au, self.rest) + stray[:, None], 0, 1), clarity)


def _prototype(rng: np.random.Generator, emotion: Emotion, style: Style) -> Array:
    variants = PROTOTYPES[emotion]
    weights = np.array(style.habits.get(emotion, [weight for weight, _ in variants]))
    units = variants[int(rng.choice(len(variants), p=weights / weights.sum()))][1]
    au = np.zeros((len(FACE_AUS), 2))
    side = int(rng.integers(2))
    for number, (probability, mean) in units.items():
        level = mean * float(np.clip(rng.normal(1, 0.16), 0.5, 1.4)) if rng.random() < probability else 0.0
        au[_ROW[number]] = level
        if number in _ONE_SIDED.get(emotion, ()):
            au[_ROW[number], 1 - side] = 0.08 * level
    return au


def behind_label(rng: np.random.Generator, label: Emotion, style: Style) -> Emotion:
    """Return the emotion behind an annotator's label: most often the same, sometimes one mistaken for it."""
    if rng.random() >= style.mislabelled:
        return label
    return _weighted(rng, CONFUSIONS[label])


def votes(
    rng: np.random.Generator, label: Emotion, clarity: float, classes: LabelSet, count: int = 40
) -> Array:
    """Return the shares of votes per class that led to a label, which always has the most.

    Args:
        rng: Chance.
        label: The winning class.
        clarity: 1 for an expression that everybody agrees on, towards 0 for a doubtful one.
        classes: Classes the annotators could choose from, in the order of the result.
        count: Number of annotators.
    """
    agree = float(np.clip(0.45 + 0.5 * clarity + rng.normal(0, 0.05), 0.45, 0.98))
    others = {e: CONFUSIONS[label].get(e, 0.03) for e in classes if e is not label}
    total = sum(others.values())
    chances = np.array([agree if e is label else (1 - agree) * others[e] / total for e in classes])
    given: Array = rng.multinomial(count, chances / chances.sum()).astype(np.float64)
    winner = list(classes).index(label)
    given[winner] = max(given[winner], np.delete(given, winner).max() + 1)
    given /= given.sum()
    return given


def _weighted(rng: np.random.Generator, shares: Mapping[Emotion, float]) -> Emotion:
    weights = np.array(list(shares.values()))
    return list(shares)[int(rng.choice(len(weights), p=weights / weights.sum()))]


@dataclass(frozen=True)
class Makeup:
    """Of whom a population consists.

    Attributes:
        years: Youngest and oldest.
        female: Share of women.
        races: Shares of caucasian, african and asian people.
        glasses: Share with glasses.
        beards: Share of the men with facial hair.
    """

    years: tuple[int, int] = (18, 50)
    female: float = 0.5
    races: tuple[float, float, float] = (0.7, 0.15, 0.15)
    glasses: float = 0.1
    beards: float = 0.35


MAKEUP: dict[str, Makeup] = {
    "ckplus": Makeup((18, 50), 0.69, (0.80, 0.13, 0.07), 0.0, 0.10),
    "mmi": Makeup((19, 62), 0.48, (0.65, 0.10, 0.25), 0.15, 0.35),
    "oulu": Makeup((23, 58), 0.262, (0.60, 0.02, 0.38), 0.25, 0.25),
    "rafdb": Makeup((3, 75), 0.55, (0.77, 0.08, 0.15), 0.10, 0.30),
    "affectnet7": Makeup((8, 75), 0.50, (0.70, 0.15, 0.15), 0.12, 0.35),
    "expw": Makeup((12, 70), 0.50, (0.65, 0.10, 0.25), 0.10, 0.30),
    "affwild2": Makeup((14, 70), 0.45, (0.65, 0.20, 0.15), 0.20, 0.40),
    "fer2013": Makeup((5, 75), 0.50, (0.70, 0.15, 0.15), 0.10, 0.30),
}

_SKIN: dict[str, tuple[Colour, Colour]] = {
    "caucasian": ((246, 208, 184), (214, 162, 130)),
    "african": ((160, 106, 78), (108, 70, 52)),
    "asian": ((238, 200, 164), (202, 152, 112)),
}
_HAIR: tuple[Colour, ...] = (
    (30, 24, 22),
    (60, 42, 30),
    (96, 64, 40),
    (150, 108, 62),
    (206, 170, 110),
    (140, 70, 40),
)
_IRIS: tuple[Colour, ...] = ((70, 46, 30), (96, 70, 44), (92, 112, 70), (84, 120, 156))
_CLOTH: tuple[Colour, ...] = (
    (60, 66, 90),
    (150, 60, 60),
    (220, 220, 215),
    (50, 50, 50),
    (90, 120, 90),
    (190, 170, 120),
)
_SHAPE: tuple[str, ...] = (
    "width", "jaw", "chin", "forehead", "eye_size", "eye_open", "eye_distance", "eye_tilt", "brow_height",
    "brow_thickness", "brow_arch", "brow_tilt", "nose_length", "nose_width", "mouth_width", "mouth_height",
    "mouth_curve", "upper_lip", "lower_lip", "asymmetry",
)  # fmt: skip


@dataclass(frozen=True)
class Population:
    """All people and all chance of one synthetic dataset.

    Args:
        dataset: Dataset name; each has its own people.
        name: `benchmark`, `development` or `pretraining`.
        seed: Seed of everything.
    """

    dataset: str
    name: PopulationName = "benchmark"
    seed: int = 0

    def rng(self, topic: str, *numbers: int) -> np.random.Generator:
        """Return the generator of a topic (`person`, `photo`, ...) and its numbers."""
        kind = ("benchmark", "development", "pretraining").index(self.name)
        key = (zlib.crc32(self.dataset.encode()), kind, zlib.crc32(topic.encode()), *numbers)
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))

    def person(self, number: int) -> Person:
        """Return a person, the same on every call."""
        return draw_person(self.rng("person", number), MAKEUP[self.dataset], number)


def draw_person(rng: np.random.Generator, makeup: Makeup, number: int) -> Person:
    """Return a random person of the given makeup."""
    gender = "female" if rng.random() < makeup.female else "male"
    years = int(rng.integers(makeup.years[0], makeup.years[1] + 1))
    race = ("caucasian", "african", "asian")[int(rng.choice(3, p=makeup.races))]
    shape = {name: float(np.clip(rng.normal(), -2, 2)) for name in _SHAPE}
    woman, child = gender == "female", years < 12
    shape["jaw"] += -0.6 if woman else 0.5
    shape["brow_thickness"] += -0.8 if woman else 0.5
    shape["eye_size"] += 0.4 * woman + 0.9 * child
    shape["upper_lip"] += 0.4 * woman
    shape["chin"] += -1.5 * child
    if race == "african":
        shape["nose_width"] += 1.2
        shape["upper_lip"] += 0.9
        shape["lower_lip"] += 0.9
    if race == "asian":
        shape["eye_open"] -= 0.9
        shape["eye_tilt"] += 0.8
    light, dark = (np.array(c) for c in _SKIN[race])
    skin = light + (dark - light) * rng.random() + rng.normal(0, 4, 3)
    hair = np.array(_HAIR[int(rng.integers(2 if race != "caucasian" else len(_HAIR)))]) * rng.uniform(
        0.85, 1.15
    )
    iris = _IRIS[int(rng.integers(len(_IRIS)))] if race == "caucasian" else _IRIS[int(rng.integers(2))]
    rosy = rng.uniform(0.25, 0.6) + (0.25 if woman and rng.random() < 0.3 else 0.0)
    lips = (
        skin * (1 - rosy) + np.array((178.0, 66.0, 72.0) if race != "african" else (120.0, 58.0, 60.0)) * rosy
    )
    styles = (2, 4, 4, 5, 5, 6, 1) if woman else ((1, 2, 3) if years < 30 else (1, 1, 2, 2, 3, 6, 7, 7, 0))
    bearded = not woman and years > 17 and rng.random() < makeup.beards
    identity = Identity(
        **shape,
        age=float(np.clip((years - 15) / 60, 0, 1)),
        hair_style=int(styles[int(rng.integers(len(styles)))]),
        beard=int(rng.integers(1, 5)) if bearded else 0,
        glasses=int(rng.integers(1, 3)) if rng.random() < makeup.glasses else 0,
        skin=_colour(skin),
        hair=_colour(hair),
        iris=iris,
        lips=_colour(lips),
        cloth=_CLOTH[int(rng.integers(len(_CLOTH)))],
        texture=int(rng.integers(2**31)),
    )
    rest = np.repeat(
        (rng.exponential(0.05, len(FACE_AUS)) * (rng.random(len(FACE_AUS)) < 0.35))[:, None], 2, axis=1
    )
    rest[[_ROW[n] for n in (5, 9, 20, 26)]] *= 0.3
    dialect = np.clip(rng.normal(1.0, 0.10) * np.exp(rng.normal(0, 0.18, len(FACE_AUS))), 0.55, 1.5)
    return Person(number, identity, gender, years, race, rest, dialect)


def _colour(values: Array) -> Colour:
    red, green, blue = (float(c) for c in np.clip(values, 0, 255))
    return red, green, blue


def with_cloth(person: Person, rng: np.random.Generator) -> Person:
    """Return the person in other clothes: between sessions people change, within one they do not."""
    cloth = _colour(np.array(_CLOTH[int(rng.integers(len(_CLOTH)))]) * rng.uniform(0.8, 1.2))
    return replace(person, identity=replace(person.identity, cloth=cloth))
