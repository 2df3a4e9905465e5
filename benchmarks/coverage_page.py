"""The page of `coverage.py`: how often the intervals of the leaderboard hold the truth."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from fer_bench.evaluation.coverage import CHOSEN, ENOUGH_UNITS, sentence
from fer_bench.evaluation.statistics import LEVEL, MIN_UNITS, RESAMPLES

WISH = (0.92, 0.97)
"""Wanted coverage from `ENOUGH_UNITS` units on."""
TITLES = {
    "uar": "UAR",
    "accuracy": "Accuracy",
    "macro_f1": "Macro-F1",
    "mean": "Mean transfer score over targets (generalisation)",
    "difference": "Difference in UAR of two methods on the same units",
}


def _missed(own: pd.DataFrame) -> list[str]:
    """Return the lines that name which scores are outside the wanted range, where, and how far."""
    enough = own[own["units"] >= ENOUGH_UNITS]
    missed = enough[(enough["coverage"] < WISH[0]) | (enough["coverage"] > WISH[1])]
    lines = [f"## What is outside the wanted range from {ENOUGH_UNITS} units on", ""]
    lines += [
        "Population, with coverage in % at the number of units; sampling error is ignored.",
        "",
    ]
    for score, title in TITLES.items():
        part, whole = missed[missed["score"] == score], enough[enough["score"] == score]
        if whole.empty:
            continue
        places = [
            f"{name} "
            + ", ".join(
                f"{100 * c:.1f} at {u}" for c, u in zip(group["coverage"], group["units"], strict=True)
            )
            for name, group in part.groupby("scenario", sort=False)
        ]
        found = f": {'; '.join(places)}" if places else ""
        lines.append(f"- **{title}**, {len(part)} of {len(whole)} settings{found}.")
    return [*lines, ""]


def page(table: pd.DataFrame, populations: Mapping[str, str]) -> str:
    """Return `docs/coverage.md`.

    Args:
        table: What `coverage.simulate` found.
        populations: Description of each population.
    """
    repetitions = int(table["repetitions"].max())
    error = 100 * np.sqrt(0.95 * 0.05 / repetitions)
    lines = [
        "# How often the intervals hold the truth",
        "",
        "Written by `python benchmarks/coverage.py`; no number here is typed by hand.",
        f"Populations with a known true score are sampled {repetitions:,} times per number of units;",
        f"each sample gets a {LEVEL:.0%} interval from {RESAMPLES:,} bootstrap resamples of whole units.",
        f"Wanted: {100 * WISH[0]:.0f} to {100 * WISH[1]:.0f} % of the intervals "
        f"hold the truth from {ENOUGH_UNITS} units on. One standard",
        f"error of a coverage near 95 % is {error:.1f} points. With fewer than {MIN_UNITS} units no interval",
        "is given. The true score is taken over the classes that the sample holds (k in the tables).",
        "",
        f"**The leaderboard uses: {CHOSEN}.** {sentence(table[table['interval'] == CHOSEN])}",
        "",
        "Quantiles of the resampled scores are taken, as in the plain percentile interval, but further out:",
        "Student's quantile instead of the normal one, the variance times n / (n - 1) for each class's n",
        "units, and each class's variance shrunk to that of a smoothed binomial, weighted as two units.",
        "Where a present class has fewer than five units, or no unit varies, resamples are useless, and",
        "Wilson limits of each class's recall are combined (Zou and Donner's MOVER). The same holds for",
        "accuracy if fewer than five units hold a wrong answer, or a right one. Means and differences",
        "combine resamples, or the distances to such limits. *Smallest class* is the mean number of units",
        "that hold the rarest present class.",
        "",
        *_missed(table[table["interval"] == CHOSEN]),
    ]
    for score, title in TITLES.items():
        part = table[table["score"] == score]
        ways = sorted(part["interval"].unique(), key=lambda way: way != CHOSEN)
        lines += [f"## {title}: coverage in % (mean width in points)", ""]
        lines.append("| population | units | smallest class | " + " | ".join(ways) + " |")
        lines.append("| --- " * (3 + len(ways)) + "|")
        for (name, units), group in part.groupby(["scenario", "units"], sort=False):
            by_way = group.set_index("interval")
            cells = [
                f"{100 * by_way['coverage'][way]:.1f} ({100 * by_way['width'][way]:.0f})" for way in ways
            ]
            lines.append(
                f"| {name} | {units} | {group['smallest_class'].iloc[0]:.1f} | {' | '.join(cells)} |"
            )
        lines.append("")
    lines += ["Populations:", ""]
    lines += [f"- *{name}*: {text}" for name, text in populations.items()]
    return "\n".join(lines) + "\n"
