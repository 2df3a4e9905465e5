"""Measure how many drawn faces the detectors find, how accurately and how fast: `docs/alignment.md`.

Pictures by the camera of each dataset are drawn with known boxes and landmarks: as the camera takes them,
turned to the side, in profile and in the dark. Each detector searches the whole picture. YuNet is measured
if its file is available (`fer-bench data fetch-detector`).

    python benchmarks/alignment.py --scenes 40
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from scipy.stats import binomtest

from fer_bench.data.crops.detectors import Detector, find_faces
from fer_bench.data.crops.faces import Face
from fer_bench.data.crops.recipe import NAMES, five_points
from fer_bench.data.crops.yunet import yunet_file
from fer_bench.emotions import BASIC_SIX
from fer_bench.files import usable_cores, write_text
from fer_bench.leaderboard import found_faces
from fer_bench.leaderboard.markup import table as markdown_table
from fer_bench.synthetic.anatomy import Picture
from fer_bench.synthetic.camera import camera_of
from fer_bench.synthetic.expressions import STYLES
from fer_bench.synthetic.population import Population
from fer_bench.synthetic.shots import Shot, arrange, backdrop, develop, shoot

ROOT = Path(__file__).parents[1]
SIZES: dict[str, tuple[int, int]] = {
    "ckplus": (490, 640),
    "mmi": (480, 640),
    "oulu": (240, 320),
    "rafdb": (150, 190),
    "affectnet7": (224, 224),
    "expw": (200, 200),
    "affwild2": (112, 112),
    "fer2013": (96, 96),
}
"""Height and width of what is drawn by each camera, before anything is cropped or scaled."""
VIEWS: dict[str, float | None] = {"as drawn": None, "turned 45°": 45.0, "profile 75°": 75.0, "dark": None}
"""Turn of the head in degrees, None for the camera's own."""
EMPTY = found_faces.NO_FACE
DARKNESS, DARK_NOISE = 0.12, 2.0
"""Share of the light that is left in the dark, and the noise that the sensor adds, in grey levels."""
NEAR, SMALL, LARGE = 0.25, 0.5, 2.0
"""A face is found if the box's centre is off by less than `NEAR` of the true side and its side is `SMALL` to
`LARGE` times the true one: otherwise a crop misses the eyes or the mouth."""
TEXT = """# How well faces are found

**SYNTHETIC DATA.** Written by `python benchmarks/alignment.py`; no number here is typed by hand. The faces
are drawn, so this shows whether the detectors work on what the synthetic benchmark shows them, not how well
they work on people. The pictures are by each dataset's camera before any cropping or scaling, {scenes} of
each view; the table is in `fer_bench/leaderboard/found_faces.csv`.

A face is *found* if the centre of the largest box is off by less than {near:.0%} of the true side and its
side is half to twice the true one; in brackets the 95 % interval (Wilson). *Off* is the median distance of
the centres and *points* the mean distance of the five landmarks (median over pictures, then the 90th
percentile), both as shares of the true side; *size* is the median of found over true side and *further* the
mean number of further faces per picture, all of them false. The true box reaches from the brows to the chin,
and that of a detector has the forehead in it too. In the dark {darkness:.0%} of the light is left. Where
nothing is found, the central square is cut, counted as weak in every table, and kept in the denominator.

MTCNN gives the same bits on every processor (`tests/data/crops/test_mtcnn.py` switches off what processors
differ in); YuNet and the cascade do not promise that.

## Speed

CPU time of one picture on one core, in times of the cascade's for the same pictures, of all four views, in
the same run. The cascade looks only for faces of at least a fifth of the picture; MTCNN finds those of 20
pixels. Its time grows with the picture, up to 1.3 megapixels, to which larger ones are scaled down, and
doubles where it finds nothing and searches once more.

"""
BASE: Detector = "cascade"
"""What the times of the others are compared with."""


