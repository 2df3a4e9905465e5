from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from fer_bench.emotions import LABEL_SETS
from fer_bench.errors import DataError
from fer_bench.evaluation.estimates import Value, answers, average, estimate, seed_shares
from fer_bench.evaluation.statistics import Interval
from fer_bench.evaluation.transfer import (
    Generalisation,
    counted_targets,
    generalisation,
    retention,
    score_predictions,
    transfer_score,
)

SEVEN_C = [e.value for e in LABEL_SETS["7c"]]
SEVEN = [e.value for e in LABEL_SETS["7"]]


def one_hot(classes, answered, size=3.0):
    return [[size if name == answer else 0.0 for name in classes] for answer in answered]


def score(predictions, *, in_domain=False, target_emotions=LABEL_SETS["7"]):
    return score_predictions(
        predictions,
        source_label_set=predictions.meta.classes,
        target="rafdb",
        target_emotions=target_emotions,
        in_domain=in_domain,
    )


def test_other_datasets_are_scored_on_shared_classes_with_restricted_logits(make):
    labels = ["happiness", "sadness", "anger", "contempt", "neutral", None]
    logits = np.array(one_hot(SEVEN_C, ["happiness", "contempt", "fear", "contempt", "fear", "fear"]))
    logits[1, SEVEN_C.index("sadness")] = 1.0  # right once contempt may not be answered
    found = score(make(SEVEN_C, labels, logits), target_emotions=LABEL_SETS["8"])
    assert found.label_set == ("happiness", "sadness", "anger")
    assert (found.n, found.k, found.kept_share) == (3, 3, 3 / 5)
    assert found.uar == pytest.approx(2 / 3)
    assert found.unrestricted_uar == pytest.approx(1 / 3)
    assert found.transfer == pytest.approx((2 / 3 - 1 / 3) / (2 / 3))
    assert found.small_classes == ("happiness", "sadness", "anger")


def test_fear_is_no_class_of_the_pair_when_the_target_has_no_such_row(make):
    found = score(make(SEVEN_C, ["happiness", "sadness"], one_hot(SEVEN_C, ["fear", "fear"])))
    assert found.label_set == ("happiness", "sadness")
    assert found.unrestricted_uar == 0
    assert found.uar == 0.5  # all scored logits equal: the first class is answered


def test_in_domain_scores_the_whole_label_set_over_present_classes(make):
    labels = ["contempt"] * 6 + ["happiness"] * 5
    found = score(make(SEVEN_C, labels, one_hot(SEVEN_C, ["contempt"] * 6 + ["fear"] * 5)), in_domain=True)
    assert found.label_set == tuple(SEVEN_C)
    assert (found.n, found.k, found.kept_share) == (11, 2, 1.0)
    assert (found.uar, found.transfer) == (0.5, 0.0)
    assert "happiness" not in found.small_classes
    assert "fear" in found.small_classes


def test_scores_agree_with_scikit_learn(make):
    rng = np.random.default_rng(3)
    labels = rng.choice(SEVEN, 300).tolist()
    logits = rng.normal(size=(300, 7)) + 1.5 * np.array(one_hot(SEVEN, labels, 1.0))
    found = score(make(SEVEN, labels, logits))
    predicted = [SEVEN[i] for i in logits.argmax(1)]
    assert found.uar == pytest.approx(balanced_accuracy_score(labels, predicted))
    assert found.transfer == pytest.approx(balanced_accuracy_score(labels, predicted, adjusted=True))


def test_one_shared_class_has_no_transfer_and_none_is_refused(make):
    assert score(make(SEVEN_C, ["fear"] * 3, one_hot(SEVEN_C, ["fear"] * 3))).transfer is None
    with pytest.raises(DataError, match="no row of rafdb"):
        score(make(SEVEN_C, ["neutral", "neutral"], one_hot(SEVEN_C, ["fear", "fear"])))
    with pytest.raises(DataError, match="no label"):
        score(make(SEVEN_C, [None], one_hot(SEVEN_C, ["fear"])))


