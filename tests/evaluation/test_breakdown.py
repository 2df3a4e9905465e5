from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from fer_bench.emotions import ACTION_UNITS, LABEL_SETS
from fer_bench.evaluation.confusion import macro_f1, mcc
from fer_bench.evaluation.scoring import score_predictions
from fer_bench.results.predictions import Predictions
from fer_bench.results.record import Score

SEVEN = [e.value for e in LABEL_SETS["7"]]
pairs = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=40)


def scored(predictions, *, in_domain=True, index=None):
    meta = predictions.meta.model_copy(update={"source": "rafdb" if in_domain else "oulu"})
    score = score_predictions(Predictions(predictions.frame, meta), target_emotions=meta.classes, index=index)
    assert score == Score.model_validate(json.loads(score.model_dump_json()))
    return score


def broken_down(predictions, **how):
    return scored(predictions, **how).breakdown


@settings(deadline=None, max_examples=60)
@given(pairs)
@pytest.mark.filterwarnings("ignore:A single label was found")
def test_matthews_agrees_with_scikit_learn_also_with_absent_classes(rows):
    truth, answer = map(list, zip(*rows, strict=True))
    matrix = reference.confusion_matrix(truth, answer, labels=range(5))
    assert mcc(matrix) == pytest.approx(reference.matthews_corrcoef(truth, answer))


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_everything_agrees_with_scikit_learn(make):
    rng = np.random.default_rng(0)
    labels = rng.choice(SEVEN[:5], 300)  # two classes are absent
    logits = rng.normal(size=(300, 7)) + 2 * (labels[:, None] == np.array(SEVEN))
    score = scored(make(SEVEN, labels.tolist(), logits))
    found = score.breakdown
    answer = np.array(SEVEN)[logits.astype(np.float32).argmax(1)]
    assert np.array(found.confusion) == pytest.approx(
        reference.confusion_matrix(labels, answer, labels=SEVEN)
    )
    assert score.metrics["mcc"] == pytest.approx(reference.matthews_corrcoef(labels, answer))
    precision, recall, f1, n = reference.precision_recall_fscore_support(
        labels, answer, labels=SEVEN, zero_division=0
    )
    for i, name in enumerate(SEVEN):
        one = found.per_class[name]
        assert (one.n, one.precision or 0) == (n[i], pytest.approx(precision[i]))
        assert one.recall == (None if n[i] == 0 else pytest.approx(recall[i]))
        assert one.f1 == (pytest.approx(f1[i]) if n[i] or one.answered else None)
    worst = min(SEVEN[:5], key=lambda name: recall[SEVEN.index(name)])
    assert (found.worst_class, found.worst_recall) == (worst, pytest.approx(min(recall[:5])))
    assert found.units == 300
    low, high = found.intervals["uar"]
    assert low < reference.balanced_accuracy_score(labels, answer) < high


def test_calibration_is_over_the_scored_classes_only(make):
    classes = ["happiness", "sadness", "contempt"]
    logits = [[0.0, 0.0, 50.0]] * 12
    predictions = make(classes, ["happiness", "sadness"] * 6, logits)
    found = broken_down(predictions, in_domain=False)
    assert found.classes == ("happiness", "sadness")
    assert found.calibration.nll == pytest.approx(np.log(2))
    assert found.calibration.ece == pytest.approx(0)
    assert found.calibration.brier == pytest.approx(0.5)
    assert np.array(found.confusion).shape == (2, 2)


def test_all_wrong_one_unit_has_no_interval(make):
    score = scored(make(SEVEN, ["fear"] * 20, [[9.0, *[0.0] * 6]] * 20, ["p"] * 20))
    found = score.breakdown
    assert (found.units, found.intervals, found.worst_recall, score.metrics["mcc"]) == (1, {}, 0, 0)
    assert found.calibration.ece > 0.9


def with_affect(predictions, rng, *, au_known=False):
    frame = predictions.frame.copy()
    n = len(frame)
    for name in ("valence", "arousal"):
        frame[f"{name}_true"] = rng.uniform(-1, 1, n).astype(np.float32)
        frame[name] = (0.5 * frame[f"{name}_true"]).astype(np.float32)
    frame.loc[:9, "valence_true"] = np.nan
    for number in ACTION_UNITS:
        truth = rng.integers(0, 2, n).astype(np.int8)
        truth[:5] = -1
        frame[f"au_{number}_true"] = truth
        frame[f"au_{number}"] = (2.0 * truth - 1 + rng.normal(size=n)).astype(np.float32)
    if not au_known:
        frame["au_26_true"] = np.int8(-1)
    return Predictions(frame, predictions.meta)


