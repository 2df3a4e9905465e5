"""Features are what the last linear layer sees, for every method; they reach tables and the monitor."""

import numpy as np
import pandas as pd
import pytest
import torch

from fer_bench.errors import UsageError
from fer_bench.inference.features import FeatureReader
from fer_bench.inference.inputs import find_inputs
from fer_bench.inference.monitor import monitor, read_side
from fer_bench.inference.onnx_model import OnnxModel
from fer_bench.inference.predictor import Predictor
from fer_bench.inference.table import FEATURE
from tests.inference.models import saved
from tests.inference.test_export import METHODS, checkpoint, crops_for, exported


@pytest.fixture
def pictures(colour, tmp_path):
    """Six pictures, and one that cannot be read."""
    shades = np.random.default_rng(0).integers(0, 256, (6, 3))
    for number, shade in enumerate(shades.tolist()):
        colour(tmp_path / "pictures" / f"{number}.png", shade)
    (tmp_path / "pictures" / "0-broken.png").write_bytes(b"no picture")
    return find_inputs([str(tmp_path / "pictures")]).items


@pytest.mark.parametrize("name", METHODS)
def test_the_logits_are_a_linear_function_of_the_features(name, tmp_path):
    model = checkpoint(tmp_path, name)
    reader = FeatureReader(model)
    found, wanted = reader.answer(crops := crops_for(model, 3)), model.answer(crops)
    layer = model.method.get_submodule(reader.layer)
    assert found.features.shape == (3, layer.in_features)
    assert layer.out_features == len(model.card.classes)
    again = torch.nn.functional.linear(torch.from_numpy(found.features), layer.weight, layer.bias)
    np.testing.assert_allclose(again.detach().numpy(), wanted.logits, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(found.logits, wanted.logits)
    assert wanted.features is None
    assert not any(module._forward_hooks for module in model.method.modules())


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_tables_keep_them_and_the_monitor_compares_them(ending, pictures, tmp_path):
    model = checkpoint(tmp_path, "erm")
    predictor = Predictor(model, faces="whole", features=True, batch_size=4)
    table = predictor.write(pictures, out := tmp_path / f"out.{ending}")
    names = [name for name in table.columns if name.startswith(FEATURE)]
    layer = model.method.get_submodule(FeatureReader(model).layer)
    assert names == [f"{FEATURE}{n}" for n in range(layer.in_features)]
    assert table.columns.tolist()[-len(names) :] == names
    assert table[names].isna().all(axis=1).tolist() == table["predicted"].isna().tolist()
    assert table["predicted"].isna().sum() == 1
    pd.testing.assert_frame_equal(predictor.predict([item.path for item in pictures])[names], table[names])
    np.testing.assert_allclose(read_side(out).observed.features, table[names].dropna(), atol=1e-6)
    assert "features" in [one.name for one in monitor(out, out).drift.findings]


def test_a_part_without_a_face_fits_to_parts_with_features(pictures, tmp_path, monkeypatch):
    monkeypatch.setattr("fer_bench.inference.output.PART_ROWS", 1)
    predictor = Predictor(checkpoint(tmp_path, "erm"), faces="whole", features=True)
    table = predictor.write(pictures, tmp_path / "out.csv")
    assert pd.isna(table["predicted"].iloc[0])
    assert table.columns[-1].startswith(FEATURE)
    assert table.filter(like=FEATURE).notna().all(axis=1).sum() == 6


def test_tables_with_and_without_features_are_not_mixed(pictures, tmp_path):
    model = checkpoint(tmp_path, "erm")
    Predictor(model, faces="whole").write(pictures, tmp_path / "out.csv")
    with pytest.raises(UsageError, match=r"features: None -> 'network\.head'"):
        Predictor(model, faces="whole", features=True).write(pictures, tmp_path / "out.csv")


def test_exports_and_networks_without_a_last_linear_layer_are_refused(tmp_path):
    _, _, done = exported(tmp_path, "erm")
    with pytest.raises(UsageError, match="an export answers without its features"):
        Predictor(OnnxModel(done.file, "cpu"), features=True)
    with pytest.raises(UsageError, match="not the output of a linear layer"):
        FeatureReader(checkpoint(tmp_path, "cafe", inference="groups"))


def test_features_and_neutral_pictures_are_not_mixed(tmp_path, photo):
    with pytest.raises(UsageError, match="without a neutral picture"):
        Predictor(saved(tmp_path), faces="whole", neutral=[str(photo)], features=True)
