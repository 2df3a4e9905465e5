"""A folder of labelled pictures, by person, made of drawn faces."""

import shutil

from fer_bench.datasets import get


def lay_out(root, tiny_root, dataset="ckplus"):
    """Copy the labelled frames of a drawn lab set as `class/person/picture`; return the folder."""
    source = get(dataset)(tiny_root)
    index = source.index
    for number, row in enumerate(index[index["label"].notna()].itertuples()):
        place = root / row.label / row.subject
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(source.base / row.path, place / f"{number:04d}.png")
    return root
