"""Measure how often the 95 % intervals of the leaderboard hold the truth, per number of units.

Populations of persons, videos and pictures with known true scores are drawn again and again; each sample gets
the intervals that the leaderboard would give: of UAR, accuracy and macro-F1, of means over several targets,
and of the difference of two methods. Writes `docs/coverage.md`, `docs/coverage.csv` (everything) and
`fer_bench/evaluation/coverage.csv` (the interval that is used: what the leaderboard quotes).

    python benchmarks/coverage.py --repetitions 1000 --jobs 1
"""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, ndtr, ndtri

from fer_bench.evaluation import confusion, metrics
from fer_bench.evaluation.contributions import Contributions
from fer_bench.evaluation.coverage import CHOSEN, ENOUGH_UNITS, FILE, sentence
from fer_bench.evaluation.estimates import average, difference_interval
from fer_bench.evaluation.intervals import Value, wilson_interval
from fer_bench.evaluation.statistics import LEVEL, MIN_UNITS, RESAMPLES, interval, resample_weights
from fer_bench.files import write_text

ROOT = Path(__file__).parents[1]
UNITS = (10, 15, 20, 30, 50, 100, 200)
LARGE = 100_000
BLOCK = 25
"""Samples that are resampled with the same weights: they are of the data independent."""
GAP = 0.4
"""How much better, in logits, the first of two compared methods is."""
WISH = (0.92, 0.97)
"""Wanted coverage from `ENOUGH_UNITS` units on."""
SCORES = ("uar", "accuracy", "macro_f1")
ESTIMATED = {metric.name: metric.function for metric in metrics.BUILT_IN if metric.shown}
Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], tuple[Floats, Floats]]


@dataclass(frozen=True)
class Scenario:
    """A population.

    Attributes:
        text: What it stands for.
        draw: Returns rows answered right by two methods [2, U, K] and rows [U, K] of a sample of units.
    """

    text: str
    draw: Draw


def _levels(level: float) -> Floats:
    return np.array([level, level - GAP]).reshape(2, 1, 1)


def _uniforms(rng: np.random.Generator, n: int, k: int) -> Floats:
    """Return what decides a row for either method [2, n, k]: six times in ten the same."""
    own, same = rng.random((2, n, k)), rng.random((n, k)) < 0.6
    return np.where(same, own[:1], own)


