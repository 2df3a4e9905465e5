"""Answering only when sure: error against coverage, and a threshold for a wanted error rate.

A model that abstains below a top probability P errs less on what it keeps. The threshold for a wanted error
rate comes with a statement of confidence from *Learn then Test* (Angelopoulos et al. 2021): thresholds are
tested from strict to loose, each test asking whether the error of what is kept is surely below the wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit
from scipy.stats import beta, binom

from fer_bench.data.protocols import unit_interval
from fer_bench.errors import UsageError
from fer_bench.evaluation.components import LEVEL, MIN_UNITS
from fer_bench.evaluation.confusion import Floats
from fer_bench.evaluation.statistics import Interval

GRID = tuple(round(1 - 0.01 * step, 2) for step in range(1, 101))
"""Thresholds that are tested, strict ones first. They are fixed, so that the data do not choose them."""
STARTS = (0.99, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.0)
"""Thresholds at which a sequence of tests starts; each has an equal part of the risk."""
GROUPS = 40
"""Groups of units that are left out in turn, for the interval of the area under the curve."""
BOLDNESS = 0.75
"""Largest stake of a bet, as a share of what can be lost."""


@dataclass(frozen=True)
class Curve:
    """Error against coverage.

    Attributes:
        thresholds: Top probabilities that occur, high to low [T].
        coverage: Share of rows whose top probability is at least that [T].
        risk: Share of these that are wrong [T].
        aurc: Area under the curve: the mean error over all coverages (Geifman, Uziel and El-Yaniv 2019).
        aurc_interval: Its interval, None with under ten units.
        ideal: The area of a model with as many errors that knows which they are.
        error: Error without abstaining, which is also the area of a model that does not know at all.
        n: Rows.
        units: Units.
    """

    thresholds: Floats
    coverage: Floats
    risk: Floats
    aurc: float
    aurc_interval: Interval | None
    ideal: float
    error: float
    n: int
    units: int


@dataclass(frozen=True)
class Threshold:
    """A top probability below which a model abstains.

    Attributes:
        wanted: Wanted error rate of what is kept.
        level: Confidence of the statement, in (0, 1).
        probability: The threshold; None where no threshold is surely good enough.
        coverage: Share of these rows that is kept.
        error: Share of the kept that is wrong.
        bound: Upper limit of the error of what is kept, by itself and not for having been chosen: exact for
            pictures (Clopper and Pearson 1934), None where units hold several rows.
        by_unit: Whether units hold several rows, so that units and not rows are taken for independent.
    """

    wanted: float
    level: float
    probability: float | None
    coverage: float = 0.0
    error: float | None = None
    bound: float | None = None
    by_unit: bool = False

    @property
    def statement(self) -> str:
        """What holds, in words."""
        independent = "people or videos" if self.by_unit else "pictures"
        if self.probability is None:
            return (
                f"no threshold surely keeps the error at {self.wanted:.0%} ({self.level:.0%} confidence): "
                f"the model errs too often, or there are too few {independent}"
            )
        return (
            f"with {self.level:.0%} confidence at most {self.wanted:.0%} of what is kept at P = "
            f"{self.probability:g} is wrong, for {independent} drawn as these were: the same cameras, people "
            "of the same kind, expressions as frequent; not after drift"
        )


def risk_coverage(confidence: Floats, wrong: NDArray[np.bool_], units: Sequence[str]) -> Curve:
    """Return error against coverage.

    Rows of the same probability are kept or left together; for the area their order is averaged.

    Args:
        confidence: Top probabilities [N], N >= 1.
        wrong: Whether each answer is wrong [N].
        units: Unit of each row [N].
    """
    thresholds, kept, errors = _steps(confidence, wrong)
    n = len(confidence)
    names, code = np.unique(np.asarray(units, str), return_inverse=True)
    mistakes = int(wrong.sum())
    return Curve(
        thresholds=thresholds,
        coverage=kept / n,
        risk=errors / kept,
        aurc=area(confidence, wrong),
        aurc_interval=_jackknife(names, np.asarray(code), lambda rows: area(confidence[rows], wrong[rows])),
        ideal=area(np.arange(n, 0, -1.0), np.arange(n) >= n - mistakes),
        error=mistakes / n,
        n=n,
        units=len(names),
    )


def _steps(confidence: Floats, wrong: NDArray[np.bool_]) -> tuple[Floats, Floats, Floats]:
    """Return the distinct probabilities, high to low, with the rows and errors at or above each."""
    values, code = np.unique(-confidence, return_inverse=True)
    kept = np.cumsum(np.bincount(code)).astype(np.float64)
    errors = np.cumsum(np.bincount(code, weights=wrong.astype(np.float64)))
    return -values, kept, errors.astype(np.float64)


def area(confidence: Floats, wrong: NDArray[np.bool_]) -> float:
    """Return the area under error against coverage: the mean over k of the error of the k surest rows."""
    _, kept, errors = _steps(confidence, wrong)
    places = np.arange(1, len(confidence) + 1, dtype=np.float64)
    found = np.interp(places, np.concatenate([[0.0], kept]), np.concatenate([[0.0], errors]))
    return float((found / places).mean())


def _jackknife(
    names: NDArray[np.str_], code: NDArray[np.int64], statistic: Callable[[NDArray[np.bool_]], float]
) -> Interval | None:
    """Return Student's interval of a statistic from leaving out groups of units in turn."""
    if len(names) < MIN_UNITS:
        return None
    count = min(GROUPS, len(names))
    order = np.argsort(unit_interval(names.tolist(), "jackknife"), kind="stable")
    group = np.empty(len(names), np.int64)
    group[order] = np.arange(len(names)) % count
    of_row = group[code]
    values = np.array([statistic(of_row != one) for one in range(count)])
    whole = statistic(np.ones(len(code), bool))
    deviation = float(np.sqrt((count - 1) / count * ((values - values.mean()) ** 2).sum()))
    half = float(stdtrit(count - 1, (1 + LEVEL) / 2)) * deviation
    return Interval(max(0.0, whole - half), min(1.0, whole + half))


