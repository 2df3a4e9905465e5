from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn import metrics as reference

from fer_bench.evaluation import confusion
from fer_bench.evaluation.components import Combined
from fer_bench.evaluation.contributions import LEAST_REST, influence, recalls
from fer_bench.evaluation.statistics import find_units
from tests.evaluation.samples import answers, guesses, perfect, random_answers


def uar(one, kept=slice(None)):
    return reference.balanced_accuracy_score(one.truth[kept], one.answer[kept])


def without(score, one, units):
    """Return a score without each unit."""
    return np.array([score(one.truth[rows], one.answer[rows]) for rows in (one.units != u for u in units)])


def kappa(counts):
    """Return Cohen's kappa of counts [..., K, K]: a metric that another package might bring."""
    counts = np.asarray(counts, float)
    total = counts.sum((-1, -2))
    met = np.trace(counts, axis1=-2, axis2=-1) / total
    chance = (counts.sum(-1) * counts.sum(-2)).sum(-1) / total**2
    return (met - chance) / (1 - chance)


def influenced(models, seeds, function):
    units = find_units(models)
    return influence(models, seeds, function, recalls(models, seeds, units), units)


@pytest.mark.parametrize("absent", [(), (2,)])
@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_terms_sum_to_the_scores_averaged_over_folds(absent):
    models = []
    for seed in range(3):
        one = random_answers(seed)
        kept = ~np.isin(one.truth, absent)
        parts = {name: getattr(one, name)[kept] for name in ("truth", "answer", "units", "samples")}
        models.append(replace(one, **parts))
    seeds = (4, 7, 4)  # two folds of one seed, and another seed
    for by_class, score in ((True, reference.balanced_accuracy_score), (False, reference.accuracy_score)):
        first, second, third = (score(one.truth, one.answer) for one in models)
        found = recalls(models, seeds, by_class=by_class)
        assert found.seeds == (4, 7)
        assert found.scores == pytest.approx([(first + third) / 2, second])
        assert found.terms.sum(1) == pytest.approx(found.scores)
        assert found.pulls.shape == found.terms.shape == (2, 12)


def test_swapping_units_changes_the_score_by_the_difference_of_terms():
    one, other = random_answers(0), random_answers(5)
    chosen = ["u003", "u007"]
    mixed = replace(one, answer=np.where(np.isin(one.units, chosen), other.answer, one.answer))
    a, b = (recalls([m], [0]) for m in (one, other))
    assert uar(mixed) == pytest.approx(np.where(np.isin(a.units, chosen), b.terms, a.terms).sum())


@pytest.mark.parametrize("units", [12, 120])
def test_a_pull_is_what_the_score_loses_without_the_unit(units):
    one = random_answers(1, units=units)
    found = recalls([one], [0])
    lost = uar(one) - without(reference.balanced_accuracy_score, one, found.units)
    assert found.pulls[0] == pytest.approx(lost)
    by_rows = recalls([one], [0], by_class=False)
    lost = reference.accuracy_score(one.truth, one.answer) - without(
        reference.accuracy_score, one, found.units
    )
    assert by_rows.pulls[0] == pytest.approx(lost)


def test_the_squared_pulls_are_the_jackknife_variance():
    one = random_answers(1, n=600, units=60)
    left_out = without(reference.balanced_accuracy_score, one, np.unique(one.units))
    jackknife = 59 / 60 * ((left_out - left_out.mean()) ** 2).sum()
    found = Combined((recalls([one], [0]).component("t", "s"),)).spread
    unseen = recalls([one], [0]).classes.unseen.sum()
    assert found.units - unseen == pytest.approx(jackknife * 60 / 59, rel=0.01)
    assert unseen < 0.1 * jackknife


def test_a_unit_with_nearly_all_rows_of_a_class_does_not_count_without_bound():
    truth = np.array([0] * 20 + [1] * 20)
    answer = np.where(np.arange(40) % 2, truth, 1 - truth)
    answer[19] = 0  # the one row of class 0 that is of another unit
    one = answers(truth, answer, ["big"] * 19 + [f"u{i}" for i in range(21)], k=2)
    found = recalls([one], [0])
    held, right, recall = 19, 9, 10 / 20
    (place,) = np.flatnonzero(found.units == "big")
    assert found.pulls[0, place] == pytest.approx((right - recall * held) / (2 * 20) / LEAST_REST)


@pytest.mark.parametrize(
    ("function", "known"),
    [
        (confusion.macro_f1, lambda y, x: reference.f1_score(y, x, average="macro")),
        (confusion.mcc, reference.matthews_corrcoef),
        (kappa, reference.cohen_kappa_score),
    ],
)
def test_other_scores_follow_units_as_the_jackknife_says(function, known):
    one = random_answers(2, n=900, units=90)
    found = influenced([one], [0], function)
    assert found.scores[0] == pytest.approx(known(one.truth, one.answer))
    lost = known(one.truth, one.answer) - without(known, one, found.units)
    assert found.pulls[0] == pytest.approx(lost, abs=0.03 * np.abs(lost).max())
    assert (found.pulls**2).sum() == pytest.approx((lost**2).sum(), rel=0.02)


