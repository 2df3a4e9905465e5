"""Measure how many drawn faces the detectors find and how accurate their boxes are: `docs/alignment.md`.

Scenes of several cameras are drawn with known face boxes; each detector searches the whole picture. YuNet is
measured if its file is available (see `fer_bench/data/crops/detectors.py`).

    python benchmarks/alignment.py --scenes 150
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fer_bench.data.crops.detectors import Detector, find_faces
from fer_bench.data.crops.yunet import yunet_file
from fer_bench.emotions import BASIC_SIX
from fer_bench.files import write_text
from fer_bench.synthetic.camera import camera_of
from fer_bench.synthetic.expressions import STYLES
from fer_bench.synthetic.population import Population
from fer_bench.synthetic.shots import Shot, arrange, shoot

ROOT = Path(__file__).parents[1]
SCENES: dict[str, tuple[int, int]] = {
    "mmi": (480, 640),
    "oulu": (240, 320),
    "ckplus": (490, 640),
    "expw": (200, 200),
}
"""Height and width of the pictures of each camera."""
NEAR, SMALL, LARGE = 0.25, 0.5, 2.0
"""A face is found if the square's centre is off by less than `NEAR` of the true side and its side is `SMALL`
to `LARGE` times the true one: otherwise a crop misses the eyes or the mouth."""


@dataclass(frozen=True)
class Result:
    """The results of one detector on one camera's scenes.

    Attributes:
        answered: Share of pictures with any face.
        found: Share of pictures with the right face.
        off: Median distance of the centres, in true sides, over the faces found.
        ratio: Median of the found side over the true one.
    """

    answered: float
    found: float
    off: float
    ratio: float


def draw(dataset: str, number: int) -> Shot:
    """Return one drawn picture with its true box, the same for the same arguments."""
    population = Population(dataset, "benchmark", 0)
    rng = population.rng("alignment", number)
    person = population.person(number % 40)
    expression = person.express(rng, BASIC_SIX[number % 6], STYLES[dataset])
    camera = camera_of(population)
    return shoot(camera, arrange(camera, SCENES[dataset], rng), person.identity, expression.au, rng)


def measure(dataset: str, detector: Detector, scenes: int) -> Result:
    """Return the results of a detector on drawn pictures of a dataset's camera."""
    answered, off, ratio = 0, [], []
    for number in range(scenes):
        shot = draw(dataset, number)
        faces = find_faces(shot.picture, detector)
        if not faces:
            continue
        answered += 1
        square = np.array(faces[0].box)
        true = np.array(shot.box)
        side = float(max(true[2] - true[0], true[3] - true[1]))
        apart = (square[:2] + square[2:] - true[:2] - true[2:]) / 2
        away, size = float(np.hypot(*apart)) / side, float(max(square[2:] - square[:2])) / side
        if away < NEAR and SMALL < size < LARGE:
            off.append(away)
            ratio.append(size)
    nothing = float("nan")
    return Result(
        answered / scenes,
        len(off) / scenes,
        float(np.median(off)) if off else nothing,
        float(np.median(ratio)) if ratio else nothing,
    )


def page(results: dict[tuple[str, Detector], Result], scenes: int) -> str:
    """Return the page of the documentation."""
    lines = [
        "# How well faces are found",
        "",
        "**SYNTHETIC DATA.** Written by `python benchmarks/alignment.py`; no number here is typed by hand.",
        "The faces are drawn, so this shows whether the detectors work on what the synthetic benchmark shows",
        "them, not how well they work on people. The pictures are those of each dataset's camera before any",
        f"cropping, {scenes} of each.",
        "",
        "A face is *found* if the square's centre is off by less than a quarter of the true side and its",
        "side is half to twice the true one. Where the detector finds nothing, the central square is used,",
        "counted as weak in every table, and kept in the denominator. *Off* is the median distance of the",
        "centres in true sides, *size* the median of found over true side.",
        "",
        "| camera | detector | answers | found | off | size |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    names = {"mtcnn": "MTCNN", "cascade": "OpenCV frontal cascade (weak)", "yunet": "YuNet"}
    for (dataset, detector), r in results.items():
        shares = f"{r.answered:.1%} | {r.found:.1%}"
        numbers = f"{r.off:.2f} | {r.ratio:.2f}"
        lines.append(f"| {dataset} | {names[detector]} | {shares} | {numbers} |")
    if not any(detector == "yunet" for _, detector in results):
        lines += ["", "YuNet was not measured: its file was not on the machine that wrote this page."]
    return "\n".join([*lines, ""])


def main() -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=150, help="Pictures per camera.")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "alignment.md")
    arguments = parser.parse_args()
    detectors: tuple[Detector, ...] = (
        ("mtcnn", "cascade") if yunet_file() is None else ("mtcnn", "cascade", "yunet")
    )
    results = {(d, by): measure(d, by, arguments.scenes) for d in SCENES for by in detectors}
    write_text(arguments.out, page(results, arguments.scenes))
    print(arguments.out.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