def check_shares(wanted: float | None, level: float) -> None:
    """Refuse an error rate or a confidence that is not a share.

    Raises:
        UsageError: A number is not between 0 and 1.
    """
    for value, option in ((wanted, "--max-error"), (level, "--confidence")):
        if value is not None and not 0 < value < 1:
            raise UsageError(f"{option} is a share between 0 and 1", value=value, hint=f"{option} 0.1")


def find_threshold(
    confidence: Floats,
    wrong: NDArray[np.bool_],
    units: Sequence[str],
    wanted: float,
    level: float = LEVEL,
) -> Threshold:
    """Return the loosest threshold that surely keeps the error rate, see `Threshold.statement`.

    The rows must not have chosen the model or fitted its calibration. Where units hold several rows, they are
    taken to hold no more than the largest here.

    Args:
        confidence: Top probabilities [N].
        wrong: Whether each answer is wrong [N].
        units: Unit of each row [N].
        wanted: Error rate, in (0, 1).
        level: Confidence, in (0, 1).

    Raises:
        UsageError: A number is out of range.
    """
    check_shares(wanted, level)
    names, code = np.unique(np.asarray(units, str), return_inverse=True)
    by_unit = len(names) < len(confidence)
    order = np.argsort(unit_interval(names.tolist(), "bets"), kind="stable")
    part = (1 - level) / len(STARTS)

    def is_sure(threshold: float) -> bool:
        kept = confidence >= threshold
        if not by_unit:
            return float(binom.cdf(int(wrong[kept].sum()), int(kept.sum()), wanted)) <= part
        return p_value_by_unit(kept, wrong, np.asarray(code), wanted, part, order) <= part

    known: dict[float, bool] = {}
    loosest: float | None = None
    for start in STARTS:
        for threshold in (one for one in GRID if one <= start):
            if threshold not in known:
                known[threshold] = is_sure(threshold)
            if not known[threshold]:
                break
            loosest = threshold if loosest is None else min(loosest, threshold)
    if loosest is None:
        return Threshold(wanted, level, None, by_unit=by_unit)
    kept = confidence >= loosest
    errors, count = int(wrong[kept].sum()), int(kept.sum())
    return Threshold(
        wanted=wanted,
        level=level,
        probability=loosest,
        coverage=count / len(confidence),
        error=errors / count,
        bound=None if by_unit else upper_bound(errors, count, level),
        by_unit=by_unit,
    )


def upper_bound(errors: int, rows: int, level: float = LEVEL) -> float:
    """Return the one-sided upper limit of an error rate (Clopper and Pearson 1934)."""
    return 1.0 if errors >= rows else float(beta.ppf(level, errors + 1, rows - errors))


def p_value_by_unit(
    kept: NDArray[np.bool_],
    wrong: NDArray[np.bool_],
    code: NDArray[np.int64],
    wanted: float,
    risk: float,
    order: NDArray[np.int64],
) -> float:
    """Return the p-value of the hypothesis that what is kept errs as often as wanted, or more often.

    Each unit is a bet against the hypothesis, whose stake depends on the units before it; under the
    hypothesis the capital is a supermartingale, whatever the rows of a unit have in common (Waudby-Smith and
    Ramdas 2024).

    Args:
        kept: Which rows are kept [N].
        wrong: Which answers are wrong [N].
        code: Position of each row's unit [N].
        wanted: The error rate.
        risk: Level of the test, which decides the stakes alone.
        order: The units in the order in which they are bet on.
    """
    excess = np.bincount(code, weights=np.where(kept, wrong - wanted, 0.0))
    # in [0, 1], with a mean below `wanted` if good
    values = (wanted + excess / np.bincount(code).max())[order]
    n = len(values)
    places = np.arange(1, n + 1)
    mean = (0.5 + np.cumsum(values)) / (places + 1)
    variance = (0.25 + np.cumsum((values - mean) ** 2)) / (places + 1)
    before = np.concatenate([[0.25], variance[:-1]])
    stake = np.minimum(np.sqrt(2 * np.log(1 / risk) / (n * before)), BOLDNESS / (1 - wanted))
    capital = np.cumsum(np.log1p(-stake * (values - wanted)))
    return float(min(1.0, np.exp(-capital.max())))
