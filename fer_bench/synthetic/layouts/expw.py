"""The synthetic ExpW."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from fer_bench.emotions import Emotion
from fer_bench.synthetic.camera import camera_of
from fer_bench.synthetic.layouts.casting import Chunks, Counts, counts_of, scaled, shuffled, wild
from fer_bench.synthetic.layouts.files import save, write_lines
from fer_bench.synthetic.layouts.journal import JobResult
from fer_bench.synthetic.layouts.writing import Plan, Size
from fer_bench.synthetic.population import Population
from fer_bench.synthetic.shots import Shot, arrange, backdrop, develop, shoot
from fer_bench.synthetic.truth import FaceTruth, face_row

EXPW_ORDER = tuple(
    Emotion(e) for e in ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
)
_QUICK = counts_of(140, 130, 100, 320, 180, 140, 290, order=EXPW_ORDER)
_COUNTS: dict[Size, Counts] = {
    "tiny": scaled(_QUICK, 0.06, 8),
    "quick": _QUICK,
    "full": counts_of(3671, 3995, 1088, 30537, 10559, 7060, 34883, order=EXPW_ORDER),
}
_QUERY = ("angry", "disgusted", "fearful", "happy", "sad", "surprised", "calm")
_ROLE = ("dancer", "teacher", "farmer", "nurse", "singer", "waiter")
_WINDOW = 130


_FACES = (0.9545, 0.0375, 0.006, 0.0012, 0.0005, 0.0003)
"""Shares of listed photos with one to six labelled faces, from a public excerpt of the list."""
_UNLISTED = 15000 / (106962 - 15000)
"""Photos without a line in the list, per photo that has one."""
_MOST = 8
_FOLDER = "image/origin"


def plan(root: Path, population: Population, size: Size) -> Plan:
    """Plan ExpW: photos, most with one face, and a list of boxes and labels that omits some photos."""
    rng = population.rng("plan")
    labels = shuffled(_COUNTS[size], rng)
    counts = rng.choice(np.arange(1, 7), len(labels), p=_FACES)
    counts[:2] = (2, 3)  # in the smallest sizes too
    ends = np.cumsum(counts)
    listed = int(np.searchsorted(ends, len(labels))) + 1
    ends = np.minimum(ends[:listed], len(labels))
    total = listed + max(2, round(_UNLISTED * listed))
    queries, roles = rng.integers(len(_QUERY), size=total), rng.integers(len(_ROLE), size=total)
    numbers = 2 * rng.permutation(total) + rng.integers(2, size=total)

    def run(serial: int) -> JobResult:
        shown: list[Emotion] = []
        if serial < listed:
            shown = labels[ends[serial - 1] if serial else 0 : ends[serial]]
        query = EXPW_ORDER.index(shown[0]) if shown else queries[serial]
        name = f"{_QUERY[query]}_{_ROLE[roles[serial]]}_{numbers[serial]}.jpg"
        return _draw_photo(root, population, serial, name, shown)

    def finish(lines: Sequence[list[str]]) -> None:
        write_lines(root / "label" / "label.lst", (line for chunk in lines for line in chunk))

    return Plan(Chunks(total, run), finish)


def _draw_photo(
    root: Path, population: Population, serial: int, name: str, labels: Sequence[Emotion]
) -> JobResult:
    rng = population.rng("layout", serial)
    camera = camera_of(population)
    places = max(1, len(labels))
    height, width = _WINDOW + int(rng.integers(10, 60)), _WINDOW * places + int(rng.integers(10, 70))
    first = arrange(camera, (_WINDOW, _WINDOW), rng)
    photo = backdrop(camera, (height, width), first.backdrop).copy()
    path, found, face_id = f"{_FOLDER}/{name}", JobResult(), 0
    for place, label in enumerate(labels or [None]):
        chance, person, expression = wild(population, _MOST * serial + place, label or Emotion.NEUTRAL)
        own = arrange(camera, (_WINDOW, _WINDOW), chance)
        # Faces of one photo share its light and its camera.
        scene = replace(
            own, light=first.light, gains=first.gains, gamma=first.gamma, grey=first.grey, noise=first.noise,
            coarse=first.coarse, blur=first.blur, jpeg=first.jpeg, backdrop=first.backdrop,
        )  # fmt: skip
        x, y = place * _WINDOW + int(rng.integers(0, 10)), height - _WINDOW
        region = np.ascontiguousarray(photo[y : y + _WINDOW, x : x + _WINDOW])
        shot = shoot(camera, scene, person.identity, expression.au, chance, behind=region)
        photo[y : y + _WINDOW, x : x + _WINDOW] = shot.picture
        top, left, right, bottom = _square(shot, x, y, height, width)
        face = FaceTruth(person, expression, expression.au, scene, shot.pose)
        found.truth.append(face_row(face, path, label, box=(left, top, right, bottom)))
        if label is not None:
            face_id += int(rng.choice([0, 1, 3], p=[0.75, 0.15, 0.10]))
            score = float(np.clip(rng.gamma(3.0, 20.0), 0.3, 137.0))
            code = EXPW_ORDER.index(label)
            found.lines.append(f"{name} {face_id} {top} {left} {right} {bottom} {score:.4f} {code}")
            face_id += 1
    save(root / path, develop(camera, first, photo, rng))
    return found


def _square(shot: Shot, x: int, y: int, height: int, width: int) -> tuple[int, int, int, int]:
    """Return top, left, right, bottom of the face's square box inside a photo."""
    x0, y0, x1, _ = shot.box
    side = min(round(x1 - x0), height, width)
    left = int(np.clip(round(x0) + x, 0, width - side))
    top = int(np.clip(round(y0) + y, 0, height - side))
    return top, left, left + side, top + side
