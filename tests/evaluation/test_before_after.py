import numpy as np
import pytest
from scipy import stats

from fer_bench.errors import StoreError
from fer_bench.evaluation.before_after import compare
from fer_bench.results.predictions import Predictions

CLASSES = ("happiness", "anger")


def pair(make, right, n=400, seed=0, classes=CLASSES):
    """Return predictions of two models that are right with the given probabilities, on the same rows."""
    rng = np.random.default_rng(seed)
    labels = [CLASSES[i % 2] for i in range(n)]
    place = np.array([classes.index(label) for label in labels])
    found = []
    for probability in right:
        hit = rng.random(n) < probability
        logits = np.zeros((n, len(classes)))
        logits[np.arange(n), np.where(hit, place, 1 - place)] = 3
        found.append(make(classes, labels, logits, target="folder"))
    return found


def test_accuracy_of_pictures_is_mcnemars_difference(make):
    before, after = pair(make, (0.6, 0.75))
    found = compare(before, after).metrics["accuracy"]
    hits = [
        p.logits.argmax(1) == p.frame["label"].map(dict(zip(CLASSES, (0, 1), strict=True)))
        for p in (before, after)
    ]
    gain = hits[1].astype(float) - hits[0].astype(float)
    low, high = stats.t.interval(0.95, len(gain) - 1, gain.mean(), stats.sem(gain))
    assert found.change.difference == pytest.approx(gain.mean())
    assert found.change.low == pytest.approx(low, abs=0.003)
    assert found.change.high == pytest.approx(high, abs=0.003)


def test_a_model_against_itself_has_no_difference(make):
    (before,) = pair(make, (0.7,))
    for name, metric in compare(before, before).metrics.items():
        assert metric.change.difference == 0, name
        assert metric.change.low <= 0 <= metric.change.high


def test_the_interval_holds_the_true_gain_as_often_as_it_says(make):
    held = []
    for seed in range(200):
        change = compare(*pair(make, (0.6, 0.7), n=120, seed=seed)).metrics["uar"].change
        held.append(change.low <= 0.1 <= change.high)
    assert 0.90 <= np.mean(held) <= 0.99


def test_answers_are_restricted_to_the_classes_that_both_know(make):
    before, _ = pair(make, (0.8, 0.8))
    more = (*CLASSES, "fear")
    (after,) = pair(make, (0.8,), classes=more)
    logits = after.logits.copy()
    logits[:, 2] = 9  # it always answers what the first cannot
    frame = after.frame.assign(logit_fear=logits[:, 2])
    found = compare(before, Predictions(frame, after.meta))
    assert found.label_set == CLASSES
    assert found.metrics["uar"].after.value == pytest.approx(found.metrics["uar"].before.value)


def test_few_units_get_no_interval_and_strangers_no_comparison(make):
    before, after = pair(make, (0.5, 0.9), n=8)
    change = compare(before, after).metrics["uar"].change
    assert (change.low, change.high) == (None, None)
    other = make(("fear", "sadness"), list(before.frame["label"]), np.zeros((8, 2)), target="folder")
    assert compare(other, after).metrics == {}


def test_other_rows_are_refused(make):
    before, after = pair(make, (0.5, 0.9))
    with pytest.raises(StoreError, match="differ"):
        compare(before, Predictions(after.frame.iloc[1:], after.meta))
