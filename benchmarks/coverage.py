"""Measure how often the 95 % intervals of the leaderboard hold the truth, per number of units.

Populations of persons, videos and pictures with known true scores are drawn again and again; each sample gets
intervals by four methods. Writes `docs/coverage.md`, `docs/coverage.csv` (everything) and
`fer_bench/evaluation/coverage.csv` (the interval that is used: what the leaderboard quotes).

    python benchmarks/coverage.py --repetitions 1000 --jobs 2
"""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, ndtr, ndtri, stdtrit

from fer_bench.evaluation.contributions import Contributions, spread
from fer_bench.evaluation.coverage import CHOSEN, FILE, sentence
from fer_bench.evaluation.statistics import LEVEL, MIN_UNITS, RESAMPLES, interval, resample_weights
from fer_bench.files import write_text

ROOT = Path(__file__).parents[1]
UNITS = (10, 15, 20, 30, 50, 100, 200)
LARGE = 100_000
Floats = NDArray[np.float64]
Counts = tuple[Floats, Floats]
Draw = Callable[[np.random.Generator, int], Counts]


@dataclass(frozen=True)
class Scenario:
    """A population.

    Attributes:
        text: What it stands for.
        draw: Returns rows answered right and rows, per unit and class, of a sample of units.
    """

    text: str
    draw: Draw


def persons(level: float, has: tuple[float, ...] = (1.0,) * 6, frames: int = 3) -> Draw:
    """Return a lab population: a clip per person and class, frames of a clip mostly alike.

    Args:
        level: Mean logit of being right; persons and person-class pairs scatter around it.
        has: Share of persons with a clip of each class.
        frames: Rows per clip.
    """

    def draw(rng: np.random.Generator, n: int) -> Counts:
        k = len(has)
        logit = level + rng.normal(0, 0.8, (n, 1)) + np.linspace(-1, 1, k) + rng.normal(0, 1, (n, k))
        p = expit(logit)
        together = rng.random((n, k)) < 0.6
        hits = np.where(together, frames * (rng.random((n, k)) < p), rng.binomial(frames, p))
        there = rng.random((n, k)) < has
        there[~there.any(1), 0] = True
        return hits * there, frames * there.astype(np.float64)

    return draw


def videos(level: float, priors: tuple[float, ...]) -> Draw:
    """Return a video population: some hundred frames each, of a few classes, lengths heavy-tailed."""

    def draw(rng: np.random.Generator, n: int) -> Counts:
        k = len(priors)
        frames = 20 + np.exp(rng.normal(6, 1, n)).astype(int)
        mix = rng.gamma(3 * np.asarray(priors), size=(n, k))
        rows = rng.multinomial(frames, mix / mix.sum(1, keepdims=True))
        logit = level + rng.normal(0, 1.2, (n, 1)) + np.linspace(1, -1, k) + rng.normal(0, 0.7, (n, k))
        return rng.binomial(rows, expit(logit)).astype(np.float64), rows.astype(np.float64)

    return draw


def pictures(level: float, priors: tuple[float, ...]) -> Draw:
    """Return a population of single pictures with given class shares."""

    def draw(rng: np.random.Generator, n: int) -> Counts:
        k = len(priors)
        label = rng.choice(k, n, p=np.asarray(priors) / sum(priors))
        rows = (label[:, None] == np.arange(k)).astype(np.float64)
        right = rng.random((n, 1)) < expit(level + np.linspace(1, -1, k))
        return rows * right, rows

    return draw


