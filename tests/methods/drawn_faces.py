"""A small set of drawn faces in class folders: people who make three faces each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from fer_bench.data.crops.recipe import cut
from fer_bench.datasets.folder import Folder
from fer_bench.emotions import Emotion
from fer_bench.synthetic.camera import camera_of
from fer_bench.synthetic.expressions import Style
from fer_bench.synthetic.population import MAKEUP, Population, draw_person
from fer_bench.synthetic.shots import arrange, shoot

FACES = (Emotion.NEUTRAL, Emotion.HAPPINESS, Emotion.SURPRISE)
STYLE = Style((0.8, 1.0), blend=0.0, stray=0.02)
SIDE = 64


class DrawnFolder(Folder):
    """Pictures that are face crops already."""

    crop = "whole"


def draw_folder(root: Path, *, people: int, tested: int) -> DrawnFolder:
    """Write faces as `root/<split>/<class>/<person>.png`; the last people are `test`, those before `val`."""
    population = Population("rafdb", "development", 11)
    camera = replace(camera_of(population), occluded=0.0)
    for number in range(people + 2 * tested):
        split = "train" if number < people else "val" if number < people + tested else "test"
        person = draw_person(population.rng("person", number), MAKEUP["rafdb"], number)
        rng = population.rng("photo", number)
        for label in FACES:
            expression = person.express(rng, label, STYLE)
            shot = shoot(camera, arrange(camera, (104, 104), rng), person.identity, expression.au, rng)
            x0, y0, x1, y1 = shot.box
            middle, half = np.array([x0 + x1, y0 + y1]) / 2, 0.6 * (x1 - x0)
            crop = cut(shot.picture, np.concatenate([middle - half, middle + half]), SIDE)
            file = root / split / label.value / f"{number:03d}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(file), crop[..., ::-1])
    return DrawnFolder(root)