def draw(dataset: str, number: int, view: str = "as drawn") -> Shot:
    """Return one drawn picture with its true box and landmarks, the same for the same arguments."""
    population = Population(dataset, "benchmark", 0)
    rng = population.rng("alignment", number)
    person = population.person(number % 40)
    expression = person.express(rng, BASIC_SIX[number % 6], STYLES[dataset])
    camera = camera_of(population)
    scene = arrange(camera, SIZES[dataset], rng)
    turn = VIEWS[view]
    if turn is not None:
        scene = replace(scene, pose=replace(scene.pose, yaw=turn if number % 2 else -turn))
    shot = shoot(camera, scene, person.identity, expression.au, rng)
    if view != "dark":
        return shot
    noise = np.random.default_rng(number).normal(0, DARK_NOISE, shot.picture.shape)
    return replace(shot, picture=np.clip(np.rint(DARKNESS * shot.picture + noise), 0, 255).astype(np.uint8))


def draw_empty(dataset: str, number: int) -> Picture:
    """Return a drawn picture without a face, the same for the same arguments."""
    population = Population(dataset, "benchmark", 0)
    rng = population.rng("alignment, empty", number)
    camera = camera_of(population)
    scene = arrange(camera, SIZES[dataset], rng)
    picture = develop(camera, scene, backdrop(camera, scene.size, scene.backdrop).copy(), rng)
    return np.asarray(cv2.resize(picture, scene.size[::-1], interpolation=cv2.INTER_LINEAR), np.uint8)


def measure(
    dataset: str, view: str, detectors: tuple[Detector, ...], scenes: int
) -> Iterator[dict[str, object]]:
    """Yield one line per picture and detector: what was found, how far off, and how long it took."""
    for number in range(scenes):
        shot = None if view == EMPTY else draw(dataset, number, view)
        picture = draw_empty(dataset, number) if shot is None else shot.picture
        for detector in detectors:
            start = time.process_time()
            faces = find_faces(picture, detector)
            taken = time.process_time() - start
            yield {
                "camera": dataset,
                "view": view,
                "detector": detector,
                "number": number,
                "faces": len(faces),
                "seconds": taken,
                **(_compared(faces[0], shot) if faces and shot is not None else {}),
            }


def cost_of_threads(cores: int, pictures: int = 40) -> float:
    """Return the CPU time that pictures take in some threads, in times of that in one."""
    shots = [draw("oulu", number).picture for number in range(pictures)]
    seconds = []
    for threads in (1, cores):
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(find_faces, shots[: 2 * threads]))  # networks are read before time is taken
            start = time.process_time()
            list(pool.map(find_faces, shots))
            seconds.append(time.process_time() - start)
    return seconds[1] / seconds[0]


def _compared(face: Face, shot: Shot) -> dict[str, float]:
    """Return how far the largest face that was found is from the true one, in sides of the true box."""
    true, box = np.array(shot.box), np.array(face.box)
    side = float(true[2] - true[0])
    apart = (box[:2] + box[2:] - true[:2] - true[2:]) / 2
    found = {"off": float(np.hypot(*apart)) / side, "size": float((box[2:] - box[:2]).max()) / side}
    points = five_points(shot.landmarks)
    if face.landmarks is not None and points is not None:
        found["landmarks"] = float(np.hypot(*(face.landmarks - points).T).mean()) / side
    return found


