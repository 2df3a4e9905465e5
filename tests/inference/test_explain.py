import numpy as np
import pytest

from fer_bench.data.crops.recipe import TEMPLATE
from fer_bench.errors import UsageError
from fer_bench.inference import explain as module
from fer_bench.inference.explain import explain, gallery_maps, maps, overlaid
from fer_bench.inference.face_model import FaceModel
from fer_bench.inference.opening import open_face_model
from tests.inference.models import saved


def test_an_explanation_says_what_the_map_is_worth(tmp_path, crops):
    model = saved(tmp_path)
    found = explain(model, crops, list("abcde"), [TEMPLATE] * 4 + [None], wanted="happiness")
    shares = model.card.probabilities(model.answer(crops).logits)
    for row, one in enumerate(found):
        assert one.predicted == "happiness"
        assert list(one.shares.values()) == pytest.approx(shares[row])
        assert one.map.shape == (64, 64)
        for name in ("deletion", "insertion", "random_deletion", "random_insertion"):
            assert 0 < getattr(one, name) < 1
    assert any(one.map.any() for one in found[:4])
    for one in found[:4]:
        whole = one.map.sum()
        assert one.share == (pytest.approx(one.map[one.region].sum() / whole) if whole else None)
    assert found[0].area == found[0].region.mean()
    assert (found[4].region, found[4].share) == (None, None)
    predicted = explain(model, crops[:1], ["a"], [None])[0]
    assert predicted.predicted == model.card.classes[shares[0].argmax()]
    assert np.allclose(predicted.map, maps(model, crops)[0], atol=1e-4)
    assert found[0].document()["deletion"] == found[0].deletion


def test_another_class_is_explained_if_the_model_knows_it(trained, crops):
    model = open_face_model(trained, "cpu")
    (one,) = explain(model, crops[:1], ["a"], [TEMPLATE], wanted="fear")
    assert one.predicted == "fear"
    with pytest.raises(UsageError, match="does not know this class"):
        explain(model, crops[:1], ["a"], [TEMPLATE], wanted="contempt")


def test_gcn_shows_its_reference_and_how_the_face_differs(tmp_path, crops):
    (one,) = explain(saved(tmp_path), crops[:1], ["a"], [None])
    grey = (crops[0].astype(float) @ [0.299, 0.587, 0.114]) / 255
    assert one.reference.dtype == np.uint8
    assert np.allclose(one.difference, np.abs(grey - one.reference / 255), atol=0.01)
    assert one.mask is None


def test_cafe_shows_its_mask_by_class(tmp_path, crops):
    (one,) = explain(saved(tmp_path, method="cafe"), crops[:1], ["a"], [None])
    assert one.mask.shape == (192,)
    assert one.groups == {"neutral": (0, 63), "happiness": (64, 127), "anger": (128, 191)}
    assert one.document()["mask_by_class"]["anger"] == pytest.approx(one.mask[128:].mean())
    assert one.reference is None


def test_models_without_gradients_are_refused(crops):
    class Exported(FaceModel):
        path = "model.onnx"

        def answer(self, crops):
            raise AssertionError

    with pytest.raises(UsageError, match="only a checkpoint has"):
        maps(Exported(), crops)


def test_a_gallery_gets_maps_and_gcns_reference(tmp_path, crops):
    model = saved(tmp_path)
    found = gallery_maps(model)(crops, np.array([0, 1, 2, 0, 1]))
    assert [title for title, _ in found[1]] == [
        "HiResCAM of happiness",
        "generated reference",
    ]
    (one,) = explain(model, crops[1:2], ["a"], [None], kind="hirescam", wanted="happiness")
    assert np.array_equal(found[1][0][1], overlaid(crops[1], one.map))
    assert np.array_equal(found[1][1][1][:, :, 0], one.reference)


def test_a_map_that_is_zero_everywhere_is_not_drawn(tmp_path, crops, monkeypatch):
    given = np.zeros((2, 64, 64), np.float32)
    given[1, 5, 5] = 1
    monkeypatch.setattr(module, "_maps", lambda *_: given)
    found = gallery_maps(saved(tmp_path))(crops[:2], np.array([0, 1]))
    assert found[0][0] == ("HiResCAM of neutral", None)
    assert np.array_equal(found[1][0][1], overlaid(crops[1], given[1]))


def test_no_face_is_no_map(trained):
    assert maps(open_face_model(trained, "cpu"), np.zeros((0, 64, 64, 3), np.uint8)).shape == (0, 64, 64)
