"""The synthetic CK+."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from fer_bench.emotions import BASIC_SIX, Emotion
from fer_bench.synthetic.anatomy import FACE_AUS
from fer_bench.synthetic.camera import camera_of
from fer_bench.synthetic.expressions import STYLES, Expression, at_strength
from fer_bench.synthetic.layouts.casting import Counts, Recording, Rng, deal, rise
from fer_bench.synthetic.layouts.files import save, scientific, write_lines
from fer_bench.synthetic.layouts.journal import JobResult
from fer_bench.synthetic.layouts.writing import DrawingJob, Plan, Size
from fer_bench.synthetic.population import Population
from fer_bench.synthetic.shots import arrange, shoot
from fer_bench.synthetic.truth import FaceTruth, face_row

_ORDER = ("anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise")
_CODES = {Emotion(name): code for code, name in enumerate(_ORDER, start=1)}
_COUNTS: dict[Size, Counts] = {
    "tiny": dict.fromkeys(_CODES, 2),
    "quick": dict(zip(_CODES, (24, 12, 31, 14, 36, 15, 44), strict=True)),
    "full": dict(zip(_CODES, (45, 18, 59, 25, 69, 28, 83), strict=True)),
}
_PEOPLE: dict[Size, tuple[int, int, int]] = {"tiny": (6, 1, 1), "quick": (44, 2, 8), "full": (118, 5, 261)}
_FRAMES: dict[Size, tuple[int, int]] = {"tiny": (4, 6), "quick": (5, 8), "full": (10, 30)}


def plan(root: Path, population: Population, size: Size) -> Plan:
    """Plan CK+: png sequences from neutral to apex with landmarks, FACS codes and, for some, emotions."""
    rng = population.rng("plan")
    labelled, unlabelled, more = _PEOPLE[size]
    ids = np.sort(rng.choice(np.arange(5, 1000), labelled + unlabelled, replace=False))
    bare = set(rng.choice(labelled + unlabelled, unlabelled, replace=False).tolist())
    hands = iter(deal(_COUNTS[size], labelled, rng))
    sessions: list[tuple[int, Emotion, bool]] = []
    for person in range(labelled + unlabelled):
        shown = [(e, True) for e in next(hands)] if person not in bare else [(BASIC_SIX[person % 6], False)]
        sessions += [(person, e, has_label) for e, has_label in shown]
    for _ in range(more):
        sessions.append((int(rng.integers(labelled + unlabelled)), BASIC_SIX[int(rng.integers(6))], False))
    sessions.sort(key=lambda s: s[0])
    images = "cohn-kanade-images" if population.name == "benchmark" else "extended-cohn-kanade-images"
    jobs, session, last_person = [], 0, -1
    for number, (person, emotion, has_label) in enumerate(sessions):
        session = (session if person == last_person else 0) + int(rng.integers(1, 3))
        last_person = person
        low, high = _FRAMES[size]
        frames = int(rng.integers(low, high))
        where = (f"S{ids[person]:03d}", f"{session:03d}")
        label = _CODES[emotion] if has_label else None
        what = Recording(person, emotion, frames, number)
        jobs.append(DrawingJob(frames, partial(_draw_sequence, root, images, population, what, where, label)))
    return Plan(jobs)


def _draw_sequence(
    root: Path,
    images: str,
    population: Population,
    what: Recording,
    where: tuple[str, str],
    label: int | None,
) -> JobResult:
    number, emotion, frames, serial = what.person, what.emotion, what.frames, what.serial
    rng = population.rng("sequence", serial)
    camera = camera_of(population)
    person = population.person(number)
    look = population.rng("format", number)
    size = (490, 640) if look.random() < 0.7 else (480, 640)
    # All sequences of a person are in colour, or all in grey.
    scene = replace(arrange(camera, size, rng), grey=bool(look.random() < camera.grey))
    expression = person.express(rng, emotion, STYLES["ckplus"])
    folders = {kind: root / kind / where[0] / where[1] for kind in (images, "Landmarks", "FACS", "Emotion")}
    for kind, folder in folders.items():
        # Unlabelled sequences have an empty emotion folder or none at all.
        if kind != "Emotion" or label is not None or serial % 2:
            folder.mkdir(parents=True, exist_ok=True)
    stem, truth = "", []
    for i, share in enumerate(rise(frames), start=1):
        stem = f"{where[0]}_{where[1]}_{i:08d}"
        au = at_strength(person.rest, expression.au, float(share))
        shot = shoot(camera, scene, person.identity, au, rng)
        face = FaceTruth(person, expression, au, scene, shot.pose, float(share))
        path = f"{images}/{where[0]}/{where[1]}/{stem}.png"
        truth.append(face_row(face, path, None if label is None else emotion, subject=where[0]))
        save(folders[images] / f"{stem}.png", shot.picture, grey=scene.grey)
        points = shot.landmarks + rng.normal(0, 0.4, (68, 2))
        write_lines(folders["Landmarks"] / f"{stem}_landmarks.txt", [scientific(p) for p in points.tolist()])
    write_lines(folders["FACS"] / f"{stem}_facs.txt", _facs_lines(expression, rng))
    if label is not None:
        write_lines(folders["Emotion"] / f"{stem}_emotion.txt", [scientific([label])])
    return JobResult(truth=truth)


def _facs_lines(expression: Expression, rng: Rng) -> list[str]:
    """Return one line per visible unit: its number and its intensity 1 to 5, or 0 where none was scored."""
    lines = []
    for number, level in zip(FACE_AUS, expression.au.max(axis=1), strict=True):
        if level >= 0.3:
            intensity = 0 if rng.random() < 0.25 else int(np.clip(np.ceil(level * 5), 1, 5))
            lines.append(scientific([number, intensity]))
    return lines
