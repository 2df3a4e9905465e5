"""Drawn faces: one of a person, and a folder of labelled pictures by person."""

import shutil

import numpy as np

from fer_bench.datasets import get
from fer_bench.synthetic.face import draw_face
from fer_bench.synthetic.population import Population


def lay_out(root, tiny_root, dataset="ckplus"):
    """Copy the labelled frames of a drawn lab set as `class/person/picture`; return the folder."""
    source = get(dataset)(tiny_root)
    index = source.index
    for number, row in enumerate(index[index["label"].notna()].itertuples()):
        place = root / row.label / row.subject
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(source.base / row.path, place / f"{number:04d}.png")
    return root


def picture(au, number=3):
    """Return a person's face with these action units on grey, RGB."""
    person = Population("rafdb", "development", 0).person(number)
    face = draw_face(person.identity, au, size=160)
    return face.over(np.full((160, 160, 3), 170, np.uint8))
