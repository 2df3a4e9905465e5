"""Measure whether the synthetic stand-in behaves like real data, with a small network and a neighbour search.

A stand-in must show what real datasets show: a small network learns the expressions of every dataset but not
perfectly, and far better than the nearest neighbour on pixels; it loses on other datasets; splitting a lab
dataset by frames instead of persons flatters it; more people in training help; action units, valence and
arousal can be learnt. Everything is drawn, trained and scored here; no run is stored.

    python benchmarks/synthetic_realism.py --population development
    python benchmarks/synthetic_realism.py --write

The generator's constants were chosen on the development population alone. The tables of the benchmark's own
population go into `docs/synthetic.md`, all figures into `docs/synthetic-realism-benchmark.json`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from readme_section import figure_table, write_section
from realism_measures import FEWEST, SHARES, load, measure_dataset

from fer_bench import datasets
from fer_bench.files import usable_cores, write_text
from fer_bench.synthetic import GENERATOR_VERSION

ROOT = Path(__file__).parents[1]


def measure(population: str, drawing: int, seeds: Sequence[int], names: Sequence[str]) -> dict[str, Any]:
    """Return every figure, as {what: {dataset: [one per seed]}}."""
    for name in names:  # drawn here, so that the processes do not draw it again
        load(name, population, drawing)
    found: dict[str, Any] = {}
    with ProcessPoolExecutor(usable_cores(), mp_context=get_context("fork")) as pool:
        running = {
            (name, seed): pool.submit(measure_dataset, name, population, drawing, seed, names)
            for seed in seeds
            for name in names
        }
        for (name, seed), future in running.items():
            for what, result in future.result().items():
                found.setdefault(what, {}).setdefault(name, []).append(result)
            print(f"measured {name}, seed {seed}", file=sys.stderr, flush=True)
    return found


def mean(results: Sequence[Mapping[str, Any]], *path: str) -> float:
    """Return the mean over seeds of the figure at a path."""
    values = []
    for result in results:
        value: Any = result
        for name in path:
            value = value[name]
        values.append(float(value))
    return float(np.mean(values))


def gaps(found: Mapping[str, Any]) -> list[tuple[str, str, float, float]]:
    """Return source, target, UAR there and in-domain UAR on the same classes, for every pair."""
    return [
        (source, target, mean(results, target, "uar"), mean(results, target, "in_domain"))
        for source, results in found["crossing"].items()
        for target in results[0]
    ]


def verdicts(found: Mapping[str, Any]) -> list[tuple[str, bool]]:
    """Return the properties of real datasets, as sentences, and whether the drawn ones have them."""
    own = found["in_domain"]
    net = {name: mean(results, "network", "accuracy") for name, results in own.items()}
    pairs = gaps(found)
    split = found["frame_split"]
    affects = [(name, results) for name, results in found["affect"].items() if results[0]]
    return [
        (
            "a small network gets 55 to 95 % of every dataset right",
            all(0.55 <= value <= 0.95 for value in net.values()),
        ),
        (
            "everywhere 15 points more than the nearest neighbour on pixels and the most frequent class get",
            all(
                net[name] - max(mean(results, "neighbour", "accuracy"), results[0]["most_frequent"]) >= 0.15
                for name, results in own.items()
            ),
        ),
        (
            "on most other datasets it loses at least 10 points of UAR",
            2 * sum(here - there >= 0.10 for _, _, there, here in pairs) > len(pairs),
        ),
        (
            "folds by frames flatter every lab dataset by at least 5 points",
            all(
                mean(results, "uar") - mean(own[name], "network", "uar") >= 0.05
                for name, results in split.items()
            ),
        ),
        (
            "twice as many people help everywhere, from a quarter to half and from half to all",
            all(
                mean(results, few, "uar") < mean(results, more, "uar")
                for results in found["people"].values()
                for few, more in (("0.25", "0.5"), ("0.5", "1"))
            ),
        ),
        (
            "valence and arousal reach a CCC of 0.3, action units an F1 5 points above calling all present",
            all(
                mean(results, dimension) >= 0.3
                for _, results in affects
                for dimension in ("valence", "arousal")
                if dimension in results[0]
            )
            and all(
                mean(results, "au_f1") - mean(results, "au_f1_always") >= 0.05
                for _, results in affects
                if "au_f1" in results[0]
            ),
        ),
    ]


def report(stored: Mapping[str, Any]) -> str:
    """Return the verdicts and tables of stored figures as markdown."""
    found, seeds = stored["found"], stored["seeds"]
    lines = [
        f"**SYNTHETIC DATA**, generator version {stored['generator_version']}, size {stored['size']}, "
        f"{stored['population']} population, drawing {stored['drawing']}; seeds of the networks: "
        f"{', '.join(map(str, seeds))}. Figures in %, differences in points. Lab datasets: all folds of the "
        "quick protocol, test rows pooled, each answered by the network that was not trained on its person; "
        "on other datasets the mean over the folds' networks.",
        "",
        *(f"* {'holds' if holds else '**does not hold**'}: {what}" for what, holds in verdicts(found)),
        "",
        *own_table(found["in_domain"]),
        *pair_table(found),
        *frame_table(found),
        *people_table(found["people"]),
        *affect_table(found["affect"]),
    ]
    return "\n".join(lines).rstrip()


def section(text: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a sentence and its table."""
    return [text, "", *figure_table(header, rows), ""]


def percent(share: float) -> str:
    """Return a share as percent."""
    return f"{100 * share:.1f}"


