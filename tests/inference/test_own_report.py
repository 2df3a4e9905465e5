"""What labelled pictures say: the same numbers as elsewhere, and thresholds that predict can use."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import softmax

from fer_bench.emotions import Emotion
from fer_bench.evaluation.scoring import score_predictions
from fer_bench.evaluation.selective import find_threshold
from fer_bench.inference.own_data import Outcome
from fer_bench.inference.own_figures import draw_curve
from fer_bench.inference.own_report import abstain, corrected, report
from tests.evaluation.conftest import make
from tests.inference.test_onnx_model import CARD

__all__ = ["make"]
CLASSES = ("happiness", "anger", "fear")


def outcome(make, n=300, *, sharpness=3.0, labels=CLASSES, seed=0):
    rng = np.random.default_rng(seed)
    truth = [labels[i % len(labels)] for i in range(n)]
    place = np.array([CLASSES.index(label) if label in CLASSES else 0 for label in truth])
    logits = sharpness * (np.eye(3)[place] * 1.5 + rng.normal(0, 1, (n, 3)))
    predictions = make(CLASSES, truth, logits, source="rafdb", target="folder")
    score = score_predictions(predictions, target_emotions=tuple(Emotion))
    record = SimpleNamespace(warnings=(), data_kind="real", is_outside=True)
    return Outcome("folder", predictions, score, record, "runs/x", {"rafdb": predictions}, "image")


def test_scores_are_those_of_the_record_with_their_intervals(make):
    one = outcome(make)
    found = report(one)
    for name, value in found.here.values.items():
        assert value.value == pytest.approx(one.score.metrics[name])
        ends = one.score.breakdown.intervals[name]
        assert (value.interval.low, value.interval.high) == pytest.approx(ends)
    assert found.home["rafdb"].values["uar"].value == found.here.values["uar"].value
    assert found.growth.more == pytest.approx(3 * 300, rel=0.1)
    json.dumps(found.document(), allow_nan=False)


def test_the_best_calibration_is_taken_unless_one_is_named(make):
    one = outcome(make)
    found = report(one, shares="best")
    losses = {each.rule: each.metrics["nll"].after.value for each in found.recalibrations}
    assert losses[found.calibration.rule] == min(losses.values())
    assert report(one, shares="em").calibration.rule == "em"
    assert found.document()["calibration"]["taken"] == found.calibration.rule
    assert report(one).calibration is None


def test_a_threshold_is_for_all_that_predict_would_answer(make):
    """Labels that the model does not know are wrong answers, and all its classes compete."""
    one = outcome(make, labels=("happiness", "anger", "sadness"))
    assert set(one.score.label_set) == {"happiness", "anger"}
    found = report(one, max_error=0.4).abstaining
    p = softmax(one.predictions.logits.astype(float), axis=1)
    answered = np.array(CLASSES)[p.argmax(1)]
    wrong = answered != one.predictions.frame["label"].to_numpy(str)
    assert wrong[one.predictions.frame["label"] == "sadness"].all()
    assert found.curve.error == pytest.approx(wrong.mean())
    assert found.threshold == find_threshold(p.max(1), wrong, one.predictions.frame["unit"].tolist(), 0.4)


def test_a_calibration_that_the_model_has_already_counts(make):
    one = outcome(make)
    card = CARD.model_copy(update={"classes": CLASSES, "temperature": 3.0, "offsets": (0.5, 0.0, 0.0)})
    p = card.probabilities(one.predictions.logits)
    found = corrected(one.predictions, card)
    assert softmax(found.logits.astype(float), axis=1) == pytest.approx(p, abs=1e-6)
    assert corrected(one.predictions, CARD) is one.predictions
    curve = abstain(found, None, None, 0.95).curve
    assert curve.thresholds[0] == pytest.approx(p.max(), abs=1e-6)


def test_the_curve_is_drawn_with_its_threshold(make, tmp_path):
    import cv2

    one = outcome(make, sharpness=1.0)
    wanted = report(one, max_error=0.3)
    assert wanted.abstaining.threshold.probability is not None
    files = [tmp_path / "with.png", tmp_path / "without.png"]
    draw_curve(wanted, files[0])
    draw_curve(report(one), files[1])
    shapes = [cv2.imread(str(file)).shape for file in files]
    assert shapes[0] == shapes[1]
    assert files[0].read_bytes() != files[1].read_bytes()
