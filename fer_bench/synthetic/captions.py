"""Plain-English captions of drawn faces, for training image-text models.

A caption describes what the generator knows: the person, how the picture was taken and, in the full caption,
the expression. Captions never mention left or right, so that a mirrored picture keeps its caption, and never
the race: no method here needs it, and gaps between groups are measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fer_bench.emotions import Emotion
from fer_bench.synthetic.anatomy import FACE_AUS, Identity, Light, Pose
from fer_bench.synthetic.expressions import Expression, valence_arousal
from fer_bench.synthetic.population import Person
from fer_bench.synthetic.shots import Scene
from fer_bench.synthetic.truth import AU_COLUMNS, BEARDS, GLASSES, HAIR

ADJECTIVES: dict[Emotion, tuple[str, ...]] = {
    Emotion.NEUTRAL: ("neutral", "expressionless", "impassive"),
    Emotion.HAPPINESS: ("happy", "smiling", "joyful"),
    Emotion.SADNESS: ("sad", "sorrowful", "unhappy"),
    Emotion.SURPRISE: ("surprised", "astonished", "amazed"),
    Emotion.FEAR: ("fearful", "scared", "frightened"),
    Emotion.DISGUST: ("disgusted", "revolted", "repelled"),
    Emotion.ANGER: ("angry", "furious", "annoyed"),
    Emotion.CONTEMPT: ("contemptuous", "scornful", "disdainful"),
    Emotion.OTHER: ("puzzled", "preoccupied", "thoughtful"),
}
"""Adjectives for a face of each emotion."""

MOVEMENTS: dict[int, str] = {
    1: "raised inner brows",
    2: "raised outer brows",
    4: "lowered brows",
    5: "widened eyes",
    6: "lifted cheeks",
    7: "tightened eyelids",
    9: "a wrinkled nose",
    10: "a lifted upper lip",
    12: "upturned mouth corners",
    14: "dimpled mouth corners",
    15: "downturned mouth corners",
    17: "a pushed-up chin",
    20: "stretched lips",
    23: "narrowed lips",
    24: "pressed lips",
    25: "parted lips",
    26: "a dropped jaw",
}
"""Phrases for each action unit the face can show."""

FEELINGS: tuple[tuple[str, str], tuple[str, str]] = (("unpleasant", "pleasant"), ("calm", "excited"))
"""Words for low and high valence, and for low and high arousal."""

_STRONG = ("slight ", "", "strong ")
_BEARDS = ("", "stubble", "a moustache", "a full beard", "a goatee")
_GLASSES = ("", "round glasses", "thick glasses")
_HAIR = (
    "no hair", "short hair", "combed hair", "a fringe", "long hair", "long hair", "curly hair", "thin hair",
)  # fmt: skip


@dataclass(frozen=True)
class Captions:
    """The two captions of one picture.

    Attributes:
        full: With the expression: its name, movements of the face, valence and arousal.
        neutral: The same picture without any word about the expression.
    """

    full: str
    neutral: str


def describe(person: Person, expression: Expression, scene: Scene, rng: np.random.Generator) -> Captions:
    """Return the captions of a picture; the same arguments and generator state give the same text.

    Args:
        person: The person in it.
        expression: Their expression.
        scene: How it was taken.
        rng: Chooses synonyms and what is left out.
    """
    who, details = _who(person), _details(person, scene, rng)
    kind = _kind(scene, rng)
    adjective = _one(ADJECTIVES[expression.emotion], rng)
    movements = _movements(expression, rng)
    feeling = _feeling(expression, rng)
    full = f"{kind} of {_article(adjective)} {who}"
    return Captions(
        full=", ".join([full, *movements, *feeling, *details]),
        neutral=", ".join([f"{kind} of {_article(who)}", *details]),
    )


_SHOWN = 0.3
"""Share of the way to an expression below which a frame of a sequence still looks neutral."""


def describe_truth(row: Mapping[str, Any], rng: np.random.Generator) -> Captions:
    """Return captions of a picture of a synthetic dataset from its row of the truth.

    Args:
        row: A row of `fer_bench.synthetic.truth.read_truth`, as a mapping or a pandas series.
        rng: See `describe`.

    Raises:
        ValueError: The picture shows no face.
    """
    if not isinstance(row["expression"], str):
        raise ValueError(f"no face in {row['path']}")
    who = Identity(
        hair_style=HAIR.index(row["hair"]),
        beard=BEARDS.index(row["beard"]),
        glasses=GLASSES.index(row["glasses"]),
    )
    still = np.zeros((len(FACE_AUS), 2))
    person = Person(0, who, row["sex"], int(row["years"]), row["race"], still, np.ones(len(FACE_AUS)))
    emotion = Emotion.NEUTRAL if row["share"] < _SHOWN else Emotion(row["expression"])
    au = np.array([row[name] for name in AU_COLUMNS], np.float64).reshape(-1, 2)
    direction = (row["light_right"], row["light_down"], row["light_front"])
    scene = Scene(
        size=(0, 0),
        scale=0.0,
        centre=(0.0, 0.0),
        pose=Pose(row["yaw"], row["pitch"], row["roll"]),
        light=Light(direction, row["ambient"], row["strength"]),
        gains=(row["gain_red"], row["gain_green"], row["gain_blue"]),
        gamma=row["gamma"],
        blur=row["blur"],
        noise=row["noise"],
        coarse=row["coarse"],
        jpeg=int(row["jpeg"]),
        grey=bool(row["grey"]),
        occlusion=(row["occlusion"], 0) if isinstance(row["occlusion"], str) else None,
        backdrop=int(row["backdrop"]),
    )
    return describe(person, Expression(emotion, au, float(row["clarity"])), scene, rng)


def prompts(emotion: Emotion) -> tuple[str, ...]:
    """Return captions that name only an emotion, for zero-shot classification."""
    return tuple(
        f"a photo of {_article(adjective)} {noun}"
        for adjective in ADJECTIVES[emotion]
        for noun in ("woman", "man", "young woman", "young man", "girl", "boy")
    )


def expression_words() -> frozenset[str]:
    """Return every word that only a caption with the expression may contain."""
    phrases = [word for words in ADJECTIVES.values() for word in words]
    phrases += [*MOVEMENTS.values(), *(word for pair in FEELINGS for word in pair), *_STRONG, "mood"]
    return frozenset(word for phrase in phrases for word in phrase.split()) - {"a"}


def _kind(scene: Scene, rng: np.random.Generator) -> str:
    quality = []
    if scene.grey:
        quality.append("black-and-white")
    if scene.coarse < 0.65 or scene.blur > 0.9:
        quality.append("blurry")
    if scene.noise > 4.5:
        quality.append("grainy")
    if scene.gamma > 1.25 or scene.light.strength < 0.8:
        quality.append("dark")
    elif scene.gamma < 0.8 or scene.light.strength > 1.2:
        quality.append("bright")
    return _article(" ".join([*quality, _one(("photo", "picture", "portrait"), rng)]))


def _who(person: Person) -> str:
    woman = person.gender == "female"
    if person.years < 13:
        words = ["girl" if woman else "boy"]
    elif person.years < 20:
        words = ["teenage", "girl" if woman else "boy"]
    else:
        age = "young" if person.years < 35 else "middle-aged" if person.years < 55 else "elderly"
        words = [age, "woman" if woman else "man"]
    return " ".join(words)


def _details(person: Person, scene: Scene, rng: np.random.Generator) -> list[str]:
    who = person.identity
    worn = [_GLASSES[who.glasses], _BEARDS[who.beard], _HAIR[who.hair_style]]
    said = [f"with {thing}" for thing in worn if thing and rng.random() < 0.7]
    if abs(scene.pose.yaw) > 10:
        said.append("head turned to one side")
    if abs(scene.pose.pitch) > 8:
        said.append("head bent down" if scene.pose.pitch > 0 else "head held high")
    if abs(scene.pose.roll) > 7:
        said.append("head tilted")
    right, down, _ = scene.light.direction
    if scene.light.ambient < 0.55 and max(abs(right), -down) > 0.35:
        said.append("lit from one side" if abs(right) > -down else "lit from above")
    if scene.occlusion is not None:
        said.append("partly covered")
    return said


def _movements(expression: Expression, rng: np.random.Generator) -> list[str]:
    level = expression.au.max(axis=1)
    seen = [row for row in np.argsort(-level, kind="stable") if level[row] >= 0.2]
    said = []
    for row in seen:
        if rng.random() < 0.75:
            grade = _STRONG[int(np.searchsorted((0.45, 0.8), level[row]))]
            phrase = MOVEMENTS[FACE_AUS[row]]
            said.append(f"a {grade}{phrase[2:]}" if phrase.startswith("a ") else f"{grade}{phrase}")
    return said


def _feeling(expression: Expression, rng: np.random.Generator) -> list[str]:
    said = []
    for value, (low, high) in zip(valence_arousal(expression.au), FEELINGS, strict=True):
        if abs(value) > 0.3 and rng.random() < 0.5:
            said.append(f"in {_article(high if value > 0 else low)} mood")
    return said


def _one(words: Sequence[str], rng: np.random.Generator) -> str:
    return words[int(rng.integers(len(words)))]


def _article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"