SCENARIOS = {
    "persons, hard": Scenario("six classes per person, true UAR about .5", persons(0.0)),
    "persons": Scenario("six classes per person, about .75", persons(1.8)),
    "persons, easy": Scenario("six classes per person, about .9", persons(3.0)),
    "persons, gaps": Scenario(
        "seven classes, 15 to 70 % of persons have one",
        persons(2.2, (0.7, 0.58, 0.5, 0.38, 0.23, 0.21, 0.15)),
    ),
    "videos": Scenario(
        "eight classes, few per video, long-tailed lengths",
        videos(0.3, (0.33, 0.17, 0.15, 0.12, 0.08, 0.05, 0.05, 0.05)),
    ),
    "pictures": Scenario("seven classes, even", pictures(1.5, (1.0,) * 7)),
    "pictures, uneven": Scenario(
        "seven classes, 2 to 39 % of rows each", pictures(1.5, (0.22, 0.39, 0.16, 0.11, 0.02, 0.05, 0.05))
    ),
}


def scores(hits: Floats, rows: Floats) -> dict[str, Floats]:
    """Return UAR over present classes and accuracy of counts [..., K]."""
    present = rows > 0
    recall = np.divide(hits, rows, out=np.zeros(np.broadcast(hits, rows).shape), where=present)
    return {"uar": recall.sum(-1) / present.sum(-1), "accuracy": hits.sum(-1) / rows.sum(-1)}


def terms(hits: Floats, rows: Floats) -> Contributions:
    """Return the contributions that `contributions` gives for rows with these counts [U, K]."""
    total = rows.sum(0)
    weight = 1 / (np.count_nonzero(total) * np.maximum(total, 1))
    recall = hits.sum(0) / np.maximum(total, 1)
    units = np.arange(len(rows)).astype(object)
    return Contributions(units, hits * weight, rows * recall * weight, rows > 0, "")


def tails(
    draws: Floats, value: float, left_out: Floats, given: Contributions
) -> dict[str, tuple[float, float]]:
    """Return the shares of draws cut off at both ends by each method.

    Args:
        draws: Resampled scores [B].
        value: The score.
        left_out: Scores without each unit [U].
        given: Contributions of the units.
    """
    plain, n = (1 - LEVEL) / 2, len(left_out)
    student = float(ndtr(-stdtrit(n - 1, 1 - plain) * np.sqrt(n / (n - 1))))
    chosen = spread(given).tail()
    below = np.mean(draws < value) + 0.5 * np.mean(draws == value)
    bias = ndtri(np.clip(below, 1 / len(draws), 1 - 1 / len(draws)))
    off = np.nanmean(left_out) - left_out
    squares = np.nansum(off**2)
    speed = np.nansum(off**3) / (6 * squares**1.5) if squares > 0 else 0.0
    low, high = (ndtr(bias + (bias + z) / (1 - speed * (bias + z))) for z in ndtri((plain, 1 - plain)))
    return {
        "percentile": (plain, plain),
        "BCa": (float(low), float(1 - high)),
        "percentile, Student": (student, student),
        CHOSEN: (chosen, chosen),
    }


def simulate(name: str, units: int, repetitions: int) -> list[dict[str, object]]:
    """Return coverage and mean width of every method and score for samples of a population.

    Args:
        name: Scenario.
        units: Units per sample.
        repetitions: Number of samples.
    """
    draw = SCENARIOS[name].draw
    truth = scores(*(c.sum(0) for c in draw(np.random.default_rng(zlib.crc32(name.encode())), LARGE)))
    held: dict[tuple[str, str], list[bool]] = {}
    width: dict[tuple[str, str], list[float]] = {}
    smallest = []
    for repetition in range(repetitions):
        seed = zlib.crc32(f"{name}/{units}/{repetition}".encode())
        hits, rows = draw(np.random.default_rng(seed), units)
        weights = resample_weights(seed, units).astype(np.float64)
        drawn = scores(weights @ hits, weights @ rows)
        whole, without = scores(hits.sum(0), rows.sum(0)), scores(hits.sum(0) - hits, rows.sum(0) - rows)
        smallest.append(int((rows > 0).sum(0).min()))
        given = {
            "uar": terms(hits, rows),
            "accuracy": terms(hits.sum(1, keepdims=True), rows.sum(1, keepdims=True)),
        }
        for score in ("uar", "accuracy"):
            cuts = tails(drawn[score], float(whole[score]), without[score], given[score])
            for method, (left, right) in cuts.items():
                low, high = interval(drawn[score], left).low, interval(drawn[score], right).high
                held.setdefault((method, score), []).append(bool(low - 1e-9 <= truth[score] <= high + 1e-9))
                width.setdefault((method, score), []).append(high - low)
    return [
        {
            "interval": method,
            "score": score,
            "scenario": name,
            "units": units,
            "smallest_class": round(float(np.mean(smallest)), 1),
            "repetitions": repetitions,
            "coverage": round(float(np.mean(found)), 4),
            "width": round(float(np.mean(width[method, score])), 4),
        }
        for (method, score), found in held.items()
    ]