def test_the_influence_on_accuracy_is_that_of_rows_in_one_class():
    models, seeds = [random_answers(s) for s in (0, 1, 2)], (0, 1, 0)
    found, known = influenced(models, seeds, confusion.accuracy), recalls(models, seeds, by_class=False)
    assert found.scores == pytest.approx(known.scores)
    assert found.pulls == pytest.approx(known.pulls, rel=1e-3, abs=1e-6)


def test_the_influence_is_the_numerical_derivative():
    one = random_answers(3)
    counts = confusion.count_pairs(one.truth, one.answer, 4).astype(float)
    found = influenced([one], [0], confusion.macro_f1)
    for place, name in enumerate(found.units[:4]):
        rows = one.units == name
        own = confusion.count_pairs(one.truth[rows], one.answer[rows], 4)
        step = 1e-5
        slope = (confusion.macro_f1(counts + step * own) - confusion.macro_f1(counts - step * own)) / (
            2 * step
        )
        rest = 1 - rows.sum() / len(rows)
        assert found.pulls[0, place] == pytest.approx(slope / rest, abs=2e-5)


def test_units_with_single_rows_are_pictures():
    assert recalls([random_answers(0, units=120)], [0]).pictures
    assert recalls([random_answers(0, units=110)], [0]).pictures  # a few duplicates
    assert not recalls([random_answers(0, units=12)], [0]).pictures


def test_rows_tell_whether_scores_can_be_compared():
    one = random_answers(0)
    order = np.random.default_rng(0).permutation(120)
    parts = {name: getattr(one, name)[order] for name in ("truth", "answer", "units", "samples")}

    def rows(*models, seeds=None):
        return recalls(models, range(len(models)) if seeds is None else seeds).rows

    assert rows(one) == rows(replace(one, **parts)) == rows(one, replace(one, answer=one.truth))
    relabelled = replace(one, truth=np.where(one.truth == 0, 1, one.truth))
    other_ids = replace(one, samples=np.array([f"x{i}" for i in range(120)], object))
    folds = rows(one, other_ids, seeds=(0, 0))
    assert len({rows(one), rows(relabelled), rows(other_ids), folds}) == 4
    assert folds == rows(other_ids, one, one, other_ids, seeds=(1, 1, 2, 2))


def test_the_order_of_rows_does_not_matter_to_the_last_bit():
    one = random_answers(0)
    order = np.random.default_rng(1).permutation(120)
    parts = {name: getattr(one, name)[order] for name in ("truth", "answer", "units", "samples")}
    first, second = recalls([one], [0]), recalls([replace(one, **parts)], [0])
    for name in ("scores", "terms", "pulls", "units"):
        assert np.array_equal(getattr(first, name), getattr(second, name))


def test_a_class_amounts_to_at_most_its_rows():
    for one in (perfect([70, 30]), random_answers(0, n=300, units=300), random_answers(0, n=300, units=30)):
        rows = np.unique(one.truth, return_counts=True)[1]
        classes = recalls([one], [0]).classes
        assert (classes.most <= rows + 1e-9).all()
        assert classes.recall == pytest.approx(
            reference.recall_score(one.truth, one.answer, average=None, zero_division=0)
        )
    alike = recalls([perfect([10, 10])] * 5, range(5)).classes
    assert alike.most == pytest.approx([10, 10])  # five seeds that all agree tell no more than one


def test_outcomes_that_no_unit_shows_leave_doubt_which_fades_with_units():
    few, more = (recalls([perfect([n, n])], [0]) for n in (10, 100))
    assert (few.pulls == 0).all()
    assert few.classes.unseen.sum() > 50 * more.classes.unseen.sum() > 0
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1], 100)
    mixed = recalls([answers(truth, guesses(truth, 0.5, rng, 2), k=2)], [0])
    assert mixed.classes.unseen.sum() < 0.05 * more.classes.unseen.sum()


def test_a_rare_class_takes_freedom():
    assert recalls([random_answers(0, n=200, units=200)], [0]).classes.freedom(200) > 100
    truth = np.repeat([0, 1], [196, 4])
    rare = recalls([answers(truth, np.where(np.arange(200) % 2, truth, 1 - truth), k=2)], [0])
    assert 2.5 < rare.classes.freedom(200) < 5
    lonely = replace(random_answers(0), units=np.full(120, "u", object))
    assert recalls([lonely], [0]).classes.freedom(1) == 1


def test_a_component_is_moved_and_stretched():
    one = recalls([random_answers(0), random_answers(1)], [0, 1])
    plain = one.component("t", "s", "whole")
    moved = one.component("t", "s", "whole", scale=1.5, shift=-0.5)
    assert moved.scores == pytest.approx(1.5 * plain.scores - 0.5)
    assert moved.pulls == pytest.approx(1.5 * plain.pulls)
    assert moved.unseen == pytest.approx(2.25 * plain.unseen)
    assert (plain.rows, moved.freedom) == (f"{one.rows} whole", plain.freedom)
