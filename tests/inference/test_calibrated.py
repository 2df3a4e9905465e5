"""A calibrated copy answers calibrated probabilities, whatever it was a copy of."""

import numpy as np
import pytest
from scipy.special import softmax

from fer_bench.errors import UsageError
from fer_bench.evaluation.recalibration import Calibrator
from fer_bench.inference.calibrated import added, write_calibrated
from fer_bench.inference.opening import open_face_model
from tests.inference.test_onnx_model import CARD, network, write


def test_a_calibration_comes_on_top_of_the_one_that_is_there():
    logits = np.random.default_rng(0).normal(0, 2, (20, 2)).astype(np.float32)
    before = CARD.model_copy(update={"temperature": 2.0, "offsets": (0.3, -0.1)})
    calibrator = Calibrator(1.7, (0.2, 0.0))
    after = added(before, calibrator)
    wanted = np.exp(calibrator.log_probabilities(np.log(before.probabilities(logits))))
    assert after.probabilities(logits) == pytest.approx(wanted)
    assert added(CARD, Calibrator(1.7, (0.0, 0.0))).offsets == ()


def test_a_checkpoint(trained, checkpoint, crops, tmp_path):
    model = open_face_model(checkpoint)
    k = len(model.card.classes)
    card = added(model.card, Calibrator(2.5, tuple(np.linspace(-1, 1, k))))
    out = tmp_path / "calibrated.pt"
    write_calibrated(checkpoint, out, card)
    copy = open_face_model(out)
    assert (copy.sha256, copy.card) == (model.sha256, card)
    logits = copy.answer(crops).logits
    assert logits == pytest.approx(model.answer(crops).logits)
    wanted = softmax(logits / 2.5 + np.linspace(-1, 1, k), axis=1)
    assert copy.card.probabilities(logits) == pytest.approx(wanted, abs=1e-6)


def test_an_export(tmp_path):
    source, out = write(tmp_path / "export.onnx", network()), tmp_path / "calibrated.onnx"
    card = added(CARD, Calibrator(0.5, (0.0, 1.0)))
    write_calibrated(source, out, card)
    copy = open_face_model(out)
    assert copy.card == card
    pictures = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), np.uint8)
    assert copy.answer(pictures).logits == pytest.approx(open_face_model(source).answer(pictures).logits)


def test_a_copy_replaces_nothing_and_keeps_its_kind(checkpoint, tmp_path):
    card = open_face_model(checkpoint).card
    with pytest.raises(UsageError, match="keeps the ending"):
        write_calibrated(checkpoint, tmp_path / "calibrated.onnx", card)
    with pytest.raises(UsageError, match="would replace"):
        write_calibrated(checkpoint, checkpoint, card)
