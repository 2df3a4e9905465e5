"""How many rows runs of the profile `paper` have: published sizes of the main datasets, from their cards."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from fer_bench import datasets, methods
from fer_bench.datasets import MAIN_SEVEN

CARVED = 0.1
"""Share of the training rows that validate, where no official validation part is used for it."""
EXPW = (0.7, 0.15, 0.15)
FOLDS, PEAKS, FRAMES = 10, 3, 4
"""Folds of a lab dataset; rows of a recorded sequence that are trained on or tested, its last three; and as a
target, where its first frame is neutral."""
MMI_CLIPS = 208
"""Labelled frontal clips, as papers count them; the card expects no number."""


@dataclass(frozen=True)
class Rows:
    """Rows of a dataset under its default protocol; of lab datasets, a fold's.

    Attributes:
        folds: Runs per seed.
        train: Rows trained on.
        val: Rows validated after each epoch.
        test: Rows tested in-domain.
        target: Rows tested when trained elsewhere.
    """

    folds: int
    train: int
    val: int
    test: int
    target: int


@cache
def published(method: str) -> dict[str, Rows]:
    """Return the rows of the seven main datasets by name.

    A method that predicts valence, arousal and action units has the frames of Aff-Wild2 without an expression
    as well, except as a target.
    """
    sequences = {
        "ckplus": _expected("ckplus", "none", "sequences"),
        "mmi": MMI_CLIPS,
        "oulu": next(one.n for one in datasets.get("oulu").card.counts if one.unit == "sequences"),
    }
    found = {name: _lab(count) for name, count in sequences.items()}
    found |= {name: _wild(name, test) for name, test in (("rafdb", "test"), ("affectnet7", "val"))}
    faces = _expected("expw", "none", "faces")
    train, val, test = (round(faces * share) for share in EXPW)
    found["expw"] = Rows(1, train, val, test, test)
    found["affwild2"] = _wild("affwild2", "val")
    if methods.get(method).predicts_affect:
        everything = {one.split: one.n for one in datasets.get("affwild2").card.counts if one.code is None}
        found["affwild2"] = _carved(everything["train"], everything["val"], found["affwild2"].target)
    return {name: found[name] for name in MAIN_SEVEN}


def _lab(sequences: int) -> Rows:
    rows = sequences * PEAKS
    part = round(rows / FOLDS)
    return Rows(FOLDS, rows - 2 * part, part, part, sequences * FRAMES)


def _wild(name: str, tested: str) -> Rows:
    test = _expected(name, tested)
    return _carved(_expected(name, "train"), test, test)


def _carved(train: int, test: int, target: int) -> Rows:
    return Rows(1, round(train * (1 - CARVED)), round(train * CARVED), test, target)


def _expected(name: str, split: str, unit: str = "images") -> int:
    """Return how many rows of a split the card expects: of the classes of the default protocol, if it can."""
    card = datasets.get(name).card
    protocol = next(one for one in card.protocols if one.name == card.default_protocol)
    wanted = set(protocol.label_set)
    counts = {
        one.code: one.n
        for one in card.counts
        if one.split == split and one.unit == unit and one.code is not None
    }
    return sum(n for code, n in counts.items() if card.emotion_of(code) in wanted)
