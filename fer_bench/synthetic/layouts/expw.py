"""The synthetic ExpW."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from fer_bench.emotions import Emotion
from fer_bench.synthetic.camera import camera_of
from fer_bench.synthetic.layouts.casting import (
    Counts,
    chunked,
    counts_of,
    scaled,
    shuffled,
    wild,
)
from fer_bench.synthetic.layouts.files import save, write_lines
from fer_bench.synthetic.layouts.frame import Plan, Size
from fer_bench.synthetic.population import (
    Population,
)
from fer_bench.synthetic.shots import Shot, arrange, backdrop, shoot, without_colour

EXPW_ORDER = tuple(
    Emotion(e) for e in ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
)
_EXPW_QUICK = counts_of(100, 90, 60, 350, 170, 120, 310, order=EXPW_ORDER)
_EXPW_COUNTS: dict[Size, Counts] = {
    "tiny": scaled(_EXPW_QUICK, 0.06, 8),
    "quick": _EXPW_QUICK,
    "full": counts_of(3671, 3995, 1088, 30537, 10559, 7060, 34883, order=EXPW_ORDER),
}
_EXPW_QUERY = ("angry", "disgusted", "fearful", "happy", "sad", "surprised", "calm")
_EXPW_ROLE = ("dancer", "teacher", "farmer", "nurse", "singer", "waiter")
_WINDOW = 130


def plan(root: Path, population: Population, size: Size) -> Plan:
    """Plan ExpW: photos with one to three faces, and one list of boxes and labels."""
    images = root / "image" / "origin"
    images.mkdir(parents=True)
    rng = population.rng("plan")
    labels = shuffled(_EXPW_COUNTS[size], rng)
    photos: list[tuple[str, list[Emotion]]] = []
    while labels:
        count = int(rng.choice([1, 2, 3], p=[0.78, 0.16, 0.06]))
        shown, labels = labels[:count], labels[count:]
        query = _EXPW_QUERY[EXPW_ORDER.index(shown[0])]
        photos.append(
            (
                f"{query}_{_EXPW_ROLE[int(rng.integers(6))]}_{len(photos) * 2 + int(rng.integers(2))}.jpg",
                shown,
            )
        )
    for extra in range(max(2, len(photos) // 50)):
        photos.append((f"crowd_{extra}.jpg", []))  # Photos without a line in the list exist.
    tasks = chunked(photos, lambda serial, photo: _expw_photo(images, population, serial, *photo))

    def finish(lines: list[list[str]]) -> None:
        flat = [line for chunk in lines for text in chunk for line in text.splitlines()]
        write_lines(root / "label" / "label.lst", flat)

    return Plan(tasks, finish)


def _expw_photo(
    images: Path, population: Population, serial: int, name: str, labels: Sequence[Emotion]
) -> str:
    rng = population.rng("layout", serial)
    camera = camera_of(population)
    places = max(1, len(labels))
    height, width = _WINDOW + int(rng.integers(10, 60)), _WINDOW * places + int(rng.integers(10, 70))
    first = arrange(camera, (_WINDOW, _WINDOW), rng)
    photo = backdrop(camera, (height, width), first.backdrop).copy()
    lines, face_id = [], 0
    for place, label in enumerate(labels or [Emotion.NEUTRAL]):
        chance, person, expression = wild(population, 4 * serial + place, label)
        own = arrange(camera, (_WINDOW, _WINDOW), chance)
        # Faces of one photo share its light and its camera.
        scene = replace(
            own, light=first.light, gains=first.gains, gamma=first.gamma, grey=first.grey, noise=first.noise,
            coarse=first.coarse, blur=first.blur, jpeg=first.jpeg,
        )  # fmt: skip
        x, y = place * _WINDOW + int(rng.integers(0, 10)), height - _WINDOW
        region = np.ascontiguousarray(photo[y : y + _WINDOW, x : x + _WINDOW])
        shot = shoot(camera, scene, person.identity, expression.au, chance, behind=region)
        photo[y : y + _WINDOW, x : x + _WINDOW] = shot.picture
        if labels:
            face_id += int(rng.choice([0, 1, 3], p=[0.75, 0.15, 0.10]))
            top, left, right, bottom = _square(shot, x, y, height, width)
            score = float(np.clip(rng.gamma(3.0, 20.0), 0.3, 137.0))
            code = EXPW_ORDER.index(label)
            lines.append(f"{name} {face_id} {top} {left} {right} {bottom} {score:.4f} {code}")
            face_id += 1
    if first.grey:
        photo = without_colour(photo)
    save(images / name, photo)
    return "\n".join(lines)


def _square(shot: Shot, x: int, y: int, height: int, width: int) -> tuple[int, int, int, int]:
    """Return top, left, right, bottom of the face's square box inside a photo."""
    x0, y0, x1, _ = shot.box
    side = min(round(x1 - x0), height, width)
    left = int(np.clip(round(x0) + x, 0, width - side))
    top = int(np.clip(round(y0) + y, 0, height - side))
    return top, left, left + side, top + side
