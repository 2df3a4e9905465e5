import numpy as np
import pytest

from fer_bench.audit.habits import HABITS
from fer_bench.audit.measure import _best_seed, foreign_order, reordered, shown_logits
from fer_bench.evaluation.statistics import Answers
from tests.results.test_predictions import predictions


class Model:
    """Answers with the mean of each quarter of the red channel."""

    def answer(self, crops):
        class Found:
            logits = np.stack(
                [crops[:, :, half, 0].mean(axis=(1, 2)) for half in (slice(0, 4), slice(4, 8))], 1
            )

        Found.logits = Found.logits.astype(np.float32)
        return Found


class Pack:
    pixels = np.random.default_rng(0).integers(0, 256, (300, 8, 8, 3), np.uint8)


def test_a_flip_averages_the_answers_for_picture_and_mirror_image():
    rows = np.arange(0, 300, 2)
    found = shown_logits(Model(), Pack, rows, "flip")
    whole = Pack.pixels[rows][..., 0].mean(axis=(1, 2))
    np.testing.assert_allclose(found, np.stack([whole, whole], axis=1), rtol=1e-6)


def test_bgr_exchanges_red_and_blue():
    found = shown_logits(Model(), Pack, np.array([3, 1]), "bgr")
    blue = Pack.pixels[[3, 1]][..., 2]
    np.testing.assert_allclose(found[:, 0], blue[:, :, :4].mean(axis=(1, 2)), rtol=1e-6)


def test_the_foreign_order_is_that_of_another_datasets_codes():
    raf = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
    other, read_as = foreign_order("rafdb", raf)
    assert other != "rafdb"
    assert sorted(read_as) == list(range(7))
    assert read_as != list(range(7))


def test_reordered_answers_move_whole_columns():
    given = predictions()
    classes = given.meta.classes
    order = [*range(1, len(classes)), 0]
    found = reordered(given, ("elsewhere", order))
    for at, read_as in enumerate(order):
        np.testing.assert_array_equal(
            found.frame[f"logit_{classes[read_as]}"], given.frame[f"logit_{classes[at]}"]
        )


def test_the_best_seed_gains_what_it_is_above_the_mean():
    def seed(right):
        truth = np.tile([0, 1], 20)
        answer = np.where(np.arange(40) < right, truth, 1 - truth)
        units = np.array([f"u{n // 2}" for n in range(40)], object)
        return Answers(
            truth=truth,
            answer=answer,
            units=units,
            samples=np.arange(40).astype(str).astype(object),
            labelled=40,
            classes=("anger", "fear"),
            scored_classes=("anger", "fear"),
        )

    found = _best_seed(HABITS["best-seed"], "rafdb", {0: seed(20), 1: seed(30), 2: seed(40)})
    assert found.gain.value == pytest.approx(0.25)
    assert found.honest.value == pytest.approx(0.75)
    assert (found.rows, found.units, found.seeds) == (40, 20, 3)
    assert 0.1 < found.gain.interval.low < 0.25 < found.gain.interval.high < 0.5
