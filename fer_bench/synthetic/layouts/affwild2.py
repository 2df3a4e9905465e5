"""The synthetic Aff-Wild2."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from fer_bench.emotions import Emotion
from fer_bench.synthetic.camera import camera_of
from fer_bench.synthetic.face import Pose
from fer_bench.synthetic.layouts.casting import (
    Array,
    Rng,
    rated,
)
from fer_bench.synthetic.layouts.files import save, write_lines
from fer_bench.synthetic.layouts.frame import Plan, Size, Task
from fer_bench.synthetic.population import (
    STYLES,
    Population,
    at_strength,
    behind_label,
    coded_units,
)
from fer_bench.synthetic.shots import arrange, shoot

_AFFWILD_ORDER = tuple(
    Emotion(e) for e in ("neutral", "anger", "disgust", "fear", "happiness", "sadness", "surprise", "other")
)
_AFFWILD_VIDEOS: dict[Size, tuple[tuple[int, int], tuple[int, int]]] = {
    "tiny": ((6, 10), (4, 8)),
    "quick": ((64, 15), (28, 12)),
    "full": ((240, 590), (67, 400)),
}
_AFFWILD_SEGMENT = 5


def plan(root: Path, population: Population, size: Size) -> Plan:
    """Plan Aff-Wild2 in the form of the ABAW4 multi-task challenge: 112 x 112 frames and two lists."""
    rng = population.rng("plan")
    numbers = iter(rng.permutation(np.arange(1, 900)).tolist())
    tasks: list[Task] = []
    train_tasks = 0
    for split, (videos, frames) in zip(("train", "val"), _AFFWILD_VIDEOS[size], strict=True):
        segments = -(-frames // _AFFWILD_SEGMENT)
        shown = [_AFFWILD_ORDER[i % 8] for i in range(videos * segments)]
        shown = [shown[i] for i in rng.permutation(len(shown))]
        stem = ""
        for video in range(videos):
            number = next(numbers)
            # Every sixth video shows a second person of the one before.
            stem = (
                f"{stem}_right"
                if video % 6 == 5
                else (f"video{number}" if video % 3 else f"{number}-30-1280x720")
            )
            part = shown[video * segments : (video + 1) * segments]
            tasks.append(
                Task(frames, _affwild_video(root, population, len(tasks), stem, part, frames, split))
            )
        train_tasks = train_tasks or len(tasks)
    header = "image,valence,arousal,expression,aus"

    def finish(lines: list[list[str]]) -> None:
        for file, part in (("training_set", lines[:train_tasks]), ("validation_set", lines[train_tasks:])):
            write_lines(
                root / f"{file}_annotations.txt", [header, *(line for video in part for line in video)]
            )

    return Plan(tasks, finish)


def _affwild_video(
    root: Path,
    population: Population,
    serial: int,
    stem: str,
    shown: Sequence[Emotion],
    frames: int,
    split: str,
) -> Callable[[], list[str]]:
    def run() -> list[str]:
        rng = population.rng("video", serial)
        camera, style = camera_of(population), STYLES["affwild2"]
        person = population.person(serial)
        scene = arrange(camera, (112, 112), rng)
        folder = root / "cropped_aligned" / stem
        folder.mkdir(parents=True)
        apexes = [person.express(rng, behind_label(rng, emotion, style), style).au for emotion in shown]
        lines, number, au = [], 0, person.rest
        for i in range(frames):
            segment = i // _AFFWILD_SEGMENT
            number += int(rng.choice([1, 2, 6]))
            au = at_strength(au, apexes[segment], 0.7 if i % _AFFWILD_SEGMENT == 0 else 0.8)
            drift = replace(scene, pose=_drifted(scene.pose, camera.yaw, i / frames, serial))
            shot = shoot(camera, drift, person.identity, au, rng)
            if rng.random() >= 0.02:  # Frames without a detected face are listed but have no picture.
                save(folder / f"{number:05d}.jpg", shot.picture, quality=88)
            lines.append(_affwild_line(f"{stem}/{number:05d}.jpg", shown[segment], au, rng, split))
        return lines

    return run


def _drifted(pose: Pose, spread: float, time: float, serial: int) -> Pose:
    """Return the pose as the head turns slowly through a video."""
    return replace(
        pose, yaw=float(np.clip(pose.yaw + 0.6 * spread * np.sin(2 * np.pi * time + serial), -38, 38))
    )


def _affwild_line(name: str, emotion: Emotion, au: Array, rng: Rng, split: str) -> str:
    """Return a line of the list; any of the three tasks may be unlabelled, in training also all of them."""
    has_va, has_expression, has_au = rng.random(3) < (
        (0.85, 0.78, 0.85) if split == "train" else (1.0, 0.85, 1.0)
    )
    valence, arousal = rated(au, rng, 0.06)
    va = f"{valence:.3f},{arousal:.3f}" if has_va else str(rng.choice(["-5,-5", "-5.0,-5.0"]))
    expression = _AFFWILD_ORDER.index(emotion) if has_expression else -1
    units = coded_units(au) if has_au else np.full(12, -1)
    return ",".join([name, va, str(expression), *(str(unit) for unit in units)])
