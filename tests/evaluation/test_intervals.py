from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, t

from fer_bench.evaluation import confusion, intervals
from fer_bench.evaluation.components import MIN_UNITS
from fer_bench.evaluation.estimates import estimate
from fer_bench.evaluation.intervals import Sample, Value, average, change, difference, ratio, symmetric
from fer_bench.evaluation.statistics import Interval, find_units
from tests.evaluation.samples import answers, component, guesses, perfect, random_answers, single


def sample(*models, seeds=None):
    return Sample(models, seeds or tuple(range(len(models))), find_units(models), "target", "source")


def pictures(right, rows):
    """Return answers on pictures: `right[c]` of `rows[c]` of each class are right."""
    truth = np.repeat(np.arange(len(rows)), rows)
    hit = np.concatenate([np.arange(n) < r for r, n in zip(right, rows, strict=True)])
    return answers(truth, np.where(hit, truth, (truth + 1) % max(2, len(rows))), k=max(2, len(rows)))


def of_uar(*models, seeds=None):
    return intervals.of_recalls(sample(*models, seeds=seeds), confusion.uar)


def of_accuracy(*models):
    return intervals.of_rows(sample(*models), confusion.accuracy)


def width(value):
    return value.interval.high - value.interval.low


def wilson(right, rows):
    known = binomtest(right, rows).proportion_ci(method="wilson")
    return Interval(known.low, known.high)


@pytest.mark.parametrize("rule", [of_uar, of_accuracy])
def test_a_perfect_score_is_no_certainty(rule):
    found = rule(pictures([70], [70])).interval
    exact = binomtest(70, 70).proportion_ci(method="exact")
    assert found.high == pytest.approx(1)
    assert found.low == pytest.approx(exact.low, abs=0.005)  # .949
    assert rule(pictures([0], [70])).interval.high == pytest.approx(1 - exact.low, abs=0.005)


@pytest.mark.parametrize("rows", [12, 70, 300, 3000])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.9, 0.99, 1.0])
def test_one_class_is_never_narrower_than_wilson_and_close_to_it(share, rows):
    right = round(share * rows)
    known = wilson(right, rows)
    for rule in (of_uar, of_accuracy):
        found = rule(pictures([right], [rows]))
        assert found.interval.low <= known.low + 1e-9
        assert found.interval.high >= known.high - 1e-9
        assert width(found) < (1.35 if rows < 70 else 1.08) * (known.high - known.low)


def test_rows_of_one_unit_are_no_independent_evidence():
    rng = np.random.default_rng(0)
    truth, person = np.tile(np.arange(3), 200), np.repeat(np.arange(30), 20)
    solved = rng.random(30) < 0.6  # a person is recognised always or never
    answer = np.where(solved[person], truth, (truth + 1) % 3)
    by_person = answers(truth, answer, [f"p{p:02d}" for p in person])
    by_row = answers(truth, answer)
    assert width(of_uar(by_person)) > 3 * width(of_uar(by_row))
    assert width(of_accuracy(by_person)) > 3 * width(of_accuracy(by_row))


def test_several_rows_of_a_unit_that_all_are_right_tell_no_more_than_one():
    one, many = perfect([30]), perfect([300])
    whole = answers(many.truth, many.answer, [f"u{i % 30:02d}" for i in range(300)], k=1)
    assert of_uar(whole).interval.low == pytest.approx(of_uar(one).interval.low, abs=1e-9)


def test_the_width_has_no_jump_where_a_class_gets_five_rows():
    widths = []
    for rare in range(3, 12):
        rows = [rare, 60, 60, 60]
        share = [round(0.5 * rare * 2) / 2, 45, 45, 45]  # half of them, in halves: averaged over two seeds
        low, high = (pictures([f(share[0]), 45, 45, 45], rows) for f in (np.floor, np.ceil))
        widths.append(width(of_uar(low, high)))
    steps = np.array(widths[1:]) / np.array(widths[:-1])
    assert (steps < 1.02).all()
    assert (steps > 0.8).all()


