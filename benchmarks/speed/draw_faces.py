"""Measure how many synthetic faces per second one core draws, for each dataset's camera.

    python benchmarks/speed/draw_faces.py
    python benchmarks/speed/draw_faces.py --only rafdb --faces 2000

Every face is another person with another expression in another scene. `faces/s` is for the work per picture
(drawing, lens, sensor, compression), `with people` also for making the person, the expression and the scene.
Time is processor time of one thread, the best of the repeats, so other load on the machine matters little.
The checksum of the pictures is printed; it must not depend on speed.

Exit code 1 when a camera takes fewer than 250 faces a second.
"""

from __future__ import annotations

import argparse
import sys
import time
import zlib
from typing import NamedTuple

import cv2

from fer_bench.emotions import Emotion
from fer_bench.synthetic.camera import CAMERAS, camera_of
from fer_bench.synthetic.expressions import STYLES
from fer_bench.synthetic.population import Population
from fer_bench.synthetic.shots import arrange, shoot

LIMIT = 250


class Measured(NamedTuple):
    """Seconds of processor time for some faces, and a checksum of their pictures."""

    shooting: float
    everything: float
    checksum: int


def measure(dataset: str, faces: int, size: int) -> Measured:
    """Draw a number of faces of a dataset's benchmark population."""
    population, emotions = Population(dataset), list(Emotion)
    camera = camera_of(population)
    shooting, checksum, began = 0.0, 0, time.process_time()
    for number in range(faces):
        person, rng = population.person(number), population.rng("draw_faces", number)
        au = person.express(rng, emotions[number % len(emotions)], STYLES[dataset]).au
        scene = arrange(camera, (size, size), rng)
        started = time.process_time()
        picture = shoot(camera, scene, person.identity, au, rng).picture
        shooting += time.process_time() - started
        checksum = zlib.crc32(picture.tobytes(), checksum)
    return Measured(shooting, time.process_time() - began, checksum)


def main() -> None:
    """Measure and print one line per dataset."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--faces", type=int, default=400)
    parser.add_argument("--size", type=int, default=112, help="pixels")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--only", nargs="+", choices=sorted(CAMERAS), default=sorted(CAMERAS))
    given = parser.parse_args()
    cv2.setNumThreads(1)
    slow = False
    print(f"faces of {given.size} pixels per second and core, {given.faces} people\n")
    print(f"{'camera':12} {'faces/s':>8} {'with people':>12}  checksum")
    for dataset in given.only:
        measure(dataset, 20, given.size)
        runs = [measure(dataset, given.faces, given.size) for _ in range(given.repeats)]
        rate = given.faces / min(run.shooting for run in runs)
        whole = given.faces / min(run.everything for run in runs)
        print(f"{dataset:12} {rate:8.0f} {whole:12.0f}  {runs[0].checksum:08x}")
        slow |= rate < LIMIT
    if slow:
        sys.exit(1)


if __name__ == "__main__":
    main()
