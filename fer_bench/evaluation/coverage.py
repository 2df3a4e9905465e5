"""A sentence on how often the intervals hold the truth in simulation, from `benchmarks/coverage.py`."""

from __future__ import annotations

from functools import cache
from math import ceil, floor
from pathlib import Path

import pandas as pd

FILE = Path(__file__).with_name("coverage.csv")
CHOSEN = "resamples, or Wilson per class"
"""Name of the interval that is used."""
ENOUGH_UNITS = 20
FEW = 5


OTHERS = {
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "mean": "means over targets",
    "difference": "differences of two methods",
}
"""Other scores of the table, with their names in the sentence."""


def sentence(table: pd.DataFrame) -> str:
    """Say how often the intervals held the truth in simulation.

    Args:
        table: Columns `score`, `units`, `smallest_class` (units that hold the rarest class), `coverage` and
            `repetitions` of the chosen interval, one row per score, population and number of units.
    """
    uar = table[table["score"] == "uar"]
    many, rare = uar["units"] >= ENOUGH_UNITS, uar["smallest_class"] < FEW
    parts = [
        _span(uar[many & ~rare], f"of samples with at least {ENOUGH_UNITS} units and {FEW} of every class"),
        _span(uar[many & rare], "where a class has fewer"),
        _span(uar[~many], f"with {uar['units'].min()} to {ENOUGH_UNITS - 1} units"),
    ]
    said = "; ".join(part for part in parts if part)
    samples = f"{uar['repetitions'].min():,} samples each"
    text = f"In simulation ({samples}) these intervals held the true UAR in {said}."
    others = [
        _span(table[(table["score"] == score) & (table["units"] >= ENOUGH_UNITS)], f"for {title}")
        for score, title in OTHERS.items()
    ]
    known = ", ".join(part for part in others if part)
    return f"{text} From {ENOUGH_UNITS} units on it was {known}." if known else text


def _span(part: pd.DataFrame, where: str) -> str:
    if part.empty:
        return ""
    return f"{floor(100 * part['coverage'].min())} to {ceil(100 * part['coverage'].max())} % {where}"


@cache
def found() -> str:
    """Return the sentence about the shipped table."""
    return sentence(pd.read_csv(FILE))