def test_perfect_rare_classes_narrow_steadily():
    widths = [width(of_uar(perfect([rare, 60, 60]))) for rare in range(3, 12)]
    steps = np.array(widths[1:]) / np.array(widths[:-1])
    assert ((steps > 0.75) & (steps < 1)).all()


def test_more_units_give_shorter_intervals_around_the_score():
    widths = []
    for n in (4, 8, 16, 64):
        found = of_uar(pictures([n // 2, 15], [n, 20]))
        assert found.interval.low < (0.5 + 0.75) / 2 < found.interval.high
        widths.append(width(found))
    assert widths == sorted(widths, reverse=True)


@pytest.mark.parametrize(("units", "known"), [(MIN_UNITS - 1, False), (MIN_UNITS, True)])
def test_under_ten_units_there_is_none(units, known):
    one = random_answers(0, units=units)
    found = estimate([one], "rafdb").values
    assert {name: value.interval is not None for name, value in found.items()} == dict.fromkeys(found, known)
    assert (symmetric(single(np.eye(units)[:1])).interval is not None) is known


def test_seeds_that_scatter_widen_an_interval():
    rng = np.random.default_rng(0)
    truth = np.tile(np.arange(4), 100)
    alike = [answers(truth, guesses(truth, 0.7, rng, 4), k=4) for _ in range(3)]
    apart = [answers(truth, guesses(truth, right, rng, 4), k=4) for right in (0.5, 0.7, 0.9)]
    for rule in (of_uar, of_accuracy):
        assert width(rule(*apart)) > 3 * width(rule(*alike))
    for name, value in estimate(apart, "target").values.items():
        assert width(value) > 2 * width(estimate(alike, "target").values[name]), name


def test_more_seeds_of_a_steady_method_narrow_an_interval():
    rng = np.random.default_rng(0)
    truth = np.tile(np.arange(4), 50)
    models = [answers(truth, guesses(truth, 0.7, rng, 4), k=4) for _ in range(12)]
    assert width(of_uar(*models)) < 0.6 * width(of_uar(models[0]))


def test_folds_of_a_seed_are_no_seeds():
    models = [random_answers(seed, right=0.5 + 0.1 * seed) for seed in range(4)]
    together = of_uar(*models, seeds=(0, 0, 0, 0))
    assert together.combined.spread.seeds == 0
    assert together.value == pytest.approx(of_uar(*models).value)
    assert width(together) < width(of_uar(*models))


def test_an_interval_of_transfer_is_that_of_uar_moved_and_stretched():
    rng = np.random.default_rng(0)
    truth = np.repeat(np.arange(4), 30)
    models = [answers(truth, guesses(truth, right, rng, 4), k=4) for right in (0.5, 0.55, 0.6)]
    found = estimate(models, "target").values
    for end in ("low", "high"):
        moved = (getattr(found["uar"].interval, end) - 0.25) / 0.75
        assert getattr(found["transfer"].interval, end) == pytest.approx(moved)
    assert found["transfer"].value == pytest.approx((found["uar"].value - 0.25) / 0.75)


@pytest.mark.parametrize("right", [0.02, 0.5, 0.97, 1.0])
def test_ends_stay_within_what_a_score_can_be(right):
    rng = np.random.default_rng(1)
    truth = np.repeat(np.arange(3), (5, 20, 40))
    one = answers(truth, guesses(truth, right, rng, 3))
    for name, value in estimate([one], "target").values.items():
        low = -0.5 if name == "transfer" else 0.0
        assert low <= value.interval.low <= value.value <= value.interval.high <= 1, name
        assert value.interval.low < value.interval.high


def test_a_perfect_macro_f1_has_a_lower_end_below_one():
    one = perfect([20, 20, 20])
    found = estimate([one], "target").values
    assert found["macro_f1"].value == 1
    assert 0.9 < found["macro_f1"].interval.low <= wilson(60, 60).low


def test_symmetric_intervals_are_students():
    values = np.random.default_rng(0).random((1, 15))
    found = symmetric(single(values))
    half = t.ppf(0.975, 14) * values.std(ddof=1) / np.sqrt(15) * np.sqrt(15 / 14)
    assert (found.interval.low, found.interval.high) == pytest.approx(
        (values.mean() - half, values.mean() + half)
    )
    assert symmetric(single(values), 0.2).value == 0.2


def test_shared_parts_give_a_wider_mean_and_a_shorter_difference():
    values = np.random.default_rng(0).random((1, 40))
    one = symmetric(single(values))
    same, apart = symmetric(single(values, training="b")), symmetric(single(values, target="b"))
    assert width(average([one, same])) == pytest.approx(width(one))
    assert width(average([one, apart])) == pytest.approx(width(one) / np.sqrt(2), rel=0.02)
    none = difference(one, same)
    assert (none.value, none.interval.low, none.interval.high) == pytest.approx((0, 0, 0))
    assert width(difference(one, apart)) == pytest.approx(width(one) * np.sqrt(2), rel=0.02)


def test_the_change_of_the_same_models_cancels_what_their_seeds_have_in_common():
    rng = np.random.default_rng(0)
    seeds = np.repeat([[0.5], [0.7], [0.9]], 40, axis=1)
    values = seeds + rng.normal(0, 0.01, (3, 40))
    one, other = symmetric(single(values)), symmetric(single(values - 0.1 + rng.normal(0, 0.01, (3, 40))))
    found, apart = change(one, other), difference(one, other)
    assert found.value == pytest.approx(apart.value) == pytest.approx(0.1, abs=0.01)
    assert width(found) < 0.1 * width(apart)
    assert change(one, Value(0.6, None)) is None


def test_averages_and_differences_need_every_part():
    part = symmetric(single(np.random.default_rng(0).random((1, 40))))
    lone = Value(0.6, None)
    both = average([part, lone])
    assert (both.value, both.interval) == (pytest.approx((part.value + 0.6) / 2), None)
    assert difference(part, lone) is difference(lone, part) is ratio(part, lone) is None


def test_a_mean_is_at_most_one():
    values = np.r_[np.full(20, 1.0), 0.5, 0.4]
    near = symmetric(single(values))
    assert near.interval.high > 1
    assert average([near, near]).interval.high == 1


def test_a_ratio_has_the_interval_of_its_logarithm():
    """The delta method: ln(a / b) varies as a / mean(a) - b / mean(b)."""
    rng = np.random.default_rng(0)
    below = rng.normal(0.8, 0.1, (1, 200))
    above = below / 2 + rng.normal(0, 0.02, (1, 200))
    found = ratio(symmetric(single(above)), symmetric(single(below, training="other")))
    assert found.value == pytest.approx(above.mean() / below.mean())
    known = found.value * (above / above.mean() - below / below.mean()).std(ddof=1) / np.sqrt(199)
    assert width(found) == pytest.approx(2 * t.ppf(0.975, 199) * known, rel=1e-6)
    apart = ratio(symmetric(single(above)), symmetric(single(below, target="other")))
    assert width(apart) > 2 * width(found)


def test_coverage_of_uar_over_units_and_seeds():
    """Three seeds whose skill scatters by 3 points, 120 pictures: 95 % of intervals hold the truth."""
    rng = np.random.default_rng(5)
    truth = np.repeat(np.arange(3), (20, 40, 60))
    hits = 0
    for _ in range(300):
        skill = np.clip(0.7 + rng.normal(0, 0.03, 3), 0, 1)
        found = of_uar(*(answers(truth, guesses(truth, s, rng, 3)) for s in skill))
        hits += found.interval.low <= 0.7 <= found.interval.high
    assert 0.92 <= hits / 300 <= 0.985


def test_value_is_the_mean_over_seeds_of_a_component():
    part = component([[0.2, 0.4], [0.6, 0.8]])
    assert symmetric(single([[0.2, 0.4], [0.6, 0.8]])).value == pytest.approx(part.scores.mean()) == 0.5
