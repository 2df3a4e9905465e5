from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fer_bench.evaluation import confusion
from fer_bench.evaluation.contributions import Contributions, contributions
from fer_bench.evaluation.intervals import mean_spread, spread
from fer_bench.evaluation.statistics import Answers


def answers(seed=0, n=120, units=12, k=4, absent=()):
    rng = np.random.default_rng(seed)
    truth = rng.choice([c for c in range(k) if c not in absent], n)
    names = np.array([f"u{i % units:02d}" for i in range(n)], object)
    classes = ("neutral", "happiness", "sadness", "fear")[:k]
    ids = np.array([f"s{i:03d}" for i in range(n)], object)
    answer = np.where(rng.random(n) < 0.6, truth, rng.integers(k, size=n))
    return Answers(truth, answer, names, ids, np.unique(names), n, classes, classes)


def matrix(one):
    return confusion.count_pairs(one.truth, one.answer, len(one.classes))


@pytest.mark.parametrize("absent", [(), (2,)])
def test_terms_sum_to_the_scores_averaged_over_models(absent):
    models, share = [answers(s, absent=absent) for s in (0, 1, 2)], np.array([0.5, 0.25, 0.25])
    uar = sum(w * confusion.uar(matrix(m)) for w, m in zip(share, models, strict=True))
    accuracy = sum(w * confusion.accuracy(matrix(m)) for w, m in zip(share, models, strict=True))
    found = contributions(models, share)
    assert found.parts.sum() == pytest.approx(uar)
    assert found.expected.sum() == pytest.approx(uar)
    assert contributions(models, share, by_class=False).parts.sum() == pytest.approx(accuracy)


def test_swapping_units_changes_the_score_by_the_difference_of_terms():
    one = answers(0)
    other = replace(one, answer=answers(5).answer)
    swap = np.isin(one.units, ["u03", "u07"])
    mixed = replace(one, answer=np.where(swap, other.answer, one.answer))
    a, b = (contributions([m], np.ones(1)) for m in (one, other))
    chosen = np.isin(a.units, ["u03", "u07"])
    expected = np.where(chosen, b.parts.sum(1), a.parts.sum(1)).sum()
    assert confusion.uar(matrix(mixed)) == pytest.approx(expected)


def test_rows_tell_whether_scores_can_be_compared():
    one = answers(0)
    order = np.random.default_rng(0).permutation(120)
    parts = {name: getattr(one, name)[order] for name in ("truth", "answer", "units", "samples")}

    def rows(*models):
        return contributions(models, np.full(len(models), 1 / len(models))).rows

    assert rows(one) == rows(replace(one, **parts)) == rows(one, replace(one, answer=one.truth))
    relabelled = replace(one, truth=np.where(one.truth == 0, 1, one.truth))
    other_ids = replace(one, samples=one.samples[::-1])
    assert len({rows(one), rows(relabelled), rows(other_ids), rows(one, other_ids)}) == 4


def test_the_variance_is_that_of_the_bootstrap():
    from fer_bench.evaluation.statistics import bootstrap, count_by_unit

    one = answers(3, n=4000, units=200)
    found = spread(contributions([one], np.ones(1)))
    drawn = bootstrap(count_by_unit([one]), np.ones(1), 1, {"uar": confusion.uar})["uar"]
    assert np.sqrt(found.variance) == pytest.approx(drawn.std(), rel=0.08)


def test_the_correction_fades_with_units_and_grows_for_rare_classes():
    tails = [spread(contributions([answers(0, n=20 * u, units=u)], np.ones(1))).tail() for u in (10, 30, 300)]
    assert tails[0] < tails[1] < tails[2] < 0.025
    assert tails[2] > 0.022
    even = np.tile([[0.02, 0.02]], (20, 1))
    holds = np.ones((20, 2), bool)
    parts = even * (np.random.default_rng(0).random((20, 2)) < 0.6)
    whole = Contributions(np.arange(20).astype(object), parts, even * 0.6, holds, "")
    rare = holds.copy()
    rare[3:, 1] = False
    few = replace(whole, parts=parts * rare, expected=even * 0.6 * rare, holds=rare)
    assert spread(few).freedom < spread(whole).freedom
    assert spread(few).widened / spread(few).variance > spread(whole).widened / spread(whole).variance


def test_all_right_and_one_unit_give_numbers():
    one = answers(0)
    perfect = replace(one, answer=one.truth)
    for by_class in (True, False):
        found = spread(contributions([perfect], np.ones(1), by_class=by_class))
        assert (found.variance, found.tail()) == (pytest.approx(0), pytest.approx(0.025))
    lonely = replace(one, units=np.full(120, "u", object), all_units=np.array(["u"], object))
    assert np.isfinite(spread(contributions([lonely], np.ones(1))).tail())


def test_the_mean_of_equal_spreads_has_more_freedom():
    single = spread(contributions([answers(0)], np.ones(1)))
    both = mean_spread([single, single])
    assert both.variance == pytest.approx(single.variance / 2)
    assert both.freedom == pytest.approx(2 * single.freedom)
    assert both.tail() > single.tail()