def page(table: pd.DataFrame) -> str:
    """Return `docs/coverage.md`."""
    repetitions = int(table["repetitions"].min())
    error = 100 * np.sqrt(0.95 * 0.05 / repetitions)
    own = sentence(table[table["interval"] == CHOSEN])
    lines = [
        "# How often the intervals hold the truth",
        "",
        "Written by `python benchmarks/coverage.py`; no number here is typed by hand. Populations with a",
        f"known true score are sampled {repetitions:,} times per number of units; each sample gets",
        f"a {LEVEL:.0%} interval from {RESAMPLES:,} bootstrap resamples of whole units. Wanted: 92 to 97 %",
        "of the intervals hold the truth from 20 units on. One standard error of a coverage near 95 % is",
        f"{error:.1f} points. Under {MIN_UNITS} units the leaderboard gives no interval.",
        "",
        f"**The leaderboard uses: {CHOSEN}.** {own}",
        "",
        "It takes quantiles of the resampled scores, as the plain percentile interval does, but further out:",
        "Student's quantile instead of the normal one, the variance times n / (n - 1) for each class's n",
        "units, and each class's variance drawn to that of a smoothed binomial with the weight of two units",
        "(a weight that was set before this table was made). Accuracy is one class. In the tables",
        "*smallest class* is the mean number of units that hold the rarest class.",
        "",
    ]
    for score, title in (("uar", "UAR"), ("accuracy", "Accuracy")):
        part = table[table["score"] == score]
        methods = list(dict.fromkeys(part["interval"]))
        lines += [f"## {title}: coverage in % (mean width in points)", ""]
        lines.append("| population | units | smallest class | " + " | ".join(methods) + " |")
        lines.append("| --- " * (3 + len(methods)) + "|")
        for (name, units), group in part.groupby(["scenario", "units"], sort=False):
            cells = [
                f"{100 * row.coverage:.1f} ({100 * row.width:.0f})"
                for method in methods
                for row in group[group["interval"] == method].itertuples()
            ]
            lines.append(
                f"| {name} | {units} | {group['smallest_class'].iloc[0]:.1f} | {' | '.join(cells)} |"
            )
        lines.append("")
    lines += ["Populations:", ""]
    lines += [f"- *{name}*: {scenario.text}" for name, scenario in SCENARIOS.items()]
    return "\n".join(lines) + "\n"


def _job(task: tuple[str, int, int]) -> list[dict[str, object]]:
    return simulate(*task)


def main() -> None:
    """Simulate and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--repetitions", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=2)
    wanted = parser.parse_args()
    tasks = [(name, units, wanted.repetitions) for name, units in product(SCENARIOS, UNITS)]
    with ProcessPoolExecutor(wanted.jobs) as pool:
        rows = [row for part in pool.map(_job, tasks) for row in part]
    table = pd.DataFrame(rows)
    write_text(ROOT / "docs" / "coverage.csv", table.to_csv(index=False, lineterminator="\n"))
    own = table[table["interval"] == CHOSEN]
    write_text(FILE, own.to_csv(index=False, lineterminator="\n"))
    write_text(ROOT / "docs" / "coverage.md", page(table))


if __name__ == "__main__":
    main()
