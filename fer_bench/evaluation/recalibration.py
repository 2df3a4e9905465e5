"""Calibrate a model on labelled pictures: one temperature, and other shares of the classes; cross-fitted.

A temperature divides the logits (Guo et al. 2017). Where the classes are not as frequent as in training, the
probabilities are multiplied by the ratio of the shares, which are those of the labels or, without labels,
their maximum-likelihood estimate (Saerens, Latinne and Decaestecker 2002). Both are fitted together: the
temperature is the one that fits best once the shares are corrected.

Correcting shares is right where faces of a class look as they did in training and only their number differs.
On other cameras they look different, and the correction can do harm: `recalibrate` measures which it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from fer_bench.data.protocols import unit_interval
from fer_bench.errors import DataError
from fer_bench.evaluation import calibration as cal
from fer_bench.evaluation.before_after import Metrics
from fer_bench.evaluation.components import Combined, Component
from fer_bench.evaluation.confusion import Floats, class_codes
from fer_bench.evaluation.contributions import LEAST_REST, SHARED_ROWS
from fer_bench.evaluation.estimates import answers, estimate
from fer_bench.evaluation.intervals import Value, difference, symmetric
from fer_bench.evaluation.statistics import Answers, Interval
from fer_bench.results.predictions import Predictions

Rule = Literal["none", "labels", "em"]
"""Where the shares of the classes come from: not corrected, from labels, or from the predictions alone."""
FOLDS = 5
SHARPNESS = (1 / 50, 50.0)
"""Bounds of one over the temperature."""
STEPS = 300
"""Steps of the estimate of the shares at most."""
CLOSE = 1e-7
LEAST_SHARE = 1e-4
"""No class is taken to be rarer than this, so that none becomes impossible."""


@dataclass(frozen=True)
class Calibrator:
    """What calibrates logits.

    Attributes:
        temperature: Divides the logits.
        offsets: Added after that, per class: the logarithm of the ratio of its shares.
    """

    temperature: float
    offsets: tuple[float, ...]

    def log_probabilities(self, logits: Floats) -> Floats:
        """Return log-probabilities [N, K] of logits [N, K]."""
        found: Floats = log_softmax(logits / self.temperature + np.array(self.offsets), axis=1)
        return found


def shares_of_labels(truth: NDArray[np.int64], classes: int) -> Floats:
    """Return the shares of the classes among labels, each counted once more than it comes (Laplace)."""
    counts = np.bincount(truth, minlength=classes) + 1.0
    shares: Floats = counts / counts.sum()
    return shares


def shares_by_em(log_p: Floats, source: Floats, start: Floats | None = None) -> Floats:
    """Return the shares of the classes that explain unlabelled predictions best.

    Expectation-maximisation of Saerens et al. 2002, equation 4: the likelihood is concave in the shares.

    Args:
        log_p: Calibrated log-probabilities [N, K] under the shares of the training rows.
        source: These shares [K], all above 0.
        start: Where the search begins, all above 0; by default at `source`.
    """
    p = np.exp(log_p)
    shares = source.copy() if start is None else start
    for _ in range(STEPS):
        ratio = shares / source
        new = ratio * (p.T @ (1 / (p @ ratio))) / len(p)
        done = float(np.abs(new - shares).max()) < CLOSE
        shares = new
        if done:
            break
    shares = np.maximum(shares, LEAST_SHARE)
    shares /= shares.sum()
    return shares


def fit(
    logits: Floats, truth: NDArray[np.int64], rule: Rule = "none", source: Floats | None = None
) -> Calibrator:
    """Fit temperature and shares to labelled rows, by maximum likelihood.

    Args:
        logits: [N, K].
        truth: Positions of the true classes [N].
        rule: Where the shares come from.
        source: Shares of the classes in training [K]; equal by default.
    """
    k = logits.shape[1]
    before = np.full(k, 1 / k) if source is None else source

    latest: Floats | None = None  # estimates at nearby temperatures are close

    def offsets(sharpness: float) -> Floats:
        nonlocal latest
        if rule == "none":
            return np.zeros(k)
        if rule == "labels":
            return np.log(shares_of_labels(truth, k) / before)
        log_p = log_softmax(sharpness * logits, axis=1)
        latest = shares_by_em(log_p, before, latest)
        return np.log(latest / before)

    def loss(place: float) -> float:
        sharpness = float(np.exp(place))
        log_p = log_softmax(sharpness * logits + offsets(sharpness), axis=1)
        return cal.negative_log_likelihood(log_p, truth)

    grid = np.linspace(np.log(SHARPNESS[0]), np.log(SHARPNESS[1]), 13)
    best = int(np.argmin([loss(place) for place in grid]))
    ends = grid[max(0, best - 1)], grid[min(len(grid) - 1, best + 1)]
    found = minimize_scalar(loss, bounds=ends, method="bounded", options={"xatol": 1e-5})
    sharpness = float(np.exp(found.x))
    return Calibrator(1 / sharpness, tuple(map(float, offsets(sharpness))))


def unit_folds(units: Sequence[str], truth: NDArray[np.int64], folds: int = FOLDS) -> NDArray[np.int64]:
    """Return the fold of each row: a unit is in one fold whole, and folds have about the same classes.

    Units are dealt in turn, those of the same commonest class one after the other; their order depends on
    their names alone.

    Args:
        units: Unit of each row [N].
        truth: Class of each row [N].
        folds: Number of folds at most; there are no more than units.

    Raises:
        DataError: There is one unit only.
    """
    names, first, code = np.unique(np.asarray(units, str), return_index=True, return_inverse=True)
    if len(names) < 2:
        raise DataError("calibration needs at least two units: it is fitted on some and tested on others")
    classes = int(truth.max()) + 1
    held = np.zeros((len(names), classes))
    np.add.at(held, (code, truth), 1)
    order = np.lexsort((first, unit_interval(names.tolist(), "calibration"), held.argmax(1)))
    fold = np.empty(len(names), np.int64)
    fold[order] = np.arange(len(names)) % min(folds, len(names))
    return np.asarray(fold[code], np.int64)


def cross_fit(
    logits: Floats,
    truth: NDArray[np.int64],
    fold: NDArray[np.int64],
    rule: Rule = "none",
    source: Floats | None = None,
) -> tuple[Floats, list[Calibrator]]:
    """Return log-probabilities [N, K] of rows, each calibrated on the rows of the other folds.

    Args:
        logits: [N, K].
        truth: Positions of the true classes [N].
        fold: Fold of each row [N], see `unit_folds`.
        rule: See `fit`.
        source: See `fit`.

    Returns:
        The log-probabilities, and what was fitted for each fold.

    Raises:
        DataError: All rows are in one fold.
    """
    found, fitted = np.empty_like(logits), []
    for one in range(int(fold.max()) + 1):
        here = fold == one
        if here.all():
            raise DataError("calibration needs labelled rows of at least two units: it is tested on others")
        fitted.append(fit(logits[~here], truth[~here], rule, source))
        found[here] = fitted[-1].log_probabilities(logits[here])
    return found, fitted


@dataclass(frozen=True)
class Recalibration:
    """What a calibration does to labelled rows.

    Attributes:
        rule: Where the shares of the classes came from.
        classes: Scored classes.
        calibrator: Fitted on all rows; its offsets are per class of the model, 0 for classes not scored.
        temperatures: Those of the folds.
        folds: Number of folds.
        n: Rows.
        units: Units.
        source: Share of each scored class in training.
        target: Share of each scored class on the site, as the rule estimates it; equal to `source` without
            correction.
        metrics: `nll`, `ece`, `uar` and `accuracy` before, after and their difference; after is of rows that
            the calibration was not fitted on.
        probabilities: Of every row of the predictions over all classes of the model [M, C], each calibrated
            on other units; rows without a label too.
    """

    rule: Rule
    classes: tuple[str, ...]
    calibrator: Calibrator
    temperatures: tuple[float, ...]
    folds: int
    n: int
    units: int
    source: dict[str, float]
    target: dict[str, float]
    metrics: dict[str, Metrics]
    probabilities: Floats


def recalibrate(
    predictions: Predictions,
    label_set: Sequence[str],
    *,
    rule: Rule = "none",
    source: Mapping[str, float] | None = None,
) -> Recalibration:
    """Calibrate a model's predictions on a label set, and say what it does to rows it was not fitted on.

    Args:
        predictions: Predictions on labelled rows.
        label_set: Scored classes.
        rule: Where the shares of the classes come from.
        source: Share, or number, of each class in training; equal where it is not given.

    Raises:
        DataError: No row can be scored, or there is one unit only.
    """
    given = answers(predictions, label_set)
    if not len(given.truth):
        raise DataError("no row has a class that the model knows, so there is nothing to calibrate on")
    places = [given.classes.index(name) for name in given.scored_classes]
    lookup = np.full(len(given.classes), -1)
    lookup[places] = np.arange(len(places))
    truth = lookup[given.truth]
    frame, every = predictions.frame, predictions.logits.astype(np.float64)
    kept = frame["label"].isin(given.scored_classes).to_numpy()
    codes = class_codes(frame["label"], given.classes)
    folds = unit_folds(frame["unit"].tolist(), np.where(codes < 0, len(given.classes), codes))
    logits = every[kept][:, places]
    before = _shares(given.scored_classes, source)
    log_p, fitted = cross_fit(logits, truth, folds[kept], rule, before)
    whole = _for_all(fit(logits, truth, rule, before), places, len(given.classes))
    probabilities = np.empty_like(every)
    for one, calibrator in enumerate(fitted):
        here = folds == one
        spread = _for_all(calibrator, places, len(given.classes))
        probabilities[here] = np.exp(spread.log_probabilities(every[here]))
    after = replace(given, answer=np.asarray(places, np.int64)[log_p.argmax(1)])
    metrics = {
        **_of_probabilities(log_softmax(logits, axis=1), log_p, truth, given),
        **_of_answers(given, after, predictions.meta.target),
    }
    weighted = before * np.exp([whole.offsets[place] for place in places])
    names = given.scored_classes
    return Recalibration(
        rule=rule,
        classes=names,
        calibrator=whole,
        temperatures=tuple(one.temperature for one in fitted),
        folds=len(fitted),
        n=len(truth),
        units=len(np.unique(given.units.astype(str))),
        source=dict(zip(names, map(float, before), strict=True)),
        target=dict(zip(names, map(float, weighted / weighted.sum()), strict=True)),
        metrics=metrics,
        probabilities=probabilities,
    )


def _for_all(calibrator: Calibrator, places: Sequence[int], classes: int) -> Calibrator:
    """Return a calibrator of scored classes for all classes of the model; others keep their odds."""
    offsets = np.zeros(classes)
    offsets[list(places)] = calibrator.offsets
    return Calibrator(calibrator.temperature, tuple(map(float, offsets)))


def _shares(classes: Sequence[str], given: Mapping[str, float] | None) -> Floats:
    counts = np.array([1.0 if given is None else float(given.get(name, 0.0)) for name in classes])
    shares = np.maximum(counts / counts.sum(), LEAST_SHARE) if counts.sum() > 0 else np.ones(len(classes))
    normed: Floats = shares / shares.sum()
    return normed


def _of_probabilities(
    before: Floats, after: Floats, truth: NDArray[np.int64], given: Answers
) -> dict[str, Metrics]:
    found = {}
    for name, rows_of in (("nll", _losses), ("ece", _gaps)):
        values = [
            mean_of_rows(rows_of(log_p, truth), given.units, training=which)
            for which, log_p in (("before", before), ("after", after))
        ]
        apart = difference(values[1], values[0])
        assert apart is not None
        found[name] = Metrics(_at_least_0(values[0]), _at_least_0(values[1]), apart)
    return found


def _losses(log_p: Floats, truth: NDArray[np.int64]) -> Floats:
    losses: Floats = -log_p[np.arange(len(truth)), truth]
    return losses


def _gaps(log_p: Floats, truth: NDArray[np.int64]) -> Floats:
    """Return what each row adds to the expected calibration error of the answer; the mean is the error."""
    confidence, right = np.exp(log_p.max(1)), (log_p.argmax(1) == truth).astype(np.float64)
    bins = cal.equal_width(confidence)
    sign = np.sign(np.bincount(bins, weights=confidence - right, minlength=cal.BINS))
    gaps: Floats = sign[bins] * (confidence - right)
    return gaps


def mean_of_rows(
    values: Floats, units: NDArray[np.object_], *, training: str = "", target: str = ""
) -> Value:
    """Return a mean over rows with its interval over whole units (a linearised ratio).

    Args:
        values: Of each row [N].
        units: Unit of each row [N].
        training: Names the model, see `Component`.
        target: Names the rows, see `Component`.
    """
    names, code = np.unique(units.astype(str), return_inverse=True)
    n = len(values)
    held = np.bincount(code).astype(np.float64)
    sums = np.bincount(code, weights=values)
    mean = float(values.mean())
    rest = np.maximum(1 - held / n, LEAST_REST)
    part = Component(
        training=training,
        target=target,
        seeds=(0,),
        scores=np.array([mean]),
        units=names.astype(object),
        terms=(sums / n)[None],
        pulls=((sums - mean * held) / n / rest)[None],
        unseen=0.0,
        freedom=max(1.0, 1 / float(((held / n) ** 2).sum()) - 1),
        pictures=n <= (1 + SHARED_ROWS) * len(names),
        rows="",
    )
    return symmetric(Combined((part,)))


def _at_least_0(value: Value) -> Value:
    if value.interval is None:
        return value
    return replace(value, interval=Interval(max(0.0, value.interval.low), value.interval.high))


def _of_answers(before: Answers, after: Answers, target: str) -> dict[str, Metrics]:
    first, second = (
        estimate([given], target, seeds=(0,), training=which)
        for which, given in (("before", before), ("after", after))
    )
    found = {}
    same = bool((before.answer == after.answer).all())
    for name in ("uar", "accuracy"):
        apart = difference(second.values[name], first.values[name])
        assert apart is not None
        if same and first.values[name].interval is not None:  # one temperature: other rows show no change
            apart = replace(apart, interval=Interval(0.0, 0.0))
        found[name] = Metrics(first.values[name], second.values[name], apart)
    return found
