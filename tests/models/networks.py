"""Small ONNX networks with the signature of real ones: the same names, shapes and number of outputs."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

CARD = """\
name: {name}
classes: [neutral, happiness, sadness, surprise, fear, disgust, anger]
input: {{size: 32, range: [0, 1]}}
outputs: logits
licence: none
source: these tests
training_data: nothing
"""


def write_network(
    file,
    *,
    size=32,
    classes=7,
    channels=3,
    batch="batch",
    layout="nchw",
    input_name="input",
    output_name="output",
    softmax=False,
    kind=TensorProto.FLOAT,
    opset=17,
    seed=0,
    scale=1.0,
    **more,
):
    """Write a network: averages over a grid of 4 x 4 cells, then a linear layer and, if asked, a softmax."""
    shape = [batch, channels, size, size] if layout == "nchw" else [batch, size, size, channels]
    cells = channels * 16
    weights = scale * np.random.default_rng(seed).normal(size=(cells, classes)).astype(np.float32)
    nodes, here = [], input_name
    if kind != TensorProto.FLOAT:
        nodes.append(helper.make_node("Cast", [here], ["cast"], to=TensorProto.FLOAT))
        here = "cast"
    if layout == "nhwc":
        nodes.append(helper.make_node("Transpose", [here], ["moved"], perm=[0, 3, 1, 2]))
        here = "moved"
    step = size // 4
    nodes.append(
        helper.make_node("AveragePool", [here], ["cells"], kernel_shape=[step, step], strides=[step, step])
    )
    nodes.append(helper.make_node("Flatten", ["cells"], ["flat"], axis=1))
    last = "scores" if softmax else output_name
    nodes.append(helper.make_node("MatMul", ["flat", "weights"], [last]))
    if softmax:
        nodes.append(helper.make_node("Softmax", [last], [output_name], axis=1))
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info(input_name, kind, shape)],
        [helper.make_tensor_value_info(output_name, TensorProto.FLOAT, [batch, classes])],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    save(model, str(file), **more)
    return weights


def cells_of(values):
    """Return what the linear layer of such a network gets, for values [B, C, S, S]."""
    b, c, size, _ = values.shape
    return values.reshape(b, c, 4, size // 4, 4, size // 4).mean(axis=(3, 5)).reshape(b, -1)


def write_card(file, text=None, **changes):
    """Write a card beside a network; keyword arguments replace lines."""
    lines = (text or CARD.format(name=file.stem)).splitlines()
    for name, value in changes.items():
        lines = [line for line in lines if not line.startswith(f"{name}:")]
        if value is not None:
            lines.append(f"{name}: {value}")
    path = file.with_suffix(".yaml")
    path.write_text("\n".join(lines) + "\n")
    return path
