"""The people of synthetic datasets.

Everything is derived from (seed, dataset, population, numbers), so that a person or a photo is the same
whatever was drawn before and in whichever process. Reported results use the *benchmark* population. The
*development* population has other people and cameras, to choose settings without touching the benchmark; the
*pretraining* population, for image-text encoders, shares no people with either.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from fer_bench.emotions import Emotion
from fer_bench.synthetic.anatomy import FACE_AUS, Array, Colour, Identity
from fer_bench.synthetic.exact import exponential
from fer_bench.synthetic.expressions import PROTOTYPES, ROW, Expression, Style, draw_prototype

PopulationName = Literal["benchmark", "development", "pretraining"]


@dataclass(frozen=True)
class Person:
    """A person of a population.

    Attributes:
        number: Number in the population.
        identity: Appearance.
        gender: `female` or `male`.
        years: Age.
        race: `caucasian`, `african` or `asian`, as RAF-DB's annotators would code the face.
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
        """Return a random expression of an emotion by this person."""
        strength = float(rng.uniform(*style.strength))
        au = draw_prototype(rng, emotion, style) * strength
        clarity = strength if emotion is not Emotion.NEUTRAL else 1.0
        if rng.random() < style.blend:
            others = [e for e in PROTOTYPES if e not in (emotion, Emotion.OTHER)]
            share = float(rng.uniform(0.2, 0.45))
            second = draw_prototype(rng, others[int(rng.integers(len(others)))], style)
            au = au * (1 - 0.5 * share) + second * share * strength
            clarity *= 1 - share
        au = au * self.dialect[:, None]
        au *= 1 + rng.normal(0, 0.07, au.shape)
        stray = rng.exponential(style.stray, len(FACE_AUS)) * (rng.random(len(FACE_AUS)) < 0.5)
        return Expression(emotion, np.clip(np.maximum(au, self.rest) + stray[:, None], 0, 1), clarity)


@dataclass(frozen=True)
class Makeup:
    """The make-up of a population.

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
    """All people and all randomness of one synthetic dataset.

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
    shape = {
        name: min(max(number, -2.0), 2.0)
        for name, number in zip(_SHAPE, rng.normal(size=len(_SHAPE)).tolist(), strict=True)
    }
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
        age=min(max((years - 15) / 60, 0.0), 1.0),
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
    rest[[ROW[n] for n in (5, 9, 20, 26)]] *= 0.3
    dialect = np.clip(rng.normal(1.0, 0.10) * exponential(rng.normal(0, 0.18, len(FACE_AUS))), 0.55, 1.5)
    return Person(number, identity, gender, years, race, rest, dialect)


def _colour(values: Array) -> Colour:
    red, green, blue = (min(max(value, 0.0), 255.0) for value in values.tolist())
    return red, green, blue


def with_cloth(person: Person, rng: np.random.Generator) -> Person:
    """Return the person in other clothes, as worn in another session."""
    cloth = _colour(np.array(_CLOTH[int(rng.integers(len(_CLOTH)))]) * rng.uniform(0.8, 1.2))
    return replace(person, identity=replace(person.identity, cloth=cloth))
