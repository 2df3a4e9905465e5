"""Measure how often the 95 % intervals of the leaderboard contain the true score, per number of units.

Populations of persons, videos and pictures with known true scores are sampled repeatedly; each sample gets
the intervals that the leaderboard would give: of UAR, accuracy and macro-F1, of means over several targets,
and of the difference of two methods. Writes `docs/coverage.md`, `docs/coverage.csv` (everything) and
`fer_bench/evaluation/coverage.csv` (the interval that is used: what the leaderboard quotes).

    python benchmarks/coverage.py --repetitions 1000 --jobs 1
"""

from __future__ import annotations

import argparse
import zlib
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from coverage_page import page
from coverage_populations import MEANS, POPULATIONS, SCENARIOS
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from fer_bench.evaluation import confusion, metrics
from fer_bench.evaluation.contributions import Contributions
from fer_bench.evaluation.coverage import CHOSEN, FILE
from fer_bench.evaluation.estimates import average, difference_interval
from fer_bench.evaluation.intervals import Value, wilson_interval
from fer_bench.evaluation.statistics import LEVEL, interval, resample_weights
from fer_bench.files import write_text

ROOT = Path(__file__).parents[1]
UNITS = (10, 15, 20, 30, 50, 100, 200)
LARGE = 100_000
BLOCK = 25
"""Samples that are resampled with the same weights, which do not depend on the data."""
SCORES = ("uar", "accuracy", "macro_f1")
ESTIMATED = {metric.name: metric.function for metric in metrics.BUILT_IN if metric.shown}
Floats = NDArray[np.float64]


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
    """Counts how often intervals contained the true score."""

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
    """Return the true scores of a population [K, K] over the classes of a sample, as tables do."""
    part = np.where(present[:, None], population, 0)
    found = {name: float(function(part)) for name, function in ESTIMATED.items()}
    return found | {"accuracy": float(confusion.accuracy(population))}


@dataclass(frozen=True)
class Seen:
    """A sample as the leaderboard sees it.

    Attributes:
        values: Scores with intervals.
        truth: True scores.
        smallest: Units with the rarest present class.
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
    """Return coverage and mean width of every interval for samples of a number of units.

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
        table = pd.read_csv(ROOT / "docs" / "coverage.csv")
        write_text(
            ROOT / "docs" / "coverage.md", page(pd.read_csv(ROOT / "docs" / "coverage.csv"), POPULATIONS)
        )
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
    write_text(ROOT / "docs" / "coverage.md", page(table, POPULATIONS))


if __name__ == "__main__":
    main()
