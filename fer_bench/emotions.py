"""The taxonomy: canonical emotions, action units, label sets, and the emotions that class names mean.

Datasets number their classes differently, and mixed-up orders are a common error. In this package an emotion
is therefore a *name*; integers exist only inside tensors, as positions in an ordered label set.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class Emotion(StrEnum):
    """The nine canonical names; every class of a dataset maps to one of them or is dropped."""

    NEUTRAL = "neutral"
    HAPPINESS = "happiness"
    SADNESS = "sadness"
    SURPRISE = "surprise"
    FEAR = "fear"
    DISGUST = "disgust"
    ANGER = "anger"
    CONTEMPT = "contempt"
    OTHER = "other"


LabelSet = tuple[Emotion, ...]

ACTION_UNITS: tuple[int, ...] = (1, 2, 4, 6, 7, 10, 12, 15, 23, 24, 25, 26)
"""The FACS action units of the Aff-Wild2 list, in the order of every `au` array."""

ABAW_EXPRESSIONS = 8
"""Classes of the ABAW challenge. Its score needs all of them, valence and arousal, and all units."""

BASIC_SIX: LabelSet = (
    Emotion.HAPPINESS,
    Emotion.SADNESS,
    Emotion.SURPRISE,
    Emotion.FEAR,
    Emotion.DISGUST,
    Emotion.ANGER,
)

LABEL_SETS: dict[str, LabelSet] = {
    "6": BASIC_SIX,
    "7": (Emotion.NEUTRAL, *BASIC_SIX),
    "7c": (*BASIC_SIX, Emotion.CONTEMPT),
    "8": (Emotion.NEUTRAL, *BASIC_SIX, Emotion.CONTEMPT),
    "8o": (Emotion.NEUTRAL, *BASIC_SIX, Emotion.OTHER),
}
"""Ordered label sets by short name: `7` has neutral, `7c` contempt instead (CK+), `8o` other (Aff-Wild2)."""

NEVER_TRANSFERRED: frozenset[Emotion] = frozenset({Emotion.CONTEMPT, Emotion.OTHER})
"""Classes of no cross-dataset label set: too few datasets have them, or agree on what they mean."""

_ALIASES: dict[Emotion, tuple[str, ...]] = {
    Emotion.NEUTRAL: ("neutral", "neutrality", "ne", "neu", "normal"),
    Emotion.HAPPINESS: ("happiness", "happy", "joy", "joyful", "ha", "hap", "smile"),
    Emotion.SADNESS: ("sadness", "sad", "sa"),
    Emotion.SURPRISE: ("surprise", "surprised", "su", "sur"),
    Emotion.FEAR: ("fear", "fearful", "afraid", "scared", "fe", "fea", "af"),
    Emotion.DISGUST: ("disgust", "disgusted", "di", "dis"),
    Emotion.ANGER: ("anger", "angry", "an", "ang"),
    Emotion.CONTEMPT: ("contempt", "contemptuous", "con"),
    Emotion.OTHER: ("other", "others"),
}
_BY_ALIAS: dict[str, Emotion] = {alias: emotion for emotion, names in _ALIASES.items() for alias in names}


def match_emotion(name: str) -> Emotion | None:
    """Return the emotion that a class name means, None if no name or alias matches.

    Case, surrounding spaces and leading numbers such as `3_` or `05-` are ignored.

    Args:
        name: A class or folder name, for example `Happy`, `ANGER` or `03_sad`.
    """
    cleaned = name.strip().casefold().lstrip("0123456789").strip(" _-.")
    return _BY_ALIAS.get(cleaned)


def aliases(emotion: Emotion) -> tuple[str, ...]:
    """Return the names under which `match_emotion` recognises an emotion."""
    return _ALIASES[emotion]


def pair_label_set(
    source: Iterable[Emotion | str], target: Iterable[Emotion | str], present: Iterable[Emotion | str]
) -> LabelSet:
    """Return the classes on which a model of one dataset is scored on another, in canonical order.

    Args:
        source: Classes of the model.
        target: Classes of the target.
        present: Classes with at least one target row.

    Returns:
        Emotions in all three, except contempt and other.
    """
    common = {Emotion(e) for e in source} & {Emotion(e) for e in target} & {Emotion(e) for e in present}
    return tuple(e for e in Emotion if e in common and e not in NEVER_TRANSFERRED)


def project(emotion: Emotion | None, label_set: LabelSet) -> Emotion | None:
    """Return the emotion if the label set has it, else None: such a row is dropped, never merged."""
    return emotion if emotion in label_set else None
