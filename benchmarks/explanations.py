"""Measure what explanation maps are worth on drawn faces: `docs/explain.md`.

Faces are drawn twice, with their expression and at rest, under the same light and noise: pixels that differ
are those that the expression changes. Runs are those of a sweep of all methods on one dataset, and only faces
that a run predicts rightly count.

    python benchmarks/explanations.py --runs-dir runs --dataset rafdb --faces 42
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from readme_section import csv_text, figure_table, write_section
from scipy import stats
from sweep_runs import finished_on

from fer_bench.data.crops.points import template_points
from fer_bench.data.crops.recipe import CropRecipe, crop_face
from fer_bench.emotions import BASIC_SIX
from fer_bench.files import write_text
from fer_bench.inference.explain import maps
from fer_bench.inference.face_model import FaceModel
from fer_bench.inference.faithfulness import control_scores, random_maps, score_maps
from fer_bench.inference.opening import checkpoint_of, open_face_model
from fer_bench.inference.regions import region, share_within, units_of
from fer_bench.results.store import Store
from fer_bench.synthetic.camera import camera_of
from fer_bench.synthetic.expressions import STYLES
from fer_bench.synthetic.population import Population
from fer_bench.synthetic.shots import arrange, shoot

ROOT = Path(__file__).parents[1]
CHANGED = 12
"""Grey levels by which a pixel must differ from that of the face at rest."""
KINDS = ("grad-cam", "hirescam", "true pixels", "random")
FIRST = 50_000
"""Serial number of the first person; the dataset has none of them."""


@dataclass(frozen=True)
class Drawn:
    """A drawn face.

    Attributes:
        emotion: What it shows.
        picture: The picture, and the same at rest.
        points: 68 landmarks.
    """

    emotion: str
    picture: tuple[NDArray[np.uint8], NDArray[np.uint8]]
    points: NDArray[np.float32]


def draw(dataset: str, number: int) -> Drawn:
    """Return one face with its expression and at rest, the same for the same arguments."""
    population = Population(dataset, "benchmark", 0)
    rng = population.rng("explanations", number)
    person, emotion = population.person(FIRST + number), BASIC_SIX[number % 6]
    expression = person.express(rng, emotion, STYLES[dataset])
    camera = camera_of(population)
    scene = arrange(camera, (160, 190), rng)
    again = copy.deepcopy(rng)
    shot = shoot(camera, scene, person.identity, expression.au, rng)
    rest = shoot(camera, scene, person.identity, np.zeros_like(expression.au), again)
    return Drawn(emotion.value, (shot.picture, rest.picture), shot.landmarks)


def cropped(faces: Sequence[Drawn], size: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return aligned crops [n, S, S, 3], and the pixels that the expression changes [n, S, S]."""
    recipe = CropRecipe(kind="similarity", size=size, margin=0.0)
    crops, changed = [], []
    for face in faces:
        shown, rest = (crop_face(picture, None, face.points, recipe)[0] for picture in face.picture)
        apart = np.abs(shown.astype(int) - rest).mean(axis=2).astype(np.float32)
        changed.append(cv2.GaussianBlur(apart, (0, 0), size / 64) > CHANGED)
        crops.append(shown)
    return np.stack(crops), np.stack(changed)


@dataclass
class Measured:
    """What one run's maps are worth, per face that it predicted rightly."""

    faces: NDArray[np.int64]
    shares: NDArray[np.float64]
    areas: NDArray[np.float64]
    true_shares: NDArray[np.float64]
    true_areas: NDArray[np.float64]
    deletion: NDArray[np.float64]
    insertion: NDArray[np.float64]


def measure(model: FaceModel, faces: Sequence[Drawn]) -> dict[str, Measured]:
    """Return what a run's maps are worth, by kind; scores are differences from those of random maps."""
    size, names = checkpoint_of(model).card.recipe.size, list(model.card.classes)
    crops, changed = cropped(faces, size)
    answered = model.answer(crops).logits.argmax(axis=1)
    right = np.flatnonzero([names[a] == face.emotion for a, face in zip(answered, faces, strict=True)])
    crops, changed, classes = crops[right], changed[right], answered[right].tolist()
    ids = [str(number) for number in right]
    points = template_points(CropRecipe(kind="similarity", size=size, margin=0.0))
    regions = np.stack([region(units_of(names[number]), points, size) for number in classes])
    control = control_scores(model, crops, ids, classes)
    given = {
        "grad-cam": maps(model, crops, "grad-cam"),
        "hirescam": maps(model, crops, "hirescam"),
        "true pixels": changed.astype(np.float32),
        "random": random_maps(ids, size, 99),
    }
    found = {}
    for kind, each in given.items():
        scores = score_maps(model, crops, each, classes)
        found[kind] = Measured(
            right,
            _shares(each, regions),
            regions.mean(axis=(1, 2)),
            _shares(each, changed),
            changed.mean(axis=(1, 2)),
            scores.deletion - control.deletion,
            scores.insertion - control.insertion,
        )
    return found


