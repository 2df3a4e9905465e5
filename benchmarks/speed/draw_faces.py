"""Measure how long drawing a face takes against writing it as a PNG file, for each dataset's camera.

Every face is another person with another expression in another scene. Drawing is the work per picture: face,
lens, sensor, compression; making people, expressions and scenes is a share of its own. A checksum of the
pictures is in the result, because it must not depend on speed.

    python -m benchmarks.speed.draw_faces
"""

from __future__ import annotations

import statistics
import tempfile
import time
import zlib
from pathlib import Path
from typing import NamedTuple

import cv2

from benchmarks.speed.harness import Ratio, Report, run_benchmark
from fer_bench.emotions import Emotion
from fer_bench.synthetic.camera import CAMERAS, camera_of
from fer_bench.synthetic.expressions import STYLES
from fer_bench.synthetic.population import Population
from fer_bench.synthetic.shots import arrange, shoot

FACES = 100
SIZE = 112


class Drawn(NamedTuple):
    """Seconds of processor time for some faces, and a checksum of their pictures."""

    people: float
    drawing: float
    writing: float
    checksum: int


def draw(dataset: str, faces: int, size: int, file: Path) -> Drawn:
    """Draw faces of a dataset's benchmark population, and write each into the same file.

    Args:
        dataset: Whose camera.
        faces: How many.
        size: Pixels.
        file: A PNG file.
    """
    population, emotions = Population(dataset), list(Emotion)
    camera = camera_of(population)
    marks, checksum = [0.0, 0.0, 0.0], 0
    for number in range(faces):
        times = [time.process_time()]
        person, rng = population.person(number), population.rng("draw_faces", number)
        au = person.express(rng, emotions[number % len(emotions)], STYLES[dataset]).au
        scene = arrange(camera, (size, size), rng)
        times.append(time.process_time())
        picture = shoot(camera, scene, person.identity, au, rng).picture
        times.append(time.process_time())
        cv2.imwrite(str(file), picture)
        times.append(time.process_time())
        marks = [mark + end - start for mark, start, end in zip(marks, times, times[1:], strict=False)]
        checksum = zlib.crc32(picture.tobytes(), checksum)
    return Drawn(*marks, checksum)


def measure(rounds: int) -> Report:
    """Draw with every camera in turn."""
    cv2.setNumThreads(1)
    found: dict[str, list[Drawn]] = {dataset: [] for dataset in sorted(CAMERAS)}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds + 1):
            for dataset, runs in found.items():
                runs.append(draw(dataset, FACES, SIZE, Path(folder) / "face.png"))
    timed = {dataset: runs[1:] for dataset, runs in found.items()}
    if any(len({run.checksum for run in runs}) > 1 for runs in found.values()):
        raise SystemExit("other pictures are drawn in another round")
    return Report(
        title="Drawing",
        text=f"Drawing a face of {SIZE} pixels as each dataset's camera sees it, against encoding and "
        "writing it as a PNG file with OpenCV.",
        ratios=[
            Ratio(
                f"drawing / writing, {dataset}",
                statistics.median(run.drawing / run.writing for run in runs),
                better="lower",
            )
            for dataset, runs in timed.items()
        ],
        figures={
            dataset: {
                "faces a second of one core": round(FACES / min(run.drawing for run in runs)),
                "with people": round(FACES / min(run.drawing + run.people for run in runs)),
                "checksum": f"{runs[0].checksum:08x}",
            }
            for dataset, runs in timed.items()
        },
    )


if __name__ == "__main__":
    run_benchmark(__doc__, measure)
