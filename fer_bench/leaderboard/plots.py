"""The figures of the board, as PNG files with the same bytes for the same tables."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fer_bench.figures import COLOURS, figure_style, new_figure, save_figure
from fer_bench.leaderboard.apart import NOT_COMPARED
from fer_bench.leaderboard.cells import Cell
from fer_bench.leaderboard.colours import MARKERS
from fer_bench.leaderboard.efficiency import Axis, costs
from fer_bench.leaderboard.sections.glance import own_mean
from fer_bench.leaderboard.tables import Section


def kind_of(section: Section) -> str:
    """Return what a figure's title says about the data."""
    data = "SYNTHETIC DATA" if section.data_kind == "synthetic" else "real data"
    return f"{data}, profile {section.profile}"


def _usual(section: Section) -> tuple[str, ...]:
    """Return the methods with their usual settings; figures leave the others to the tables."""
    usual = {c.label for c in section.cells if c.usual}
    return tuple(label for label in section.labels if label in usual)


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

    for edge, width in (("black", 3.5), ("white", 1.5)):  # seen on dark and on light cells, without colour
        place = column - 0.47, line - 0.47
        axis.add_patch(Rectangle(place, 0.94, 0.94, fill=False, edgecolor=edge, linewidth=width))


def draw_overview(section: Section, path: Path) -> bool:
    """Draw every method's transfer to other datasets against its score on its own, with intervals.

    Thick lines join methods that share a letter: they are not shown to differ in transfer.

    Args:
        section: Tables.
        path: The PNG file.

    Returns:
        Whether there was anything to draw.
    """
    found = [(o, o.mean, own) for o in section.overall if o.mean and (own := own_mean(section, o))]
    if not found:
        return False
    letters = section.overall_column.letters
    with figure_style():
        figure = new_figure(7.2, 4.2)
        axis = figure.subplots()
        ends = [end for _, *both in found for value in both for end in value.ends]
        low, high = min(0.0, *ends), min(1.0, max(ends) + 0.05)
        axis.plot([low, high], [low, high], color="#666666", linestyle="--", linewidth=1)
        _draw_ties(axis, {o.label: (own.value, mean.value) for o, mean, own in found}, letters)
        for at, (mine, mean, own) in enumerate(found):
            colour, marker = COLOURS[at % len(COLOURS)], MARKERS[at % len(MARKERS)]
            told = f" ({letters[mine.label]})" if mine.label in letters else ""
            axis.errorbar(
                [own.value],
                [mean.value],
                xerr=[[own.value - own.ends[0]], [own.ends[1] - own.value]],
                yerr=[[mean.value - mean.ends[0]], [mean.ends[1] - mean.value]],
                fmt=marker,
                color=colour,
                markerfacecolor="white" if mine.apart else colour,
                markersize=8,
                label=mine.label + (f" ({NOT_COMPARED})" if mine.apart else told),
                zorder=3,
            )
        axis.set_xlim(low, high)
        axis.set_ylim(low, min(high, max(end for _, mean, _ in found for end in mean.ends) + 0.05))
        axis.set_xlabel("transfer score on its own dataset (0 = guessing, 1 = perfect)")
        axis.set_ylabel("mean transfer score on other datasets")
        axis.set_title(f"Own and other datasets - {kind_of(section)}")
        axis.plot([], [], color="#666666", linestyle="--", linewidth=1, label="nothing lost elsewhere")
        axis.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
        save_figure(figure, path)
    return True


