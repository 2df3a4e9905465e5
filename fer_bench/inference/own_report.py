"""What labelled pictures of one's own say about a model, beside its in-domain score. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from fer_bench.errors import DataError
from fer_bench.evaluation import calibration as cal
from fer_bench.evaluation.estimates import Estimate, answers, estimate
from fer_bench.evaluation.intervals import Value
from fer_bench.evaluation.metrics import estimated
from fer_bench.evaluation.precision import Growth, growth
from fer_bench.evaluation.recalibration import Recalibration, Rule, recalibrate
from fer_bench.evaluation.selective import Curve, Threshold, find_threshold, risk_coverage
from fer_bench.inference.card import DeploymentCard
from fer_bench.inference.model_card import CardScore, ModelCard
from fer_bench.inference.own_data import Outcome
from fer_bench.results.predictions import Predictions

PLURAL = {"subject": "people", "video": "videos", "image": "pictures"}
"""Units in words, by what a card calls them."""


@dataclass(frozen=True)
class Abstaining:
    """Answering only when sure.

    Attributes:
        curve: Error against coverage.
        threshold: For a wanted error rate; None without one.
        calibrated: Whether probabilities are those after calibration, each fitted on other units.
    """

    curve: Curve
    threshold: Threshold | None
    calibrated: bool


@dataclass(frozen=True)
class Report:
    """What labelled pictures say about a model.

    Attributes:
        outcome: The test.
        here: Scores on them, with intervals.
        home: Scores of the same weights on the test rows of what they learned from, over the same classes,
            where the predictions are stored; by dataset.
        described: In-domain scores of its model card, over all its classes.
        growth: How many more units halve the interval of UAR; None without one.
        recalibrations: One per rule of `recalibration.Rule`; empty where it was not asked for.
        calibration: The one that is taken.
        abstaining: Error against coverage.
    """

    outcome: Outcome
    here: Estimate
    home: Mapping[str, Estimate]
    described: tuple[CardScore, ...]
    growth: Growth | None
    recalibrations: tuple[Recalibration, ...]
    calibration: Recalibration | None
    abstaining: Abstaining

    @property
    def units(self) -> str:
        """What varies as a whole, in words."""
        return PLURAL[self.outcome.unit]

    def document(self) -> dict[str, Any]:
        """Return it as a JSON document."""
        return {
            "target": self.outcome.target,
            "stored": str(self.outcome.folder),
            "score": self.outcome.score.model_dump(mode="json"),
            "metrics": _values(self.here.values),
            "units": {"kind": self.outcome.unit, "count": self.here.units},
            "in_domain": {
                "same_classes": {name: _values(one.values) for name, one in self.home.items()},
                "model_card": [one.model_dump(mode="json") for one in self.described],
            },
            "halves_the_interval": None
            if self.growth is None
            else {"more": self.growth.more, "fewest_by_class": self.growth.by_class},
            "calibration": None
            if self.calibration is None
            else {
                "taken": self.calibration.rule,
                "tried": [_calibration(one) for one in self.recalibrations],
            },
            "abstaining": _abstaining(self.abstaining),
        }


def report(
    outcome: Outcome,
    described: ModelCard | None = None,
    card: DeploymentCard | None = None,
    *,
    shares: Rule | Literal["best"] | None = None,
    training_counts: Mapping[str, float] | None = None,
    max_error: float | None = None,
    level: float = 0.95,
) -> Report:
    """Return what labelled pictures say about a model.

    Args:
        outcome: What it did on them.
        described: Its model card, None for a model that was trained elsewhere.
        card: What predicting with it needs, with the calibration that it has already.
        shares: Which calibration to take, `best` by the negative log-likelihood of rows that it was not
            fitted on; None does not calibrate.
        training_counts: How often each class was learned; equally often where nobody knows.
        max_error: Error rate for which a threshold is wanted.
        level: Confidence of the statement about it.

    Raises:
        DataError: There is one unit only, so that nothing can be fitted on some and tested on others.
        UsageError: A share is out of range.
    """
    predictions, label_set = corrected(outcome.predictions, card), outcome.score.label_set
    given = answers(predictions, label_set)
    here = estimate([given], outcome.target, seeds=(0,))
    home = {}
    for name, one in outcome.home.items():
        own = answers(corrected(one, card), label_set)
        if len(own.truth):
            home[name] = estimate([own], name, seeds=(0,))
    recalibrations = tuple(
        recalibrate(predictions, label_set, rule=rule, source=training_counts)
        for rule in (get_args(Rule) if shares is not None else ())
    )
    named = [one for one in recalibrations if one.rule == shares] or recalibrations
    calibration = min(named, key=lambda one: one.metrics["nll"].after.value, default=None)
    return Report(
        outcome=outcome,
        here=here,
        home=home,
        described=() if described is None else tuple(one for one in described.scores if one.in_domain),
        growth=growth(here.values["uar"], given),
        recalibrations=recalibrations,
        calibration=calibration,
        abstaining=abstain(predictions, calibration, max_error, level),
    )


def corrected(predictions: Predictions, card: DeploymentCard | None) -> Predictions:
    """Return predictions with the calibration that a model has already; stored logits are not corrected."""
    if card is None:
        return predictions
    if card.temperature == 1 and not any(card.offsets):
        return predictions
    log_p = np.log(card.probabilities(predictions.logits)).astype(np.float32)
    names = [f"logit_{name}" for name in predictions.meta.classes]
    frame = predictions.frame.assign(**{name: log_p[:, at] for at, name in enumerate(names)})
    return Predictions(frame, predictions.meta)


def abstain(
    predictions: Predictions, calibration: Recalibration | None, max_error: float | None, level: float
) -> Abstaining:
    """Return error against coverage as `predict` would meet it.

    All labelled rows count, and all classes of the model may be answered: a face with a label that the model
    does not know is always answered wrong.

    Args:
        predictions: With the calibration that the model has already.
        calibration: A further one.
        max_error: Error rate for which a threshold is wanted.
        level: Confidence of the statement about it.
    """
    frame = predictions.frame
    kept = frame["label"].notna().to_numpy()
    if not kept.any():
        raise DataError("no row has a label", value=predictions.meta.target)
    p: NDArray[np.float64]
    if calibration is None:
        p = np.exp(cal.log_probabilities(predictions.logits[kept]))
    else:
        p = calibration.probabilities[kept]
    answered = np.array(predictions.meta.classes, object)[p.argmax(axis=1)]
    wrong = answered != frame["label"][kept].to_numpy(object)
    units = frame["unit"][kept].tolist()
    confidence = p.max(axis=1)
    return Abstaining(
        curve=risk_coverage(confidence, wrong, units),
        threshold=None if max_error is None else find_threshold(confidence, wrong, units, max_error, level),
        calibrated=calibration is not None,
    )


def _values(values: Mapping[str, Value]) -> dict[str, Any]:
    return {name: values[name].plain for name in estimated() if name in values}


def _calibration(found: Recalibration) -> dict[str, Any]:
    return {
        "shares": found.rule,
        "temperature": found.calibrator.temperature,
        "offsets": list(found.calibrator.offsets),
        "temperatures_of_folds": list(found.temperatures),
        "share_in_training": found.source,
        "share_here": found.target,
        "folds": found.folds,
        "n": found.n,
        "units": found.units,
        "metrics": {
            name: {which: value.plain for which, value in one._asdict().items()}
            for name, one in found.metrics.items()
        },
    }


def _abstaining(found: Abstaining) -> dict[str, Any]:
    curve, threshold = found.curve, found.threshold
    return {
        "calibrated": found.calibrated,
        "n": curve.n,
        "units": curve.units,
        "error": curve.error,
        "aurc": Value(curve.aurc, curve.aurc_interval).plain,
        "aurc_of_perfect_ranking": curve.ideal,
        "curve": [
            {"p": float(p), "coverage": float(c), "error": float(r)}
            for p, c, r in zip(*thinned(curve), strict=True)
        ],
        "threshold": None
        if threshold is None
        else {
            "max_error": threshold.wanted,
            "confidence": threshold.level,
            "abstain_below": threshold.probability,
            "coverage": threshold.coverage,
            "error": threshold.error,
            "upper_bound": threshold.bound,
            "statement": threshold.statement,
        },
    }


def thinned(curve: Curve, most: int = 200) -> tuple[NDArray[np.float64], ...]:
    """Return thresholds, coverage and risk of a curve at so many points at most, its ends among them."""
    count = len(curve.coverage)
    at = np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(int))
    return curve.thresholds[at], curve.coverage[at], curve.risk[at]
