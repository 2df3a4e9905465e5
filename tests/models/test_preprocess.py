import cv2
import numpy as np
import pytest
import torch

from fer_bench.config import InputSpec
from fer_bench.data.loading.transforms import prepare
from fer_bench.errors import DataError
from fer_bench.models.card import NetworkInput, build_card
from fer_bench.models.preprocess import network_input, shown_input, to_logits

CROPS = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3)).astype(np.uint8)


def test_mean_and_deviation_are_those_of_our_own_networks():
    spec = NetworkInput(size=32, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    own = prepare(torch.from_numpy(CROPS), InputSpec(size=32)).numpy()
    np.testing.assert_allclose(network_input(CROPS, spec), own, atol=1e-6)
    gray = NetworkInput(size=32, colour="gray", channels=3, mean=spec.mean, std=spec.std)
    own = prepare(torch.from_numpy(CROPS), InputSpec(size=32, grey=True)).numpy()
    np.testing.assert_allclose(network_input(CROPS, gray), own, atol=1e-6)


@pytest.mark.parametrize(("low", "high"), [(0, 255), (0, 1), (-1, 1), (1, 0)])
def test_a_range_gives_the_values_of_black_and_white(low, high):
    ends = np.stack([np.zeros((16, 16, 3)), np.full((16, 16, 3), 255)]).astype(np.uint8)
    values = network_input(ends, NetworkInput(size=16, range=(low, high)))
    np.testing.assert_allclose([values[0].max(), values[1].max()], [low, high], atol=1e-5)


def test_colours_and_layout():
    bgr = network_input(CROPS, NetworkInput(size=32, colour="bgr", range=(0, 255), layout="nhwc"))
    np.testing.assert_allclose(bgr[0], cv2.cvtColor(CROPS[0], cv2.COLOR_RGB2BGR), atol=1e-3)
    gray = network_input(CROPS, NetworkInput(size=32, colour="gray", range=(0, 255)))
    assert gray.shape == (3, 1, 32, 32)
    assert np.abs(gray[0, 0] - cv2.cvtColor(CROPS[0], cv2.COLOR_RGB2GRAY)).max() <= 0.51  # OpenCV rounds


def test_what_is_shown_is_what_the_network_gets():
    spec = {"size": 32, "mean": (0.4, 0.5, 0.6), "std": (0.1, 0.2, 0.3)}
    for colour, layout in (("rgb", "nchw"), ("bgr", "nhwc")):
        one = NetworkInput(**spec, colour=colour, layout=layout)
        shown = shown_input(network_input(CROPS, one), one)
        assert np.array_equal(shown, CROPS if colour == "rgb" else CROPS[..., ::-1])
    gray = NetworkInput(size=32, colour="gray", range=(-1, 1))
    shown = shown_input(network_input(CROPS, gray), gray)
    assert shown.shape == CROPS.shape
    assert (shown[..., 0] == shown[..., 2]).all()


def card(outputs="logits", classes=("happy", "sad", "drop")):
    values = {"name": "mine", "classes": classes, "input": {"size": 32}, "outputs": outputs}
    return build_card(values | {"licence": "-", "source": "-", "training_data": "-"}, "test")


LOGITS = np.random.default_rng(1).normal(size=(5, 3)) * 3
SHARES = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)


def test_all_kinds_of_outputs_become_logits_with_the_same_softmax():
    wanted = LOGITS[:, :2] - LOGITS[:, :1]
    for outputs, values in (
        ("logits", LOGITS),
        ("probabilities", SHARES),
        ("log-probabilities", np.log(SHARES)),
    ):
        found = to_logits(values, card(outputs), "m")
        assert found.dtype == np.float32
        assert found.shape == (5, 2)
        np.testing.assert_allclose(found - found[:, :1], wanted, atol=1e-4)
    half = to_logits(SHARES.astype(np.float16), card("probabilities"), "m")
    np.testing.assert_allclose(half - half[:, :1], wanted, atol=0.1)
    sure = to_logits(np.array([[1.0, 0.0, 0.0]]), card("probabilities"), "m")
    assert np.isfinite(sure).all()


@pytest.mark.parametrize(
    ("values", "outputs", "words"),
    [
        (LOGITS[:, :2], "logits", "answers 2 values per face, and the card names 3 classes"),
        (LOGITS[:, 0], "logits", "answers a single number"),
        (
            np.where(np.arange(15).reshape(5, 3) == 7, np.nan, LOGITS),
            "logits",
            "output 2 of face 3 is not finite",
        ),
        (SHARES, "logits", "the card says logits, and all outputs are in"),
        (LOGITS, "probabilities", "the card says probabilities"),
        (SHARES, "log-probabilities", "outputs: probabilities"),
        (LOGITS, "log-probabilities", "outputs: logits"),
    ],
)
def test_other_answers_than_the_card_says_are_refused(values, outputs, words):
    with pytest.raises(DataError, match=words):
        to_logits(values, card(outputs), "m.onnx")
