"""Measure what grows with the size of a dataset, a store or a sweep, against a plain loop over the same.

A twentieth of the published sizes, so that it takes two minutes; `index_scale`, `plan_scale`, `score_store`
and `sweep_overhead` measure whole sizes, with limits in seconds and bytes.
"""

from __future__ import annotations

from benchmarks.speed.harness import Ratio, Report, run_benchmark
from benchmarks.speed.index_scale import KINDS, built
from benchmarks.speed.plan_scale import planning
from benchmarks.speed.score_store import scoring
from benchmarks.speed.sweep_overhead import RATIO, overhead

SHARE = 0.05
RUNS = 500
RECORDS, ROWS = 20, 5000
EPOCHS = 24


def measure(rounds: int) -> Report:
    """Measure everything once; the parts take too long for more rounds."""
    ratios = []
    for kind in KINDS:
        found, kept, plain = built(kind, SHARE)
        reading = f"{kind}, {found['rows']:,} rows"
        ratios += [
            Ratio(
                f"index of {reading}: build / read its label files", found["seconds"] / plain, None, "lower"
            ),
            Ratio(f"index of {reading}: open / build", kept["seconds"] / found["seconds"], None, "lower"),
        ]
    few, many = planning(RUNS), planning(2 * RUNS)
    scored = scoring(RECORDS, ROWS, jobs=1, board=False)
    added = overhead(runs=min(rounds, 2), epochs=EPOCHS)
    return Report(
        title="Large datasets, stores and sweeps",
        text=(
            f"Label files of {SHARE:.0%} of the published sizes; planning sweeps whose runs are all in the "
            f"store; scoring {RECORDS} records of {ROWS:,} rows; a sweep of runs of {EPOCHS} epochs, one "
            "after another. Wall time."
        ),
        ratios=(
            *ratios,
            Ratio(f"plan {2 * RUNS:,} runs / {RUNS:,} runs", many["seconds"] / few["seconds"], 2.2, "lower"),
            Ratio(
                "intervals: bootstrap of scikit-learn in a loop / ours", scored["plain_loop_over_ours"], None
            ),
            Ratio("sweep / its runs alone", added["ratio"], RATIO, "lower"),
        ),
        figures={"plan": [few, many], "score": scored, "sweep": added},
    )


if __name__ == "__main__":
    run_benchmark(__doc__, measure)
