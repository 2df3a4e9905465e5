"""Measure how long scoring a large store takes: the first time, again, and against a plain loop.

Writes a store of records with predictions (a log-normal number of rows, 5,000 on average) into a temporary
folder and scores it as `fer-bench score` does.

    python benchmarks/speed/score_store.py --records 1000 --jobs 2
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import balanced_accuracy_score

from fer_bench.data.index import DEFAULTS
from fer_bench.emotions import LABEL_SETS
from fer_bench.evaluation.rescore import rescore
from fer_bench.evaluation.scoring import score_predictions
from fer_bench.files import short_hash
from fer_bench.leaderboard.page import write_leaderboard
from fer_bench.results.predictions import Predictions, PredictionsMeta, predictions_frame, write_predictions
from fer_bench.results.record import Chosen, Record, TargetData
from fer_bench.results.store import Store

CLASSES = tuple(e.value for e in LABEL_SETS["7"])
TARGETS = ("ckplus", "mmi", "oulu", "rafdb", "affectnet7", "expw", "affwild2")
LAB = TARGETS[:3]
RESAMPLES = 1000
"""Of the bootstrap that the plain loop takes for its interval; fer-bench needs none."""


def fill(store: Store, records: int, rows: int) -> None:
    """Write runs of five methods on seven datasets, each tested on its own dataset."""
    import pandas as pd

    rng = np.random.default_rng(0)
    sizes = np.exp(rng.normal(0, 0.7, len(TARGETS)))
    sizes = np.maximum(200, rows * sizes / sizes.mean()).astype(int)
    labels = [rng.choice(CLASSES, n) for n in sizes]
    for target, n, label in zip(TARGETS, sizes, labels, strict=True):
        ids = [f"{target}-{i:06d}" for i in range(n)]
        index = pd.DataFrame({name: [default] * n for name, default in DEFAULTS.items()})
        persons = [f"p{i // 40:03d}" for i in range(n)]
        index = index.assign(sample_id=ids, label=label, subject=persons, split="test", group=ids)
        store.keep_index(f"f-{target}", index.assign(gender=rng.choice(["male", "female"], n)))
    for number in range(records):
        at = number % len(TARGETS)
        target, n, label = TARGETS[at], int(sizes[at]), labels[at]
        method = f"method{number // len(TARGETS) % 5}"
        key = short_hash(number)
        logits = rng.normal(size=(n, len(CLASSES))).astype(np.float32)
        logits[np.arange(n), [CLASSES.index(name) for name in label]] += 1.5
        ids = [f"{target}-{i:06d}" for i in range(n)]
        meta = PredictionsMeta(
            key=key,
            method=method,
            source=target,
            target=target,
            selection="val",
            checkpoint="ab" * 32,
            card_version=1,
            fingerprint=f"f-{target}",
            pixels="p",
            recipe="box 64",
            classes=CLASSES,
        )
        units = [f"p{i // 40:03d}" for i in range(n)] if target in LAB else ids
        frame = predictions_frame(
            sample_ids=ids, units=units, labels=label.tolist(), classes=CLASSES, logits=logits
        )
        predictions = Predictions(frame, meta)
        run = store.run_dir(method, target, key)
        write_predictions(run.predictions_file(target, "val"), predictions)
        score = score_predictions(predictions, target_emotions=CLASSES)
        run.write_record(
            Record(
                status="done",
                key=key,
                method=method,
                dataset=target,
                protocol="speed",
                fold=1,
                folds=1,
                seed=number // (5 * len(TARGETS)),
                profile="quick",
                data_kind="synthetic",
                generator={"purpose": "speed"},
                classes=CLASSES,
                settings={},
                key_fields={"method": method, "dataset": target},
                selection={"val": Chosen(epoch=0, val_uar=0.5, checkpoint="ab" * 32)},
                scores=(score.model_copy(update={"breakdown": None}),),
                targets={
                    target: TargetData(
                        fingerprint=f"f-{target}",
                        pixels="p",
                        recipe="box 64",
                        card_version=1,
                        protocol="speed",
                    )
                },
            )
        )


def plain_loop(store: Store, records: int, draws: int = 40) -> float:
    """Return the seconds that a bootstrap of UAR with scikit-learn in a Python loop takes for one record."""
    spent = 0.0
    for record in store.records()[:records]:
        started = time.perf_counter()
        predictions = store.predictions(record, record.dataset)
        truth = predictions.frame["label"].to_numpy(str)
        answer = np.asarray(CLASSES)[predictions.logits.argmax(1)]
        rng = np.random.default_rng(0)
        reading = time.perf_counter() - started
        for _ in range(draws):
            rows = rng.integers(len(truth), size=len(truth))
            balanced_accuracy_score(truth[rows], answer[rows])
        spent += reading + (time.perf_counter() - started - reading) * RESAMPLES / draws
    return spent / records


def peak_gib(children: int) -> float:
    """Return the largest resident memory of this process and its finished children, in GiB together.

    Args:
        children: Number of children, each counted with the largest one's memory.
    """
    own, child = (
        resource.getrusage(kind).ru_maxrss for kind in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return (own + children * child) / 2**20


def main() -> None:
    """Fill a store, score it twice and print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--records", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--board", action="store_true", help="Also time the leaderboard.")
    wanted = parser.parse_args()
    print(json.dumps(scoring(wanted.records, wanted.rows, wanted.jobs, wanted.board), indent=2))


def scoring(records: int, rows: int, jobs: int, board: bool) -> dict[str, Any]:
    """Return what scoring a store takes.

    Args:
        records: Records of the store.
        rows: Rows of each, on average.
        jobs: Processes.
        board: Also time the leaderboard.
    """
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "runs")
        fill(store, records, rows)
        seconds = {}
        for name in ("first", "unchanged"):
            started = time.perf_counter()
            summary = rescore(store, jobs=jobs)
            seconds[name] = round(time.perf_counter() - started, 2)
            assert not summary.count("failed"), summary
        peak = round(peak_gib(jobs if jobs > 1 else 0), 2)
        result: dict[str, Any] = {
            "records": records,
            "rows": rows,
            "jobs": jobs,
            "seconds": seconds,
            "peak_gib": peak,
            "plain_loop_over_ours": round(plain_loop(store, 3) / (seconds["first"] * jobs / records), 1),
        }
        if board:
            started = time.perf_counter()
            write_leaderboard(store, Path(folder) / "board")
            result["leaderboard_seconds"] = round(time.perf_counter() - started, 2)
    return result


if __name__ == "__main__":
    main()
