from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from fer_bench.results.predictions import Predictions, PredictionsMeta, predictions_frame
from fer_bench.results.record import Record

CLASSES = ("happiness", "anger")
Make = Callable[..., Predictions]


@pytest.fixture(scope="session")
def record():
    """Return a function that makes a record."""

    def make(**changes):
        values = {
            "status": "done",
            "key": "0123456789abcdef",
            "method": "gcn",
            "dataset": "oulu",
            "protocol": "6-4fold",
            "fold": 1,
            "folds": 4,
            "seed": 0,
            "profile": "quick",
            "data_kind": "synthetic",
            "classes": CLASSES,
            "settings": {},
            "key_fields": {},
        }
        return Record(**{**values, **changes})

    return make


@pytest.fixture
def make() -> Make:
    """Return a function that makes predictions from labels and logits."""

    def predictions(
        classes: Sequence[str],
        labels: Sequence[str | None],
        logits: object,
        units: Sequence[str] | None = None,
        *,
        source: str = "oulu",
        target: str = "rafdb",
    ) -> Predictions:
        ids = [f"s{i:04d}" for i in range(len(labels))]
        meta = PredictionsMeta(
            key="k",
            method="gcn",
            source=source,
            target=target,
            selection="val",
            checkpoint="c",
            card_version=1,
            fingerprint="f",
            pixels="p",
            recipe="box 64",
            classes=tuple(classes),
        )
        frame = predictions_frame(
            sample_ids=ids,
            units=list(units) if units is not None else ids,
            labels=labels,
            classes=classes,
            logits=np.asarray(logits, np.float32),
        )
        return Predictions(frame, meta)

    return predictions
