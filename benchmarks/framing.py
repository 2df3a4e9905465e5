"""Measure what placing faces in a crop as in a model's training gains: the table of `docs/predict.md`.

Models that learned from crops as their publisher made them answer for drawn photos of another dataset, whose
faces are found and aligned in three ways. The photos are training rows, which no score of a board uses.

    python benchmarks/framing.py --runs-dir runs --photos 250
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from readme_section import csv_text, figure_table, write_section

from fer_bench.data.crops.detectors import find_faces
from fer_bench.data.crops.faces import Face
from fer_bench.data.crops.framing import measure_framing
from fer_bench.data.crops.recipe import AS_SHIPPED
from fer_bench.data.reading.pictures import Image, read_picture
from fer_bench.errors import DataError
from fer_bench.evaluation.intervals import Value
from fer_bench.evaluation.statistics import Interval
from fer_bench.files import usable_cores, write_text
from fer_bench.inference.faces import finder_for
from fer_bench.inference.opening import open_face_model
from fer_bench.leaderboard.markup import signed_percent, with_interval
from fer_bench.results.store import Store
from fer_bench.workspace.sources import find_roots
from fer_bench.workspace.workspace import Workspace

ROOT = Path(__file__).parents[1]
PHOTOS = "expw"
"""Dataset of whole photos."""
WAYS = ("framed", "template", "template +20%")
DRAWS = 2000
"""Draws of the bootstrap."""


def photos(workspace: Workspace, count: int) -> dict[str, str]:
    """Return the label of some photos by their path, one face each."""
    dataset = workspace.source(PHOTOS).dataset
    index = dataset.index[dataset.roles() == "train"].drop_duplicates("path", keep=False)
    chosen = index.iloc[np.unique(np.linspace(0, len(index) - 1, count).astype(int))]
    return {
        str(dataset.base / path): label for path, label in zip(chosen["path"], chosen["label"], strict=True)
    }


def find_all(labels: Mapping[str, str]) -> dict[str, tuple[Image, Face]]:
    """Return each photo in which a face is found, with the largest one."""

    def find(path: str) -> tuple[str, Image, list[Face]]:
        image = read_picture(path)
        return path, image, find_faces(image)

    with ThreadPoolExecutor(usable_cores()) as pool:
        return {path: (image, faces[0]) for path, image, faces in pool.map(find, labels) if faces}


def measure(store: Store, method: str, workspace: Workspace, labels: Mapping[str, str]) -> pd.DataFrame:
    """Return whether each model of a method that learned from shipped crops is right, photo by photo.

    Raises:
        DataError: The store has no such run.
    """
    rows, places = [], find_all(labels)
    for record in store.records():
        is_shipped = record.key_fields["crop"]["kind"] in AS_SHIPPED
        if (record.method, record.status) != (method, "done") or not is_shipped:
            continue
        model = open_face_model(store.run_dir(record.method, record.dataset, record.key).path)
        card = model.card
        framing = workspace.once(
            ("framing", record.dataset),
            partial(measure_framing, workspace.pack(record.dataset, card.recipe.size).pixels),
        )
        known = [path for path in places if labels[path] in card.classes]
        for way, crop in zip(WAYS, (None, "similarity+0", "similarity+0.2"), strict=True):
            finder = finder_for(card.recipe, framing, crop=crop)
            seen = [finder.again(places[p][0], places[p][1].box, places[p][1].landmarks) for p in known]
            answers = model.answer(np.stack(seen)).logits.argmax(axis=1)
            for path, answer in zip(known, answers, strict=True):
                rows.append((record.dataset, record.seed, way, path, card.classes[answer] == labels[path]))
    if not rows:
        raise DataError(f"there is no finished run of {method} on crops as they are shipped", file=store.root)
    return pd.DataFrame(rows, columns=["source", "seed", "way", "file", "right"])


def summary(found: pd.DataFrame) -> pd.DataFrame:
    """Return accuracies per source and way, and what framing gains over the template, with its interval.

    The interval holds what varies with the photos, which are resampled with the answers of all seeds.
    """
    rng, rows = np.random.default_rng(0), []
    for source, group in found.groupby("source", sort=True):
        mean = group.pivot_table("right", "file", "way", aggfunc="mean")
        gain = (mean[WAYS[0]] - mean[WAYS[1]]).to_numpy(float)
        draws = gain[rng.integers(0, len(gain), (DRAWS, len(gain)))].mean(axis=1)
        low, high = np.quantile(draws, [0.025, 0.975])
        shares = {way: mean[way].mean() for way in WAYS}
        facts = {"source": source, "seeds": group["seed"].nunique(), "photos": len(mean), **shares}
        rows.append({**facts, "gain": gain.mean(), "low": low, "high": high})
    return pd.DataFrame(rows)


def section(table: pd.DataFrame, method: str) -> str:
    """Return the summary as Markdown."""
    header = ["trained on", "seeds", "photos", "framed", "template", "template +20 %"]
    rows = []
    for row in table.to_dict("records"):
        gain = Value(row["gain"], Interval(row["low"], row["high"]))
        rows.append(
            [row["source"], str(row["seeds"]), str(row["photos"])]
            + [f"{100 * row[way]:.1f}" for way in WAYS]
            + [with_interval(gain, signed_percent)]
        )
    lines = [
        f"**SYNTHETIC DATA**, written by `python benchmarks/framing.py`: {method}, right answers in % on",
        f"drawn whole photos ({PHOTOS}, training rows), mean of the seeds; the interval is over photos.",
        "",
        *figure_table([*header, "framed - template [95 %]"], rows),
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write table and page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs-dir", type=Path, default=ROOT / "runs")
    parser.add_argument("--method", default="erm")
    parser.add_argument("--photos", type=int, default=250)
    parser.add_argument("--table", type=Path, default=ROOT / "benchmarks" / "framing.csv")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "predict.md")
    given = parser.parse_args(arguments)
    workspace = Workspace(find_roots(None))
    table = summary(measure(Store(given.runs_dir), given.method, workspace, photos(workspace, given.photos)))
    write_text(given.table, csv_text(table))
    write_section(given.page, "framing", section(table, given.method))
    print(section(table, given.method))


if __name__ == "__main__":
    main()
