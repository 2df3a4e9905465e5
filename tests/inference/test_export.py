import dataclasses
import functools
import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from fer_bench import methods
from fer_bench.data.batch import Task
from fer_bench.data.crops.recipe import CropRecipe
from fer_bench.emotions import LABEL_SETS
from fer_bench.errors import RunFailedError
from fer_bench.inference import export
from fer_bench.inference.checkpoint import CheckpointModel
from fer_bench.inference.export import export_onnx
from fer_bench.inference.model_card import model_card
from fer_bench.inference.onnx_model import OnnxModel
from fer_bench.runs.training.checkpoints import save_weights

CLASSES = tuple(LABEL_SETS["8"])
METHODS = ("cafe", "erm", "gcn", "resemotenet", "ssmfar")


def checkpoint(folder, name, profile="quick", **settings):
    """Save an untrained method, with statistics and weights that differ from their initial values."""
    kind = methods.get(name)
    chosen, train = kind.profile(profile)
    task = Task(CLASSES, (1,) * len(CLASSES), has_va=True, has_au=True, au_counts=((1, 1),) * 12)
    torch.manual_seed(0)
    method = kind(task, chosen.model_copy(update=settings), train)
    for value in method.network.state_dict().values():
        if value.is_floating_point() and value.dim() == 1:
            value.add_(0.1 * torch.rand_like(value))
    file = folder / f"{name}.pt"
    save_weights(method, file)
    return CheckpointModel(file, "cpu", CropRecipe(kind="whole", size=16))


def crops_for(model, count=8):
    size = model.card.recipe.size
    return np.random.default_rng(1).integers(0, 256, (count, size, size, 3)).astype(np.uint8)


def exported(folder, name, **settings):
    model = checkpoint(folder, name, **settings)
    crops = crops_for(model)
    done = export_onnx(model, model_card(model.card, None), crops, folder / f"{name}.onnx")
    return model, crops, done


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    """Export a method with the settings of its quick profile, once for all tests."""
    return functools.cache(lambda name: exported(tmp_path_factory.mktemp(name), name))


@pytest.mark.long
@pytest.mark.parametrize("name", METHODS)
def test_every_method_answers_the_same_with_onnxruntime(once, name):
    model, _, done = once(name)
    opened = OnnxModel(done.file, "cpu")
    crops = crops_for(model, 33)[5:]
    for batch in (crops, crops[:1]):
        wanted, found = model.answer(batch), opened.answer(batch)
        for field in dataclasses.fields(wanted):
            right, given = getattr(wanted, field.name), getattr(found, field.name)
            assert (right is None) == (given is None)
            if right is not None:
                np.testing.assert_allclose(given, right, atol=1e-4, rtol=1e-4)
    assert opened.card == model.card
    assert opened.card.has_va == (name == "ssmfar")
    assert done.parity.crops == 8
    assert 0 <= done.parity.relative < 1e-4
    assert done.size == done.file.stat().st_size


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_the_networks_of_the_papers_can_be_exported(tmp_path, name):
    model, crops, done = exported(tmp_path, name, profile="paper")
    wanted, found = model.answer(crops[:3]).logits, OnnxModel(done.file, "cpu").answer(crops[:3]).logits
    np.testing.assert_allclose(found, wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings", [{"generator": "vae", "distance": "squared"}, {"generator": "none", "pool": "average"}]
)
def test_variants_of_gcn_can_be_exported(tmp_path, settings):
    exported(tmp_path, "gcn", **settings)


def test_a_program_with_nothing_but_onnxruntime_can_use_the_file(once):
    model, crops, done = once("ssmfar")
    session = onnxruntime.InferenceSession(str(done.file), providers=["CPUExecutionProvider"])
    told = session.get_modelmeta().custom_metadata_map
    taken, answered = json.loads(told["fer_bench.input"]), json.loads(told["fer_bench.outputs"])
    found = dict(zip(answered, session.run(list(answered), {taken["name"]: crops}), strict=True))
    np.testing.assert_allclose(found["logits"], model.answer(crops).logits, atol=1e-4)
    assert answered["logits"] == list(CLASSES)
    assert len(answered["au"]) == found["au"].shape[1] == 12
    assert "neutral" in json.loads(told["fer_bench.taxonomy"])["emotions"]


def test_the_file_says_nothing_about_the_machine_and_is_the_same_each_time(once, tmp_path):
    first = once("erm")[2].file.read_bytes()
    second = exported(tmp_path, "erm")[2].file.read_bytes()
    assert first == second
    assert b"fer_bench/" not in first
    assert b".py" not in first
    assert {entry.version for entry in onnx.load_from_string(first).opset_import} == {export.OPSET}


def test_an_export_that_answers_something_else_leaves_no_file(tmp_path, monkeypatch):
    model = checkpoint(tmp_path, "erm")
    right = model.answer

    def wrong(crops):
        found = right(crops)
        return dataclasses.replace(found, logits=found.logits + 0.01)

    monkeypatch.setattr(model, "answer", wrong)
    with pytest.raises(RunFailedError, match="answers differ from PyTorch's") as raised:
        export_onnx(model, model_card(model.card, None), crops_for(model), tmp_path / "wrong.onnx")
    assert "logits differs by 0.01" in str(raised.value)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["erm.pt"]


def test_a_network_that_torch_cannot_export_is_named(tmp_path, monkeypatch):
    model = checkpoint(tmp_path, "erm")
    monkeypatch.setattr(
        model.method.network, "forward", lambda image: image[:, :, 0, :8] if image.mean() > 0 else image
    )
    with pytest.raises(RunFailedError, match="torch cannot export the network of erm"):
        export_onnx(model, model_card(model.card, None), crops_for(model), tmp_path / "erm.onnx")
    assert not (tmp_path / "erm.onnx").exists()
