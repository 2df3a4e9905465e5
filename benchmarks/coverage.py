"""Measure what the leaderboard's intervals and tests are worth where the true scores are known.

Equally good methods are trained with several seeds and tested on samples of persons, videos or pictures.
Each sample gets the intervals and the tests that the leaderboard would give: of UAR, accuracy and macro-F1,
of the difference of two methods, of means over targets and of retention. Counted is how often an interval
holds the truth, how often two methods are called different (type-I error) and how often any pair of several
is; beside it stands a second way, a bootstrap that draws units and seeds. Writes `docs/coverage.csv`,
`docs/coverage.md` and `fer_bench/evaluation/coverage.csv` (what the leaderboard quotes).

    python benchmarks/coverage.py --repetitions 400 --jobs 2
"""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from coverage_page import page
from coverage_populations import POPULATIONS, Case, sample, truths
from numpy.typing import NDArray

from fer_bench.evaluation import pairs
from fer_bench.evaluation.components import Combined
from fer_bench.evaluation.contributions import recalls
from fer_bench.evaluation.coverage import FAMILY, FILE
from fer_bench.evaluation.estimates import Estimate, estimate
from fer_bench.evaluation.intervals import Value, average, difference, ratio
from fer_bench.evaluation.statistics import Answers
from fer_bench.files import write_text

ROOT = Path(__file__).parents[1]
SCORES = ("uar", "accuracy", "macro_f1")
LEVELS = (0.5, 0.75, 0.9, 0.98)
SEED_SDS = (0.0, 0.02, 0.04)
TARGETS = (("persons", 40), ("videos", 38), ("pictures, uneven", 300))
"""Targets of the mean transfer score; the first population is also the source's own test set."""
TOGETHER = (
    ("persons", 11),
    ("persons", 40),
    ("videos", 38),
    ("pictures, even", 300),
    ("pictures, uneven", 3000),
)
"""Where several methods are compared."""
OWN_LEVEL = 0.8
BOOTSTRAP = 400
"""Resamples of the second way."""
FAMILIES = (5, 12)
"""Numbers of equal methods among which no pair should be called different."""
DRAWS = (2_000, 32_000)
"""Random ways of swapping, least and most: fewer than the leaderboard's, as no p-value is printed."""
Floats = NDArray[np.float64]
Row = dict[str, object]


def cases() -> Iterator[Case]:
    """Return everything that is simulated."""
    for name, population in POPULATIONS.items():
        for units in population.units:
            for level, sd in product(LEVELS, SEED_SDS):
                yield Case(name, units, level, 3, sd)
            for sd in SEED_SDS:
                yield Case(name, units, 0.75, 5, sd)
                yield Case(name, units, 0.75, 3, sd, "opposite")
            yield Case(name, units, 0.75, 1, 0.0)
    for (name, units), sd in product(TOGETHER, SEED_SDS):
        for seeds, methods in ((3, FAMILIES[0]), (5, FAMILIES[0]), (3, FAMILIES[1])):
            yield Case(name, units, 0.75, seeds, sd, methods=methods)


class Tally:
    """Counts how often intervals held the truth."""

    def __init__(self) -> None:
        self.held: dict[str, list[tuple[bool, float]]] = {}

    def add(self, score: str, found: Value | None, truth: float) -> None:
        """Note the interval of a score, nothing where there is none."""
        if found is not None and found.interval is not None:
            self.add_ends(score, found.interval.low, found.interval.high, truth)

    def add_ends(self, score: str, low: float, high: float, truth: float) -> None:
        """Note the ends of an interval."""
        self.note(score, bool(low - 1e-9 <= truth <= high + 1e-9), high - low)

    def note(self, score: str, right: bool, width: float = 0.0) -> None:
        """Note whether an interval held the truth, or a test decided rightly."""
        self.held.setdefault(score, []).append((right, width))

    def rows(self, place: Row) -> list[Row]:
        """Return one row of the table per score."""
        lines = []
        for score, found in self.held.items():
            inside, width = np.array(found, float).T
            rates = {"held": round(float(inside.mean()), 4), "width": round(float(width.mean()), 4)}
            lines.append({**place, "score": score, "repetitions": len(found), **rates})
        return lines


def simulate(case: Case, repetitions: int) -> list[Row]:
    """Return how often the truth was held, per score; `test` is the share of right decisions of the test."""
    tally = Tally()
    seeds = tuple(range(case.seeds))
    if case.methods > 2:
        for number in range(repetitions):
            tally.note(FAMILY, not _family_told_apart(sample(case, _random(case, number)), seeds))
        return tally.rows(asdict(case))
    known = truths(case)
    for number in range(repetitions):
        rng = _random(case, number)
        models = sample(case, rng)
        if len({one.truth.max() for one in models[0]}) > 1 or _lacks_a_class(models[0][0]):
            continue  # the true score over fewer classes is another
        first, second = (estimate(one, "target", seeds=seeds, training="source") for one in models)
        for score in SCORES:
            tally.add(score, first.values[score], known[0].scores[score])
        tally.add("difference", difference(first.values["uar"], second.values["uar"]), 0.0)
        if case.seeds > 1:
            tally.add_ends("two-level bootstrap", *two_levels(models[0], rng), known[0].scores["uar"])
            tally.note("test", not _told_apart(first, second))
    return tally.rows(asdict(case))


