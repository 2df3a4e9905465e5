import numpy as np
import pytest

from fer_bench.data.crops.recipe import CropRecipe
from fer_bench.errors import DataError, UsageError
from fer_bench.inference import source_rows
from fer_bench.inference.checkpoint import CheckpointModel
from fer_bench.inference.exporting import default_name, export
from fer_bench.inference.onnx_model import OnnxModel
from fer_bench.inference.source_rows import open_source_rows
from fer_bench.runs.training.checkpoints import save_weights
from fer_bench.workspace.sources import DataRoots, find_roots


@pytest.fixture(scope="module")
def model(trained):
    return CheckpointModel(trained / "checkpoints" / "val.pt", "cpu")


@pytest.fixture(scope="module")
def roots(tiny_root):
    return find_roots(str(tiny_root))


@pytest.fixture(scope="module")
def small(model, roots, tmp_path_factory):
    return export(model, roots, tmp_path_factory.mktemp("int8") / "small.onnx", int8=True)


def test_a_checkpoint_is_compared_on_validation_rows_of_its_source(model, roots, tmp_path):
    done = export(model, roots, tmp_path / "whole.onnx")
    assert done.crops == "drawn faces: validation rows of oulu"
    assert done.whole.parity.crops == min(64, len(open_source_rows(model, roots).rows("val")))
    assert done.int8 is None
    opened = OnnxModel(done.file)
    assert opened.model_card.key == model.card.key
    assert opened.model_card.scores[0].in_domain
    assert done.document()["parity"]["other_answers"] == 0


def test_what_quantisation_costs_is_measured_on_validation_rows(small, model, roots):
    rows, report = open_source_rows(model, roots), small.int8
    training, validation = rows.rows("train", 256), rows.rows("val")
    assert (report.calibration_rows, report.validation_rows) == (len(training), len(validation))
    assert not set(training) & set(validation)
    opened = OnnxModel(small.file)
    assert opened.card.int8
    assert opened.model_card.int8 == report
    right = rows.source.dataset.index["label"].to_numpy(object)[validation]
    names = np.array(model.card.classes, object)
    whole, less = (
        names[each.answer(rows.crops(validation)).logits.argmax(axis=1)] for each in (model, opened)
    )
    assert report.accuracy == pytest.approx([(whole == right).mean(), (less == right).mean()])
    assert report.accuracy_change[0] == pytest.approx((less == right).mean() - (whole == right).mean())
    assert report.same_answer == pytest.approx((whole == less).mean())
    low, high = report.uar_change[1] or (-1.0, 1.0)
    assert low <= report.uar_change[0] <= high


def test_eight_bits_are_smaller_and_nearly_the_same(small, model, roots):
    before, after = small.int8.size
    assert after < 0.5 * before
    assert small.size == pytest.approx(after, rel=0.05)
    assert set(small.int8.latency) == {1, 32}
    assert all(ratio > 0 for ratio in small.int8.latency.values())
    crops = open_source_rows(model, roots).crops(np.arange(64))
    whole, less = model.answer(crops).logits, OnnxModel(small.file).answer(crops).logits
    assert 0 < np.abs(whole - less).max() < 0.3 * np.abs(whole).max()


def test_without_its_source_a_checkpoint_is_compared_on_drawn_faces(model, tmp_path):
    away = DataRoots(None, {"ckplus": tmp_path}, "data.yaml")
    done = export(model, away, tmp_path / "whole.onnx")
    assert done.crops.startswith(
        "drawn faces, as the source could not be opened: data.yaml does not list oulu"
    )
    with pytest.raises(DataError, match="does not list oulu"):
        export(model, away, tmp_path / "small.onnx", int8=True)
    assert not (tmp_path / "small.onnx").exists()


def test_rows_of_other_data_do_not_measure_the_cost(model, roots, tmp_path, monkeypatch):
    record = source_rows.record_of(model)
    other = record.model_copy(update={"key_fields": {**record.key_fields, "pixels": "0" * 64}})
    monkeypatch.setattr(source_rows, "record_of", lambda model: other)
    assert source_rows.open_source_rows(model, roots).changed
    with pytest.raises(DataError, match="not the data that the run was trained on"):
        export(model, roots, tmp_path / "small.onnx", int8=True)
    assert not (tmp_path / "small.onnx").exists()


def test_imported_weights_are_exported_and_not_quantised(model, roots, tmp_path):
    save_weights(model.method, tmp_path / "imported.pt")
    imported = CheckpointModel(tmp_path / "imported.pt", "cpu", CropRecipe(kind="whole", size=16))
    done = export(imported, roots, tmp_path / "whole.onnx")
    assert "the rows that they were trained on are unknown" in done.crops
    assert "imported" in OnnxModel(done.file).model_card.warnings[0]
    with pytest.raises(UsageError, match="rows that they were trained on are unknown"):
        export(imported, roots, tmp_path / "small.onnx", int8=True)


def test_files_are_named_after_what_they_hold(model):
    key = model.card.key[:8]
    assert str(default_name(model, int8=False)) == f"resemotenet-oulu-{key}.onnx"
    assert str(default_name(model, int8=True)) == f"resemotenet-oulu-{key}-int8.onnx"