def test_affect_and_the_challenge_sum(make):
    rng = np.random.default_rng(0)
    labels = rng.choice(SEVEN, 80)
    predictions = with_affect(make(SEVEN, labels.tolist(), rng.normal(size=(80, 7))), rng)
    found = broken_down(predictions)
    assert (found.va["valence"].n, found.va["arousal"].n) == (70, 80)
    assert found.va["arousal"].pcc == pytest.approx(1)
    assert found.va["arousal"].ccc < 1
    assert found.va["arousal"].sign_agreement == 1
    assert found.va_ccc == pytest.approx((found.va["valence"].ccc + found.va["arousal"].ccc) / 2)
    assert set(found.au) == {f"au_{n}" for n in ACTION_UNITS if n != 26}
    frame = predictions.frame
    known = frame["au_12_true"] >= 0
    expected = reference.f1_score(frame["au_12_true"][known], frame["au_12"][known] > 0)
    assert (found.au["au_12"].n, found.au["au_12"].f1) == (75, pytest.approx(expected))
    assert found.abaw is None  # seven classes and eleven known action units are not the challenge
    assert broken_down(predictions, in_domain=False).abaw is None
    assert broken_down(make(SEVEN, labels.tolist(), rng.normal(size=(80, 7)))).va == {}


def test_the_challenge_sum_needs_every_part(make):
    rng = np.random.default_rng(0)
    eight = (*SEVEN, "other")
    labels = rng.choice(eight, 120)
    predictions = with_affect(make(eight, labels.tolist(), rng.normal(size=(120, 8))), rng, au_known=True)
    found = broken_down(predictions)
    assert found.abaw == pytest.approx(
        found.va_ccc + float(macro_f1(np.array(found.confusion))) + found.au_f1
    )
    frame = predictions.frame.assign(au_2_true=np.int8(0), au_2=np.float32(-1))
    silent = broken_down(Predictions(frame, predictions.meta))
    assert silent.au["au_2"].f1 is None
    assert silent.au_f1 == pytest.approx(found.au_f1 - found.au["au_2"].f1 / 12)  # counts as 0
    assert silent.abaw == pytest.approx(found.abaw - found.au["au_2"].f1 / 12)
    labels = rng.choice(eight[:7], 120)  # of eight known classes seven have a row
    seven = with_affect(make(eight, labels.tolist(), rng.normal(size=(120, 8))), rng, au_known=True)
    assert len(broken_down(seven).classes) == 8
    assert broken_down(seven).abaw is None


def test_groups_and_votes_come_from_the_stored_index(make):
    rng = np.random.default_rng(0)
    labels = rng.choice(SEVEN[:3], 90)
    predictions = make(SEVEN, labels.tolist(), 3.0 * (labels[:, None] == np.array(SEVEN)))
    ids = predictions.frame["sample_id"].tolist()
    index = pd.DataFrame(
        {
            "sample_id": [*ids[::-1], "unseen"],
            "gender": [*(["male", "female"] * 45), "male"],
            "subject": [f"p{i // 3:02d}" for i in range(91)],
            "variant": "",
            **{f"votes_{name}": 0 for name in SEVEN},
        }
    )
    index["votes_neutral"], index["votes_happiness"] = 8, 2
    found = broken_down(predictions, index=index)
    assert set(found.groups) == {"gender", "subject"}
    assert {g: v.n for g, v in found.groups["gender"].groups.items()} == {"female": 45, "male": 45}
    assert found.groups["gender"].gap == 0
    assert (found.groups["subject"].count, found.groups["subject"].compared) == (31 - 1, 0)
    assert len(found.groups["subject"].groups) == 2  # lowest and highest
    assert found.groups["subject"].gap is None
    assert (found.votes.n, found.votes.votes) == (90, 10)
    assert found.votes.human_accuracy == pytest.approx(0.8)
