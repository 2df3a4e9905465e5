"""The synthetic FER2013."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from fer_bench.emotions import Emotion
from fer_bench.synthetic.camera import camera_of
from fer_bench.synthetic.layouts.casting import (
    Counts,
    chunked,
    counts_of,
    scaled,
    shuffled,
    wild,
)
from fer_bench.synthetic.layouts.expw import EXPW_ORDER
from fer_bench.synthetic.layouts.files import write_lines
from fer_bench.synthetic.layouts.frame import Plan, Size
from fer_bench.synthetic.population import (
    Population,
)
from fer_bench.synthetic.shots import arrange, shoot

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


def plan(root: Path, population: Population, size: Size) -> Plan:
    """Plan FER2013: one csv file with 48 x 48 grey pixels as text."""
    rng = population.rng("plan")
    faces = []
    for usage, counts in zip(("Training", "PublicTest", "PrivateTest"), _FER_COUNTS[size], strict=True):
        faces += [(usage, label) for label in shuffled(counts, rng)]

    def run(serial: int, face: tuple[str, Emotion]) -> str:
        usage, label = face
        chance, person, expression = wild(population, serial, label)
        camera = camera_of(population)
        shot = shoot(camera, arrange(camera, (96, 96), chance), person.identity, expression.au, chance)
        small = np.asarray(cv2.resize(shot.picture[:, :, 0], (48, 48), interpolation=cv2.INTER_AREA))
        return f"{EXPW_ORDER.index(label)},{' '.join(map(str, small.reshape(-1).tolist()))},{usage}"

    def finish(lines: list[list[str]]) -> None:
        rows = [line for chunk in lines for line in chunk]
        write_lines(root / "fer2013.csv", ["emotion,pixels,Usage", *rows])

    return Plan(chunked(faces, run), finish)