def persons(level: float, has: tuple[float, ...] = (1.0,) * 6, frames: int = 3) -> Draw:
    """Return a lab population: a clip per person and class, frames of a clip mostly alike.

    Args:
        level: Mean logit of being right; persons and person-class pairs scatter around it.
        has: Share of persons with a clip of each class.
        frames: Rows per clip.
    """

    def draw(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
        k = len(has)
        logit = rng.normal(0, 0.8, (n, 1)) + np.linspace(-1, 1, k) + rng.normal(0, 1, (n, k))
        p = expit(_levels(level) + logit)
        together = rng.random((n, k)) < 0.6
        hits = np.where(together, frames * (_uniforms(rng, n, k) < p), rng.binomial(frames, p))
        there = rng.random((n, k)) < has
        there[~there.any(1), 0] = True
        return hits * there, frames * there.astype(np.float64)

    return draw


def videos(level: float, priors: tuple[float, ...]) -> Draw:
    """Return a video population: some hundred frames each, of a few classes, lengths heavy-tailed."""

    def draw(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
        k = len(priors)
        frames = 20 + np.exp(rng.normal(6, 1, n)).astype(int)
        mix = rng.gamma(3 * np.asarray(priors), size=(n, k))
        rows = rng.multinomial(frames, mix / mix.sum(1, keepdims=True))
        logit = rng.normal(0, 1.2, (n, 1)) + np.linspace(1, -1, k) + rng.normal(0, 0.7, (n, k))
        return rng.binomial(rows, expit(_levels(level) + logit)).astype(np.float64), rows.astype(np.float64)

    return draw


def pictures(level: float, priors: tuple[float, ...]) -> Draw:
    """Return a population of single pictures with given class shares."""

    def draw(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
        k = len(priors)
        label = rng.choice(k, n, p=np.asarray(priors) / sum(priors))
        rows = (label[:, None] == np.arange(k)).astype(np.float64)
        right = _uniforms(rng, n, 1) < expit(_levels(level) + np.linspace(1, -1, k))
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
MEANS = {
    "three lab targets": ("persons, hard", "persons", "persons, gaps"),
    "three picture targets": ("pictures", "pictures, uneven", "pictures"),
    "six targets of all kinds": (
        *("persons, hard", "persons", "persons, gaps"),
        *("videos", "pictures", "pictures, uneven"),
    ),
}
"""Targets whose transfer scores are averaged; each holds the number of units in the table."""


def confusions(rng: np.random.Generator, hits: Floats, rows: Floats) -> Floats:
    """Return confusion matrices per unit [U, K, K]: wrong answers prefer neighbouring classes.

    Half the time all wrong answers of a unit and class are the same.

    Args:
        rng: Source of randomness.
        hits: Rows answered right [U, K].
        rows: Rows [U, K].
    """
    n, k = rows.shape
    away = np.abs(np.arange(k)[:, None] - np.arange(k))
    share = np.where(away > 0, 1 / np.maximum(away, 1), 0.0)
    share /= share.sum(1, keepdims=True)
    wrong = np.rint(rows - hits).astype(np.int64)
    spread_out = rng.multinomial(wrong, share)
    one = (rng.random((n, k, 1)) > share.cumsum(1)).sum(-1).clip(max=k - 1)
    alike = wrong[..., None] * (one[..., None] == np.arange(k))
    counts = np.where(rng.random((n, k, 1)) < 0.5, alike, spread_out).astype(np.float64)
    counts[:, np.arange(k), np.arange(k)] = hits
    return counts


def terms(counts: Floats, *, by_class: bool = True) -> Contributions:
    """Return the contributions that `contributions` gives for rows with these confusions [U, K, K]."""
    rows, hits = counts.sum(2), np.diagonal(counts, axis1=1, axis2=2)
    if not by_class:
        rows, hits = rows.sum(1, keepdims=True), hits.sum(1, keepdims=True)
    total = rows.sum(0)
    weight = 1 / (np.count_nonzero(total) * np.maximum(total, 1))
    recall = hits.sum(0) / np.maximum(total, 1)
    units = np.arange(len(rows)).astype(object)
    return Contributions(units, hits * weight, rows * recall * weight, rows > 0, "")


def bca(drawn: Floats, value: float, left_out: Floats) -> tuple[float, float]:
    """Return the bias-corrected and accelerated interval (Efron 1987).

    Args:
        drawn: Resampled scores [B].
        value: The score.
        left_out: Scores without each unit [U].
    """
    below = np.mean(drawn < value) + 0.5 * np.mean(drawn == value)
    bias = ndtri(np.clip(below, 1 / len(drawn), 1 - 1 / len(drawn)))
    off = np.nanmean(left_out) - left_out
    squares = np.nansum(off**2)
    speed = np.nansum(off**3) / (6 * squares**1.5) if squares > 0 else 0.0
    plain = (1 - LEVEL) / 2
    ends = (float(ndtr(bias + (bias + z) / (1 - speed * (bias + z)))) for z in ndtri((plain, 1 - plain)))
    low, high = np.nanquantile(drawn, tuple(ends))
    return float(low), float(high)


class Tally:
    """Counts how often intervals held the truth."""

    def __init__(self) -> None:
        self.held: dict[tuple[str, str, str], list[tuple[bool, float, int]]] = {}

    def add(
        self,
        place: tuple[str, str, str],
        ends: tuple[float, float],
        truth: float,
        smallest: int,
    ) -> None:
        """Note one interval under (interval, score, population)."""
        low, high = ends
        inside = bool(low - 1e-9 <= truth <= high + 1e-9)
        self.held.setdefault(place, []).append((inside, high - low, smallest))

    def rows(self, units: int) -> list[dict[str, object]]:
        """Return one row of the table per place."""
        lines: list[dict[str, object]] = []
        for (method, score, name), found in self.held.items():
            inside, width, smallest = (np.mean(column) for column in zip(*found, strict=True))
            lines.append(
                {
                    "interval": method,
                    "score": score,
                    "scenario": name,
                    "units": units,
                    "smallest_class": round(float(smallest), 1),
                    "repetitions": len(found),
                    "coverage": round(float(inside), 4),
                    "width": round(float(width), 4),
                }
            )
        return lines


def truths(population: Floats, present: NDArray[np.bool_]) -> dict[str, float]:
    """Return the true scores of a population [K, K] over the classes that a sample holds, as tables do."""
    part = np.where(present[:, None], population, 0)
    found = {name: float(function(part)) for name, function in ESTIMATED.items()}
    return found | {"accuracy": float(confusion.accuracy(population))}


@dataclass(frozen=True)
class Seen:
    """A sample as the leaderboard sees it.

    Attributes:
        values: Scores with intervals.
        truth: True scores.
        smallest: Units that hold the rarest present class.
    """

    values: dict[str, Value]
    truth: dict[str, float]
    smallest: int


def look(counts: Floats, drawn: dict[str, Floats], population: Floats) -> Seen:
    """Return the scores of a sample with the leaderboard's intervals.

    Args:
        counts: Confusion matrices per unit [U, K, K].
        drawn: Resampled values of each score [B].
        population: Confusion matrix of the population.
    """
    by_class, by_rows = terms(counts), terms(counts, by_class=False)
    point = {name: float(function(counts.sum(0))) for name, function in ESTIMATED.items()}
    point = {name: value for name, value in point.items() if np.isfinite(value)}
    values = metrics.with_intervals(point, drawn, by_class, by_rows)
    held = by_class.holds.sum(0)
    return Seen(values, truths(population, held > 0), int(held[held > 0].min()))


def simulate(
    units: int, repetitions: int, scenarios: tuple[str, ...] = tuple(SCENARIOS)
) -> list[dict[str, object]]:
    """Return coverage and mean width of every interval for samples of so many units.

    Args:
        units: Units per sample (and per target, in means).
        repetitions: Number of samples.
        scenarios: Populations.
    """
    tally = Tally()
    whole: dict[str, tuple[Floats, Floats]] = {}
    for name in scenarios:
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        hits, rows = SCENARIOS[name].draw(rng, LARGE)
        first, second = (confusions(rng, one, rows).sum(0) for one in hits)
        whole[name] = first, second
    for start in range(0, repetitions, BLOCK):
        seen: dict[str, list[Seen]] = {}
        for place, name in enumerate(scenarios):
            rng = np.random.default_rng(zlib.crc32(f"{name}/{units}/{start}".encode()))
            weights = resample_weights(zlib.crc32(f"{place}/{units}/{start}".encode()), units)
            size = min(BLOCK, repetitions - start)
            seen[name] = _block(tally, name, rng, weights.astype(np.float64), units, size, whole[name])
        for title, targets in MEANS.items():
            if set(targets) <= set(scenarios):
                _means(tally, title, [seen[name] for name in targets])
    return tally.rows(units)


def _block(
    tally: Tally,
    name: str,
    rng: np.random.Generator,
    weights: Floats,
    units: int,
    size: int,
    population: tuple[Floats, Floats],
) -> list[Seen]:
    samples = [SCENARIOS[name].draw(rng, units) for _ in range(size)]
    k = samples[0][1].shape[1]
    counts = np.stack([[confusions(rng, one, rows) for one in hits] for hits, rows in samples])  # [S,2,U,K,K]
    flat = np.moveaxis(counts, 2, 0).reshape(units, -1)
    resampled = (weights @ flat).reshape(-1, size, 2, k, k)
    drawn = {score: function(resampled) for score, function in ESTIMATED.items()}  # each [B, S, 2]
    found = []
    for i in range(size):
        one, other = (
            look(counts[i, m], {score: d[:, i, m] for score, d in drawn.items()}, population[m])
            for m in (0, 1)
        )
        found.append(one)
        for score in SCORES:
            own = one.values[score].interval
            assert own is not None
            tally.add((CHOSEN, score, name), (own.low, own.high), one.truth[score], one.smallest)
            plain = interval(drawn[score][:, i, 0])
            tally.add(("percentile", score, name), (plain.low, plain.high), one.truth[score], one.smallest)
        _others(tally, name, one, counts[i, 0], drawn["uar"][:, i, 0])
        apart = difference_interval(one.values["uar"], other.values["uar"])
        assert apart is not None
        truth = one.truth["uar"] - other.truth["uar"]
        tally.add((CHOSEN, "difference", name), (apart.low, apart.high), truth, one.smallest)
    return found


def _others(tally: Tally, name: str, one: Seen, counts: Floats, drawn: Floats) -> None:
    """Add the intervals of UAR that the leaderboard does not use."""
    total = counts.sum(0)
    left_out = confusion.uar(total - counts)
    truth, spread = one.truth["uar"], one.values["uar"].spread
    assert spread is not None
    far, wilson = interval(drawn, spread.tail()), wilson_interval(terms(counts))
    for method, ends in (
        ("BCa", bca(drawn, one.values["uar"].value, left_out)),
        ("percentile, Student per class", (far.low, far.high)),
        ("Wilson per class", (wilson.low, wilson.high)),
    ):
        tally.add((method, "uar", name), ends, truth, one.smallest)


def _means(tally: Tally, title: str, targets: list[list[Seen]]) -> None:
    for together in zip(*targets, strict=True):
        if not all("transfer" in one.values for one in together):
            continue  # a sample of one class has no transfer score
        found = average([one.values["transfer"] for one in together])
        assert found.interval is not None
        truth = float(np.mean([one.truth["transfer"] for one in together]))
        smallest = min(one.smallest for one in together)
        tally.add((CHOSEN, "mean", title), (found.interval.low, found.interval.high), truth, smallest)


TITLES = {
    "uar": "UAR",
    "accuracy": "Accuracy",
    "macro_f1": "Macro-F1",
    "mean": "Mean transfer score over targets (generalisation)",
    "difference": "Difference in UAR of two methods on the same units",
}


def _missed(own: pd.DataFrame) -> list[str]:
    """Return the lines that name which scores miss the wish, where, and how far."""
    enough = own[own["units"] >= ENOUGH_UNITS]
    missed = enough[(enough["coverage"] < WISH[0]) | (enough["coverage"] > WISH[1])]
    lines = [f"## What misses the wish from {ENOUGH_UNITS} units on", ""]
    lines += ["Population, with coverage in % at the number of units; sampling error is not allowed for.", ""]
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


def page(table: pd.DataFrame) -> str:
    """Return `docs/coverage.md`."""
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
        f"error of a coverage near 95 % is {error:.1f} points. Under {MIN_UNITS} units there is no",
        "interval. The truth is that over the classes which the sample holds (k in the tables).",
        "",
        f"**The leaderboard uses: {CHOSEN}.** {sentence(table[table['interval'] == CHOSEN])}",
        "",
        "Quantiles of the resampled scores are taken, as in the plain percentile interval, but further out:",
        "Student's quantile instead of the normal one, the variance times n / (n - 1) for each class's n",
        "units, and each class's variance drawn to that of a smoothed binomial with the weight of two units.",
        "Where a present class has fewer than five units, or nothing varies, resamples say too little:",
        "Wilson limits of each class's recall are combined (Zou and Donner's MOVER). The same holds for",
        "accuracy with fewer than five units that hold a wrong, or a right answer. Means and differences",
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
    lines += [f"- *{name}*: {scenario.text}" for name, scenario in SCENARIOS.items()]
    lines += [f"- *{name}*: {'; '.join(targets)}" for name, targets in MEANS.items()]
    return "\n".join(lines) + "\n"


def _job(task: tuple[int, int]) -> list[dict[str, object]]:
    return simulate(*task)


def main() -> None:
    """Simulate and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--repetitions", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", type=Path, help="Write the whole table there and nothing else.")
    parser.add_argument("--page", action="store_true", help="Write the page from the stored table again.")
    wanted = parser.parse_args()
    if wanted.page:
        write_text(ROOT / "docs" / "coverage.md", page(pd.read_csv(ROOT / "docs" / "coverage.csv")))
        return
    tasks = [(units, wanted.repetitions) for units in UNITS]
    with ProcessPoolExecutor(wanted.jobs) as pool:
        rows = [row for part in pool.map(_job, tasks) for row in part]
    table = pd.DataFrame(rows)
    order = {name: i for i, name in enumerate((*SCENARIOS, *MEANS))}
    table = table.sort_values(
        ["score", "interval", "scenario", "units"], key=lambda c: c.map(order) if c.name == "scenario" else c
    )
    text = table.to_csv(index=False, lineterminator="\n")
    if wanted.out:
        write_text(wanted.out, text)
        return
    write_text(ROOT / "docs" / "coverage.csv", text)
    own = table[table["interval"] == CHOSEN]
    write_text(FILE, own.to_csv(index=False, lineterminator="\n"))
    write_text(ROOT / "docs" / "coverage.md", page(table))


if __name__ == "__main__":
    main()
