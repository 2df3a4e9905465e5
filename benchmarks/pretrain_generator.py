"""Train the generator that comes with the package: it draws the neutral face of a person from another one.

    python benchmarks/pretrain_generator.py neutral-tiny --out towers
    python benchmarks/pretrain_generator.py neutral-tiny --people 500 --epochs 2

It takes minutes on a core. People and cameras are of a population that neither the benchmark nor development
shows, the one that the towers of `pretrain_clip_tiny.py` learned from. What it learns is which pictures show
the same person at rest, and no expression label. `fer-bench pretrain-generator` does the same on any dataset
whose people have neutral frames.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from captioned_faces import EMOTIONS, MAKEUP, PICTURE, SIZE, STYLE, in_parts, varied_camera
from numpy.typing import NDArray

from fer_bench.cli.terminal import Preparation
from fer_bench.data.crops.recipe import cut
from fer_bench.methods.gcn.method import GCN
from fer_bench.methods.gcn.pretraining import Pairs, Recipe, save_generator, train_generator
from fer_bench.methods.gcn.settings import GCNSettings
from fer_bench.methods.weights import GENERATORS
from fer_bench.synthetic import GENERATOR_VERSION
from fer_bench.synthetic.population import Population, draw_person
from fer_bench.synthetic.shots import Shot, arrange, shoot

PEOPLE, FACES, EPOCHS, SEED = 4_000, 3, 14, 2027
"""People, faces of each besides the neutral one, passes over them, and the seed of everything."""
POPULATION = "pretraining: neither the people nor the cameras of the benchmark or of development"
SETTINGS = GCNSettings(generator="residual", width=0.375)
_CHUNK = 50


def draw_pairs(people: int, *, seed: int, progress: Callable[[int, int], None] | None = None) -> Pairs:
    """Draw people of the pretraining population, each at rest and with some expressions before one camera.

    A person depends on the seed and its number only.

    Args:
        people: How many.
        seed: Seed of the population.
        progress: Called with people drawn and their total.
    """

    def tell(parts: list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]) -> None:
        if progress is not None:
            progress(sum(len(neutral) for _, neutral in parts), people)

    parts = in_parts(partial(_chunk, seed=seed, end=people), range(0, people, _CHUNK), tell)
    partner = np.repeat(np.arange(people), FACES)
    names = np.array([str(number) for number in partner], object)
    faces, neutral = (np.concatenate([part[at] for part in parts]) for at in (0, 1))
    return Pairs(faces, neutral, partner, names)


def _chunk(start: int, *, seed: int, end: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    population = Population("web", "pretraining", seed)
    numbers = range(start, min(start + _CHUNK, end))
    faces = np.empty((len(numbers), FACES, SIZE, SIZE, 3), np.uint8)
    neutral = np.empty((len(numbers), SIZE, SIZE, 3), np.uint8)
    for place, number in enumerate(numbers):
        rng = population.rng("pair", number)
        person = draw_person(population.rng("paired person", number), MAKEUP, number)
        camera = varied_camera(rng)
        scene = arrange(camera, (PICTURE, PICTURE), rng)
        off, wide = rng.normal(0, 0.03, 2), float(rng.uniform(0.92, 1.3))
        frames = [person.rest]
        for _ in range(FACES):
            emotion = EMOTIONS[int(rng.integers(len(EMOTIONS)))]
            frames.append(person.express(rng, emotion, STYLE).au)
        shots = [shoot(camera, scene, person.identity, au, rng) for au in frames]
        pictures = [_crop(shot, off, wide) for shot in shots]
        neutral[place], faces[place] = pictures[0], np.stack(pictures[1:])
    return faces.reshape(-1, SIZE, SIZE, 3), neutral


def _crop(shot: Shot, off: NDArray[np.float64], wide: float) -> NDArray[np.uint8]:
    x0, y0, x1, y1 = shot.box
    middle = np.array([x0 + x1, y0 + y1]) / 2 + off * (x1 - x0)
    half = (x1 - x0) / 2 * wide
    return cut(shot.picture, np.concatenate([middle - half, middle + half]), SIZE)


def pretrain(
    name: str, out: Path, people: int, recipe: Recipe, *, announce: Callable[[str, int, int], None]
) -> dict[str, Any]:
    """Train the generator, write `<name>.safetensors` and `<name>.json` and return the card."""
    pairs = draw_pairs(people, seed=SEED, progress=partial(announce, "drawing"))
    spec = GCN.input_spec(SETTINGS)
    network, facts = train_generator(pairs, SETTINGS, spec, recipe, progress=partial(announce, "training"))
    return save_generator(
        network,
        out / f"{name}.safetensors",
        settings=SETTINGS,
        trained_on=GENERATORS[name],
        people={},
        recipe=recipe,
        facts=facts,
        more={
            "what": "generator of neutral faces, trained on drawn faces: SYNTHETIC DATA",
            "generator": GENERATOR_VERSION,
            "population": POPULATION,
        },
    )


def main(arguments: list[str] | None = None) -> None:
    """Train what is asked for and print what it does for people that it never saw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("generator", choices=list(GENERATORS), metavar="GENERATOR")
    parser.add_argument("--out", type=Path, default=Path("towers"), help="folder for weights and card")
    parser.add_argument("--people", type=int, default=PEOPLE)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    given = parser.parse_args(arguments)
    display = Preparation()
    card = pretrain(
        given.generator, given.out, given.people, Recipe(epochs=given.epochs, seed=SEED), announce=display
    )
    display.close()
    print(f"SYNTHETIC DATA  {given.out / given.generator}.safetensors  {card['held_out']}")


if __name__ == "__main__":
    main()
