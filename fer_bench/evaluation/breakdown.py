"""What a score is made of: per class, group and vote, calibration, valence-arousal and action units."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fer_bench.emotions import ABAW_EXPRESSIONS, ACTION_UNITS, Emotion
from fer_bench.evaluation import affect, confusion
from fer_bench.evaluation import calibration as cal
from fer_bench.evaluation.confusion import Floats
from fer_bench.evaluation.estimates import estimate
from fer_bench.evaluation.groups import attributes_of, group_scores
from fer_bench.evaluation.statistics import Answers
from fer_bench.evaluation.votes import PREFIX, score_votes
from fer_bench.results.predictions import Predictions
from fer_bench.results.scores import (
    Bin,
    Breakdown,
    Calibration,
    ClassScore,
    DimensionScore,
    UnitScore,
)


def break_down(
    predictions: Predictions, given: Answers, *, in_domain: bool, index: pd.DataFrame | None = None
) -> Breakdown:
    """Return what the score of predictions is made of.

    Args:
        predictions: Stored predictions.
        given: Restricted answers on the scored rows, at least one.
        in_domain: Whether the target is the source or a member of it.
        index: Kept attributes of the target's rows, for groups and votes.
    """
    places = [given.classes.index(name) for name in given.scored_classes]
    whole = confusion.count_pairs(given.truth, given.answer, len(given.classes))
    matrix = whole[np.ix_(places, places)]
    rows, recall = confusion.support(matrix), confusion.recalls(matrix)
    precision, f1 = confusion.precisions(matrix), confusion.f1s(matrix)
    worst = int(np.nanargmin(recall))
    target = predictions.meta.target
    found = estimate([given], target)
    scored = predictions.frame["label"].isin(given.scored_classes).to_numpy()
    log_p = cal.log_probabilities(predictions.logits[scored][:, places])
    lookup = np.full(len(given.classes), -1)
    lookup[places] = np.arange(len(places))
    truth, answer = lookup[given.truth], lookup[given.answer]
    va = _dimensions(predictions.frame)
    au = _action_units(predictions.frame)
    va_ccc = affect.mean_of([d.ccc for d in va.values()])
    complete = len(va) == 2 and len(au) == len(ACTION_UNITS) and int((rows > 0).sum()) == ABAW_EXPRESSIONS
    abaw = None
    if in_domain and complete:
        parts = ([d.ccc for d in va.values()], [_known(v) for v in f1], [u.f1 for u in au.values()])
        abaw = affect.abaw_sum(*parts)
    return Breakdown(
        classes=given.scored_classes,
        confusion=tuple(tuple(int(v) for v in line) for line in matrix),
        per_class={
            name: ClassScore(
                n=int(rows[i]),
                answered=int(matrix[:, i].sum()),
                recall=_known(recall[i]),
                precision=_known(precision[i]),
                f1=_known(f1[i]),
            )
            for i, name in enumerate(given.scored_classes)
        },
        worst_class=given.scored_classes[worst],
        worst_recall=float(recall[worst]),
        units=found.units,
        intervals={
            name: (value.interval.low, value.interval.high)
            for name, value in found.values.items()
            if value.interval is not None
        },
        calibration=_calibration(log_p, truth, answer),
        va=va,
        va_ccc=va_ccc,
        au=au,
        au_f1=affect.mean_or_zeros([u.f1 for u in au.values()]) if au else None,
        abaw=abaw,
        **_joined(index, target, given, truth, answer, log_p),
    )


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _calibration(log_p: Floats, truth: NDArray[np.int64], answer: NDArray[np.int64]) -> Calibration:
    p = np.exp(log_p)
    confidence = p[np.arange(len(p)), answer]
    right = (truth == answer).astype(np.float64)
    even = cal.equal_width(confidence)
    return Calibration(
        ece=cal.calibration_error(confidence, right, even),
        ece_adaptive=cal.calibration_error(confidence, right, cal.equal_mass(confidence)),
        ece_classwise=cal.classwise_error(p, truth),
        brier=cal.brier(p, truth),
        nll=cal.negative_log_likelihood(log_p, truth),
        curve=tuple(
            Bin(n=n, confidence=sure, accuracy=hits)
            for n, sure, hits in cal.reliability(confidence, right, even)
        ),
    )


def _dimensions(frame: pd.DataFrame) -> dict[str, DimensionScore]:
    found = {}
    for name in ("valence", "arousal"):
        if name not in frame.columns:
            continue
        true = frame[f"{name}_true"].to_numpy(np.float64)
        known = np.isfinite(true)
        if not known.any():
            continue
        true, predicted = true[known], frame[name].to_numpy(np.float64)[known]
        found[name] = DimensionScore(
            n=len(true),
            ccc=affect.concordance(predicted, true),
            pcc=affect.pearson(predicted, true),
            rmse=affect.rmse(predicted, true),
            sign_agreement=affect.sign_agreement(predicted, true),
        )
    return found


def _action_units(frame: pd.DataFrame) -> dict[str, UnitScore]:
    found = {}
    for number in ACTION_UNITS:
        name = f"au_{number}"
        if name not in frame.columns:
            continue
        truth = frame[f"{name}_true"].to_numpy()
        known = truth >= 0
        if not known.any():
            continue
        shown, logit = truth[known] == 1, frame[name].to_numpy(np.float64)[known]
        found[name] = UnitScore(
            n=len(shown),
            positives=int(shown.sum()),
            f1=affect.binary_f1(logit > 0, shown),
            ap=affect.average_precision(logit, shown),
        )
    return found


def _joined(
    index: pd.DataFrame | None,
    target: str,
    given: Answers,
    truth: NDArray[np.int64],
    answer: NDArray[np.int64],
    log_p: Floats,
) -> dict[str, object]:
    if index is None:
        return {}
    names = given.scored_classes
    rows = index.set_index("sample_id").reindex(given.samples).reset_index(drop=True)
    found = {
        attribute: group_scores(values, truth, answer, names)
        for attribute, values in attributes_of(rows, target).items()
    }
    votes = None
    voted = [e.value for e in Emotion if f"{PREFIX}{e.value}" in rows.columns]
    if set(names) <= set(voted):
        counts = rows[[f"{PREFIX}{name}" for name in voted]].fillna(0).to_numpy(np.float64)
        scored = np.array([voted.index(name) for name in names])
        votes = score_votes(counts, scored, answer, log_p)
    return {"groups": {name: groups for name, groups in found.items() if groups}, "votes": votes}
