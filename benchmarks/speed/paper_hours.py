"""What the `paper` profile takes on the published sizes of the main datasets: computed from `rates.json`.

The rates are of one CPU core. No GPU was measured: hours on GPUs rest on `CORES_PER_GPU`, an assumption.
"""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.speed.paper_rows import published
from benchmarks.speed.stored import read_stored
from fer_bench import methods
from fer_bench.datasets import MAIN_SEVEN
from fer_bench.runs.rates import Rate, measured, seconds_at
from fer_bench.runs.resolve import resolve_settings

CORES_PER_GPU = 100
"""ASSUMPTION: a GPU trains and predicts as fast as so many of the cores that `rates.json` was measured on."""
GPUS, SEEDS = 8, 3


def hours(rate: Rate, name: str, source: str) -> dict[str, float]:
    """Return the core-hours of a run by what they are spent on.

    Args:
        rate: How fast the method is under `paper`.
        name: The method.
        source: The dataset trained on.
    """
    sizes, how = published(name), resolve_settings(name, "paper")[1]
    rows = sizes[source]
    tested = rows.test + sum(other.target for to, other in sizes.items() if to != source)
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
        for source in MAIN_SEVEN
    ]
    return ("trained on", *known), rows


def on_gpus() -> tuple[tuple[str, ...], list[list[str]]]:
    """Return a table of all runs of a method: where the time goes, hours on GPUs, what limits them.

    A run takes one GPU, so that all of them take the longest at least.
    """
    rows = []
    for name, rate in rates().items():
        sizes = published(name)
        by_source = {source: hours(rate, name, source) for source in sizes}
        spent = _total((sizes[source].folds * SEEDS, by_source[source]) for source in sizes)
        whole, largest = sum(spent.values()), max(spent, key=lambda what: spent[what])
        longest = max(sizes, key=lambda source: sum(by_source[source].values()))
        alone = sum(by_source[longest].values())
        pictures = GPUS * CORES_PER_GPU * rate.train
        side = methods.get(name).input_spec(resolve_settings(name, "paper")[0]).size
        rows.append(
            [
                name,
                str(sum(each.folds for each in sizes.values()) * SEEDS),
                _short(whole),
                f"{100 * spent[largest] / whole:.0f} % {largest}",
                _short(max(whole / GPUS, alone) / CORES_PER_GPU),
                f"a run on {longest}" if alone > whole / GPUS else "all runs together",
                f"{pictures * side * side * 3 / 1e9:.1f} GB/s",
                _short(pictures / _loaded_by_a_core(side)),
            ]
        )
    header = ("method", "runs", "core-hours", "largest part", f"all, hours on {GPUS} GPUs", "which limits")
    return (*header, f"pictures read by {GPUS} GPUs", "cores of this processor that load them"), rows


def _loaded_by_a_core(side: int) -> float:
    """Return how many pictures of a size a core loads and augments a second, as was measured."""
    stored = read_stored("input_pipeline")
    assert stored is not None
    known = stored.report.figures["pictures a second of one core"]
    rates = {int(name.removesuffix(" px")): found["packed"] for name, found in known.items()}
    return float(rates[min(each for each in rates if each >= side)])


def _total(parts: Iterable[tuple[int, dict[str, float]]]) -> dict[str, float]:
    spent: dict[str, float] = {}
    for times, found in parts:
        for what, amount in found.items():
            spent[what] = spent.get(what, 0.0) + times * amount
    return spent


def _short(value: float) -> str:
    return f"{float(f'{value:.2g}'):,g}"