def _shares(given: NDArray[np.float32], masks: NDArray[np.bool_]) -> NDArray[np.float64]:
    pairs = zip(given, masks, strict=True)
    return np.array([np.nan if (s := share_within(one, mask)) is None else s for one, mask in pairs])


def summed_up(runs: Sequence[Measured], name: str) -> tuple[float, float, float]:
    """Return mean and 95 % interval over faces of a number, each face averaged over the runs that have it."""
    by_face: dict[int, list[float]] = {}
    for run in runs:
        for face, value in zip(run.faces.tolist(), getattr(run, name).tolist(), strict=True):
            if np.isfinite(value):
                by_face.setdefault(face, []).append(value)
    means = np.array([np.mean(values) for values in by_face.values()])
    half = float(stats.t.ppf(0.975, len(means) - 1) * means.std(ddof=1) / np.sqrt(len(means)))
    return float(means.mean()), float(means.mean()) - half, float(means.mean()) + half


NUMBERS = ("shares", "areas", "true_shares", "true_areas", "deletion", "insertion")


def table(found: dict[str, dict[str, list[Measured]]]) -> list[str]:
    """Return the table of the page."""
    header = ["method, map", "faces", "share on AU regions, %", "their area, %", "share on changed pixels, %"]
    header += ["their area, %", "deletion, points", "insertion, points"]
    rows = []
    for method, kinds in found.items():
        for kind in KINDS:
            runs = kinds[kind]
            count = len({face for run in runs for face in run.faces.tolist()})
            values = {name: [100 * v for v in summed_up(runs, name)] for name in NUMBERS}
            rows.append(
                [
                    f"{method}, {kind}",
                    str(count),
                    _shown(values["shares"]),
                    f"{values['areas'][0]:.0f}",
                    _shown(values["true_shares"]),
                    f"{values['true_areas'][0]:.0f}",
                    _shown(values["deletion"], signed=True),
                    _shown(values["insertion"], signed=True),
                ]
            )
    return figure_table(header, rows)


def said(found: dict[str, dict[str, list[Measured]]]) -> str:
    """Return for how many methods each kind of map is better than random maps."""
    parts = []
    for kind in KINDS:
        below = sum(summed_up(kinds[kind], "deletion")[2] < 0 for kinds in found.values())
        above = sum(summed_up(kinds[kind], "insertion")[1] > 0 for kinds in found.values())
        parts.append(f"{kind} in {below} by deletion and {above} by insertion")
    return f"Better than random maps, of {len(found)} methods (the interval excludes 0): {'; '.join(parts)}."


def _shown(value: Sequence[float], *, signed: bool = False) -> str:
    sign = "+" if signed else ""
    return f"{value[0]:{sign}.1f} [{value[1]:.1f}, {value[2]:.1f}]"


def numbers(found: dict[str, dict[str, list[Measured]]]) -> str:
    """Return the same as CSV."""
    header = ["method", "map", "runs", *(f"{n}{end}" for n in NUMBERS for end in ("", "_low", "_high"))]
    rows = [
        [method, kind, len(kinds[kind]), *(v for name in NUMBERS for v in summed_up(kinds[kind], name))]
        for method, kinds in found.items()
        for kind in KINDS
    ]
    return csv_text(pd.DataFrame(rows, columns=header))


def main() -> None:
    """Measure all finished runs on a dataset and write page and numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    parser.add_argument("--dataset", default="rafdb")
    parser.add_argument("--faces", type=int, default=42, help="Faces that are drawn, a sixth per emotion.")
    parser.add_argument("--out", type=Path, default=ROOT / "docs")
    arguments = parser.parse_args()
    store, found = Store(arguments.runs_dir), dict[str, dict[str, list[Measured]]]()
    faces = [draw(arguments.dataset, number) for number in range(arguments.faces)]
    for record in finished_on(store, [arguments.dataset]):
        run = store.run_dir(record.method, record.dataset, record.key)
        for kind, measured in measure(open_face_model(run.path, "cpu"), faces).items():
            found.setdefault(record.method, {}).setdefault(kind, []).append(measured)
        print(record.name, flush=True)
    write_text(arguments.out / "explain.csv", numbers(found))
    write_section(arguments.out / "explain.md", "worth", "\n".join([*table(found), "", said(found)]))


if __name__ == "__main__":
    main()