@pytest.mark.parametrize(
    ("uar", "k", "expected"), [(0.25, 4, 0.0), (1.0, 6, 1.0), (0.0, 2, -1.0), (1.0, 1, None)]
)
def test_transfer_score(uar, k, expected):
    assert transfer_score(uar, k) == expected


def test_folds_are_averaged_before_seeds():
    shares = seed_shares([0, 0, 0, 1])
    assert shares == pytest.approx([1 / 6, 1 / 6, 1 / 6, 1 / 2])


def test_models_are_averaged_and_never_pooled(make):
    labels = ["happiness"] * 10 + ["sadness"] * 30
    always = {
        name: answers(make(SEVEN, labels, one_hot(SEVEN, [name] * 40)), ["happiness", "sadness"])
        for name in ("happiness", "sadness")
    }
    right = answers(make(SEVEN, labels, one_hot(SEVEN, labels)), ["happiness", "sadness"])
    found = estimate([always["happiness"], right], "rafdb")
    assert found.values["uar"].value == 0.75
    assert found.values["accuracy"].value == (0.25 + 1) / 2
    assert (found.n, found.k, found.units) == (40, 2, 40)


@pytest.mark.parametrize(("units", "expected"), [(9, False), (10, True)])
def test_under_ten_units_there_is_no_interval(make, units, expected):
    labels = [("happiness", "sadness")[i // units % 2] for i in range(60)]
    rng = np.random.default_rng(0)
    given = answers(
        make(SEVEN, labels, rng.normal(size=(60, 7)), [f"u{i % units}" for i in range(60)]), SEVEN
    )
    found = estimate([given], "rafdb")
    assert found.units == units
    assert (found.values["uar"].interval is not None) is expected
    again = estimate([given], "rafdb")
    assert found == again


def test_average_needs_an_interval_of_every_part():
    draws = np.linspace(0, 1, 11)
    part = Value(0.4, Interval(0.1, 0.7), draws)
    both = average([part, Value(0.6, Interval(0.1, 0.7), draws[::-1])])
    assert both.value == 0.5
    assert both.interval == Interval(0.5, 0.5)  # opposite draws cancel
    assert average([part, Value(0.6, None)]).interval is None


def test_targets_are_the_list_without_own_members_and_shared_pictures():
    named = ("ckplus", "mmi", "oulu", "expw")
    shared = frozenset({frozenset(("expw", "mmafedb"))})
    assert counted_targets("oulu", named) == ("ckplus", "mmi", "expw")
    assert counted_targets("ckplus+mmi", named) == ("oulu", "expw")
    assert counted_targets("mmafedb", named, shared) == ("ckplus", "mmi", "oulu")


def test_a_missing_target_makes_generalisation_incomplete():
    transfers = {"a": Value(0.2, None), "b": Value(0.4, None)}
    whole, part = generalisation(transfers, ["a", "b"]), generalisation(transfers, ["a", "b", "c"])
    assert whole.mean == part.mean == Value(pytest.approx(0.3), None)
    assert whole.complete
    assert (part.complete, part.scored, part.wanted) == (False, 2, 3)
    assert not generalisation({}, []).complete


def source(transfer, in_domain, low):
    return Generalisation(Value(transfer, None), 6, 6, Value(in_domain, Interval(low, 1.0)))


def test_retention_is_a_ratio_of_means_and_withheld_near_chance():
    assert retention([source(0.2, 0.8, 0.7)]) == pytest.approx(0.25)
    assert retention([source(0.2, 0.8, 0.7), source(0.1, 0.2, 0.15)]) == pytest.approx(0.15 / 0.5)
    assert retention([source(0.2, 0.3, 0.09)]) is None
    assert retention([Generalisation(Value(0.2, None), 6, 6, Value(0.8, None))]) is None
    assert retention([Generalisation(Value(0.2, None), 6, 6, None)]) is None
    assert retention([]) is None