def summary(lines: pd.DataFrame) -> pd.DataFrame:
    """Return a line per camera, view and detector, with the 95 % interval of the share found (Wilson)."""
    lines = lines.copy()
    lines["is_found"] = (lines["off"] < NEAR) & (lines["size"] > SMALL) & (lines["size"] < LARGE)
    base = lines[lines["detector"] == BASE].set_index(["camera", "view", "number"])["seconds"]
    rows = []
    for (camera, view, detector), part in lines.groupby(["camera", "view", "detector"], sort=False):
        right, taken = part[part["is_found"]], part.set_index(["camera", "view", "number"])["seconds"]
        interval = binomtest(len(right), len(part)).proportion_ci(method="wilson")
        rows.append(
            {
                "camera": camera,
                "view": view,
                "detector": detector,
                "pictures": len(part),
                "answered": float((part["faces"] > 0).mean()),
                "found": len(right) / len(part),
                "found_low": round(float(interval.low), 4),
                "found_high": round(float(interval.high), 4),
                "further_faces": float((part["faces"] - 1).clip(lower=0).mean()),
                "off": right["off"].median(),
                "size": right["size"].median(),
                "landmarks": right["landmarks"].median(),
                "landmarks_p90": right["landmarks"].quantile(0.9),
                "times_of_cascade": float(taken.sum() / base.loc[taken.index].sum()),
            }
        )
    return pd.DataFrame(rows)


def page(table: pd.DataFrame, cores: int, cost: float) -> str:
    """Return the page of the documentation.

    Args:
        table: From `summary`.
        cores: Threads that searched pictures at once.
        cost: CPU time of a picture then, in times of that in one thread.
    """
    text = TEXT.format(scenes=int(table["pictures"].max()), near=NEAR, darkness=DARKNESS)
    seen, empty = table[table["view"] != EMPTY], table[table["view"] == EMPTY]
    means = seen.groupby(["detector", "camera"], sort=False)["times_of_cascade"].mean().unstack()
    times = [[NAMES[detector], *(f"{value:.1f}" for value in row)] for detector, row in means.iterrows()]
    lines = [
        markdown_table(["detector", *means.columns], times),
        "",
        f"In {cores} threads, as packs are filled, MTCNN takes {cost:.2f} times the CPU time per picture.",
    ]
    wrong = empty.groupby("detector", sort=False)["answered"].mean()
    shares = ", ".join(f"{NAMES[detector]} in {share:.1%}" for detector, share in wrong.items())
    number = int(empty["pictures"].sum() / max(1, len(wrong)))
    lines += ["", f"In {number} pictures without a face they find one: {shares}."]
    for view in seen["view"].unique():
        rows = []
        for row in seen[seen["view"] == view].itertuples():
            found = f"{row.found:.1%} [{row.found_low:.0%}, {row.found_high:.0%}]"
            points = "-" if np.isnan(row.landmarks) else f"{row.landmarks:.1%}, {row.landmarks_p90:.1%}"
            off, size = _or_dash(row.off, ".0%"), _or_dash(row.size, ".2f")
            further = f"{row.further_faces:.2f}"
            rows.append([row.camera, NAMES[row.detector], found, off, size, points, further])
        header = ["camera", "detector", "found", "off", "size", "points", "further"]
        lines += ["", f"## {view[0].upper()}{view[1:]}", "", markdown_table(header, rows)]
    if "yunet" not in set(table["detector"]):
        lines += ["", "YuNet was not measured: its file was not on the machine that wrote this page."]
    return text + "\n".join([*lines, ""])


def _or_dash(value: float, form: str) -> str:
    return "-" if np.isnan(value) else format(value, form)


def main() -> None:
    """Measure, then write the page and the table that it shows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=40, help="Pictures per camera and view.")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "alignment.md")
    parser.add_argument("--table", type=Path, default=found_faces.FILE)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    fast: tuple[Detector, ...] = () if yunet_file() is None else ("yunet",)
    detectors: tuple[Detector, ...] = ("mtcnn", *fast, BASE)
    lines = []
    for dataset in SIZES:
        for detector in detectors:
            find_faces(draw(dataset, 0).picture, detector)  # networks are read before time is taken
        for view in (*VIEWS, EMPTY):
            lines += list(measure(dataset, view, detectors, arguments.scenes))
        print(f"measured {dataset}", flush=True)
    table = summary(pd.DataFrame(lines))
    write_text(arguments.table, table.to_csv(index=False, float_format="%.4f", lineterminator="\n"))
    cores = usable_cores()
    write_text(arguments.out, page(table, cores, cost_of_threads(cores)))


if __name__ == "__main__":
    main()
