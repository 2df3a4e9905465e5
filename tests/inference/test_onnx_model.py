import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from fer_bench.data.crops.recipe import CropRecipe
from fer_bench.errors import DataError, UsageError
from fer_bench.files import file_hash
from fer_bench.inference.card import DeploymentCard
from fer_bench.inference.embedded import PREFIX, embed
from fer_bench.inference.model_card import model_card
from fer_bench.inference.onnx_model import OnnxModel
from fer_bench.inference.opening import open_face_model
from tests.models.networks import write_network

CARD = DeploymentCard(
    name="erm/oulu",
    method="erm",
    classes=("fear", "anger"),
    recipe=CropRecipe(kind="whole", size=16),
    trained_on="oulu",
    data_kind="synthetic",
    weights="0" * 64,
)
WEIGHTS = np.random.default_rng(0).normal(size=(3, 2)).astype(np.float32)


def network(*, size=16, outputs=2, domain="", more=()):
    """A network that multiplies mean colours with `WEIGHTS`."""
    nodes = [
        helper.make_node("Cast", ["crops"], ["values"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["values", "axes"], ["colours"], keepdims=0),
        helper.make_node("MatMul", ["colours", "weights"], ["logits"], domain=domain),
    ]
    constants = [
        numpy_helper.from_array(np.array([1, 2]), "axes"),
        numpy_helper.from_array(WEIGHTS[:, :outputs], "weights"),
    ]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("crops", TensorProto.UINT8, ["batch", size, size, 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", outputs]), *more],
        constants,
    )
    domains = [helper.make_opsetid("", 18), *([helper.make_opsetid(domain, 1)] if domain else [])]
    return helper.make_model(graph, opset_imports=domains, ir_version=10)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "mine.onnx"


def write(file, model, card=CARD):
    embed(model, card, model_card(card, None))
    onnx.save(model, str(file))
    return file


CROPS = np.random.default_rng(1).integers(0, 256, (5, 16, 16, 3)).astype(np.uint8)


def test_answers_are_those_of_the_network(file):
    write(file, network())
    model = open_face_model(file, "cpu")
    assert isinstance(model, OnnxModel)
    assert (model.card, model.sha256, model.opset) == (CARD, file_hash(file), 18)
    found = model.answer(CROPS)
    np.testing.assert_allclose(found.logits, CROPS.mean(axis=(1, 2)) @ WEIGHTS, rtol=1e-4)
    assert found.va is None
    assert found.au is None
    assert len(model.answer(CROPS[:1]).logits) == 1


def test_a_file_of_somebody_else_is_sent_to_evaluate(file):
    write_network(file)
    with pytest.raises(UsageError, match="not an export of this suite") as raised:
        OnnxModel(file)
    assert "fer-bench evaluate FILE --card CARD" in raised.value.hint


def test_an_absent_or_damaged_file_is_named(file):
    with pytest.raises(DataError, match="no such model file"):
        OnnxModel(file)
    file.write_bytes(b"<html>not found</html>")
    with pytest.raises(DataError, match="web page"):
        OnnxModel(file)
    write(file, network())
    file.write_bytes(file.read_bytes()[:-50])
    with pytest.raises(DataError, match="not a readable ONNX file"):
        OnnxModel(file)


def test_changed_weights_and_changed_cards_show(file):
    model = onnx.load(str(write(file, network())))
    model.graph.initializer[1].CopyFrom(numpy_helper.from_array(-WEIGHTS, "weights"))
    onnx.save(model, str(file))
    with pytest.raises(DataError, match="changed after its export"):
        OnnxModel(file)
    model = onnx.load(str(write(file, network())))
    (entry,) = [entry for entry in model.metadata_props if entry.key == f"{PREFIX}card"]
    entry.value = entry.value.replace("fear", "joy!")
    onnx.save(model, str(file))
    with pytest.raises(DataError, match="changed after its export"):
        OnnxModel(file)


def test_a_newer_format_is_named(file):
    model = onnx.load(str(write(file, network())))
    (entry,) = [entry for entry in model.metadata_props if entry.key == f"{PREFIX}format"]
    entry.value = "2"
    onnx.save(model, str(file))
    with pytest.raises(DataError, match="reads format 1") as raised:
        OnnxModel(file)
    assert raised.value.value == "2"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"size": 32}, "not those on its card"),
        ({"outputs": 1}, "not those on its card"),
        ({"domain": "com.example"}, "operators of ONNX alone"),
    ],
)
def test_a_file_that_does_not_fit_its_card_is_refused(file, changes, problem):
    write(file, network(**changes))
    with pytest.raises(DataError, match=problem):
        OnnxModel(file)


def test_operators_made_of_others_are_refused(file):
    model = network()
    body = [helper.make_node("Identity", ["x"], ["y"])]
    model.functions.append(helper.make_function("", "Own", ["x"], ["y"], body, [helper.make_opsetid("", 18)]))
    write(file, model)
    with pytest.raises(DataError, match="operators of ONNX alone"):
        OnnxModel(file)


def test_weights_in_another_file_are_refused(file):
    model = network()
    write(file, model)
    weights = model.graph.initializer[1]
    onnx.external_data_helper.set_external_data(weights, "mine.data")
    (file.parent / "mine.data").write_bytes(weights.raw_data)
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    embed(model, CARD, model_card(CARD, None))
    file.write_bytes(model.SerializeToString())
    with pytest.raises(DataError, match="keeps weights in another"):
        OnnxModel(file)


def test_crops_of_another_size_are_named(file):
    write(file, network())
    with pytest.raises(DataError, match="cannot be computed"):
        OnnxModel(file).answer(CROPS[:, :8])


def test_the_metadata_can_be_read_by_any_program(file):
    model = onnx.load(str(write(file, network())))
    told = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(told["fer_bench.outputs"]) == {"logits": ["fear", "anger"]}
    assert json.loads(told["fer_bench.input"])["shape"] == ["batch", 16, 16, 3]