def _draw_ties(axis: Any, places: Mapping[str, tuple[float, float]], letters: Mapping[str, str]) -> None:
    """Join the methods that share a letter by a thick line."""
    marks = sorted({mark for marks in letters.values() for mark in marks})
    groups = ([places[label] for label in places if mark in letters.get(label, "")] for mark in marks)
    shared = [group for group in groups if len(group) > 1]
    for at, group in enumerate(shared):
        label = "" if at else "not shown to differ"
        axis.plot(
            *zip(*group, strict=True), color="#bbbbbb", linewidth=14, solid_capstyle="round", label=label
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
        width = 0.7 / len(labels)
        for i, label in enumerate(labels):
            colour, marker = COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]
            places, values, is_compared = [], [], False
            for j, source in enumerate(sources):
                cell = section.cell(label, source)
                if cell is not None and cell.in_domain is not None:
                    places.append(j + (i - (len(labels) - 1) / 2) * width)
                    values.append(cell.in_domain.estimate.values["uar"])
                    is_compared = is_compared or cell.apart_in_domain is None
            for place, value in zip(places, values, strict=True):
                axis.plot([place] * 2, [100 * end for end in value.ends], color=colour, linewidth=1.5)
            shown = label if is_compared or not values else f"{label} ({NOT_COMPARED})"
            style = {"color": colour, "markerfacecolor": colour if is_compared else "white", "markersize": 5}
            axis.plot(places, [100 * v.value for v in values], marker, label=shown, **style)
        for j, source in enumerate(sources):
            chance = next(100 / c.in_domain.estimate.k for c in section.of_source(source) if c.in_domain)
            axis.plot(
                [j - 0.45, j + 0.45],
                [chance, chance],
                color="black",
                linestyle=":",
                label="" if j else "guessing",
            )
            if j:
                axis.axvline(j - 0.5, color="#dddddd", linewidth=0.8, zorder=0)
        axis.set_xticks(range(len(sources)), sources)
        axis.set_xlim(-0.5, len(sources) - 0.5)
        axis.set_ylim(0, 100)
        axis.set_ylabel("UAR, %")
        axis.set_title(f"In-domain UAR with 95 % intervals - {kind_of(section)}")
        axis.legend(frameon=False, ncols=3, loc="upper left", bbox_to_anchor=(0, -0.1))
        save_figure(figure, path)
    return True


def draw_costs(section: Section, path: Path) -> bool:
    """Draw every method's score with its interval against each kind of cost.

    A dashed line joins the methods compared that none beats at no higher cost.

    Args:
        section: Tables.
        path: The PNG file.

    Returns:
        Whether two methods have a score and a cost.
    """
    found = costs(section)
    if not found.axes:
        return False
    order = {one.label: at for at, one in enumerate(found.rows)}
    ends = [end for axis in found.axes for point in axis.points for end in point.score.ends]
    low, high = min(0.0, *ends), max(ends) + 0.05
    with figure_style():
        figure = new_figure(3.2 * len(found.axes) + 0.6, 4.0)
        for plot, axis in zip(figure.subplots(1, len(found.axes), squeeze=False)[0], found.axes, strict=True):
            _draw_cost(plot, axis, order)
            plot.set_ylim(low, high)
            plot.set_xlabel(axis.title.replace(", ", ",\n"))
        figure.axes[0].set_ylabel(found.scored)
        named = {
            name: handle
            for plot in figure.axes
            for handle, name in zip(*plot.get_legend_handles_labels(), strict=True)
        }
        _legend_below(figure, named)
        figure.suptitle(f"Score against cost - {kind_of(section)}")
        save_figure(figure, path)
    return True


def _legend_below(figure: Any, named: Mapping[str, Any]) -> None:
    """Put a legend below the axes, in as few rows as the figure is wide enough for."""
    for rows in range(1, len(named) + 1):
        columns = math.ceil(len(named) / rows)
        place = {"loc": "outside lower center", "ncols": columns}
        legend = figure.legend([*named.values()], [*named], frameon=False, **place)
        width = legend.get_window_extent(figure.canvas.get_renderer()).width
        if width <= figure.bbox.width or columns == 1:
            return
        legend.remove()


def _draw_cost(plot: Any, axis: Axis, order: Mapping[str, int]) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    left, right = axis.limits
    if axis.steps:
        plot.step(*zip(*axis.steps, strict=True), where="post", color="#666666", linestyle="--", linewidth=1)
        plot.lines[-1].set_label("none better for less")
    for point in axis.points:
        at, (low, high) = order[point.label], point.score.ends
        colour = COLOURS[at % len(COLOURS)]
        plot.errorbar(
            [point.cost],
            [point.score.value],
            yerr=[[point.score.value - low], [high - point.score.value]],
            fmt=MARKERS[at % len(MARKERS)],
            color=colour,
            markerfacecolor=colour if point.compared else "white",
            markersize=8,
            label=point.label if point.compared else f"{point.label} ({NOT_COMPARED})",
            zorder=3,
        )
    plot.set_xscale("log")
    plot.set_xlim(left, right)
    plot.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if right < 100 * left else (1,)))
    plot.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    plot.xaxis.set_minor_locator(NullLocator())
