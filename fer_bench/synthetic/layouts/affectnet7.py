"""The synthetic AffectNet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fer_bench.emotions import LABEL_SETS, Emotion
from fer_bench.synthetic.camera import camera_of
from fer_bench.synthetic.layouts.casting import Chunks, Counts, counts_of, rated, scaled, shuffled, wild
from fer_bench.synthetic.layouts.files import save, save_array
from fer_bench.synthetic.layouts.journal import JobResult
from fer_bench.synthetic.layouts.writing import Plan, Size
from fer_bench.synthetic.population import Population
from fer_bench.synthetic.shots import arrange, shoot
from fer_bench.synthetic.truth import FaceTruth, face_row

_TRAIN = counts_of(230, 280, 150, 130, 110, 100, 140, 60, order=LABEL_SETS["8"])
_COUNTS: dict[Size, tuple[Counts, Counts]] = {
    "tiny": (scaled(_TRAIN, 0.05, 4), dict.fromkeys(LABEL_SETS["8"], 3)),
    "quick": (_TRAIN, dict.fromkeys(LABEL_SETS["8"], 40)),
    "full": (
        counts_of(74874, 134415, 25459, 14090, 6378, 3803, 24882, 3750, order=LABEL_SETS["8"]),
        {**dict.fromkeys(LABEL_SETS["8"], 500), Emotion.CONTEMPT: 499},
    ),
}


def plan(root: Path, population: Population, size: Size) -> Plan:
    """Plan AffectNet with 224 x 224 crops and one npy file per annotation; contempt included."""
    rng = population.rng("plan")
    labels: list[Emotion] = []
    numbers: list[Any] = []
    train = 0
    for counts in _COUNTS[size]:
        train = len(labels)
        labels += shuffled(counts, rng)
        # Numbers have gaps and start anew in each split.
        numbers.append(np.cumsum(rng.choice([1, 1, 1, 2, 5], len(labels) - train)) - 1)
    numbered = np.concatenate(numbers)

    def run(serial: int) -> JobResult:
        split = "train_set" if serial < train else "val_set"
        return _draw_face(root, population, serial, split, int(numbered[serial]), labels[serial])

    return Plan(Chunks(len(labels), run))


def _draw_face(
    root: Path, population: Population, serial: int, split: str, number: int, label: Emotion
) -> JobResult:
    rng, person, expression = wild(population, serial, label)
    camera = camera_of(population)
    scene = arrange(camera, (224, 224), rng)
    shot = shoot(camera, scene, person.identity, expression.au, rng)
    path = f"{split}/images/{number}.jpg"
    save(root / path, shot.picture)
    valence, arousal = rated(expression.au, rng, 0.08)
    values: dict[str, NDArray[Any]] = {
        "exp": np.array(str(LABEL_SETS["8"].index(label))),
        "val": np.array(f"{valence:.6f}"),
        "aro": np.array(f"{arousal:.6f}"),
        "lnd": shot.landmarks.astype(np.float64).reshape(-1),
    }
    for name, value in values.items():
        save_array(root / split / "annotations" / f"{number}_{name}.npy", value)
    face = FaceTruth(person, expression, expression.au, scene, shot.pose)
    return JobResult(truth=[face_row(face, path, label)])
