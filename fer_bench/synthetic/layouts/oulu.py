"""The synthetic Oulu-CASIA."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from fer_bench.emotions import BASIC_SIX, Emotion
from fer_bench.synthetic.camera import camera_of
from fer_bench.synthetic.expressions import STYLES, at_strength
from fer_bench.synthetic.layouts.casting import Rng, rise
from fer_bench.synthetic.layouts.files import save, write_lines
from fer_bench.synthetic.layouts.journal import JobResult
from fer_bench.synthetic.layouts.writing import DrawingJob, Plan, Size
from fer_bench.synthetic.population import Population
from fer_bench.synthetic.shots import Shot, arrange, shoot
from fer_bench.synthetic.truth import FaceTruth, face_row

_PEOPLE: dict[Size, int] = {"tiny": 6, "quick": 44, "full": 80}
_FRAMES: dict[Size, tuple[int, int]] = {"tiny": (4, 6), "quick": (6, 9), "full": (15, 30)}
_LIGHT = {"Strong": 1.0, "Weak": 0.55, "Dark": 0.22}


def plan(root: Path, population: Population, size: Size) -> Plan:
    """Plan Oulu-CASIA: jpeg sequences from neutral to apex, as original frames and as crops.

    `quick` has visible light and strong illumination only, `tiny` a little of the other conditions, `full`
    all six.
    """
    people = _PEOPLE[size]
    lost = int(population.rng("plan").integers(people))
    every = [(m, light) for m in ("VL", "NI") for light in _LIGHT]
    jobs = []
    for person in range(people):
        conditions = every if size == "full" or (size == "tiny" and person == 0) else [("VL", "Strong")]
        for modality, light in conditions:
            for which, emotion in enumerate(BASIC_SIX):
                if size == "tiny" and (modality, light) != ("VL", "Strong") and which:
                    continue
                if person == lost and which == person % 6 and size != "tiny":
                    continue  # One sequence of the collection is known to be missing.
                low, high = _FRAMES[size]
                frames = int(population.rng("length", person, which).integers(low, high))
                draw = partial(_draw_sequence, root, population, person, emotion, modality, light, frames)
                jobs.append(DrawingJob(frames, draw))

    def finish(lines: Sequence[list[str]]) -> None:
        write_lines(root / "PreProcess Img" / "change_log.txt", ["faces cropped from OriginalImg"])

    return Plan(jobs, finish)


def _draw_sequence(
    root: Path, population: Population, number: int, emotion: Emotion, modality: str, light: str, frames: int
) -> JobResult:
    which = BASIC_SIX.index(emotion)
    condition = (("VL", "NI").index(modality), list(_LIGHT).index(light))
    rng = population.rng("sequence", number, which, *condition)
    person = population.person(number)
    # The cameras record side by side: all conditions of a sequence show the same expression.
    expression = person.express(population.rng("expression", number, which), emotion, STYLES["oulu"])
    camera = camera_of(population)
    if modality == "NI":
        camera = replace(camera, mode="nir", noise=(1.0, 2.5))
    scene = arrange(camera, (240, 320), rng)
    dim = _LIGHT[light] if modality == "VL" else 0.5 + 0.5 * _LIGHT[light]
    scene = replace(scene, gains=_times(scene.gains, dim), noise=scene.noise * (1.5 if dim < 0.5 else 1.0))
    subject = f"P{number + 1:03d}"
    place = f"{light}/{subject}/{emotion.value.capitalize()}"
    original = f"B_OriginalImg/OriginalImg/{modality}/{place}"
    cropped = f"PreProcess Img/{modality}_Acropped/{place}"
    # Grey pictures are darkened as a whole below, not by their colour gains.
    known = replace(scene, gains=(dim, dim, dim)) if scene.grey else scene
    truth = []
    window: tuple[int, int, int] | None = None
    for i, share in enumerate(rise(frames)):
        au = at_strength(person.rest, expression.au, float(share))
        shot = shoot(camera, scene, person.identity, au, rng)
        face = FaceTruth(person, expression, au, known, shot.pose, float(share), nir=modality == "NI")
        name = f"{i:03d}.jpeg"
        row = face_row(face, f"{cropped}/{name}", emotion, subject=subject, original=f"{original}/{name}")
        truth.append(row)
        picture = np.asarray(cv2.convertScaleAbs(shot.picture, alpha=dim if scene.grey else 1.0), np.uint8)
        window = window or _crop_window(shot, picture.shape[:2], rng)
        x, y, side = window
        save(root / original / name, picture, grey=scene.grey)
        save(root / cropped / name, picture[y : y + side, x : x + side], grey=scene.grey)
    return JobResult(truth=truth)


def _times(gains: tuple[float, float, float], factor: float) -> tuple[float, float, float]:
    return gains[0] * factor, gains[1] * factor, gains[2] * factor


def _crop_window(shot: Shot, shape: Sequence[int], rng: Rng) -> tuple[int, int, int]:
    """Return x, y and side of a face detector's window inside the picture, a little off as in practice."""
    x0, y0, x1, _ = shot.box
    side = min(round((x1 - x0) * float(rng.uniform(1.0, 1.12))), *shape)
    off = rng.normal(0, 0.02, 2) * side
    x = round((x0 + x1 - side) / 2 + float(off[0]))
    y = round(y0 - 0.05 * side + float(off[1]))
    return int(np.clip(x, 0, shape[1] - side)), int(np.clip(y, 0, shape[0] - side)), side
