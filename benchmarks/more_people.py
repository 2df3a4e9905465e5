"""A drawn Oulu-CASIA of more people than the stand-in has: several drawings as one dataset.

The people of a further drawing are numbered on after those of the first. All are recorded as those of the
stand-in are, with sequences of the same lengths; the stand-in of size `full` has longer ones.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from fer_bench.errors import UsageError
from fer_bench.files import cache_root
from fer_bench.synthetic import GENERATOR_VERSION
from fer_bench.synthetic.marker import read_marker, write_marker
from fer_bench.synthetic.stand_in import stand_in
from fer_bench.synthetic.truth import TRUTH, read_truth

SEEDS = (0, 8)
"""Drawings that are joined: the stand-in, and people whom `gcn_people.py` does not test."""
MOST = 80
"""People whom the reader knows."""
CROPS = Path("PreProcess Img", "VL_Acropped", "Strong")


def size_of(people: int) -> str:
    """Return the size that records name; stand-ins of as many people as they come with have another."""
    return f"quick, {people} people"


def drawn_people(people: int) -> Path:
    """Return the folder of a drawn Oulu-CASIA of so many people, written on first use.

    Args:
        people: At most 80, as many as the real one has.

    Raises:
        UsageError: More people than two drawings have, or than the protocols know.
    """
    out = cache_root() / "synthetic" / f"v{GENERATOR_VERSION}-quick-{people}-people" / "oulu"
    if read_marker(out) is None:
        join_people([stand_in("oulu", seed=seed) for seed in SEEDS], people, out)
    return out


def join_people(parts: Sequence[Path], people: int, out: Path) -> None:
    """Write the crops of several drawings of Oulu-CASIA as those of one.

    Args:
        parts: Folders of the drawings, whose people are P001, P002 and so on.
        people: How many people to take, in this order.
        out: The folder, which must not exist.

    Raises:
        UsageError: The drawings have fewer people.
    """
    found = [(part, name) for part in parts for name in sorted(os.listdir(part / CROPS))]
    if not 0 < people <= min(len(found), MOST):
        raise UsageError(
            "there are not so many drawn people", value=people, hint=f"up to {min(len(found), MOST)}"
        )
    scratch = out.with_name(f".{out.name}.{os.getpid()}.partial")
    tables = {part: read_truth(part) for part in parts}
    truth = []
    for number, (part, name) in enumerate(found[:people], start=1):
        shutil.copytree(part / CROPS / name, scratch / CROPS / f"P{number:03d}")
        rows = tables[part][tables[part]["subject"] == name]
        rows = rows[rows["path"].str.startswith(f"{CROPS.as_posix()}/")]
        paths = rows["path"].str.replace(f"/{name}/", f"/P{number:03d}/", regex=False)
        truth.append(rows.assign(path=paths, original="", subject=f"P{number:03d}"))
    pd.concat(truth).to_parquet(scratch / TRUTH, index=False)
    markers = [read_marker(part) or {} for part in parts]
    seed = " and ".join(str(marker["seed"]) for marker in markers)
    write_marker(scratch, {**markers[0], "size": size_of(people), "seed": seed})
    os.rename(scratch, out)
