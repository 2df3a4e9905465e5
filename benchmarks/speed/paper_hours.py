"""What the `paper` profile takes on the published sizes of the main datasets: computed from `rates.json`.

The rates are of one CPU core. No GPU was measured: hours on GPUs rest on `CORES_PER_GPU`, an assumption.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fer_bench import methods
from fer_bench.runs.rates import Rate, measured, seconds_at
from fer_bench.runs.resolve import resolve_settings

CORES_PER_GPU = 100
"""ASSUMPTION: a GPU trains and predicts as fast as so many of the cores that `rates.json` was measured on."""
GPUS, SEEDS = 8, 3


@dataclass(frozen=True)
class Rows:
    """Published rows of a dataset under its default protocol; of lab datasets, a fold's.

    Attributes:
        folds: Runs per seed.
        train: Rows trained on.
        val: Rows validated after each epoch.
        test: Rows tested in-domain.
        target: Rows tested when trained elsewhere.
    """

    folds: int
    train: int
    val: int
    test: int
    target: int


DATASETS = {
    "ckplus": Rows(10, 785, 98, 98, 1_236),
    "mmi": Rows(10, 492, 61, 62, 820),
    "oulu": Rows(10, 1_152, 144, 144, 1_920),
    "rafdb": Rows(1, 11_044, 1_227, 3_068, 3_068),
    "affectnet7": Rows(1, 255_511, 28_390, 3_500, 3_500),
    "expw": Rows(1, 64_255, 13_769, 13_769, 13_769),
    "affwild2": Rows(1, 128_100, 14_233, 26_876, 26_876),
}
"""By the sources named in `docs/datasets/`; lab datasets and carved validation parts rounded."""


def hours(rate: Rate, name: str, source: str) -> dict[str, float]:
    """Return the core-hours of a run by what they are spent on.

    Args:
        rate: How fast the method is under `paper`.
        name: The method.
        source: The dataset trained on.
    """
    rows, how = DATASETS[source], resolve_settings(name, "paper")[1]
    tested = rows.test + sum(other.target for to, other in DATASETS.items() if to != source)
    plain = rate.model_copy(update={"encode": None})
    training, predicting = seconds_at(rate, how, train=rows.train, val=rows.val, tested=tested)
    steps = seconds_at(plain, how, train=rows.train, val=0, tested=0)[0]
    validation, ending = seconds_at(plain, how, train=0, val=rows.val, tested=tested)
    tower = 0.0 if rate.encode is None else training - steps - validation + predicting - ending
    found = {"steps": steps, "validation": validation, "frozen tower": tower, "predicting": ending}
    return {what: seconds / 3600 for what, seconds in found.items()}


def rates() -> dict[str, Rate]:
    """Return the rates of the `paper` profile by method."""
    return {name: found["paper"] for name, found in measured().rates.items() if "paper" in found}


def per_run() -> tuple[tuple[str, ...], list[list[str]]]:
    """Return a table of core-hours of a run: a row per dataset, a column per method."""
    known = rates()
    rows = [
        [source, *(_short(sum(hours(rate, name, source).values())) for name, rate in known.items())]
        for source in DATASETS
    ]
    return ("trained on", *known), rows


def on_gpus() -> tuple[tuple[str, ...], list[list[str]]]:
    """Return a table of all runs of a method: how many, where the time goes, hours on GPUs, what is read.

    A run takes one GPU, so that all of them take the longest at least.
    """
    rows = []
    for name, rate in rates().items():
        spent = _total((DATASETS[source].folds * SEEDS, hours(rate, name, source)) for source in DATASETS)
        whole, longest = sum(spent.values()), max(sum(hours(rate, name, one).values()) for one in DATASETS)
        largest = max(spent, key=lambda what: spent[what])
        settings = resolve_settings(name, "paper")[0]
        side = methods.get(name).input_spec(settings).size
        read = GPUS * CORES_PER_GPU * rate.train * side * side * 3 / 1e9
        rows.append(
            [
                name,
                str(sum(rows.folds for rows in DATASETS.values()) * SEEDS),
                _short(whole),
                f"{100 * spent[largest] / whole:.0f} % {largest}",
                _short(longest / CORES_PER_GPU),
                _short(max(whole / GPUS, longest) / CORES_PER_GPU),
                f"{read:.1f} GB/s",
            ]
        )
    header = ("method", "runs", "core-hours", "largest part", "longest run, hours on a GPU")
    header = (*header, f"all, hours on {GPUS} GPUs", "pictures read then")
    return header, rows


def _total(parts: Iterable[tuple[int, dict[str, float]]]) -> dict[str, float]:
    spent: dict[str, float] = {}
    for times, found in parts:
        for what, amount in found.items():
            spent[what] = spent.get(what, 0.0) + times * amount
    return spent


def _short(value: float) -> str:
    return f"{float(f'{value:.2g}'):,g}"
