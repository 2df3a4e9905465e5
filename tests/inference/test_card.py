"""Probabilities, and which recipe a union of recipes stands for."""

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.special import softmax

from fer_bench.data.crops.recipe import CropRecipe
from fer_bench.inference.card import DeploymentCard

FIELDS = {
    "name": "a",
    "method": "gcn",
    "classes": ("anger", "fear", "happiness"),
    "recipe": CropRecipe(kind="box", size=48),
    "trained_on": "rafdb",
    "data_kind": "real",
    "weights": "0" * 64,
}


def test_probabilities_are_a_softmax_with_the_corrections_of_the_card():
    logits = np.array([[3.0, -1, 0.5], [800, 800, 0]], np.float32)
    np.testing.assert_allclose(DeploymentCard(**FIELDS).probabilities(logits), softmax(logits, axis=1))
    card = DeploymentCard(**FIELDS, temperature=2.5, offsets=(0.1, -0.2, 0.3))
    wanted = softmax(logits / 2.5 + [0.1, -0.2, 0.3], axis=1)
    np.testing.assert_allclose(card.probabilities(logits), wanted)


def test_offsets_must_fit_the_classes():
    with pytest.raises(ValidationError, match="2 offsets for 3 classes"):
        DeploymentCard(**FIELDS, offsets=(0.1, 0.2))
