from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t
from statsmodels.formula.api import mixedlm, ols
from statsmodels.stats.anova import anova_lm

from fer_bench.evaluation.components import Combined, Spread, mean_of
from tests.evaluation.samples import component, random_answers, scored, single


def by_hand(pulls, scores, **fields):
    return component(pulls, pulls=np.asarray(pulls, float), scores=np.asarray(scores, float), **fields)


def crossed(units=12, seeds=4, unit_sd=0.2, seed_sd=0.05, sd=0.1):
    """Return values [S, U] of a balanced layout of units and seeds."""
    rng = np.random.default_rng(3)
    shifts = rng.normal(0, unit_sd, units) + rng.normal(0, seed_sd, (seeds, 1))
    return 0.5 + shifts + rng.normal(0, sd, (seeds, units))


def test_spread_of_two_seeds_and_three_units_by_hand():
    part = by_hand([[0.1, 0.0, -0.1], [0.1, -0.2, 0.1]], [0.5, 0.9], unseen=0.005, freedom=2.0)
    found = Combined((part,)).spread
    # pulls of the seed means: .1, -.1, 0; their squares: .02, and .005 that too few units show
    assert found.units == pytest.approx(0.025)
    # scores: variance .08 over two seeds; pulls vary by 0, .02 and .02, which is in the .025 already
    assert found.seeds == pytest.approx(0.08 / 2 - 0.04 / 2)
    assert found.variance == pytest.approx(0.045)
    # .025 with 2 degrees of freedom; a variance over seeds of .04 with 1, of which .02 is their own
    assert found.seeds_freedom == pytest.approx(0.045**2 / 0.04**2)
    assert found.freedom == pytest.approx(0.045**2 / (0.025**2 / 2 + 0.04**2))


def test_seeds_that_scatter_less_than_units_within_them_explain_add_nothing():
    part = by_hand([[0.1, 0.0], [-0.1, 0.2]], [0.5, 0.51])
    assert Combined((part,)).spread.seeds == 0


def test_the_variance_is_that_of_a_balanced_analysis_of_variance():
    values = crossed()
    seeds, units = values.shape
    found = single(values).spread
    long = pd.DataFrame([(s, u, values[s, u]) for s, u in np.ndindex(seeds, units)], columns=["s", "u", "y"])
    squares = anova_lm(ols("y ~ C(s) + C(u)", long).fit())["mean_sq"]
    of_units, of_seeds, rest = squares["C(u)"], squares["C(s)"], squares["Residual"]
    stretch = units / (units - 1)  # of the jackknife
    assert found.units == pytest.approx(of_units / (seeds * units) * stretch)
    assert found.seeds == pytest.approx((of_seeds - rest * stretch) / (seeds * units))


@pytest.mark.filterwarnings("ignore:The MLE may be on the boundary")
def test_the_variance_is_that_of_a_mixed_model_with_crossed_effects():
    values = crossed(units=30, seeds=6, seed_sd=0.1)
    seeds, units = values.shape
    long = pd.DataFrame([(s, u, values[s, u]) for s, u in np.ndindex(seeds, units)], columns=["s", "u", "y"])
    effects = {"s": "0 + C(s)", "u": "0 + C(u)"}
    model = mixedlm("y ~ 1", long, groups=np.ones(len(long)), vc_formula=effects).fit(reml=True)
    known = float(model.bse_fe["Intercept"])
    assert single(values).spread.variance == pytest.approx(known**2, rel=0.05)


def test_a_method_differs_from_itself_by_its_seeds_alone():
    one = single(crossed())
    same = one.minus(one).spread
    assert same.units == pytest.approx(0)
    assert same.seeds == pytest.approx(2 * one.spread.seeds)
    lone = one.on((0,))
    assert lone.minus(lone).spread.variance == pytest.approx(0)
    assert one.minus(one).value == 0


def test_a_target_of_two_sources_counts_its_units_once():
    values = crossed(seeds=1)
    first, second = (single(values, training=name) for name in ("one", "other"))
    apart = single(values, training="other", target="second target")
    alone = first.spread.units
    assert mean_of([first, second]).spread.units == pytest.approx(alone)
    assert mean_of([first, apart]).spread.units == pytest.approx(alone / 2)


