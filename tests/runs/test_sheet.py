import numpy as np
import pytest

from fer_bench.runs.outside import prepare
from fer_bench.runs.sheet import FACES, make_sheet, write_sheet
from tests.models.networks import write_card, write_network


@pytest.fixture
def sheet(workspace, tmp_path):
    def make(**changes):
        file = tmp_path / "mine.onnx"
        write_network(file, channels=1 if "gray" in changes.get("input", "") else 3)
        write_card(file, **changes)
        ready = prepare(str(file), ["rafdb"], workspace.roots)
        return make_sheet(ready), ready

    return make


def test_it_shows_faces_of_every_class_and_the_models_answers(sheet):
    found, ready = sheet()
    model = ready.model
    assert len(found.labels) <= FACES
    assert set(found.labels) == set(found.classes)
    np.testing.assert_allclose(found.shares.sum(axis=1), 1)
    logits = model.logits(model.answer(found.crops))
    assert (found.shares.argmax(axis=1) == logits.argmax(axis=1)).all()
    assert np.array_equal(found.seen, found.crops)
    assert found.facts[0].startswith("SYNTHETIC DATA: mine on rafdb")
    assert "nchw 3x32x32, rgb: values 0." in found.facts[2]


def test_swapped_colours_and_gray_are_seen(sheet):
    found, _ = sheet(input="{size: 32, colour: bgr, range: [0, 255]}")
    assert np.array_equal(found.seen, found.crops[..., ::-1])
    assert "blue" in found.facts[3]
    found, _ = sheet(input="{size: 32, colour: gray, range: [0, 255]}")
    assert (found.seen[..., 0] == found.seen[..., 2]).all()


def test_the_page_holds_every_probability(sheet, tmp_path):
    _, ready = sheet()
    file = tmp_path / "seen.html"
    found = write_sheet(ready, file)
    text = file.read_text()
    assert text.count("<tr>") == 1 + len(found.labels)
    assert f"<td>{100 * found.shares[0, 0]:.1f}</td>" in text
    assert "data:image/png;base64," in text