def _lacks_a_class(given: Answers) -> bool:
    return len(np.unique(given.truth)) < len(given.classes)


def _random(case: Case, number: int) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(f"{case}/{number}".encode()))


def _told_apart(first: Estimate, second: Estimate) -> bool:
    """Return whether the test tells two methods apart."""
    sums = {name: e.values["uar"].combined for name, e in (("first", first), ("second", second))}
    return _any_told_apart({name: one for name, one in sums.items() if one is not None})


def _family_told_apart(models: list[list[Answers]], seeds: tuple[int, ...]) -> bool:
    """Return whether the tests tell any pair of several methods apart."""
    found = (recalls(one, seeds).component("target", "source") for one in models)
    return _any_told_apart({f"method {at}": Combined((one,)) for at, one in enumerate(found)})


def _any_told_apart(sums: dict[str, Combined]) -> bool:
    return any(test.significant for test in pairs.compare(sums).tests)


def _draw_less() -> None:
    """Draw fewer ways of swapping, in a process of its own."""
    pairs.LEAST_DRAWS, pairs.MOST_DRAWS = DRAWS


def two_levels(models: list[Answers], rng: np.random.Generator) -> tuple[float, float]:
    """Return the percentile interval of UAR from a bootstrap of units and of seeds."""
    k = len(models[0].classes)
    code, names = pd.factorize(models[0].units)
    shape = (len(names), k)
    rows = np.zeros(shape)
    np.add.at(rows, (code, models[0].truth), 1)
    hits = np.zeros((len(models), *shape))
    for at, model in enumerate(models):
        np.add.at(hits[at], (code, model.truth), model.truth == model.answer)
    weights = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), BOOTSTRAP).astype(float)
    total = np.maximum(weights @ rows, 1e-9)
    by_seed = ((weights @ hits) / total).mean(-1)  # [S, B]
    drawn = rng.integers(len(models), size=(len(models), BOOTSTRAP))
    low, high = np.quantile(np.take_along_axis(by_seed, drawn, 0).mean(0), (0.025, 0.975))
    return float(low), float(high)


def simulate_means(seeds: int, seed_sd: float, repetitions: int) -> list[Row]:
    """Return how often the truth was held for mean transfer over three targets, and for retention."""
    tally = Tally()
    cases = [Case(name, units, 0.6, seeds, seed_sd) for name, units in TARGETS]
    own = replace(cases[0], level=OWN_LEVEL)
    for number in range(repetitions):
        rng = np.random.default_rng(zlib.crc32(f"means/{seeds}/{seed_sd}/{number}".encode()))
        shifts = rng.normal(size=(2, seeds))
        found: list[list[Value]] = [[], []]
        chance = []
        for case in cases:
            models = sample(case, rng, shifts)
            chance.append(1 / len(models[0][0].classes))
            for method, mine in enumerate(models):
                whole = estimate(mine, case.population, seeds=range(seeds), training="source")
                found[method].append(whole.values["transfer"])
        truth = float(np.mean([(0.6 - c) / (1 - c) for c in chance]))
        means = [average(values) for values in found]
        tally.add("mean transfer", means[0], truth)
        tally.add("difference of means", difference(means[0], means[1]), 0.0)
        mine = sample(own, rng, shifts)[0]
        base = estimate(mine, "own", seeds=range(seeds), training="source").values["transfer"]
        tally.add("retention", ratio(means[0], base), truth / ((OWN_LEVEL - 1 / 6) / (1 - 1 / 6)))
    place = {"population": "three targets", "units": 0, "level": 0.6, "seeds": seeds, "seed_sd": seed_sd}
    return tally.rows({**place, "profiles": "same", "methods": 2})


def _job(repetitions: int, task: Case | tuple[int, float]) -> list[Row]:
    return simulate(task, repetitions) if isinstance(task, Case) else simulate_means(*task, repetitions)


def main() -> None:
    """Simulate and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--repetitions", type=int, default=400)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", type=Path, help="Write the table there and nothing else.")
    parser.add_argument("--page", action="store_true", help="Write the page from the stored table again.")
    wanted = parser.parse_args()
    if wanted.page:
        _write(pd.read_csv(ROOT / "docs" / "coverage.csv"))
        return
    tasks: list[Case | tuple[int, float]] = [*cases(), *product((3, 5), SEED_SDS), (1, 0.0)]
    with ProcessPoolExecutor(wanted.jobs, initializer=_draw_less) as pool:
        rows = [row for part in pool.map(partial(_job, wanted.repetitions), tasks) for row in part]
    table = pd.DataFrame(rows)
    if wanted.out:
        write_text(wanted.out, table.to_csv(index=False, lineterminator="\n"))
        return
    _write(table)


def _write(table: pd.DataFrame) -> None:
    text = table.to_csv(index=False, lineterminator="\n")
    write_text(ROOT / "docs" / "coverage.csv", text)
    write_text(FILE, text)
    write_text(ROOT / "docs" / "coverage.md", page(table, {n: p.text for n, p in POPULATIONS.items()}))


if __name__ == "__main__":
    main()
