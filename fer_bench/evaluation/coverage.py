"""What intervals and tests are worth in simulation, in a sentence, from `benchmarks/coverage.py`."""

from __future__ import annotations

from functools import cache
from math import ceil, floor
from pathlib import Path

import pandas as pd

FILE = Path(__file__).with_name("coverage.csv")
TITLES = {
    "uar": "UAR",
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "difference": "the difference of two methods",
    "mean transfer": "mean transfer",
    "difference of means": "its difference",
    "retention": "retention",
}
"""Scores of the table whose intervals the leaderboard prints, with their names in the sentence."""
TEST = "test"
"""The row of the table that counts the right decisions of tests of equal methods."""
FAMILY = "any pair"
"""The row that counts how often no pair of several equal methods was called different."""
USUAL = 0.9
"""Up to this true score a population is an ordinary one; above, few rows are wrong."""


def sentence(table: pd.DataFrame) -> str:
    """Say how often the intervals held the truth in simulation, and how often equal methods were told apart.

    Args:
        table: Columns `population`, `units`, `level`, `seeds`, `seed_sd`, `methods`, `score`, `held` and
            `repetitions`.
    """
    usual, rare = table[table["level"] <= USUAL], table[table["level"] > USUAL]
    spans = [_span(usual[usual["score"] == score]["held"], f"for {title}") for score, title in TITLES.items()]
    populations = table[table["units"] > 0]
    where = f"{populations['units'].min()} to {populations['units'].max():,} units"
    sds = 100 * table["seed_sd"].max()
    several = table[table["seeds"] > 1]["seeds"]
    text = (
        f"In simulation ({table['repetitions'].max():,} samples per setting, {where}, "
        f"{several.min()} to {several.max()} seeds that scatter by 0 to {sds:.0f} points) these intervals "
        f"held the truth in {', '.join(part for part in spans if part)}."
    )
    wrong, any_wrong = (1 - usual[usual["score"] == score]["held"] for score in (TEST, FAMILY))
    if len(wrong):
        text += f" Two equal methods alone were called different in {_range(wrong)}"
        families = sorted({*usual[usual["score"] == FAMILY]["methods"]}) if len(any_wrong) else []
        counts = " or ".join(map(str, families))
        text += f", and some pair of {counts} equal methods in {_range(any_wrong)}." if families else "."
    extreme = rare[rare["score"].isin(["uar", "accuracy", "macro_f1"])]["held"]
    if len(extreme):
        text += (
            f" Where {100 * rare['level'].max():.0f} % of the rows are right, intervals of UAR, accuracy and "
            f"macro-F1 held it in {_range(extreme)}"
        )
        mistakes = 1 - rare[rare["score"] == TEST]["held"]
        text += (
            f", and two equal methods were called different in {_range(mistakes)}." if len(mistakes) else "."
        )
    return text


def _span(held: pd.Series, where: str) -> str:
    return f"{_range(held)} {where}" if len(held) else ""


def _range(shares: pd.Series) -> str:
    return f"{floor(100 * shares.min())} to {ceil(100 * shares.max())} %"


@cache
def found() -> str:
    """Return the sentence about the shipped table."""
    return sentence(pd.read_csv(FILE))
