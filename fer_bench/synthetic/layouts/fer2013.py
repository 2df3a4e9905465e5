"""The synthetic FER2013."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
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
from fer_bench.synthetic.layouts.journal import JobResult
from fer_bench.synthetic.layouts.writing import Plan, Size
from fer_bench.synthetic.population import Population
from fer_bench.synthetic.shots import arrange, backdrop, develop, shoot
from fer_bench.synthetic.truth import FaceTruth, face_row, faceless_row

_QUICK = counts_of(120, 60, 120, 220, 140, 100, 140, order=EXPW_ORDER)
_COUNTS: dict[Size, tuple[Counts, Counts, Counts]] = {
    "tiny": (scaled(_QUICK, 0.06, 2), scaled(_QUICK, 0.02, 2), scaled(_QUICK, 0.02, 2)),
    "quick": (_QUICK, scaled(_QUICK, 0.25, 10), scaled(_QUICK, 0.25, 10)),
    "full": (
        counts_of(3995, 436, 4097, 7215, 4830, 3171, 4965, order=EXPW_ORDER),
        counts_of(467, 56, 496, 895, 653, 415, 607, order=EXPW_ORDER),
        counts_of(491, 55, 528, 879, 594, 416, 626, order=EXPW_ORDER),
    ),
}


_CSV = "fer2013.csv"
USAGES = ("Training", "PublicTest", "PrivateTest")
"""Official names of the parts."""
_REPEATED = {"Training": 0.043, "PublicTest": 279 / 3579, "PrivateTest": 288 / 3573}
"""Shares of the rows with the pixels of a Training row before them."""
_BETWEEN_TESTS = 44 / 3573
"""Share of PrivateTest with the pixels of a PublicTest row."""
_RELABELLED = 15 / 288
"""Share of the repeated rows that carry another label than the first."""
_FACELESS = 176 / 35887
"""Share of the rows without a face, according to FERPlus's annotators."""


@dataclass(frozen=True)
class Rows:
    """The rows of the csv before anything is drawn, by their number.

    Attributes:
        labels: Label of each.
        ends: Number of rows up to the end of each part.
        first: The row whose face each row shows, mostly itself; int64 [N].
        faceless: Rows without a face, among those that `first` names.
    """

    labels: Sequence[Emotion]
    ends: Sequence[int]
    first: NDArray[np.int64]
    faceless: frozenset[int]

    def usage(self, row: int) -> str:
        """Return the official name of a row's part."""
        return USAGES[int(np.searchsorted(self.ends, row, side="right"))]


def rows_of(population: Population, size: Size) -> Rows:
    """Return the rows of a population's csv."""
    rng = population.rng("plan")
    labels: list[Emotion] = []
    ends = []
    for counts in _COUNTS[size]:
        labels += shuffled(counts, rng)
        ends.append(len(labels))
    first = _first_of(labels, ends, population.rng("quirks"))
    faceless = planted(len(labels), _FACELESS, population.rng("faceless"), least=0 if size == "tiny" else 1)
    return Rows(labels, ends, first, faceless)


def draw(population: Population, rows: Rows, row: int) -> JobResult:
    """Draw the picture of a row and return its line of the csv and its truth."""
    label, drawn = rows.labels[row], int(rows.first[row])
    chance, person, expression = wild(population, drawn, rows.labels[drawn])
    camera = camera_of(population)
    scene = arrange(camera, (96, 96), chance)
    if drawn in rows.faceless:
        picture = develop(camera, scene, backdrop(camera, scene.size, scene.backdrop), chance)
        truth = faceless_row(scene, _CSV, label, frame=row)
    else:
        shot = shoot(camera, scene, person.identity, expression.au, chance)
        picture = shot.picture
        truth = face_row(
            FaceTruth(person, expression, expression.au, scene, shot.pose), _CSV, label, frame=row
        )
    small = np.asarray(cv2.resize(picture[:, :, 0], (48, 48), interpolation=cv2.INTER_AREA))
    greys = " ".join(map(str, small.reshape(-1).tolist()))
    return JobResult([f"{EXPW_ORDER.index(label)},{greys},{rows.usage(row)}"], [truth])


def write_csv(root: Path, lines: Iterable[str]) -> None:
    """Write the csv from the lines of all rows, in order."""
    write_lines(root / _CSV, chain(["emotion,pixels,Usage"], lines))


def plan(root: Path, population: Population, size: Size) -> Plan:
    """Plan FER2013: one csv file with 48 x 48 grey pixels as text; some rows repeat earlier ones."""
    rows = rows_of(population, size)

    def finish(lines: Sequence[list[str]]) -> None:
        write_csv(root, chain.from_iterable(lines))

    return Plan(Chunks(len(rows.labels), partial(draw, population, rows)), finish)


def _first_of(labels: Sequence[Emotion], ends: Sequence[int], rng: Rng) -> NDArray[np.int64]:
    """Return for every row the row whose face it shows, mostly itself.

    Args:
        labels: Label of each row.
        ends: Number of rows up to the end of each part.
        rng: Random generator.
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
