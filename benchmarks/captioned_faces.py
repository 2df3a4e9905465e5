"""Drawn faces with captions for image-text training: people and cameras that no benchmark shows."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from fer_bench.data.crops.recipe import cut
from fer_bench.emotions import LABEL_SETS, Emotion
from fer_bench.files import usable_cores
from fer_bench.synthetic.camera import Camera
from fer_bench.synthetic.captions import Captions, describe
from fer_bench.synthetic.expressions import Style
from fer_bench.synthetic.population import Makeup, Population, draw_person
from fer_bench.synthetic.shots import arrange, shoot

SIZE = 64
"""Side of the pictures in pixels."""
EMOTIONS: tuple[Emotion, ...] = LABEL_SETS["8"]
CAMERA = Camera(
    face=(0.26, 0.36), centre=(0.5, 0.46), wander=0.03, light=(0.0, -0.45), light_spread=0.55,
    ambient=(0.25, 0.7), strength=(0.75, 1.3), grey=0.25, tint=0.08, gamma=(0.75, 1.35), blur=(0.0, 1.0),
    noise=(1.0, 5.5), coarse=(0.55, 1.0), jpeg=(35, 100), brightness=(15, 240), occluded=0.08,
)  # fmt: skip
"""What the pictures of the web have in common; every picture draws its camera around this one."""
MAKEUP = Makeup((4, 76), 0.5, (0.6, 0.2, 0.2), 0.2, 0.4)
STYLE = Style((0.5, 1.0), blend=0.1, stray=0.04)
PICTURE = 104
"""Side of what a camera takes, from which a face is cut."""
_CHUNK = 50
T = TypeVar("T")


@dataclass(frozen=True)
class Faces:
    """Pictures with captions.

    Attributes:
        pixels: uint8 [N, 64, 64, 3], RGB.
        captions: The captions of each.
        emotion: Position in `EMOTIONS`, int64 [N].
        female: bool [N].
        glasses: bool [N].
    """

    pixels: NDArray[np.uint8]
    captions: tuple[Captions, ...]
    emotion: NDArray[np.int64]
    female: NDArray[np.bool_]
    glasses: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.captions)


def in_parts(
    work: Callable[[int], T], starts: range, on_part: Callable[[list[T]], None] | None = None
) -> list[T]:
    """Return what is drawn from each start on, by all cores where that pays.

    Args:
        work: Draws a part, given its start.
        starts: Where parts start.
        on_part: Called with the parts so far when another core has drawn one.
    """
    if len(starts) <= 4 or usable_cores() == 1:
        return [work(start) for start in starts]
    parts: list[T] = []
    with multiprocessing.get_context("spawn").Pool(usable_cores()) as pool:
        for part in pool.imap(work, starts):
            parts.append(part)
            if on_part is not None:
                on_part(parts)
    return parts


def draw_faces(
    count: int, *, seed: int, first: int = 0, progress: Callable[[int, int], None] | None = None
) -> Faces:
    """Draw faces of the pretraining population; a face depends on the seed and its number only.

    Args:
        count: How many.
        seed: Seed of the population.
        first: Number of the first; every number is another person and another camera.
        progress: Called with faces drawn and their total.
    """

    def tell(parts: list[Faces]) -> None:
        if progress is not None:
            progress(sum(map(len, parts)), count)

    work = partial(_chunk, seed=seed, end=first + count)
    parts = in_parts(work, range(first, first + count, _CHUNK), tell)
    return Faces(
        pixels=np.concatenate([part.pixels for part in parts]),
        captions=tuple(caption for part in parts for caption in part.captions),
        emotion=np.concatenate([part.emotion for part in parts]),
        female=np.concatenate([part.female for part in parts]),
        glasses=np.concatenate([part.glasses for part in parts]),
    )


def _chunk(start: int, *, seed: int, end: int) -> Faces:
    people = Population("web", "pretraining", seed)
    numbers = range(start, min(start + _CHUNK, end))
    pixels = np.empty((len(numbers), SIZE, SIZE, 3), np.uint8)
    captions: list[Captions] = []
    emotion = np.empty(len(numbers), np.int64)
    female, glasses = np.empty((2, len(numbers)), np.bool_)
    for place, number in enumerate(numbers):
        rng = people.rng("photo", number)
        person = draw_person(people.rng("person", number), MAKEUP, number)
        emotion[place] = int(rng.integers(len(EMOTIONS)))
        expression = person.express(rng, EMOTIONS[emotion[place]], STYLE)
        camera = varied_camera(rng)
        scene = arrange(camera, (PICTURE, PICTURE), rng)
        shot = shoot(camera, scene, person.identity, expression.au, rng)
        x0, y0, x1, y1 = shot.box
        middle = np.array([x0 + x1, y0 + y1]) / 2 + rng.normal(0, 0.03, 2) * (x1 - x0)
        half = (x1 - x0) / 2 * rng.uniform(0.92, 1.3)
        pixels[place] = cut(shot.picture, np.concatenate([middle - half, middle + half]), SIZE)
        captions.append(describe(person, expression, scene, rng))
        female[place], glasses[place] = person.gender == "female", person.identity.glasses > 0
    return Faces(pixels, tuple(captions), emotion, female, glasses)


def varied_camera(rng: np.random.Generator) -> Camera:
    """Return a camera around `CAMERA`."""
    return replace(
        CAMERA,
        yaw=float(rng.uniform(2, 14)),
        pitch=float(rng.uniform(2, 8)),
        roll=float(rng.uniform(1, 7)),
        light=(float(rng.normal(0, 0.3)), float(rng.normal(-0.45, 0.15))),
        relief=float(rng.uniform(0.7, 1.15)),
        warmth=float(rng.uniform(0.93, 1.08)),
        background="plain" if rng.random() < 0.4 else "scene",
    )
