"""Each card that comes with the package, with a stand-in network of the signature that it describes."""

import numpy as np
import pytest

from fer_bench.emotions import Emotion
from fer_bench.errors import DataError
from fer_bench.models.card import shipped_card, shipped_names
from fer_bench.models.opening import open_model
from tests.models.networks import write_network

WANTED = {"hsemotion", "opencv", "emotion", "deepface", "fer", "vladmandic"}
FIXED = {"emotion-ferplus-8": 1, "opencv-mobilefacenet": 1}
"""Networks that take one face at a time."""


def test_there_is_a_card_for_every_model_that_people_have():
    assert {name.partition("-")[0] for name in shipped_names()} == WANTED


@pytest.mark.parametrize("name", shipped_names())
def test_a_card_is_whole(name):
    card = shipped_card(name)
    assert card.name == name
    assert card.input.is_scaled
    for field in (card.title, card.licence, card.source, card.citation, card.training_data, card.file):
        assert field
    assert card.notes
    assert all(note.source or note.trust == "memory" for note in card.notes)
    assert set(card.labels) >= {e.value for e in (Emotion.HAPPINESS, Emotion.ANGER, Emotion.NEUTRAL)}
    assert any(exposure == "in training" for exposure in card.exposure.values())


@pytest.mark.parametrize("name", shipped_names())
def test_a_card_opens_a_network_of_its_signature(name, tmp_path, monkeypatch):
    card, spec = shipped_card(name), shipped_card(name).input
    file = tmp_path / card.file
    write_network(
        file,
        size=spec.size,
        classes=len(card.classes),
        channels=spec.depth,
        batch=FIXED.get(name, "batch"),
        layout=spec.layout,
        input_name=spec.name or "pixels",
        output_name=card.output or "answers",
        softmax=card.outputs == "probabilities",
        scale=1 / max(map(abs, spec.range or (1, 1))),
    )
    if card.sha256 is not None:
        with pytest.raises(DataError, match=f"not the file of the model card {name}"):
            open_model(str(file))
        bare = card.model_copy(update={"sha256": None})
        monkeypatch.setattr("fer_bench.models.opening.shipped_card", lambda _: bare)
        monkeypatch.setattr("fer_bench.models.opening.shipped_names", lambda: (name,))
    model = open_model(str(file))
    assert model.card.name == name
    crops = np.random.default_rng(0).integers(0, 256, (5, spec.size, spec.size, 3)).astype(np.uint8)
    logits = model.logits(model.answer(crops))
    assert logits.shape == (5, len(card.labels))
    one = model.logits(model.answer(crops[2:3]))
    np.testing.assert_allclose(logits[2:3], one, atol=1e-4)
