"""Work out what all targets of a run cost beside its training, for the wild sources at their real sizes.

Rates are those measured for the profile `paper` (`fer_bench/runs/rates.json`), sizes those that the datasets'
cards expect. Nothing is timed, so that the figures change only with rates, recipes and rules.

    python -m benchmarks.speed.cross_dataset
"""

from __future__ import annotations

from benchmarks.speed.harness import Ratio, Report, run_benchmark
from fer_bench import datasets, methods
from fer_bench.config import TrainSettings
from fer_bench.runs.rates import Rate, measured, seconds_at
from fer_bench.runs.resolve import resolve_settings

WILD = ("rafdb", "affectnet7", "expw", "affwild2")
WANTED = 0.15
CARVED = 0.1
"""Share of the training rows that validate, where no official validation part is used for it."""
EXPW = (0.7, 0.15, 0.15)
FRAMES = 4
"""Rows of a recorded sequence as a target: its first frame as neutral, and its last three."""
MMI_CLIPS = 208
"""Labelled frontal clips, as papers count them; the card expects no number."""


def expected(name: str, split: str, unit: str = "images") -> int:
    """Return how many rows of a split the card expects: of the classes of the default protocol, if it can."""
    card = datasets.get(name).card
    protocol = next(one for one in card.protocols if one.name == card.default_protocol)
    wanted = set(protocol.label_set)
    counts = {
        one.code: one.n
        for one in card.counts
        if one.split == split and one.unit == unit and one.code is not None
    }
    return sum(n for code, n in counts.items() if card.emotion_of(code) in wanted)


def sizes() -> dict[str, tuple[int, int, int]]:
    """Return the training, validation and test rows of each wild dataset at its real size."""
    found = {}
    for name, test in (("rafdb", "test"), ("affectnet7", "val"), ("affwild2", "val")):
        train = expected(name, "train")
        found[name] = (round(train * (1 - CARVED)), round(train * CARVED), expected(name, test))
    faces = expected("expw", "none", "faces")
    parts = [round(faces * share) for share in EXPW]
    return {**found, "expw": (parts[0], parts[1], parts[2])}


def targets() -> dict[str, int]:
    """Return how many rows of each dataset are predicted where it is a target."""
    sequences = {
        "ckplus": expected("ckplus", "none", "sequences"),
        "mmi": MMI_CLIPS,
        "oulu": next(one.n for one in datasets.get("oulu").card.counts if one.unit == "sequences"),
    }
    lab = {name: count * FRAMES for name, count in sequences.items()}
    return lab | {name: rows[2] for name, rows in sizes().items()}


def share_of(rate: Rate, how: TrainSettings, source: str) -> float:
    """Return what predicting everything at the end of a run takes, as a share of its training."""
    train, val, test = sizes()[source]
    others = sum(rows for name, rows in targets().items() if name != source)
    training, rest = seconds_at(rate, how, train=train, val=val, tested=test + others)
    return rest / training


def measure(rounds: int) -> Report:
    """Work out the shares; rounds change nothing."""
    shares: dict[str, dict[str, float]] = {}
    for method in methods.BUILT_IN:
        rate, (_, how) = measured().rates[method]["paper"], resolve_settings(method, "paper")
        shares[method] = {source: share_of(rate, how, source) for source in WILD}
    return Report(
        title="Cross-dataset evaluation",
        text="What a run of the profile `paper` takes to predict its validation and test rows and all six "
        "targets at its end, as a share of its training, from measured rates and the real sizes.",
        ratios=tuple(
            Ratio(f"{method}: all targets / training, worst source", max(each.values()), WANTED, "lower")
            for method, each in shares.items()
        ),
        figures={"rows of targets": targets(), "train, val, test rows": sizes()},
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
