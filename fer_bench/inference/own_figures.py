"""The figure of error against coverage. Imports no torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fer_bench.errors import UsageError
from fer_bench.figures import COLOURS, figure_style, new_figure, save_figure
from fer_bench.inference.own_report import Report


def draw_curve(report: Report, file: Path) -> None:
    """Draw error against coverage, and the threshold where one was wanted.

    Args:
        report: From `own_report.report`.
        file: A PNG or JPEG file.

    Raises:
        UsageError: Another ending.
    """
    if file.suffix not in (".png", ".jpg", ".jpeg"):
        raise UsageError("a figure is a PNG or JPEG file", value=str(file), hint="--curve curve.png")
    found = report.abstaining
    curve, threshold = found.curve, found.threshold
    errors = round(curve.error * curve.n)
    with figure_style():
        figure = new_figure(5.5, 4.0)
        axes = figure.subplots()
        axes.step(100 * curve.coverage, 100 * curve.risk, where="post", color=COLOURS[0], label="this model")
        kept = np.arange(1, curve.n + 1)
        ideal = np.maximum(0, kept - (curve.n - errors)) / kept
        axes.plot(
            100 * kept / curve.n, 100 * ideal, color=COLOURS[2], ls="--", label="as many errors, all known"
        )
        axes.axhline(100 * curve.error, color=COLOURS[6], ls=":", label="not abstaining")
        if threshold is not None:
            axes.axhline(
                100 * threshold.wanted, color=COLOURS[1], lw=0.8, label=f"wanted: {threshold.wanted:.0%}"
            )
            if threshold.probability is not None and threshold.error is not None:
                place = 100 * threshold.coverage, 100 * threshold.error
                axes.plot(*place, "o", color=COLOURS[1])
                axes.annotate(
                    f"P = {threshold.probability:g}",
                    place,
                    textcoords="offset points",
                    xytext=(-6, 8),
                    ha="right",
                    color=COLOURS[1],
                )
        axes.set_xlim(0, 101)
        axes.set_ylim(
            0, max(5.0, 115 * curve.error, 110 * float(curve.risk[curve.coverage > 0.05].max(initial=0)))
        )
        axes.set_xlabel("pictures answered, %")
        axes.set_ylabel("of these wrong, %")
        probability = "calibrated top probability" if found.calibrated else "top probability"
        axes.set_title(
            f"{report.outcome.target}: {curve.n} pictures, by {probability}", loc="left", fontsize=9
        )
        figure.legend(frameon=False, loc="outside lower center", ncols=2)
        save_figure(figure, file)
