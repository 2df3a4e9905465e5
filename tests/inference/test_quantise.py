import numpy as np
import onnx
import pytest

from fer_bench.errors import RunFailedError
from fer_bench.inference.quantise import quantise
from tests.inference.test_onnx_model import CROPS, network, write


def test_layers_get_weights_of_eight_bits_and_pixels_stay_as_they_are(tmp_path):
    file = write(tmp_path / "whole.onnx", network())
    found = quantise(file, CROPS)
    kinds = {tensor.name: tensor.data_type for tensor in found.graph.initializer}
    (weights,) = [
        kind
        for name, kind in kinds.items()
        if name.startswith("weights") and "scale" not in name and "zero" not in name
    ]
    assert weights == onnx.TensorProto.INT8
    assert [entry.domain for entry in found.opset_import] == [""]
    values = [onnx.numpy_helper.to_array(t) for t in found.graph.initializer if t.name.startswith("weights")]
    integers = next(value for value in values if value.dtype == np.int8 and value.ndim == 2)
    assert np.abs(integers.astype(int)).max() <= 64  # 7 bits: products of AVX2 do not overflow


def test_a_network_that_cannot_be_quantised_is_named(tmp_path):
    file = tmp_path / "broken.onnx"
    file.write_bytes(b"not a network")
    with pytest.raises(RunFailedError, match="onnxruntime cannot quantise the network"):
        quantise(file, CROPS)
