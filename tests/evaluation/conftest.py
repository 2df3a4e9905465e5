from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from fer_bench.results.predictions import Predictions, PredictionsMeta, predictions_frame

Make = Callable[..., Predictions]


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
