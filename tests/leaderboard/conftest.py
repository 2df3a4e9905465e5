"""A small store, written with the real writers: what a sweep of two methods would leave."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from fer_bench.emotions import LABEL_SETS
from fer_bench.evaluation.scoring import score_predictions
from fer_bench.files import short_hash
from fer_bench.results.predictions import Predictions, PredictionsMeta, predictions_frame, write_predictions
from fer_bench.results.record import OUTSIDE, Chosen, Failure, Record, TargetData
from fer_bench.results.store import Store

EMOTIONS = {
    "ckplus": "7c",
    "mmi": "6",
    "oulu": "6",
    "rafdb": "7",
    "affectnet7": "7",
    "expw": "7",
    "affwild2": "8o",
}
KNOWN = dict.fromkeys(EMOTIONS, LABEL_SETS["7"]) | {"ckplus": LABEL_SETS["8"]}
KNOWN |= {"mmi": LABEL_SETS["6"], "affwild2": LABEL_SETS["8o"]}
LAB = ("ckplus", "mmi", "oulu")
Add = Callable[..., Record]


def _draw(
    name: str, emotions: Sequence[str], fold: int | None, rows: int
) -> tuple[list[str], list[str], list[str]]:
    """Return ids, units and labels of a dataset's test rows; lab folds hold a quarter of the persons."""
    ids = [f"{name}-{i:04d}" for i in range(rows)]
    persons = [i // 8 for i in range(rows)]
    units = [f"p{p:03d}" for p in persons] if name in LAB else ids
    labels = [str(emotions[(7 * i + i // 8) % len(emotions)]) for i in range(rows)]
    keep = [fold is None or p % 4 == fold - 1 for p in persons]
    return tuple([v for v, k in zip(column, keep, strict=True) if k] for column in (ids, units, labels))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


@pytest.fixture
def add(store: Store) -> Add:
    """Return a function that adds one run to the store."""
    return adder(store)


def adder(store: Store) -> Add:
    """Return a function that adds one run to a store."""

    def add_run(
        method: str = "gcn",
        dataset: str = "oulu",
        *,
        skill: float = 1.5,
        fold: int = 1,
        seed: int = 0,
        targets: Sequence[str] = tuple(EMOTIONS),
        status: str = "done",
        rows: int = 400,
        changes: dict[str, object] | None = None,
        known: dict[str, Sequence[str]] | None = None,
        **fields: object,
    ) -> Record:
        classes = tuple(e.value for e in LABEL_SETS[EMOTIONS.get(dataset, "6")])
        parts = [] if dataset == OUTSIDE else dataset.split("+")
        emotions_of = KNOWN | (known or {})
        protocol = str(fields.pop("protocol", f"{len(classes)}-4fold" if dataset in LAB else "official"))
        folds = 4 if dataset in LAB else 1
        lr = {"method": {"lr": 0.01}, "code": "c0de"} | (changes or {})
        key_fields = {
            "name": method,
            "dataset": dataset,
            "protocol": protocol,
            "fold": fold,
            "seed": seed,
            **lr,
        }
        profile = str(fields.get("profile", "quick"))
        kind = str(fields.get("data_kind", "synthetic"))
        key = short_hash([key_fields, profile, kind])
        run = store.run_dir(method, dataset, key)
        scores, data = [], {}
        for target in dict.fromkeys((*parts, *targets)) if status == "done" else ():
            own = target in parts
            emotions = classes if own else list(emotions_of[target])
            ids, units, labels = _draw(target, emotions, fold if own and folds > 1 else None, rows)
            rng = np.random.default_rng(zlib.crc32(f"{method}{dataset}{target}{fold}{seed}".encode()))
            logits = rng.normal(size=(len(ids), len(classes))).astype(np.float32)
            for i, label in enumerate(labels):
                if label in classes:
                    logits[i, classes.index(label)] += skill if own else 0.6 * skill
            meta = PredictionsMeta(
                key=key,
                method=method,
                source=dataset,
                target=target,
                selection="val",
                checkpoint="ab" * 32,
                card_version=1,
                fingerprint=f"f-{target}",
                pixels=f"p-{target}",
                recipe="box 64",
                classes=classes,
            )
            frame = predictions_frame(
                sample_ids=ids, units=units, labels=labels, classes=classes, logits=logits
            )
            predictions = Predictions(frame, meta)
            write_predictions(run.predictions_file(target, "val"), predictions)
            scores.append(score_predictions(predictions, target_emotions=emotions_of[target]))
            data[target] = TargetData(
                fingerprint=meta.fingerprint,
                pixels=meta.pixels,
                recipe=meta.recipe,
                card_version=1,
                protocol="p",
            )
        values: dict[str, object] = {
            "status": status,
            "key": key,
            "method": method,
            "dataset": dataset,
            "protocol": protocol,
            "fold": fold,
            "folds": folds,
            "seed": seed,
            "profile": profile,
            "data_kind": kind,
            "generator": {"version": 1, "size": "small", "seed": 0} if kind == "synthetic" else None,
            "classes": classes,
            "settings": {"method": {"lr": 0.01}},
            "key_fields": key_fields,
            "parameters": 1_234_567,
            "multiply_adds": 20_000_000,
            "selection": {"val": Chosen(epoch=3, val_uar=0.5, checkpoint="ab" * 32)} if scores else {},
            "scores": scores,
            "targets": data,
            "environment": {
                "fer_bench": "0.1.0",
                "python": "3.11.9",
                "torch": "2.15.0",
                "commit": "abc1234",
                "gpu": None,
            },
            "error": Failure(kind="DivergedError", message="the loss became NaN")
            if status == "diverged"
            else None,
        }
        record = Record.model_validate(values | fields)
        run.write_record(record)
        return record

    return add_run


SEEDED = ("rafdb", "affectnet7", "expw")


@pytest.fixture
def seeded(add: Add) -> None:
    """Fill the store with three seeds of two methods, one clearly better, on three datasets."""
    for method, skill in (("gcn", 1.2), ("resemotenet", 2.4)):
        for dataset in SEEDED:
            for seed in (0, 1, 2):
                add(method, dataset, skill=skill, seed=seed, rows=200)


@pytest.fixture
def full(add: Add) -> None:
    """Fill the store with two methods on all seven datasets."""
    for method, skill in (("gcn", 1.2), ("resemotenet", 2.4)):
        for dataset in EMOTIONS:
            add(
                method,
                dataset,
                skill=skill,
                adapted="no neutral frames" if (method, dataset) == ("gcn", "expw") else None,
            )
