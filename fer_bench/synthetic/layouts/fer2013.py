"""The synthetic FER2013."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fer_bench.emotions import Emotion
from fer_bench.synthetic.camera import camera_of
from fer_bench.synthetic.layouts.casting import (
    Chunks,
    Counts,
    Rng,
    counts_of,
    planted,
    scaled,
    shuffled,
    wild,
)
from fer_bench.synthetic.layouts.expw import EXPW_ORDER
from fer_bench.synthetic.layouts.files import write_lines
from fer_bench.synthetic.layouts.frame import Plan, Size
from fer_bench.synthetic.layouts.journal import Outcome
from fer_bench.synthetic.population import (
    Population,
)
from fer_bench.synthetic.shots import arrange, backdrop, develop, shoot
from fer_bench.synthetic.truth import Face, face_row, faceless_row

_FER_QUICK = counts_of(120, 60, 120, 220, 140, 100, 140, order=EXPW_ORDER)
_FER_COUNTS: dict[Size, tuple[Counts, Counts, Counts]] = {
    "tiny": (scaled(_FER_QUICK, 0.06, 2), scaled(_FER_QUICK, 0.02, 2), scaled(_FER_QUICK, 0.02, 2)),
    "quick": (_FER_QUICK, scaled(_FER_QUICK, 0.25, 10), scaled(_FER_QUICK, 0.25, 10)),
    "full": (
        counts_of(3995, 436, 4097, 7215, 4830, 3171, 4965, order=EXPW_ORDER),
        counts_of(467, 56, 496, 895, 653, 415, 607, order=EXPW_ORDER),
        counts_of(491, 55, 528, 879, 594, 416, 626, order=EXPW_ORDER),
    ),
}


_CSV = "fer2013.csv"
_REPEATED = {"Training": 0.043, "PublicTest": 279 / 3579, "PrivateTest": 288 / 3573}
"""Shares of the rows with the pixels of a Training row before them."""
_BETWEEN_TESTS = 44 / 3573
"""Share of PrivateTest with the pixels of a PublicTest row."""
_RELABELLED = 15 / 288
"""Share of the repeated rows that carry another label than the first."""
_FACELESS = 176 / 35887
"""Share of the rows that FERPlus's annotators found not to show a face."""


def plan(root: Path, population: Population, size: Size) -> Plan:
    """Plan FER2013: one csv file with 48 x 48 grey pixels as text; some rows repeat earlier ones."""
    rng = population.rng("plan")
    labels: list[Emotion] = []
    ends = []
    for counts in _FER_COUNTS[size]:
        labels += shuffled(counts, rng)
        ends.append(len(labels))
    first = _first_of(labels, ends, population.rng("quirks"))
    faceless = planted(len(labels), _FACELESS, population.rng("faceless"), least=0 if size == "tiny" else 1)

    def run(serial: int) -> Outcome:
        usage = ("Training", "PublicTest", "PrivateTest")[int(np.searchsorted(ends, serial, side="right"))]
        label, drawn = labels[serial], int(first[serial])
        chance, person, expression = wild(population, drawn, labels[drawn])
        camera = camera_of(population)
        scene = arrange(camera, (96, 96), chance)
        if drawn in faceless:
            picture = develop(camera, scene, backdrop(camera, scene.size, scene.backdrop), chance)
            row = faceless_row(scene, _CSV, label, frame=serial)
        else:
            shot = shoot(camera, scene, person.identity, expression.au, chance)
            picture = shot.picture
            row = face_row(
                Face(person, expression, expression.au, scene, shot.pose), _CSV, label, frame=serial
            )
        small = np.asarray(cv2.resize(picture[:, :, 0], (48, 48), interpolation=cv2.INTER_AREA))
        greys = " ".join(map(str, small.reshape(-1).tolist()))
        return Outcome([f"{EXPW_ORDER.index(label)},{greys},{usage}"], [row])

    def finish(lines: Sequence[list[str]]) -> None:
        rows = (line for chunk in lines for line in chunk)
        write_lines(root / _CSV, chain(["emotion,pixels,Usage"], rows))

    return Plan(Chunks(len(labels), run), finish)


def _first_of(labels: Sequence[Emotion], ends: Sequence[int], rng: Rng) -> NDArray[np.int64]:
    """Return for every row the row whose face it shows, mostly itself.

    Args:
        labels: Label of each row.
        ends: Number of rows up to the end of each part.
        rng: Chance.
    """
    first = np.arange(len(labels))
    train, public, private = ends
    parts = ((0, train, "Training"), (train, public, "PublicTest"), (public, private, "PrivateTest"))
    sources = {e: [i for i in range(train) if labels[i] == e] for e in dict.fromkeys(labels)}
    for start, end, usage in parts:
        for row in sorted(start + i for i in planted(end - start, _REPEATED[usage], rng)):
            same = rng.random() >= _RELABELLED
            pool = sources[labels[row]] if same else sources[_other(labels[row], list(sources), rng)]
            first[row] = first[pool[int(rng.integers(len(pool)))]]
    for i in sorted(planted(private - public, _BETWEEN_TESTS, rng)):
        alike = [row for row in range(train, public) if labels[row] == labels[public + i]]
        first[public + i] = first[alike[int(rng.integers(len(alike)))]]
    return first


def _other(emotion: Emotion, emotions: Sequence[Emotion], rng: Rng) -> Emotion:
    others = [e for e in emotions if e != emotion]
    return others[int(rng.integers(len(others)))]
