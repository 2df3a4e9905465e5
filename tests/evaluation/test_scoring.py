from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score

from fer_bench.emotions import LABEL_SETS
from fer_bench.errors import DataError
from fer_bench.evaluation.scoring import score_predictions
from fer_bench.results.predictions import Predictions

SEVEN_C = [e.value for e in LABEL_SETS["7c"]]
SEVEN = [e.value for e in LABEL_SETS["7"]]


def one_hot(classes, answered, size=3.0):
    return [[size if name == answer else 0.0 for name in classes] for answer in answered]


def score(predictions, *, in_domain=False, target_emotions=LABEL_SETS["7"]):
    meta = predictions.meta.model_copy(update={"source": "rafdb" if in_domain else "oulu"})
    return score_predictions(Predictions(predictions.frame, meta), target_emotions=target_emotions)


def test_other_datasets_are_scored_on_shared_classes_with_restricted_logits(make):
    labels = ["happiness", "sadness", "anger", "contempt", "neutral", None]
    logits = np.array(one_hot(SEVEN_C, ["happiness", "contempt", "fear", "contempt", "fear", "fear"]))
    logits[1, SEVEN_C.index("sadness")] = 1.0  # right once contempt may not be answered
    found = score(make(SEVEN_C, labels, logits), target_emotions=LABEL_SETS["8"])
    assert found.label_set == ("happiness", "sadness", "anger")
    assert (found.n, found.k, found.kept_share) == (3, 3, 3 / 5)
    assert found.uar == pytest.approx(2 / 3)
    assert found.unrestricted_uar == pytest.approx(1 / 3)
    assert found.metrics["transfer"] == pytest.approx((2 / 3 - 1 / 3) / (2 / 3))
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
    assert (found.uar, found.metrics["transfer"]) == (0.5, 0.0)
    assert "happiness" not in found.small_classes
    assert "fear" in found.small_classes


@pytest.mark.parametrize("in_domain", [True, False])
@pytest.mark.parametrize("absent", [(), ("fear",), ("fear", "anger")])
@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_macro_f1_is_over_what_is_shown_or_answered_within_the_label_set(make, in_domain, absent):
    rng = np.random.default_rng(len(absent))
    labels = rng.choice([name for name in SEVEN_C if name not in absent], 200).tolist()
    logits = rng.normal(size=(200, 7)) + np.array(one_hot(SEVEN_C, labels, 1.0))
    found = score(make(SEVEN_C, labels, logits), in_domain=in_domain, target_emotions=LABEL_SETS["8"])
    scored = [name in found.label_set for name in SEVEN_C]
    assert sum(scored) == (7 if in_domain else 6 - len(absent))  # a pair has no class without a row
    answered = [SEVEN_C[i] for i in np.where(scored, logits, -np.inf).argmax(1)]
    pairs = [(t, a) for t, a in zip(labels, answered, strict=True) if t in found.label_set]
    assert found.metrics["macro_f1"] == pytest.approx(f1_score(*zip(*pairs, strict=True), average="macro"))


def test_scores_agree_with_scikit_learn(make):
    rng = np.random.default_rng(3)
    labels = rng.choice(SEVEN, 300).tolist()
    logits = rng.normal(size=(300, 7)) + 1.5 * np.array(one_hot(SEVEN, labels, 1.0))
    found = score(make(SEVEN, labels, logits))
    predicted = [SEVEN[i] for i in logits.argmax(1)]
    assert found.uar == pytest.approx(balanced_accuracy_score(labels, predicted))
    assert found.metrics["transfer"] == pytest.approx(
        balanced_accuracy_score(labels, predicted, adjusted=True)
    )


def test_one_shared_class_has_no_transfer_and_none_is_refused(make):
    assert score(make(SEVEN_C, ["fear"] * 3, one_hot(SEVEN_C, ["fear"] * 3))).metrics["transfer"] is None
    with pytest.raises(DataError, match="no row of rafdb"):
        score(make(SEVEN_C, ["neutral", "neutral"], one_hot(SEVEN_C, ["fear", "fear"])))
    with pytest.raises(DataError, match="no label"):
        score(make(SEVEN_C, [None], one_hot(SEVEN_C, ["fear"])))
