"""Tests of drift: false alarms as often as they say, alarms where there is drift, numbers as scipy's."""

import numpy as np
import pytest
from scipy import stats

from fer_bench.errors import DataError
from fer_bench.evaluation.drift import Observed, compare

CLASSES = ("happiness", "anger", "fear")


def observed(seed, *, units=40, faces=6, shift=0.0, sharpness=1.0, score=0.0, faceless=0, classes=CLASSES):
    """Return predictions of files whose faces are alike, as frames of a video are."""
    rng = np.random.default_rng(seed)
    of_unit = rng.normal(0, 1.2, (units, 3)) + np.array([shift, 0, 0])
    logits = sharpness * (np.repeat(of_unit, faces, axis=0) + rng.normal(0, 0.4, (units * faces, 3)))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    names = np.repeat([f"{seed}-{i}.mp4" for i in range(units)], faces)
    scores = np.repeat(rng.normal(0.9 + score, 0.05, units), faces)
    empty = frozenset(f"{seed}-none-{i}.jpg" for i in range(faceless))
    return Observed(classes, names, p, {"detector score": scores}, faceless=empty)


def test_false_alarms_are_as_frequent_as_they_may_be_though_frames_of_a_video_are_alike():
    small = {"units": 25, "faces": 4}
    alarms = [compare(observed(s, **small), observed(1000 + s, **small)).drifted for s in range(120)]
    assert stats.binomtest(sum(alarms), 120, 0.05, alternative="greater").pvalue > 0.01
    assert sum(alarms) > 0  # the level is used


def test_counting_frames_as_files_would_cry_wolf():
    def by_frame(seed):
        one = observed(seed)
        return Observed(CLASSES, np.array([f"{seed}-{i}" for i in range(len(one.units))]), one.probabilities)

    alarms = [compare(by_frame(seed), by_frame(1000 + seed)).drifted for seed in range(5)]
    assert np.mean(alarms) > 0.5


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"shift": 2.0}, "class shares"),
        ({"sharpness": 0.3}, "top probability"),
        ({"shift": 1.5}, "log-probabilities"),
        ({"score": -0.1}, "detector score"),
        ({"faceless": 30}, "files without a face"),
    ],
)
def test_what_drifted_is_named(change, name):
    found = compare(observed(0), observed(1, **change))
    assert name in [one.name for one in found.alarms]


def test_an_effect_below_the_least_that_counts_is_no_alarm():
    found = compare(observed(2, units=400), observed(3, units=400, score=-0.02))
    assert [one.name for one in found.alarms] == ["detector score"]
    (alarm,) = found.alarms
    assert not compare(observed(2, units=400), observed(3, units=400, score=-0.02), least=0.5).drifted
    assert 0.1 < alarm.effect < 0.4


def test_p_values_and_effects_are_scipys():
    old, new = observed(0, faces=1), observed(1, faces=1, score=-0.02)
    found = {one.name: one for one in compare(old, new).findings}["detector score"]
    one, two = old.values["detector score"], new.values["detector score"]
    assert found.p == pytest.approx(stats.ks_2samp(one, two).pvalue)
    u = stats.mannwhitneyu(two, one).statistic / (len(one) * len(two))
    assert found.effect == pytest.approx(abs(2 * u - 1))
    shares = [np.bincount(side.probabilities.argmax(1), minlength=3) for side in (old, new)]
    wanted = stats.chi2_contingency(np.array(shares)).pvalue
    assert {one.name: one for one in compare(old, new).findings}["class shares"].p == pytest.approx(
        wanted, abs=0.06
    )


def test_many_files_are_compared_by_the_limit_of_the_same_statistic():
    sides = [observed(seed, units=600, faces=1) for seed in (0, 1)]
    found = {one.name: one for one in compare(*sides).findings}["class shares"]
    assert found.test == "chi-square of unit means"
    shares = [np.bincount(side.probabilities.argmax(1), minlength=3) for side in sides]
    assert found.p == pytest.approx(stats.chi2_contingency(np.array(shares)).pvalue, rel=1e-6)


def test_the_energy_distance_of_one_number_is_scipys():
    rng = np.random.default_rng(0)
    sides = []
    for seed, mean in ((0, 0.0), (1, 0.7)):
        one = observed(seed, faces=1)
        sides.append(Observed(CLASSES, one.units, one.probabilities, features=rng.normal(mean, 1, (40, 1))))
    rows = np.concatenate([side.features for side in sides])
    scaled = [(side.features - rows.mean()) / rows.std() for side in sides]
    distance = stats.energy_distance(*(side.ravel() for side in scaled)) ** 2
    across = 2 * np.abs(scaled[0] - scaled[1].T).mean()
    found = {one.name: one for one in compare(*sides).findings}["features"]
    assert found.effect == pytest.approx(distance / across)


def test_the_same_file_twice_has_not_drifted():
    one = observed(0)
    found = compare(one, one)
    assert not found.drifted
    assert all(each.effect == pytest.approx(0, abs=1e-9) for each in found.findings)
    assert all(old == new for old, new in found.shares.values())


def test_classes_in_another_order_are_the_same_classes():
    one = observed(0)
    turned = Observed(CLASSES[::-1], one.units, one.probabilities[:, ::-1], one.values)
    assert compare(one, turned) == compare(one, one)


def test_other_classes_features_and_too_few_files_are_refused():
    with pytest.raises(DataError, match="different classes"):
        compare(observed(0), observed(1, classes=("happiness", "anger", "sadness")))
    with pytest.raises(DataError, match="too few files"):
        compare(observed(0, units=3), observed(1, units=3))
    sides = [Observed(CLASSES, o.units, o.probabilities, features=np.zeros((240, d))) for o, d in
             ((observed(0), 2), (observed(1), 3))]  # fmt: skip
    with pytest.raises(DataError, match="different networks"):
        compare(*sides)
