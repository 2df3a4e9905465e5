"""Work out what all targets of a run cost beside its training, for the wild sources at their real sizes.

Rates are those measured for the profile `paper` (`fer_bench/runs/rates.json`), sizes those of
`paper_rows.py`. Nothing is timed, so that the figures change only with rates, recipes and rules.

    python -m benchmarks.speed.cross_dataset
"""

from __future__ import annotations

from dataclasses import asdict

from benchmarks.speed.harness import Ratio, Report, run_benchmark
from benchmarks.speed.paper_rows import published
from fer_bench import methods
from fer_bench.config import TrainSettings
from fer_bench.runs.rates import Rate, measured, seconds_at
from fer_bench.runs.resolve import resolve_settings

WILD = ("rafdb", "affectnet7", "expw", "affwild2")
WANTED = 0.15


def share_of(name: str, rate: Rate, how: TrainSettings, source: str) -> float:
    """Return what predicting everything at the end of a run takes, as a share of its training."""
    sizes = published(name)
    own = sizes[source]
    others = sum(rows.target for target, rows in sizes.items() if target != source)
    training, rest = seconds_at(rate, how, train=own.train, val=own.val, tested=own.test + others)
    return rest / training


def measure(rounds: int) -> Report:
    """Work out the shares; rounds change nothing."""
    shares: dict[str, dict[str, float]] = {}
    for method in methods.BUILT_IN:
        rate, (_, how) = measured().rates[method]["paper"], resolve_settings(method, "paper")
        shares[method] = {source: share_of(method, rate, how, source) for source in WILD}
    return Report(
        title="Cross-dataset evaluation",
        text="What a run of the profile `paper` takes to predict its validation and test rows and all six "
        "targets at its end, as a share of its training: computed from the rates of one core of "
        f"{measured().processor} and the real sizes.",
        ratios=tuple(
            Ratio(f"{method}: all targets / training, worst source", max(each.values()), WANTED, "lower")
            for method, each in shares.items()
        ),
        figures={
            method: {name: asdict(rows) for name, rows in published(method).items()}
            for method in methods.BUILT_IN
        },
        tables=(
            (
                "Share of the training time, by source",
                ("method", *WILD),
                [(method, *(f"{each[source]:.1%}" for source in WILD)) for method, each in shares.items()],
            ),
        ),
    )


if __name__ == "__main__":
    run_benchmark(__doc__, measure)
