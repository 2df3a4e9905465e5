import numpy as np
import pytest

from fer_bench.evaluation.intervals import difference
from fer_bench.evaluation.robustness import drop_of, mean_drop, ranking_value
from fer_bench.evaluation.statistics import Answers

CLASSES = ("happiness", "anger", "fear")


def models(share, *, units=60, seeds=2, rng_seed=0):
    """Return answers that are right for a share of the rows; the same rows are hard for all shares."""
    rng = np.random.default_rng(rng_seed)
    truth = np.tile(np.arange(3), units)
    names = np.repeat([f"u{i:03d}" for i in range(units)], 3).astype(object)
    luck = rng.random(len(truth))
    found = {}
    for seed in range(seeds):
        wrong = 0.8 * luck + 0.2 * rng.random(len(truth)) > share
        answer = np.where(wrong, (truth + 1) % 3, truth)
        samples = np.array([f"s{i}" for i in range(len(truth))], object)
        found[seed] = Answers(truth, answer, names, samples, len(truth), CLASSES, CLASSES)
    return found


def uar(given):
    return ranking_value(given, "oulu", "gcn")


def test_the_drop_is_the_share_of_the_clean_score_that_is_lost():
    clean, weak, strong = uar(models(0.9)), uar(models(0.7)), uar(models(0.4))
    found = drop_of(clean, [weak, strong])
    assert found.uar.value == pytest.approx((weak.value + strong.value) / 2)
    assert found.relative.value == pytest.approx(1 - found.uar.value / clean.value)
    assert found.relative.interval.low < found.relative.value < found.relative.interval.high
    assert [one.value for one in found.by_strength] == [weak.value, strong.value]


def test_the_same_answers_lose_nothing_and_that_is_almost_certain():
    clean = uar(models(0.8))
    found = drop_of(clean, [uar(models(0.8))] * 5)
    assert found.relative.value == pytest.approx(0)
    width = found.relative.interval.high - found.relative.interval.low
    assert width < 0.1 * (clean.interval.high - clean.interval.low) / clean.value


def test_a_gain_is_printed_as_one():
    assert drop_of(uar(models(0.5)), [uar(models(0.8))]).relative.value < 0


def test_units_and_seeds_are_paired():
    clean, corrupted = uar(models(0.8)), uar(models(0.7))
    paired = drop_of(clean, [corrupted]).relative.interval
    apart = difference(clean, uar(models(0.7, rng_seed=5))).interval  # other rows are hard: unpaired
    assert paired.high - paired.low < 0.8 * (apart.high - apart.low) / clean.value


def test_too_few_units_get_no_interval():
    found = drop_of(uar(models(0.8, units=6)), [uar(models(0.5, units=6))])
    assert found.relative.interval is None
    assert found.relative.value > 0


def test_the_mean_weighs_corruptions_equally():
    clean = uar(models(0.9))
    drops = [drop_of(clean, [uar(models(a)), uar(models(b))]) for a, b in ((0.8, 0.6), (0.5, 0.3))]
    found = mean_drop(clean, drops)
    assert found.uar.value == pytest.approx(np.mean([one.uar.value for one in drops]))
    assert found.relative.value == pytest.approx(np.mean([one.relative.value for one in drops]))
    assert len(found.by_strength) == 2