def test_units_that_only_one_part_has_are_kept():
    values = crossed(seeds=1, units=4)
    names = np.array(["u0002", "u0003", "u0004", "u0005"], object)
    both = mean_of([single(values, training="one"), single(values, training="other", units=names)])
    pulls = np.zeros(6)
    one = component(values).pulls[0] / 2
    pulls[:4] += one
    pulls[2:] += one
    assert both.spread.units == pytest.approx((pulls**2).sum())
    assert both.fewest_units == 4
    names, terms = both.exchangeable()
    assert list(names) == [f"u{i:04d}" for i in range(6)]
    assert terms.sum() == pytest.approx(both.value)


def test_seeds_of_one_training_are_shared_over_targets_and_of_two_are_not():
    scores, flat = [0.4, 0.5, 0.6], np.zeros((3, 4))

    def part(training, target):
        return Combined((by_hand(flat, scores, training=training, target=target),))

    alone = part("one", "first").spread.seeds
    assert alone == pytest.approx(0.01 / 3)
    assert mean_of([part("one", "first"), part("one", "second")]).spread.seeds == pytest.approx(alone)
    assert mean_of([part("one", "first"), part("other", "first")]).spread.seeds == pytest.approx(alone / 2)


def test_some_of_the_seeds():
    whole = single(crossed(), weight=1.0)
    some = whole.on((0, 3, 8))
    assert (whole.seeds, some.seeds) == ((0, 1, 2, 3), (0, 3))
    assert some.value == pytest.approx(whole.parts[0].scores[[0, 3]].mean())
    assert some.parts[0].pulls == pytest.approx(whole.parts[0].pulls[[0, 3]])
    assert some.parts[0].terms == pytest.approx(whole.parts[0].terms[[0, 3]])


def test_scores_by_seed_add_up_over_parts_with_the_same_seeds():
    one, other = single(crossed(), training="one"), single(1 - crossed(), training="other")
    by_seed = mean_of([one, other]).by_seed()
    assert by_seed == pytest.approx(dict.fromkeys(range(4), 0.5))
    assert np.mean(list(one.by_seed().values())) == pytest.approx(one.value)
    assert mean_of([one, other.on((0, 1))]).by_seed() == {}
    assert mean_of([one, other.on((0, 1))]).seeds == (0, 1)


def test_one_seed_has_the_freedom_of_its_units():
    found = single(crossed(seeds=1)).spread
    assert (found.seeds, found.freedom, found.seeds_freedom) == (0, pytest.approx(11), np.inf)
    assert found.half_width() == pytest.approx(t.ppf(0.975, 11) * np.sqrt(found.units))


def test_few_seeds_that_scatter_have_little_freedom_and_many_have_more():
    few, many = (single(crossed(units=200, seeds=s, seed_sd=0.3)).spread for s in (3, 40))
    assert 2 <= few.freedom < 2.2
    assert 35 < many.freedom < 60
    assert few.quantile() > 3.9 > 2.1 > many.quantile()


def test_no_variation_at_all_gives_the_normal_quantile():
    assert single(np.full((2, 3), 0.5)).spread.quantile() == pytest.approx(1.96, abs=0.01)
    assert Spread(0.0, 0.0, 0.0, np.inf, np.inf).half_width() == 0


def test_pictures_are_swapped_about_their_class_and_persons_as_they_are():
    values = np.array([[0.2, 0.4, 0.9]])
    assert component(values, weight=2.0).exchangeable == pytest.approx(2 * values[0] / 3)
    centred = component(values, weight=2.0, pictures=True, unseen=0.01)
    assert centred.exchangeable == pytest.approx(2 * (values[0] - 0.5) / 2)
    assert Combined((centred, component(values, unseen=5.0))).unseen() == pytest.approx(4 * 0.01)


def test_only_sums_over_the_same_rows_have_the_same_name():
    models = [random_answers(seed) for seed in (0, 1)]
    one, other = scored(models), scored(models[:1])
    assert one.rows == other.rows == scored(models).times(0.5).rows
    assert scored(models, condition="whole").rows != one.rows
    assert scored([random_answers(0, n=119)]).rows != one.rows
