import numpy as np
import pytest

from fer_bench.evaluation.class_order import GAIN, other_order
from fer_bench.results.predictions import Predictions, PredictionsMeta, predictions_frame

CLASSES = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger")


def predictions(answers, labels, units=None):
    """Return predictions whose answers are given as positions."""
    count = len(labels)
    logits = np.eye(len(CLASSES), dtype=np.float32)[answers]
    frame = predictions_frame(
        sample_ids=[str(i) for i in range(count)],
        units=units or [str(i) for i in range(count)],
        labels=labels,
        classes=CLASSES,
        logits=logits,
    )
    fields = dict.fromkeys(
        ("key", "method", "source", "target", "checkpoint", "fingerprint", "pixels", "recipe"), "x"
    )
    return Predictions(frame, PredictionsMeta(**fields, selection="last", card_version=1, classes=CLASSES))


def drawn(skill, seed, order=tuple(range(7)), count=700):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 7, count)
    answers = np.where(rng.random(count) < skill, np.array(order)[truth], rng.integers(0, 7, count))
    return predictions(answers, [CLASSES[t] for t in truth])


def test_two_outputs_that_changed_places_are_found():
    found = other_order(drawn(0.6, 0, order=(0, 1, 6, 3, 4, 5, 2)))
    assert found.moves == {"anger": "sadness", "sadness": "anger"}
    assert min(found.found, found.confirmed) == pytest.approx(2 * 0.6 / 7, abs=0.05)
    assert "anger answers sadness" in found.text


def test_a_whole_other_order_is_found():
    order = (3, 4, 5, 6, 0, 1, 2)
    found = other_order(drawn(0.5, 1, order=order))
    assert found.moves == {CLASSES[given]: CLASSES[label] for label, given in enumerate(order)}


@pytest.mark.parametrize("skill", [0.2, 0.9])
def test_the_right_order_is_not_doubted(skill):
    assert [seed for seed in range(50) if other_order(drawn(skill, seed)) is not None] == []


@pytest.mark.parametrize("count", [60, 200, 700])
def test_of_a_model_that_guesses_some_order_fits_the_first_half_and_seldom_the_second(count):
    doubted = [seed for seed in range(200) if other_order(drawn(0, seed, count=count)) is not None]
    assert len(doubted) <= 0.02 * 200
    assert GAIN == 0.05


def test_rows_of_one_unit_stay_together_and_others_are_left_out():
    truth = np.arange(70) % 7
    labels = [CLASSES[t] for t in truth]
    assert other_order(predictions((truth + 1) % 7, labels, units=["one"] * 70)) is None
    labels = ["contempt" if t == 3 else CLASSES[t] for t in truth]
    labels[0] = None
    found = other_order(predictions((truth + 1) % 7, labels))
    assert "surprise" not in found.moves.values()
    assert found.found == pytest.approx(1.0)
