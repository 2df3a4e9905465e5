"""Figures of a dataset: a contact sheet of its faces, and plots of its rows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fer_bench.data.card import Protocol
from fer_bench.data.crops.recipe import crop_face, recipe_for
from fer_bench.data.index import stack_au
from fer_bench.data.protocols import in_label_set
from fer_bench.data.reading.dataset import FaceDataset
from fer_bench.data.reading.pictures import Image
from fer_bench.emotions import ACTION_UNITS
from fer_bench.figures import COLOURS, figure_style, new_figure, save_figure

CROP = 112
"""Side of the crops on a contact sheet in pixels."""
ROLES = ("train", "val", "test")


# --- Contact sheet


def draw_sheet(
    dataset: FaceDataset, protocol: Protocol, path: Path, *, title: str, people: int = 5, seed: int = 0
) -> None:
    """Draw a contact sheet: whole pictures, one sequence if there are any, and crops by class.

    The whole pictures are of any row, with or without a label, so that they also show views and lights that
    the protocol leaves out.

    Args:
        dataset: The dataset.
        protocol: Its classes are the columns.
        path: The file, `.jpg` or `.png`.
        title: Title, which says whether the faces are drawn.
        people: Crops per class. Where people show several expressions, each line is one person.
        seed: Seed of the choice of rows.

    Raises:
        DataError: A picture cannot be decoded.
    """
    rng = np.random.default_rng(seed)
    index = dataset.index[in_label_set(dataset.index, protocol)]
    classes = [e.value for e in protocol.label_set]
    grid = _grid(index, classes, people, rng)
    wholes = _different(dataset.index, rng)
    frames = _sequence(dataset.index, index, rng)
    with figure_style():
        lines = people + (2 if frames else 1)
        figure = new_figure(1.05 * len(classes) + 0.3, 1.12 * lines + 1.1)
        figure.suptitle(title)
        heights = [1.5, *([1.0] if frames else []), people * 1.05]
        parts = figure.subfigures(len(heights), 1, height_ratios=heights)
        _strip(parts[0], [_whole(dataset, row) for row in wholes], "as shipped")
        if frames:
            places = max(len(classes), len(frames))  # aligned with the crops by class
            _strip(parts[1], [_crop(dataset, row) for row in frames], "one sequence", places=places)
        axes = parts[-1].subplots(people, len(classes), squeeze=False)
        for (line, column), axis in np.ndenumerate(axes):
            axis.set_axis_off()
            if line == 0:
                axis.set_title(classes[column], fontsize=9)
            row = grid[line][column]
            if row is not None:
                axis.imshow(_crop(dataset, row))
        save_figure(figure, path, dpi=110)


def _grid(
    index: pd.DataFrame, classes: Sequence[str], people: int, rng: np.random.Generator
) -> list[list[int | None]]:
    """Return a row of the index per line and class; where possible a line is a person with many classes."""
    found: list[list[int | None]] = []
    known = index["subject"].notna()
    if known.any() and index["subject"].nunique() < known.sum() / 3:
        shown = {str(who): set(labels) for who, labels in index.groupby("subject")["label"]}
        left, times = rng.permutation(sorted(shown)).tolist(), dict.fromkeys(classes, 0)
        while left and len(found) < people:
            # the person who shows most of what the lines so far show least
            best = max(left, key=lambda who: sum(0.3 ** times[name] for name in shown[who]))
            left.remove(best)
            mine = index[index["subject"] == best]
            found.append([_last(mine.index[mine["label"] == name]) for name in classes])
            for name in shown[best]:
                times[name] += 1
        return found + [[None] * len(classes)] * (people - len(found))
    columns = [rng.permutation(index.index[index["label"] == name].to_numpy())[:people] for name in classes]
    return [[int(rows[line]) if line < len(rows) else None for rows in columns] for line in range(people)]


def _last(rows: pd.Index) -> int | None:
    """Return the last row, which best shows the apex of a sequence."""
    return int(rows[-1]) if len(rows) else None


def _sequence(everything: pd.DataFrame, shown: pd.DataFrame, rng: np.random.Generator) -> list[int]:
    """Return up to seven rows of one sequence in order, none where there are no sequences."""
    sizes = everything["sequence"].value_counts()
    of_shown = shown["sequence"].dropna().unique()
    long = [name for name in of_shown if sizes.get(name, 0) >= 4]
    if not long:
        return []
    mine = everything.index[everything["sequence"] == long[int(rng.integers(len(long)))]]
    places = np.unique(np.linspace(0, len(mine) - 1, 7).round().astype(int))
    return [int(row) for row in mine[places]]


def _different(index: pd.DataFrame, rng: np.random.Generator) -> list[int]:
    """Return rows of four to six varied pictures: several faces in one, every variant."""
    shuffled = index.loc[rng.permutation(index.index.to_numpy())]
    crowded = shuffled.index[shuffled.duplicated(["path", "frame", "variant"], keep=False)][:1]
    variants = shuffled.index[~shuffled["variant"].duplicated()]
    count = min(6, max(4, len(variants)))
    return [int(row) for row in dict.fromkeys([*crowded, *variants, *shuffled.index])][:count]


def _strip(part: Any, pictures: Sequence[Image], name: str, *, places: int = 0) -> None:
    """Draw pictures side by side at their widths, with room for at least `places`."""
    widths = [picture.shape[1] / picture.shape[0] for picture in pictures]
    widths += [1.0] * (places - len(pictures))
    axes = part.subplots(1, len(widths), squeeze=False, width_ratios=widths)[0]
    for axis in axes:
        axis.set_axis_off()
    for axis, picture in zip(axes, pictures, strict=False):
        axis.imshow(picture)
    axes[0].set_title(name, fontsize=9, loc="left")


def _whole(dataset: FaceDataset, row: int) -> Image:
    at: Any = dataset.index.loc[row]
    return dataset.load(at["path"], [int(at["frame"])])[0]


def _crop(dataset: FaceDataset, row: int) -> Image:
    at: Any = dataset.index.loc[row]
    return crop_face(_whole(dataset, row), at["box"], at["landmarks"], recipe_for(dataset, CROP))[0]


# --- Plots of the rows


def draw_stats(
    dataset: FaceDataset, counts: pd.DataFrame, roles: NDArray[np.str_], path: Path, *, title: str
) -> None:
    """Plot a dataset's rows: classes per role, and where it has them valence and arousal, units and people.

    Args:
        dataset: The dataset.
        counts: Rows per class and role, from `fer_bench.data.audit.describe.split_counts`.
        roles: Role of every row [N] of the same protocol and fold.
        path: The file.
        title: Title, which says whether the faces are drawn.
    """
    index = dataset.index
    used = roles != ""
    has_va = used & index[["valence", "arousal"]].notna().all(axis=1).to_numpy()
    au = stack_au(index)[used]
    people = [name for name in ("gender", "race", "age") if index[name].notna().any()]
    drawn = ["classes"]
    drawn += ["affect"] if has_va.any() else []
    drawn += ["units"] if (au >= 0).any() else []
    drawn += people
    with figure_style():
        columns = min(3, len(drawn))
        lines = -(-len(drawn) // columns)
        figure = new_figure(4.4 * columns, 3.4 * lines)
        figure.suptitle(title)
        axes = list(figure.subplots(lines, columns, squeeze=False).flat)
        for axis in axes[len(drawn) :]:
            axis.set_visible(False)
        for name, axis in zip(drawn, axes, strict=False):
            if name == "classes":
                _plot_classes(axis, counts)
            elif name == "affect":
                _plot_affect(figure, axis, index[has_va])
            elif name == "units":
                _plot_units(axis, au)
            else:
                _plot_people(axis, index[used], name)
        save_figure(figure, path)


def _plot_classes(axis: Any, counts: pd.DataFrame) -> None:
    classes = [name for name in counts.columns if name not in ("rows", "groups")]
    below = np.zeros(len(classes))
    for role, colour in zip(ROLES, COLOURS, strict=False):
        values = counts.loc[role, classes].to_numpy(float)
        axis.bar(range(len(classes)), values, bottom=below, color=colour, label=role)
        below += values
    axis.set_xticks(range(len(classes)), classes, rotation=40, ha="right")
    axis.set_ylabel("rows")
    axis.set_title("classes", fontsize=9)
    axis.set_ylim(0, 1.18 * max(1.0, float(below.max())))  # room for the legend
    axis.legend(frameon=False, loc="upper center", ncols=len(ROLES))


def _plot_affect(figure: Any, axis: Any, rows: pd.DataFrame) -> None:
    edges = np.linspace(-1, 1, 21)
    grid, _, _ = np.histogram2d(rows["arousal"], rows["valence"], bins=[edges, edges])
    image = axis.imshow(
        np.where(grid > 0, grid, np.nan), origin="lower", extent=(-1, 1, -1, 1), cmap="viridis", aspect="auto"
    )
    axis.axhline(0, color="#999999", linewidth=0.6)
    axis.axvline(0, color="#999999", linewidth=0.6)
    axis.set_xlabel("valence")
    axis.set_ylabel("arousal")
    axis.set_title(f"valence and arousal, {len(rows):,} rows", fontsize=9)
    figure.colorbar(image, ax=axis, label="rows")


def _plot_units(axis: Any, au: NDArray[np.int8]) -> None:
    known, present = (au >= 0).sum(axis=0), (au == 1).sum(axis=0)
    share = 100 * present / np.maximum(known, 1)
    axis.bar(range(len(ACTION_UNITS)), share, color=COLOURS[0])
    axis.set_xticks(range(len(ACTION_UNITS)), [f"AU{unit}" for unit in ACTION_UNITS], rotation=60)
    axis.set_ylabel("present, % of coded rows")
    axis.set_title(f"action units, {int(known.max()):,} coded rows", fontsize=9)


def _plot_people(axis: Any, rows: pd.DataFrame, name: str) -> None:
    counts = rows[name].fillna("unknown").astype(str).value_counts()
    counts = counts[sorted(counts.index, key=_by_number_then_name)]
    axis.bar(range(len(counts)), counts.to_numpy(), color=COLOURS[2])
    axis.set_xticks(range(len(counts)), counts.index, rotation=20, ha="right")
    axis.set_ylabel("rows")
    axis.set_title(name, fontsize=9)


def _by_number_then_name(value: str) -> tuple[bool, int, str]:
    """Return a sort key: ages ascending, other words alphabetically, unknown last."""
    digits = re.match(r"\d*", value)
    return value == "unknown", int(digits[0]) if digits and digits[0] else 0, value
