import builtins
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from fer_bench.errors import DataError, UsageError
from fer_bench.files import file_hash
from fer_bench.models.card import read_card
from fer_bench.models.onnx_file import open_onnx
from tests.models.networks import cells_of, write_card, write_network

CROPS = np.random.default_rng(0).integers(0, 256, (70, 32, 32, 3)).astype(np.uint8)
VALUES = CROPS.transpose(0, 3, 1, 2) / np.float32(255)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "mine.onnx"


def answers(file, crops=CROPS, **changes):
    answer, _ = open_onnx(file, read_card(write_card(file, **changes)), "cpu")
    return answer(crops)


def test_answers_are_those_of_the_network(file):
    weights = write_network(file)
    np.testing.assert_allclose(answers(file), cells_of(VALUES) @ weights, atol=1e-5)
    assert open_onnx(file, read_card(file.with_suffix(".yaml")), "cpu")[1] == file_hash(file)


@pytest.mark.parametrize("batch", [1, 32])
def test_a_fixed_number_of_faces_works(file, batch):
    weights = write_network(file, batch=batch)
    np.testing.assert_allclose(answers(file), cells_of(VALUES) @ weights, atol=1e-5)


def test_a_file_that_says_any_number_and_means_one_works(file):
    weights = np.random.default_rng(0).normal(size=(48, 7)).astype(np.float32)
    nodes = [
        helper.make_node("AveragePool", ["input"], ["cells"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Reshape", ["cells", "shape"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["output"]),
    ]
    constants = [
        numpy_helper.from_array(weights, "weights"),
        numpy_helper.from_array(np.array([1, 48]), "shape"),
    ]
    write_graph(file, nodes, constants, shape=["n", 3, 32, 32], output=["n", 7])
    np.testing.assert_allclose(answers(file, CROPS[:5]), cells_of(VALUES[:5]) @ weights, atol=1e-5)


@pytest.mark.parametrize("kind", [TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.UINT8])
def test_other_types_of_pixels_work(file, kind):
    weights = write_network(file, kind=kind, scale=0.01)
    found = answers(file, input="{size: 32, range: [0, 255]}")
    np.testing.assert_allclose(found, cells_of(255 * VALUES) @ weights, atol=0.05)


def test_answers_without_a_last_flattening_work(file):
    nodes = [helper.make_node("AveragePool", ["input"], ["output"], kernel_shape=[32, 32])]
    write_graph(file, nodes, [], shape=["n", 3, 32, 32], output=["n", 3, 1, 1])
    found = answers(file, classes="[happy, sad, fear]")
    np.testing.assert_allclose(found, VALUES.mean(axis=(2, 3)), atol=1e-5)


def test_weights_beside_the_file_are_read_and_hashed(file):
    weights = write_network(file, save_as_external_data=True, location="mine.data", size_threshold=0)
    np.testing.assert_allclose(answers(file), cells_of(VALUES) @ weights, atol=1e-5)
    _, before = open_onnx(file, read_card(file.with_suffix(".yaml")), "cpu")
    data = bytearray((file.parent / "mine.data").read_bytes())
    data[0] ^= 1
    (file.parent / "mine.data").write_bytes(data)
    assert open_onnx(file, read_card(file.with_suffix(".yaml")), "cpu")[1] != before


@pytest.mark.parametrize("where", ["../secret.data", "/etc/hostname", "inner/../../secret.data", "link.data"])
def test_weights_outside_the_folder_are_refused(tmp_path, where):
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret.data").write_bytes(bytes(48 * 7 * 4))
    (folder / "link.data").symlink_to(tmp_path / "secret.data")
    file = folder / "mine.onnx"
    write_network(file)
    move_weights(file, where)
    with pytest.raises(DataError, match="outside its own folder") as error:
        answers(file)
    assert error.value.value == where


def test_weights_outside_the_folder_are_found_in_branches_as_well(tmp_path, file):
    write_network(file)
    tensor = numpy_helper.from_array(np.zeros(4, np.float32), "hidden")
    point_to(tensor, "../secret.data")
    inner = helper.make_graph([helper.make_node("Constant", [], ["c"], value=tensor)], "inner", [], [])
    model = onnx.load(str(file))
    model.graph.node.append(helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner))
    file.write_bytes(model.SerializeToString())
    with pytest.raises(DataError, match="outside its own folder"):
        answers(file)


def test_absent_weights_are_named(file):
    write_network(file)
    move_weights(file, "mine.data")
    with pytest.raises(DataError, match=r"not there.*mine\.data"):
        answers(file)


def move_weights(file, location):
    model = onnx.load(str(file))
    point_to(model.graph.initializer[0], location)
    file.write_bytes(model.SerializeToString())


def point_to(tensor, location):
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)


