"""The figures of gcn, from stored checkpoints: generation error against UAR, and the faces it draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from fer_bench.evaluation.intervals import Value
from fer_bench.figures import COLOURS, new_figure, save_figure
from fer_bench.methods.gcn.losses import row_error


class Errors(NamedTuple):
    """How far faces are from the true neutral frame of the same person, on test rows.

    Attributes:
        generated: Mean squared error of the generated references, pixels between -1 and 1.
        copied: The same of the inputs themselves, as if nothing were generated.
    """

    generated: float
    copied: float


class Faces(NamedTuple):
    """Test faces with what a model makes of them.

    Attributes:
        image: Inputs [N, 1, 64, 64], pixels between -1 and 1.
        drawn: Generated references [N, 1, 64, 64].
        neutral: True neutral frames [N, 1, 64, 64].
        label: Expressions [N].
        subject: People [N].
    """

    image: Tensor
    drawn: Tensor
    neutral: Tensor
    label: NDArray[np.object_]
    subject: NDArray[np.object_]


def errors_of(faces: Faces) -> Errors:
    """Return how far generated references, and the inputs themselves, are from the true ones."""
    generated = row_error(faces.drawn, faces.neutral, "squared").mean()
    return Errors(float(generated), float(row_error(faces.image, faces.neutral, "squared").mean()))


def draw_gains(points: Mapping[str, tuple[float, Value]], plain: Mapping[str, float], path: Path) -> None:
    """Draw generation error against UAR.

    Args:
        points: Generation error and UAR by arm; 0 for true neutral frames.
        plain: UAR of encoders without a reference, by arm.
        path: Where the picture goes.
    """
    figure = new_figure(6.4, 3.4)
    axis: Any = figure.subplots()
    for number, (name, (error, uar)) in enumerate(points.items()):
        low, high = (uar.interval.low, uar.interval.high) if uar.interval else (uar.value, uar.value)
        spread = [[100 * (uar.value - low)], [100 * (high - uar.value)]]
        axis.errorbar([error], [100 * uar.value], yerr=spread, fmt="o", color=f"C{number}", label=name)
    for number, (name, value) in enumerate(plain.items()):
        axis.axhline(100 * value, color="0.4", lw=1, ls=("--", ":")[number % 2], label=name)
    axis.set_xlabel("generation error (mean square, people never seen)", fontsize=9)
    axis.margins(x=0.15)
    axis.set_ylabel("UAR in %", fontsize=9)
    figure.suptitle("gcn: generation error against UAR (SYNTHETIC DATA)", fontsize=9)
    figure.legend(loc="outside lower center", ncols=2, fontsize=7, frameon=False)
    save_figure(figure, path)


def draw_people(curves: Mapping[str, Sequence[tuple[float, Value]]], path: Path) -> None:
    """Draw UAR against the number of people in training, a line per arm with its intervals.

    Args:
        curves: People in training and UAR by arm, fewest people first.
        path: Where the picture goes.
    """
    figure = new_figure(6.4, 3.8)
    axis: Any = figure.subplots()
    middle = (len(curves) - 1) / 2
    for number, (name, points) in enumerate(curves.items()):
        aside = 1.012 ** (number - middle)  # so that intervals do not cover each other
        values = np.array([[100 * uar.value, *(100 * end for end in uar.ends)] for _, uar in points])
        spread = np.abs(values[:, 1:] - values[:, :1]).T
        where = [people * aside for people, _ in points]
        style = {"color": COLOURS[number], "fmt": "o-", "ms": 4, "lw": 1.3, "capsize": 2}
        axis.errorbar(where, values[:, 0], yerr=spread, label=name, **style)
    ticks = sorted({people for points in curves.values() for people, _ in points})
    axis.set_xscale("log")
    axis.set_xticks(ticks, [f"{people:.0f}" for people in ticks])
    axis.minorticks_off()
    axis.set_xlabel("people in training", fontsize=9)
    axis.set_ylabel("UAR in %", fontsize=9)
    figure.suptitle("gcn: people in training against UAR (SYNTHETIC DATA)", fontsize=9)
    figure.legend(loc="outside lower center", ncols=3, fontsize=7, frameon=False)
    save_figure(figure, path)


def draw_references(found: Mapping[str, Faces], classes: Sequence[str], path: Path) -> None:
    """Draw test faces, the references that several generators make of them, and the true neutral faces.

    One face per expression, each of another person: the first in the order of the index.

    Args:
        found: What models drew of the same faces, by arm.
        classes: Expressions, in the order of the columns.
        path: Where the picture goes.
    """
    first = next(iter(found.values()))
    columns: list[int] = []
    for label in classes:
        seen = {first.subject[column] for column in columns}
        fresh = [i for i in np.flatnonzero(first.label == label) if first.subject[i] not in seen]
        columns += [int(fresh[0])] if fresh else []
    lines = {
        "input": first.image,
        **{f"generated\n({kind})": faces.drawn for kind, faces in found.items()},
        "true neutral": first.neutral,
    }
    figure = new_figure(1.1 * len(columns) + 0.9, 1.12 * len(lines) + 0.5)
    axes: Any = figure.subplots(len(lines), len(columns), squeeze=False)
    for line, (title, faces) in zip(axes, lines.items(), strict=True):
        line[0].set_ylabel(title, fontsize=7)
        for axis, column in zip(line, columns, strict=True):
            axis.imshow(faces[column, 0].numpy(), cmap="gray", vmin=-1, vmax=1)
            axis.set(xticks=[], yticks=[])
    for axis, column in zip(axes[0], columns, strict=True):
        axis.set_title(first.label[column], fontsize=7)
    figure.suptitle("gcn on people it never saw (SYNTHETIC DATA, drawn faces)", fontsize=8)
    save_figure(figure, path)
