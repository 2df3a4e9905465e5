"""The synthetic RAF-DB."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from fer_bench.emotions import Emotion
from fer_bench.synthetic.anatomy import Picture
from fer_bench.synthetic.camera import camera_of
from fer_bench.synthetic.expressions import votes
from fer_bench.synthetic.layouts.casting import (
    Array,
    Chunks,
    Counts,
    counts_of,
    planted,
    scaled,
    shuffled,
    wild,
)
from fer_bench.synthetic.layouts.files import save, write_lines
from fer_bench.synthetic.layouts.journal import JobResult
from fer_bench.synthetic.layouts.writing import Plan, Size
from fer_bench.synthetic.population import Population
from fer_bench.synthetic.shots import arrange, shoot
from fer_bench.synthetic.truth import FaceTruth, face_row

_ORDER = tuple(
    Emotion(e) for e in ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
)
_TRAIN = counts_of(110, 60, 80, 270, 140, 80, 160, order=_ORDER)
_TEST = counts_of(36, 24, 28, 84, 46, 28, 54, order=_ORDER)
_FULL_TRAIN = counts_of(1290, 281, 717, 4772, 1982, 705, 2524, order=_ORDER)
_FULL_TEST = counts_of(329, 74, 160, 1185, 478, 162, 680, order=_ORDER)
_COUNTS: dict[Size, tuple[Counts, Counts]] = {
    "tiny": (scaled(_TRAIN, 0.05, 4), scaled(_TEST, 0.05, 2)),
    "quick": (_TRAIN, _TEST),
    "full": (_FULL_TRAIN, _FULL_TEST),
}
_UNSURE = 951 / 15339
"""Share of faces whose gender the annotators were unsure of."""
_BROKEN = 2 / 15339
"""Share of attribute files that a public script repairs by hand."""
_SHORT = 0.001
"""Share of automatic landmark files that lack lines; loaders guard against them, the number is a guess."""


def plan(root: Path, population: Population, size: Size) -> Plan:
    """Plan RAF-DB basic: original pictures, 100 x 100 aligned faces, attributes, boxes and the label list."""
    base = root / "basic"
    rng = population.rng("plan")
    faces = []
    for split, counts in zip(("train", "test"), _COUNTS[size], strict=True):
        for i, label in enumerate(shuffled(counts, rng), start=1):
            faces.append((f"train_{i:05d}" if split == "train" else f"test_{i:04d}", label))
    odd = population.rng("quirks")
    broken = planted(len(faces), _BROKEN, odd, least=0 if size == "tiny" else 1)
    short = planted(len(faces), _SHORT, odd, least=1)

    def run(serial: int) -> JobResult:
        stem, label = faces[serial]
        return _draw_face(base, population, serial, stem, label, serial in broken, serial in short)

    def finish(lines: Sequence[list[str]]) -> None:
        for part, name in enumerate(("list_patition_label.txt", "distribution_basic.txt")):
            listed = (line.split("|")[part] for chunk in lines for line in chunk)
            write_lines(base / "EmoLabel" / name, listed, final_newline=bool(part))

    return Plan(Chunks(len(faces), run), finish)


def _draw_face(
    base: Path, population: Population, serial: int, stem: str, label: Emotion, broken: bool, short: bool
) -> JobResult:
    """Draw a face; `broken` omits a line of its attributes, `short` some of its landmarks."""
    rng, person, expression = wild(population, serial, label)
    camera = camera_of(population)
    side = int(rng.integers(110, 190))
    wide = int(side * rng.uniform(1.0, 1.3))
    scene = arrange(replace(camera, face=_times(camera.face, 0.85)), (side, wide), rng)
    shot = shoot(camera, scene, person.identity, expression.au, rng)
    points = shot.landmarks.astype(np.float64)
    five = np.stack([points[36:42].mean(axis=0), points[42:48].mean(axis=0), *points[[30, 48, 54]]])
    five += rng.normal(0, 0.006 * side, five.shape)
    save(base / "Image" / "original" / f"{stem}.jpg", shot.picture)
    save(base / "Image" / "aligned" / f"{stem}_aligned.jpg", _align(shot.picture, five))
    gender = 2 if rng.random() < _UNSURE else ("male", "female").index(person.gender)
    race = ("caucasian", "african", "asian").index(person.race)
    age = int(np.searchsorted([4, 20, 40, 70], person.years, side="right"))
    separator = "\t" if serial % 2 else " "
    lines = [f"{x:.4f}{separator}{y:.4f}" for x, y in five.tolist()]
    lines = [*lines, str(gender), str(race), str(age)]
    write_lines(base / "Annotation" / "manual" / f"{stem}_manu_attri.txt", lines[broken:])
    auto = shot.landmarks[
        [*range(0, 17, 2), *range(17, 27, 2), 27, 30, 33, *range(36, 48), *range(48, 60, 2), 62, 66]
    ]
    write_lines(
        base / "Annotation" / "auto" / f"{stem}_auto_attri.txt",
        [f"{x:.2f}\t{y:.2f}" for x, y in auto.tolist()][: 30 if short else None],
    )
    low, high = np.minimum(shot.box[:2], five.min(axis=0) - 1), np.maximum(shot.box[2:], five.max(axis=0) + 1)
    edges = [*np.maximum(low, 0), min(high[0], wide), min(high[1], side)]
    write_lines(
        base / "Annotation" / "boundingbox" / f"{stem}_boundingbox.txt", [" ".join(f"{v:.4f}" for v in edges)]
    )
    shares = votes(rng, label, expression.emotion, expression.clarity, _ORDER)
    code = _ORDER.index(label) + 1
    face = FaceTruth(person, expression, expression.au, scene, shot.pose)
    path, original = f"Image/aligned/{stem}_aligned.jpg", f"Image/original/{stem}.jpg"
    row = face_row(face, path, label, original=original)
    line = f"{stem}.jpg {code}|{stem}.jpg " + "".join(f"{share:.4f} " for share in shares)
    return JobResult([line], [row])


def _times(bounds: tuple[float, float], factor: float) -> tuple[float, float]:
    return bounds[0] * factor, bounds[1] * factor


def _align(picture: Picture, five: Array) -> Picture:
    """Return the face aligned to 100 x 100 pixels by both eyes and the middle of the mouth."""
    source = np.stack([five[0], five[1], five[3:].mean(axis=0)])
    target = np.array([(31.0, 40.0), (69.0, 40.0), (50.0, 78.0)])
    a, b = source - source.mean(axis=0), target - target.mean(axis=0)
    norm = float((a**2).sum())
    cosine = float((a * b).sum()) / norm
    sine = float((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum()) / norm
    (x, y), (to_x, to_y) = source.mean(axis=0).tolist(), target.mean(axis=0).tolist()
    matrix = np.array(
        [(cosine, -sine, to_x - (cosine * x - sine * y)), (sine, cosine, to_y - (sine * x + cosine * y))]
    )
    aligned = cv2.warpAffine(
        picture, matrix, (100, 100), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(aligned, np.uint8)