def write_graph(file, nodes, constants=(), *, shape=("n", 3, 32, 32), output=("n", 7), more=(), opsets=None):
    inputs = [helper.make_tensor_value_info("input", TensorProto.FLOAT, list(shape))]
    outputs = [helper.make_tensor_value_info("output", TensorProto.FLOAT, list(output))]
    graph = helper.make_graph(nodes, "g", inputs, [*outputs, *more], list(constants))
    opsets = opsets or [helper.make_opsetid("", 17)]
    file.write_bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())


@pytest.mark.parametrize(
    ("network", "changes", "words"),
    [
        ({"classes": 8}, {}, "has 8 outputs, and the card names 7 classes"),
        ({"size": 64}, {}, r"takes pictures of 3x64x64, and the card says 3x32x32 \(nchw, rgb\)"),
        ({"layout": "nhwc"}, {}, "takes pictures of 32x32x3"),
        ({"channels": 1}, {}, "takes pictures of 1x32x32"),
        ({"kind": TensorProto.UINT8}, {}, "takes bytes"),
        ({"kind": TensorProto.INT64}, {}, "not of pixels"),
        ({}, {"output": "scores"}, "no output scores.*output"),
        ({}, {"input": "{size: 32, range: [0, 1], name: pixels}"}, "names another input.*input"),
        ({"opset": 99}, {}, "needs opset 99, and onnxruntime .* lacks it"),
    ],
)
def test_what_does_not_fit_the_card_is_refused(file, network, changes, words):
    write_network(file, **network)
    with pytest.raises(DataError, match=words) as error:
        answers(file, **changes)
    assert error.value.file == file


def test_another_rank_several_outputs_and_foreign_operators_are_refused(file):
    flat = [helper.make_node("Flatten", ["input"], ["output"])]
    write_graph(file, flat, shape=["n", 7])
    with pytest.raises(DataError, match="has 2 dimensions"):
        answers(file)
    two = [helper.make_node("Flatten", ["input"], [name]) for name in ("output", "features")]
    more = [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", 3072])]
    write_graph(file, two, output=["n", 3072], more=more)
    with pytest.raises(DataError, match=r"several outputs.*output, features"):
        answers(file)
    foreign = [helper.make_node("Magic", ["input"], ["output"], domain="com.evil")]
    write_graph(file, foreign, opsets=[helper.make_opsetid("", 17), helper.make_opsetid("com.evil", 1)])
    with pytest.raises(DataError, match=r"another library.*com\.evil"):
        answers(file)


def test_a_network_that_cannot_be_computed_is_one_message(file):
    nodes = [helper.make_node("Reshape", ["input", "shape"], ["output"])]
    write_graph(file, nodes, [numpy_helper.from_array(np.array([5, 7]), "shape")], output=["n", "k"])
    with pytest.raises(DataError, match="cannot be computed") as error:
        answers(file, CROPS[:2])
    assert "\n" not in error.value.message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "Git LFS pointer"),
        (b"<!DOCTYPE html><html></html>", "web page"),
        (b"\x89HDF\r\n\x1a\n" + bytes(50), "HDF5"),
        (b"\x08\x07\x12" + bytes(range(200)), "damaged or of another kind"),
    ],
)
def test_other_files_are_named(file, content, words):
    file.write_bytes(content)
    with pytest.raises(DataError, match=words):
        answers(file)


def test_a_missing_package_is_named_with_its_extra(file, monkeypatch):
    write_network(file)
    real = builtins.__import__

    def refuse(name, *rest, **more):
        if name.startswith("onnxruntime"):
            raise ImportError("No module named 'onnxruntime'")
        return real(name, *rest, **more)

    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(UsageError, match=r"pip install .*onnxruntime>="):
        answers(file)
