"""The figures of the board, as PNG files with the same bytes for the same tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fer_bench.evaluation.intervals import Value
from fer_bench.figures import COLOURS, figure_style, new_figure, save_figure
from fer_bench.leaderboard.apart import NOT_COMPARED
from fer_bench.leaderboard.cells import Cell
from fer_bench.leaderboard.tables import Section


def kind_of(section: Section) -> str:
    """Return what a figure's title says about the data."""
    data = "SYNTHETIC DATA" if section.data_kind == "synthetic" else "real data"
    return f"{data}, profile {section.profile}"


def _usual(section: Section) -> tuple[str, ...]:
    """Return the methods with their usual settings; figures leave the others to the tables."""
    return tuple(dict.fromkeys(c.label for c in section.cells if c.usual))


def draw_transfer(section: Section, path: Path) -> bool:
    """Draw the transfer matrix of every method side by side.

    Args:
        section: Tables.
        path: The PNG file.

    Returns:
        Whether there was anything to draw.
    """
    labels = [label for label in _usual(section) if any(c.cross for c in section.cells if c.label == label)]
    if not labels:
        return False
    targets = section.targets
    columns = min(2, len(labels))
    lines = -(-len(labels) // columns)
    with figure_style():
        width = columns * (1.6 + 0.62 * len(targets)) + 0.6
        figure = new_figure(width, lines * (1.5 + 0.5 * len(section.sources)))
        axes = figure.subplots(lines, columns, squeeze=False)
        image = None
        for axis, label in zip(axes.flat, labels, strict=False):
            cells = [section.cell(label, source) for source in section.sources]
            grid = np.array([[_at(cell, target) for target in targets] for cell in cells])
            image = axis.imshow(np.clip(grid, 0, 1), cmap="viridis", vmin=0, vmax=1, aspect="auto")
            axis.set_xticks(range(len(targets)), targets, rotation=40, ha="right")
            axis.set_yticks(range(len(section.sources)), section.sources)
            axis.set_title(label, fontweight="bold")
            axis.set_xlabel("tested on")
            axis.set_ylabel("trained on")
            _annotate(axis, grid)
            for line, source in enumerate(section.sources):
                if cells[line] is not None and source.split("/")[0] in targets:
                    _frame(axis, targets.index(source.split("/")[0]), line)
        for axis in list(axes.flat)[len(labels) :]:
            axis.set_visible(False)
        bar = figure.colorbar(image, ax=axes, shrink=0.8)
        bar.set_label("0 = guessing, 1 = perfect")
        figure.suptitle(f"Transfer score (framed: in-domain) - {kind_of(section)}")
        save_figure(figure, path)
    return True


def _at(cell: Cell | None, target: str) -> float:
    if cell is None:
        return np.nan
    found = cell.in_domain.estimate if target == cell.dataset and cell.in_domain else cell.cross.get(target)
    value = found.values.get("transfer") if found else None
    return np.nan if value is None else value.value


def _annotate(axis: Any, grid: np.ndarray[Any, np.dtype[np.float64]]) -> None:
    for line, column in np.ndindex(*grid.shape):
        value = grid[line, column]
        text = "-" if np.isnan(value) else f"{value:.2f}"
        colour = "black" if np.isnan(value) or value > 0.6 else "white"
        axis.text(column, line, text, ha="center", va="center", color=colour, fontsize=8)


def _frame(axis: Any, column: int, line: int) -> None:
    from matplotlib.patches import Rectangle

    axis.add_patch(
        Rectangle((column - 0.48, line - 0.48), 0.96, 0.96, fill=False, edgecolor="#d55e00", linewidth=2)
    )


def draw_in_domain(section: Section, path: Path) -> bool:
    """Draw in-domain UAR of every method and source with intervals and the chance level.

    Args:
        section: Tables.
        path: The PNG file.

    Returns:
        Whether there was anything to draw.
    """
    sources = [s for s in section.sources if any(c.in_domain for c in section.of_source(s))]
    labels = _usual(section)
    if not sources:
        return False
    with figure_style():
        figure = new_figure(max(5.0, 1.2 * len(sources) + 2.2), 3.6)
        axis = figure.subplots()
        width = 0.8 / len(labels)
        for i, label in enumerate(labels):
            places, values, is_compared = [], [], False
            for j, source in enumerate(sources):
                cell = section.cell(label, source)
                if cell is not None and cell.in_domain is not None:
                    places.append(j + (i - (len(labels) - 1) / 2) * width)
                    values.append(cell.in_domain.estimate.values["uar"])
                    is_compared = is_compared or cell.apart_in_domain is None
            colour = COLOURS[i % len(COLOURS)]
            shown = label if is_compared or not values else f"{label} ({NOT_COMPARED})"
            axis.bar(places, [100 * v.value for v in values], 0.92 * width, label=shown, color=colour)
            _whiskers(axis, places, values)
        for j, source in enumerate(sources):
            chance = next(100 / c.in_domain.estimate.k for c in section.of_source(source) if c.in_domain)
            axis.plot(
                [j - 0.45, j + 0.45],
                [chance, chance],
                color="black",
                linestyle=":",
                label="" if j else "guessing",
            )
        axis.set_xticks(range(len(sources)), sources)
        axis.set_xlim(-0.6, len(sources) - 0.4)
        axis.set_ylim(0, 100)
        axis.set_ylabel("UAR, %")
        axis.set_title(f"In-domain UAR with 95 % intervals - {kind_of(section)}")
        axis.legend(frameon=False, ncols=2, loc="upper left", bbox_to_anchor=(0, -0.1))
        save_figure(figure, path)
    return True


def _whiskers(axis: Any, places: list[float], values: list[Value]) -> None:
    known = [(p, v) for p, v in zip(places, values, strict=True) if v.interval is not None]
    for place, value in known:
        assert value.interval is not None
        axis.plot(
            [place, place],
            [100 * value.interval.low, 100 * value.interval.high],
            color="black",
            linewidth=1.2,
        )
