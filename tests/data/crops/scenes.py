"""Drawn scenes whose boxes and landmarks are known."""

from __future__ import annotations

import numpy as np

from fer_bench.data.crops.recipe import five_points
from fer_bench.emotions import BASIC_SIX
from fer_bench.synthetic.camera import camera_of
from fer_bench.synthetic.expressions import STYLES
from fer_bench.synthetic.population import Population
from fer_bench.synthetic.shots import Shot, arrange, shoot


def scene(dataset: str, number: int, size: tuple[int, int] = (240, 320)) -> Shot:
    """Return a drawn picture of one person by a dataset's camera, the same for the same arguments."""
    population = Population(dataset, "development", 0)
    rng = population.rng("detectors", number)
    person = population.person(number % 40)
    expression = person.express(rng, BASIC_SIX[number % 6], STYLES[dataset])
    camera = camera_of(population)
    return shoot(camera, arrange(camera, size, rng), person.identity, expression.au, rng)


def five(shot: Shot) -> np.ndarray:
    """Return the true eyes, nose tip and corners of the mouth [5, 2]."""
    points = five_points(shot.landmarks)
    assert points is not None
    return points


def crowd(columns: int, rows: int, side: int = 120) -> tuple[np.ndarray, np.ndarray]:
    """Return a picture of many people side by side, and their true five points [people, 5, 2]."""
    picture = np.full((rows * side, columns * side, 3), 128, np.uint8)
    points = []
    for number in range(columns * rows):
        top, left = number // columns * side, number % columns * side
        shot = scene("mmi", number, (side, side))
        picture[top : top + side, left : left + side] = shot.picture
        points.append(five(shot) + np.array([left, top]))
    return picture, np.stack(points)
