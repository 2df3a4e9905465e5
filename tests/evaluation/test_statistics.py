from __future__ import annotations

import numpy as np
import pytest

from fer_bench.evaluation import statistics
from fer_bench.evaluation.metrics import BUILT_IN
from fer_bench.evaluation.statistics import (
    Answers,
    bootstrap,
    count_by_unit,
    find_units,
    interval,
    resample_weights,
    seed_of,
)

METRICS = {metric.name: metric.function for metric in BUILT_IN if metric.shown}


def answers(truth, answer, units, all_units=None, k=3):
    units = np.array(units, object)
    every = units if all_units is None else np.array(all_units, object)
    classes = ("neutral", "happiness", "sadness", "fear")[:k]
    return Answers(
        np.asarray(truth),
        np.asarray(answer),
        units,
        np.array([f"s{i:05d}" for i in range(len(units))], object),
        np.unique(every),
        len(every),
        classes,
        classes,
    )


def random_answers(seed, n=200, per_unit=10, right=0.6, k=3):
    rng = np.random.default_rng(seed)
    truth = rng.integers(k, size=n)
    answer = np.where(rng.random(n) < right, truth, rng.integers(k, size=n))
    return answers(truth, answer, [f"u{i // per_unit:03d}" for i in range(n)], k=k)


def test_counts_of_units_are_the_confusion_matrices_of_their_rows():
    one, two = random_answers(1), random_answers(2)
    counts = count_by_unit([one, two])
    dense = counts.table.toarray().reshape(-1, 2, 3, 3)
    rows = one.units == "u004"
    expected = np.zeros((3, 3))
    np.add.at(expected, (one.truth[rows], one.answer[rows]), 1)
    assert (dense[4, 0] == expected).all()
    assert (counts.total() == dense.sum(0)).all()


def test_bootstrap_equals_a_plain_loop_over_resamples():
    models = [random_answers(1), random_answers(2, right=0.8)]
    share = np.array([0.25, 0.75])
    seed = seed_of("rafdb", find_units(models).names)
    fast = bootstrap(count_by_unit(models), share, seed, METRICS, resamples=40)
    weights = resample_weights(seed, 20, 40)
    for draw in range(40):
        for name, metric in METRICS.items():
            expected = 0.0
            for part, model in zip(share, models, strict=True):
                matrix = np.zeros((3, 3))
                for truth, answer, unit in zip(model.truth, model.answer, model.units, strict=True):
                    matrix[truth, answer] += weights[draw, int(unit[1:])]
                expected += part * metric(matrix)
            assert fast[name][draw] == pytest.approx(expected, abs=1e-12)


def test_chunks_do_not_change_the_draws(monkeypatch):
    models = [random_answers(3)]
    whole = bootstrap(count_by_unit(models), np.ones(1), 5, METRICS, 101)
    monkeypatch.setattr(statistics, "_CHUNK_CELLS", 300)
    parts = bootstrap(count_by_unit(models), np.ones(1), 5, METRICS, 101)
    assert all((whole[name] == parts[name]).all() for name in METRICS)


def test_weights_draw_whole_units_with_replacement():
    weights = resample_weights(7, 50, 2000)
    assert (weights.sum(1) == 50).all()
    assert weights.mean(0) == pytest.approx(np.ones(50), abs=0.12)
    assert weights.var() == pytest.approx(1 - 1 / 50, abs=0.03)


def test_resamples_depend_on_the_target_and_its_units_only():
    units = ["a", "b", "c"]
    assert seed_of("rafdb", units) == seed_of("rafdb", tuple(units))
    assert seed_of("rafdb", units) != seed_of("expw", units)
    assert seed_of("rafdb", ["ab", "c"]) != seed_of("rafdb", ["a", "bc"])


def test_rows_of_one_unit_are_no_independent_evidence():
    rng = np.random.default_rng(0)
    solved = rng.random(30) < 0.6  # a person is recognised always or never
    truth = np.tile(np.arange(3), 200)
    person = np.repeat(np.arange(30), 20)
    answer = np.where(solved[person], truth, (truth + 1) % 3)
    by_person = answers(truth, answer, [f"p{p:02d}" for p in person])
    by_row = answers(truth, answer, [f"r{i:03d}" for i in range(600)])
    wide, narrow = (
        interval(bootstrap(count_by_unit([given]), np.ones(1), 1, METRICS)["uar"])
        for given in (by_person, by_row)
    )
    assert wide.high - wide.low > 3 * (narrow.high - narrow.low)


def test_interval_covers_the_truth_about_as_often_as_it_says():
    k, right, units = 3, 0.6, 40
    truth_uar = right + (1 - right) / k
    hits = 0
    for repetition in range(200):
        given = random_answers(100 + repetition, n=units * 10, right=right)
        found = interval(bootstrap(count_by_unit([given]), np.ones(1), repetition, METRICS, 300)["uar"])
        hits += found.low <= truth_uar <= found.high
    assert 0.88 <= hits / 200 <= 0.99


def test_a_resample_without_any_scored_row_is_left_out():
    draws = np.array([0.2, np.nan, 0.4, 0.6])
    assert interval(draws).low == pytest.approx(0.21)


def test_mean_and_sd_use_ddof_one():
    assert statistics.mean_and_sd([0.4, 0.6]) == pytest.approx((0.5, np.sqrt(0.02)))
    assert statistics.mean_and_sd([0.4]) == (0.4, None)
