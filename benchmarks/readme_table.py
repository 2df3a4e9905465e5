"""Write the table of the README from the stored board, and its picture of drawn faces.

python benchmarks/readme_table.py            # the table
python benchmarks/readme_table.py --faces    # also the picture, from the synthetic stand-in of RAF-DB
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from readme_section import figure_table, write_section

import fer_bench
from fer_bench.data.crops.recipe import crop_face, recipe_for
from fer_bench.data.reading.dataset import FaceDataset
from fer_bench.emotions import LABEL_SETS

ROOT = Path(__file__).parents[1]
SIZE, GAP = 112, 6


def board_table(folder: Path, root: Path = ROOT) -> str:
    """Return the table of methods, best transfer first, and a line on what it was computed from.

    Args:
        folder: A board of one kind of data and profile, as `fer-bench leaderboard` wrote it.
        root: Where pages of methods are looked for.
    """
    means = pd.read_csv(folder / "generalisation.csv").query("source == 'overall'")
    cells = pd.read_csv(folder / "cells.csv")
    runs = pd.read_csv(folder / "results.csv")
    own = cells[cells["target"] == cells["dataset"]].groupby("method")["uar"].mean()
    rows = []
    means = means.sort_values(["seen", "transfer"], ascending=[True, False], na_position="first")
    for line in means.itertuples():
        page = f"fer_bench/methods/{line.method.partition('[')[0]}/README.md"
        name = f"[{line.method}]({page})" if (root / page).is_file() else line.method
        letters = "" if pd.isna(line.letters) else f" {line.letters}"
        transfer = f"{line.transfer:.2f}{letters} [{line.transfer_low:.2f}, {line.transfer_high:.2f}]"
        transfer += "" if pd.isna(line.seen) else " *not compared*"
        retention = "-" if pd.isna(line.retention) else f"{100 * line.retention:.0f} %"
        rows.append((name, f"{100 * own[line.method]:.1f}", transfer, retention))
    header = ("method", "UAR on its own dataset, %", "generalisation to the others [95 %]", "retention")
    (kind, *other_kinds), seeds = sorted(set(runs["data_kind"])), runs["seed"].nunique()
    if other_kinds:
        raise SystemExit(f"{folder} mixes {kind} and {', '.join(other_kinds)} data")
    text = f"{kind.upper()} DATA: " if kind == "synthetic" else ""
    counted = (
        f"{runs['key'].nunique()} runs, {runs['dataset'].nunique()} datasets, {seeds} seed{'s' * (seeds > 1)}"
    )
    said = [counted, "provisional"]
    if means["letters"].notna().any():
        said[1] = "methods that share a letter are not shown to differ"
    if means["seen"].notna().any():
        said.append("not compared: the model saw labels of what it is tested on")
    told = f"*{text}{'; '.join(said)}; written by `make readme`.*"
    return "\n".join([*figure_table(header, rows), "", told])


def faces_strip(dataset: FaceDataset) -> np.ndarray:
    """Return one face [H, W, 3] per emotion side by side, the first of each class among the test rows."""
    index = dataset.index.query("split == 'test'").drop_duplicates("label").set_index("label")
    recipe, gap, parts = recipe_for(dataset, SIZE), np.full((SIZE, GAP, 3), 255, np.uint8), []
    for emotion in LABEL_SETS["7"]:
        at = index.loc[emotion.value]
        whole = dataset.load(at["path"], [int(at["frame"])])[0]
        parts += [crop_face(whole, at["box"], at["landmarks"], recipe)[0], gap]
    return np.concatenate(parts[:-1], axis=1)


def main() -> None:
    """Write the section of the README, and the picture if asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--board", type=Path, default=ROOT / "leaderboard")
    parser.add_argument("--readme", type=Path, default=ROOT / "README.md")
    parser.add_argument("--faces", action="store_true", help="draw the picture, too")
    given = parser.parse_args()
    write_section(given.readme, "board", board_table(given.board))
    if given.faces:
        strip = faces_strip(fer_bench.open_dataset("rafdb"))
        cv2.imwrite(str(ROOT / "docs" / "figures" / "faces.png"), strip[..., ::-1])


if __name__ == "__main__":
    main()
