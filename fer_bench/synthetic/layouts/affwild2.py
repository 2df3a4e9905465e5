"""The synthetic Aff-Wild2."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np

from fer_bench.emotions import Emotion
from fer_bench.synthetic.anatomy import Pose
from fer_bench.synthetic.camera import camera_of
from fer_bench.synthetic.expressions import STYLES, at_strength, behind_label, coded_units
from fer_bench.synthetic.layouts.casting import Array, Rng, rated
from fer_bench.synthetic.layouts.files import save, write_lines
from fer_bench.synthetic.layouts.journal import JobResult
from fer_bench.synthetic.layouts.writing import DrawingJob, Plan, Size
from fer_bench.synthetic.population import Population
from fer_bench.synthetic.shots import arrange, shoot
from fer_bench.synthetic.truth import FaceTruth, face_row

_ORDER = tuple(
    Emotion(e) for e in ("neutral", "anger", "disgust", "fear", "happiness", "sadness", "surprise", "other")
)
_VIDEOS: dict[Size, tuple[tuple[int, int], tuple[int, int]]] = {
    "tiny": ((6, 10), (4, 8)),
    "quick": ((100, 15), (40, 12)),
    "full": ((240, 590), (67, 400)),
}
_SEGMENT = 5
_SHARES: dict[str, tuple[int, ...]] = {
    "train": (23976, 4555, 3168, 3122, 18135, 7609, 5228, 24852),
    "val": (1886, 487, 565, 1254, 3751, 1893, 1003, 4601),
}
"""Labelled frames per expression in the real lists; `full` has the same shares."""
_LABELLED: dict[str, tuple[float, float, float]] = {
    "train": (0.730, 0.637, 0.726),
    "val": (1.0, 0.574, 1.0),
}
"""Shares of the frames with valence and arousal, an expression and action units."""
_UNSEEN = {"train": 0.018, "val": 0.008}
"""Shares of listed frames without a picture, in which no face was detected."""
_PARTLY = 0.01
"""Share of labelled training frames that lack only valence, and of those that lack only some units."""


def plan(root: Path, population: Population, size: Size) -> Plan:
    """Plan Aff-Wild2 in the form of the ABAW4 multi-task challenge: 112 x 112 frames and two lists."""
    rng = population.rng("plan")
    numbers = iter(rng.permutation(np.arange(1, 900)).tolist())
    jobs: list[DrawingJob] = []
    train_jobs = 0
    every = 6 if size == "tiny" else 20
    for split, (videos, frames) in zip(("train", "val"), _VIDEOS[size], strict=True):
        segments = -(-frames // _SEGMENT)
        counts = [1] * 8 if size != "full" else _SHARES[split]
        shown = _dealt(counts, videos * segments)
        shown = [shown[i] for i in rng.permutation(len(shown))]
        stem = ""
        for video in range(videos):
            number = next(numbers)
            if video % every == every - 1:  # a second person of the video before
                stem = f"{stem}_{'left' if video // every % 2 else 'right'}"
            else:
                stem = f"video{number}" if video % 3 else f"{number}-30-1280x720"
            part = shown[video * segments : (video + 1) * segments]
            draw = partial(_draw_video, root, population, len(jobs), stem, part, frames, split)
            jobs.append(DrawingJob(frames, draw))
        train_jobs = train_jobs or len(jobs)
    header = "image,valence,arousal,expression,aus"

    def finish(lines: Sequence[list[str]]) -> None:
        parts = (range(train_jobs), range(train_jobs, len(jobs)))
        for file, part in zip(("training_set", "validation_set"), parts, strict=True):
            listed = (line for task in part for line in lines[task])
            write_lines(root / f"{file}_annotations.txt", chain([header], listed))

    return Plan(jobs, finish)


def _dealt(counts: Sequence[int], total: int) -> list[Emotion]:
    """Return so many expressions in the proportion of the counts, in the order of the classes."""
    edges = np.round(np.cumsum(counts) / sum(counts) * total).astype(int)
    numbers = np.diff(edges, prepend=0).tolist()
    return [emotion for emotion, count in zip(_ORDER, numbers, strict=True) for _ in range(count)]


def _draw_video(
    root: Path,
    population: Population,
    serial: int,
    stem: str,
    shown: Sequence[Emotion],
    frames: int,
    split: str,
) -> JobResult:
    rng = population.rng("video", serial)
    camera, style = camera_of(population), STYLES["affwild2"]
    person = population.person(serial)
    scene = arrange(camera, (112, 112), rng)
    apexes = [person.express(rng, behind_label(rng, emotion, style), style) for emotion in shown]
    found, number, au = JobResult(), 0, person.rest
    away = 1.0
    for i in range(frames):
        segment = i // _SEGMENT
        number += int(rng.choice([1, 2, 6]))
        step = 0.7 if i % _SEGMENT == 0 else 0.8
        au = at_strength(au, apexes[segment].au, step)
        away = (1 - step) * (away if i % _SEGMENT else 1.0)
        drift = replace(scene, pose=_drifted(scene.pose, camera.yaw, i / frames, serial))
        shot = shoot(camera, drift, person.identity, au, rng)
        name = f"{stem}/{number:05d}.jpg"
        line, label = _line(name, shown[segment], au, rng, split)
        found.lines.append(line)
        if rng.random() < _UNSEEN[split]:
            continue
        path = f"cropped_aligned/{name}"
        save(root / path, shot.picture, quality=88)
        face = FaceTruth(person, apexes[segment], au, drift, shot.pose, 1 - away)
        found.truth.append(face_row(face, path, label))
    return found


def _drifted(pose: Pose, spread: float, time: float, serial: int) -> Pose:
    """Return the pose as the head turns slowly through a video."""
    return replace(
        pose, yaw=float(np.clip(pose.yaw + 0.6 * spread * math.sin(2 * math.pi * time + serial), -38, 38))
    )


def _line(name: str, emotion: Emotion, au: Array, rng: Rng, split: str) -> tuple[str, Emotion | None]:
    """Return a line of the list and the emotion it names.

    Any of the three kinds of label may be missing, in training also all of them, or part of one.
    """
    has_va, has_expression, has_au = rng.random(3) < _LABELLED[split]
    valence, arousal = (f"{value:.3f}" for value in rated(au, rng, 0.06))
    if not has_va:
        valence = arousal = str(rng.choice(["-5", "-5.0"]))
    units = coded_units(au) if has_au else np.full(12, -1)
    if split == "train" and rng.random() < _PARTLY:
        valence = "-5"
    if split == "train" and rng.random() < _PARTLY:
        units = np.where(rng.random(12) < 0.3, -1, units)
    expression = _ORDER.index(emotion) if has_expression else -1
    line = ",".join([name, valence, arousal, str(expression), *(str(unit) for unit in units)])
    return line, emotion if has_expression else None
