"""What a model answered over the time of a video, as a figure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fer_bench.errors import DataError, UsageError
from fer_bench.figures import COLOURS, figure_style, new_figure, save_figure
from fer_bench.inference.card import DeploymentCard
from fer_bench.inference.table import shares_of

GAP = 3.0
"""Medians of the time between frames after which a line is interrupted."""


def write_timeline(table: pd.DataFrame, name: str, card: DeploymentCard, path: Path) -> None:
    """Draw the probabilities of the first face of each frame over time, and valence and arousal below.

    Lines are interrupted where no face was found; abstained frames are marked.

    Args:
        table: The predictions.
        name: File whose rows are drawn.
        card: The model's card.
        path: The PNG file.

    Raises:
        UsageError: matplotlib is missing.
        DataError: No frame of this file has a face.
    """
    rows = table[(table["file"] == name) & table["time"].notna()]
    first = rows[(rows["face"] == 0) & rows["predicted"].notna()]
    if first.empty:
        raise DataError("no frame has a face, so there is nothing to draw", file=name)
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise UsageError(
            "matplotlib is missing, which draws figures", value="--plot", hint="pip install matplotlib"
        ) from None
    times, shares = first["time"].to_numpy(np.float64), shares_of(first, card.classes)
    parts = 2 if card.has_va else 1
    breaks = _breaks(rows, times)
    with figure_style():
        figure = new_figure(10, 5.2 if card.has_va else 3.6)
        axes = np.atleast_1d(figure.subplots(parts, 1, sharex=True, height_ratios=[3, 2][:parts]))
        marker = "o" if len(times) == 1 else None
        for number, label in enumerate(card.classes):
            drawn = _interrupted(times, shares[:, number], breaks)
            colour = COLOURS[number % len(COLOURS)]
            axes[0].plot(*drawn, color=colour, label=label, linewidth=1.6, marker=marker)
        marks = {
            "abstained": (times[first["abstained"].to_numpy(bool)], 1.04, "#555555"),
            "no face": (rows["time"][rows["predicted"].isna()].to_numpy(np.float64), -0.04, "#bbbbbb"),
        }
        for label, (where, height, colour) in marks.items():
            if len(where):
                axes[0].plot(where, np.full(len(where), height), "|", color=colour, label=label)
        axes[0].set(ylim=(-0.07, 1.07), ylabel="probability")
        if card.has_va:
            for label, colour in (("valence", COLOURS[0]), ("arousal", COLOURS[1])):
                drawn = _interrupted(times, first[label].to_numpy(np.float64), breaks)
                axes[1].plot(*drawn, color=colour, label=label, marker=marker)
            axes[1].axhline(0, color="#bbbbbb", linewidth=0.8)
            axes[1].set_ylim(-1.05, 1.05)
        for each in axes:
            each.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
        axes[-1].set_xlabel("time, s")
        note = "  (SYNTHETIC: learned from drawn faces)" if card.data_kind == "synthetic" else ""
        figure.suptitle(f"{Path(name).name}: {card.name}{note}", fontsize=10)
        save_figure(figure, path)


def _breaks(rows: pd.DataFrame, times: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return positions before which a line is interrupted, because frames in between have no face."""
    without = np.unique(rows["time"][rows["predicted"].isna()].to_numpy(np.float64))
    before = np.searchsorted(without, times)
    steps = np.diff(times)
    wide = steps > GAP * np.median(steps) if len(steps) else np.empty(0, bool)
    found: NDArray[np.int64] = np.flatnonzero((np.diff(before) > 0) | wide) + 1
    return found


def _interrupted(
    times: NDArray[np.float64], values: NDArray[np.float64], breaks: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return np.insert(times, breaks, np.nan), np.insert(values, breaks, np.nan)