def own_table(found: Mapping[str, Any]) -> list[str]:
    """Return the scores on the datasets' own test rows."""
    rows = [
        [
            name,
            f"{results[0]['train_rows']:,}",
            f"{results[0]['network']['n']:,}",
            percent(mean(results, "network", "accuracy")),
            percent(mean(results, "network", "uar")),
            percent(mean(results, "neighbour", "accuracy")),
            percent(mean(results, "most_frequent")),
            percent(mean(results, "chance")),
        ]
        for name, results in found.items()
    ]
    header = (
        *("dataset", "training rows", "test rows", "accuracy", "UAR", "nearest neighbour: accuracy"),
        *("most frequent class: accuracy", "chance: UAR"),
    )
    text = "A network of four convolutions at 48 pixels, trained and tested on the same dataset:"
    return section(text, header, rows)


def pair_table(found: Mapping[str, Any]) -> list[str]:
    """Return the scores on other datasets."""
    names = list(found["crossing"])
    by_pair = {(source, target): (there, own) for source, target, there, own in gaps(found)}

    def cell(source: str, target: str) -> str:
        if source == target:
            return "-"
        there, own = by_pair[source, target]
        return f"{100 * there:.0f} ({100 * (own - there):.0f})"

    far = sum(own - there >= 0.10 for there, own in by_pair.values())
    return [
        *section(
            "UAR of the network trained on a row's dataset, tested on a column's (classes that both have); "
            "in brackets the loss in points against its own test rows of the same classes:",
            ("", *(f"on {name}" for name in names)),
            [[f"from {source}", *(cell(source, target) for target in names)] for source in names],
        ),
        f"In {far} of {len(by_pair)} pairs the loss is at least 10 points.",
        "",
    ]


def frame_table(found: Mapping[str, Any]) -> list[str]:
    """Return how much folds by frames flatter."""
    rows = []
    for name, results in found["frame_split"].items():
        persons, frames = mean(found["in_domain"][name], "network", "uar"), mean(results, "uar")
        rows.append([name, percent(persons), percent(frames), f"{100 * (frames - persons):+.1f}"])
    return section(
        "Lab datasets split into folds of the same sizes by single frames instead of by persons, the mistake "
        "that protocols by subject avoid:",
        ("dataset", "by person, UAR", "by frame, UAR", "flattered by, points"),
        rows,
    )


def people_table(found: Mapping[str, Any]) -> list[str]:
    """Return the scores after training on fewer people."""
    rows = [
        [
            name,
            str(results[0]["1"]["people"]),
            *(percent(mean(results, f"{share:g}", "uar")) for share in SHARES),
        ]
        for name, results in found.items()
    ]
    return section(
        "UAR after training on a share of the people (of the photos, where people are not identified), for "
        "the same number of steps:",
        ("dataset", "people", *(f"{100 * share:.0f} % of them" for share in SHARES)),
        rows,
    )


def affect_table(found: Mapping[str, Any]) -> list[str]:
    """Return the scores of valence, arousal and action units."""
    rows = []
    for name, results in found.items():
        known = results[0]
        if not known:
            continue
        units = "-"
        if "au_f1" in known:
            units = f"{percent(mean(results, 'au_f1'))} ({percent(known['au_f1_always'])})"
        affects = [f"{mean(results, d):.2f}" if d in known else "-" for d in ("valence", "arousal")]
        rows.append([name, *affects, units, str(known.get("aus", "-"))])
    return section(
        "Valence and arousal (CCC, -1 to 1) and action units (F1 in %, mean over units with at least "
        f"{FEWEST} positive test rows; in brackets that of calling every row positive):",
        ("dataset", "valence", "arousal", "action units", "units"),
        rows,
    )


def main(arguments: list[str] | None = None) -> int:
    """Measure, print and write; return 1 if a property of real datasets does not hold."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--population", choices=("benchmark", "development"), default="benchmark")
    parser.add_argument("--drawing", type=int, default=0, help="seed of the generator")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1], help="seeds of the trainings")
    parser.add_argument("--datasets", nargs="+", choices=datasets.MAIN_SEVEN, default=datasets.MAIN_SEVEN)
    parser.add_argument("--write", action="store_true", help="put the figures into the docs")
    parser.add_argument("--stored", type=Path, help="render this file of figures instead of measuring")
    given = parser.parse_args(arguments)
    if given.write and set(given.datasets) != set(datasets.MAIN_SEVEN):
        parser.error("--write needs all datasets: the docs would lose the tables of the others")
    if given.stored is not None:
        stored = json.loads(given.stored.read_text(encoding="utf-8"))
    else:
        stored = {
            "generator_version": GENERATOR_VERSION,
            "size": "quick",
            "population": given.population,
            "drawing": given.drawing,
            "seeds": given.seeds,
            "found": measure(given.population, given.drawing, given.seeds, given.datasets),
        }
    if given.write and stored["population"] != "benchmark":
        parser.error("--write needs the benchmark population: the docs show that one")
    text = report(stored)
    print(text)
    if given.write:
        write_section(ROOT / "docs" / "synthetic.md", "realism-benchmark", text)
        figures = json.dumps(stored, indent=1) + "\n"
        write_text(ROOT / "docs" / "synthetic-realism-benchmark.json", figures)
    return 0 if all(holds for _, holds in verdicts(stored["found"])) else 1


if __name__ == "__main__":
    sys.exit(main())
