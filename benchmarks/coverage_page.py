"""The page of `coverage.py`: how often the leaderboard's intervals hold the truth, and its tests err."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from readme_section import figure_table

from fer_bench.evaluation.components import LEVEL, MIN_UNITS
from fer_bench.evaluation.coverage import FAMILY, TEST, TITLES, USUAL, sentence
from fer_bench.evaluation.pairs import MIN_SEEDS

WANTED = (0.92, 0.97)
"""Wanted coverage."""
ERRORS = (0.02, 0.06)
"""Wanted share of equal methods that a test calls different."""
PLACE = ["population", "units", "level", "seeds", "seed_sd", "profiles"]
POOLED = ["population", "units", "seed_sd"]
BOOTSTRAP = "two-level bootstrap"
COLUMNS = {"uar": "UAR", "accuracy": "accuracy", "macro_f1": "macro-F1", "difference": "difference"}
INTRODUCTION = """
Written by `python benchmarks/coverage.py`; no number here is typed by hand. Populations with known true
scores are sampled {repetitions:,} times each; two equally good methods are trained with one to five
seeds, whose UAR scatters by 0, 2 or 4 points (*sd*), and tested on the same rows, and so are families of
five and of twelve. An interval should
hold the truth in {level:.0%} of the samples (wanted: {wanted}); a test should call equal methods
different in 5 % (wanted: {errors}). One standard error of a figure near {level:.0%} is {error:.1f}
points. With fewer than {min_units} units no interval is given, with fewer than {min_seeds} seeds no
test is made. With one seed the intervals are about that seed's models: they hold the choice of test
units only.
"""
SECOND_WAY = """
*Second way*: the percentile interval of UAR from a bootstrap that draws units and seeds. With few seeds
it is too narrow: three seeds drawn from three are often the same one.
"""
LEGEND = """
Share of intervals that held the truth, in %, with the mean width in points; *wrong*: equal methods
called different, in %. *Opposite*: one method knows best the classes that the other knows worst.
"""
FAMILIES = """
How often at least one pair of five or twelve equally good methods is called different: what letters, bold
numbers and adjusted p-values promise to keep at 5 %. UAR is .75.
"""
MEANS = {"mean transfer": "mean transfer", "difference of means": "its difference", "retention": "retention"}


def page(table: pd.DataFrame, populations: Mapping[str, str]) -> str:
    """Return `docs/coverage.md`.

    Args:
        table: What `coverage.py` found.
        populations: Description of each population.
    """
    repetitions = int(table["repetitions"].max())
    error = 100 * np.sqrt(LEVEL * (1 - LEVEL) / repetitions)
    wanted = f"{100 * WANTED[0]:.0f} to {100 * WANTED[1]:.0f} %"
    errors = f"{100 * ERRORS[0]:.0f} to {100 * ERRORS[1]:.0f} %"
    lines = [
        "# What the intervals and tests are worth",
        "",
        *_paragraph(
            INTRODUCTION.format(
                repetitions=repetitions,
                level=LEVEL,
                wanted=wanted,
                errors=errors,
                error=error,
                min_units=MIN_UNITS,
                min_seeds=MIN_SEEDS,
            )
        ),
        *_paragraph(f"**The leaderboard quotes:** {sentence(table)}"),
        *_paragraph(SECOND_WAY),
        *_missed(table),
        "## Every population",
        "",
        *_paragraph(LEGEND),
    ]
    rows: list[list[str]] = []
    single = table[(table["units"] > 0) & (table["score"] != FAMILY)]
    for place, group in single.groupby(PLACE, sort=False):
        by_score = group.set_index("score")
        name = f"{place[0]}, opposite" if place[5] == "opposite" else str(place[0])
        cells = [_cell(by_score, score) for score in (*COLUMNS, BOOTSTRAP)]
        wrong = f"{100 * (1 - by_score['held'][TEST]):.1f}" if TEST in by_score.index else "-"
        where = [name, f"{place[1]:,}", f"{place[2]:.2f}", str(place[3]), f"{100 * place[4]:.0f}"]
        rows.append([*where, *cells, wrong])
    header = ("population", "units", "UAR", "seeds", "sd", *COLUMNS.values(), "second way", "wrong")
    lines += [*figure_table(header, rows), "", "## Families of equal methods", ""]
    lines += [*_paragraph(FAMILIES), *figure_table(*_families(table)), "", "## Means over three targets", ""]
    rows = []
    for place, group in table[table["units"] == 0].groupby(["seeds", "seed_sd"], sort=False):
        by_score = group.set_index("score")
        cells = [_cell(by_score, score) for score in MEANS]
        rows.append([str(place[0]), f"{100 * place[1]:.0f}", *cells])
    lines += figure_table(("seeds", "seed sd", *MEANS.values()), rows)
    lines += ["", "Populations:", ""]
    lines += [f"- *{name}*: {text}" for name, text in populations.items()]
    return "\n".join(lines) + "\n"


def _families(table: pd.DataFrame) -> tuple[Sequence[str], list[list[str]]]:
    """Return header and rows: how often some pair of several equal methods was called different."""
    part = table[table["score"] == FAMILY]
    rows = [
        [
            str(row["population"]),
            f"{row['units']:,}",
            str(row["methods"]),
            str(row["seeds"]),
            f"{100 * row['seed_sd']:.0f}",
            f"{100 * (1 - row['held']):.1f}",
        ]
        for _, row in part.iterrows()
    ]
    return ("population", "units", "methods", "seeds", "sd", "some pair wrong, %"), rows


def _paragraph(text: str) -> list[str]:
    return [*textwrap.wrap(" ".join(text.split()), 110, break_long_words=False, break_on_hyphens=False), ""]


def _cell(by_score: pd.DataFrame, score: str) -> str:
    if score not in by_score.index:
        return "-"
    held, width = by_score["held"][score], by_score["width"][score]
    return f"{100 * held:.1f} ({100 * width:.0f})"


def _missed(table: pd.DataFrame) -> list[str]:
    """Return the lines that name what is outside the wanted range."""
    text = """
    Single settings by more than two standard errors; *pooled* over levels, seeds and profiles up to a true
    score of {usual:.2f}, by population, size and scatter of seeds, as measured.
    """
    lines = ["## What is outside the wanted range", "", *_paragraph(text.format(usual=USUAL))]
    for score, title in {**TITLES, TEST: "tests of two methods", FAMILY: "tests of several methods"}.items():
        part = table[table["score"] == score]
        tests = score in (TEST, FAMILY)
        low, high = (1 - ERRORS[1], 1 - ERRORS[0]) if tests else WANTED
        words = ("wrong too often", "too careful") if tests else ("too seldom", "too often")
        found = (
            part[part["held"] + _slack(low, part["repetitions"]) < low],
            part[part["held"] - _slack(high, part["repetitions"]) > high],
        )
        said = [
            f"{what} in {len(one)} ({_places(one, tests)})"
            for one, what in zip(found, words, strict=True)
            if len(one)
        ]
        if not len(part):
            continue
        lines.append(
            f"- **{title}**, {sum(map(len, found))} of {len(part)} settings: {'; '.join(said) or '-'}."
        )
        pooled = part[part["level"] <= USUAL].groupby(POOLED, sort=False)["held"].mean().reset_index()
        outside = pooled[(pooled["held"] < low) | (pooled["held"] > high)]
        texts = [
            f"{name}{_units(units)}, sd {100 * sd:.0f}: {_shown(held, tests)}"
            for name, units, sd, held in outside.itertuples(index=False)
        ]
        lines.append(f"  Pooled, {len(outside)} of {len(pooled)}: {'; '.join(texts) or '-'}.")
    return [*lines, ""]


def _slack(bound: float, repetitions: pd.Series) -> pd.Series:
    """Return two standard errors of a share that is as large as a bound."""
    return 2 * np.sqrt(bound * (1 - bound) / repetitions)


def _shown(held: float, tests: bool) -> str:
    return f"{100 * (1 - held if tests else held):.1f}"


def _units(units: int) -> str:
    return f" {units:,}" if units else ""


def _places(found: pd.DataFrame, tests: bool) -> str:
    """Name the settings, those of one population, size and level together."""
    texts = []
    for place, group in found.groupby(["population", "units", "level"], sort=False):
        shown = [_shown(held, tests) for held in (group["held"].min(), group["held"].max())]
        ends = dict.fromkeys(reversed(shown) if tests else shown)
        texts.append(f"{place[0]}{_units(place[1])} at {place[2]:.2f}: {' to '.join(ends)}")
    return "; ".join(texts)
