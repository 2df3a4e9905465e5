"""The synthetic AffectNet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_bench.emotions import LABEL_SETS, Emotion
from fer_bench.synthetic.camera import camera_of
from fer_bench.synthetic.layouts.casting import (
    Counts,
    chunked,
    counts_of,
    rated,
    scaled,
    shuffled,
    wild,
)
from fer_bench.synthetic.layouts.files import save
from fer_bench.synthetic.layouts.frame import Plan, Size
from fer_bench.synthetic.population import (
    Population,
)
from fer_bench.synthetic.shots import arrange, shoot

_AFFECTNET_TRAIN = counts_of(200, 230, 120, 100, 80, 70, 110, 50, order=LABEL_SETS["8"])
_AFFECTNET_COUNTS: dict[Size, tuple[Counts, Counts]] = {
    "tiny": (scaled(_AFFECTNET_TRAIN, 0.05, 4), dict.fromkeys(LABEL_SETS["8"], 3)),
    "quick": (_AFFECTNET_TRAIN, dict.fromkeys(LABEL_SETS["8"], 40)),
    "full": (
        counts_of(74874, 134415, 25459, 14090, 6378, 3803, 24882, 3750, order=LABEL_SETS["8"]),
        dict.fromkeys(LABEL_SETS["8"], 500),
    ),
}


def plan(root: Path, population: Population, size: Size) -> Plan:
    """Plan AffectNet, the layout with 224 x 224 crops and one npy file per annotation; contempt is in it."""
    rng = population.rng("plan")
    faces = []
    for split, counts in zip(("train_set", "val_set"), _AFFECTNET_COUNTS[size], strict=True):
        for folder in ("images", "annotations"):
            (root / split / folder).mkdir(parents=True)
        labels = shuffled(counts, rng)
        # Numbers have gaps and start anew in each split.
        numbers = np.cumsum(rng.choice([1, 1, 1, 2, 5], len(labels))) - 1
        faces += [(root / split, int(number), label) for number, label in zip(numbers, labels, strict=True)]
    return Plan(chunked(faces, lambda serial, face: _affectnet_face(population, serial, *face)))


def _affectnet_face(population: Population, serial: int, folder: Path, number: int, label: Emotion) -> str:
    rng, person, expression = wild(population, serial, label)
    camera = camera_of(population)
    shot = shoot(camera, arrange(camera, (224, 224), rng), person.identity, expression.au, rng)
    save(folder / "images" / f"{number}.jpg", shot.picture)
    valence, arousal = rated(expression.au, rng, 0.08)
    values: dict[str, NDArray[Any]] = {
        "exp": np.array(str(LABEL_SETS["8"].index(label))),
        "val": np.array(f"{valence:.6f}"),
        "aro": np.array(f"{arousal:.6f}"),
        "lnd": shot.landmarks.astype(np.float64).reshape(-1),
    }
    for name, value in values.items():
        np.save(folder / "annotations" / f"{number}_{name}.npy", value, allow_pickle=False)
    return ""
