"""Finding a run's worst mistakes and keeping their pictures, for drawn faces only."""

from __future__ import annotations

import base64

import numpy as np
import pandas as pd

from fer_bench.data.packs.pack import Pack
from fer_bench.evaluation.calibration import log_probabilities
from fer_bench.evaluation.estimates import answers
from fer_bench.results.mistakes import Mistake, Mistakes
from fer_bench.results.predictions import Predictions
from fer_bench.results.record import Score

SIDE = 56
"""Pixels of a kept picture."""
QUALITY = 75


def worst_mistakes(predictions: Predictions, score: Score, index: pd.DataFrame, pack: Pack) -> Mistakes:
    """Return the wrong answer of each class that the model was surest of, with its picture.

    Args:
        predictions: Of drawn faces.
        score: Their score.
        index: Index of the target.
        pack: Its crops, in the order of the index.
    """
    given = answers(predictions, score.label_set)
    rows = predictions.frame["label"].isin(given.scored_classes).to_numpy()
    scored = [given.classes.index(name) for name in given.scored_classes]
    shares = np.full((len(given.truth), len(given.classes)), -np.inf)
    shares[:, scored] = log_probabilities(predictions.logits[rows][:, scored])
    sureness = np.exp(shares[np.arange(len(shares)), given.answer])
    places = pd.Index(index["sample_id"]).get_indexer(pd.Index(given.samples))
    found = []
    for code in scored:
        wrong = np.flatnonzero((given.truth == code) & (given.answer != code))
        if not len(wrong):
            continue
        worst = int(min(wrong, key=lambda i: (-sureness[i], given.samples[i])))
        found.append(
            Mistake(
                sample_id=str(given.samples[worst]),
                truth=given.classes[code],
                answer=given.classes[int(given.answer[worst])],
                probability=round(float(sureness[worst]), 4),
                picture=_picture(pack, int(places[worst])),
            )
        )
    meta = predictions.meta
    return Mistakes(checkpoint=meta.checkpoint, fingerprint=meta.fingerprint, mistakes=tuple(found))


def _picture(pack: Pack, row: int) -> str:
    import cv2

    small = cv2.resize(np.ascontiguousarray(pack.pixels[row]), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(".jpg", small[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return base64.b64encode(data.tobytes()).decode("ascii")
