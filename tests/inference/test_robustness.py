import shutil

import numpy as np
import pytest

from fer_bench.data.crops.corruptions import STRENGTHS, chosen
from fer_bench.errors import DataError, UsageError
from fer_bench.inference import robustness
from fer_bench.inference.opening import open_face_model
from fer_bench.inference.robustness import corrupted_crops, measure, plan
from fer_bench.results.corrupted import corrupted_file, read_corrupted
from fer_bench.results.store import RunDir, Store
from fer_bench.workspace.sources import find_roots

BLUR, MASK = chosen(["blur", "mask"])


@pytest.fixture
def own(trained_store, tmp_path):
    """A store of its own with the finished run."""
    store = Store(shutil.copytree(trained_store.root, tmp_path / "store"))
    (run,) = store.run_dirs()
    return store, run


@pytest.fixture
def roots(tiny_root):
    return find_roots(str(tiny_root))


def test_stored_predictions_are_the_models_answers_to_the_corrupted_crops(own, roots):
    store, run = own
    (work,) = plan(store, [run], roots, [BLUR, MASK])
    measure([work])
    record = run.read_record()
    assert len(work.rows) == record.score("oulu").n
    for corruption in (BLUR, MASK):
        found = read_corrupted(corrupted_file(run, "oulu", corruption.name))
        assert (found.meta.points is not None) == corruption.covers
        crops = corrupted_crops(work.dataset, work.pack, work.rows, corruption, work.points)
        answers = open_face_model(run.path, "cpu").answer(crops[4])
        assert np.allclose(found.by_strength[5].logits, answers.logits, atol=1e-5)
        assert found.by_strength[1].frame["sample_id"].tolist() == (
            work.dataset.index["sample_id"].iloc[work.rows].tolist()
        )
        assert len(found.by_strength) == STRENGTHS


@pytest.mark.long
def test_what_is_stored_is_not_repeated_and_what_is_stale_is(own, roots, monkeypatch):
    store, run = own
    measure(plan(store, [run], roots, [BLUR]))
    (work,) = plan(store, [run], roots, [BLUR, MASK])
    assert (work.stored, work.wanted) == ([BLUR], [MASK])
    (work,) = plan(store, [run], roots, [BLUR], again=True)
    assert work.wanted == [BLUR]
    monkeypatch.setattr(robustness, "VERSION", 2)
    (work,) = plan(store, [run], roots, [BLUR])
    assert work.wanted == [BLUR]


def test_a_stopped_call_goes_on_after_the_last_corruption(own, roots):
    store, run = own

    def stop(label, done, total):
        if label.startswith("face mask"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure(plan(store, [run], roots, [BLUR, MASK]), announce=stop)
    (work,) = plan(store, [run], roots, [BLUR, MASK])
    assert (work.stored, work.wanted) == ([BLUR], [MASK])
    assert [file.name for file in (run.path / "robustness").iterdir()] == ["oulu@blur.parquet"]


def test_runs_with_the_same_rows_are_shown_the_same_crops_once(own, roots, monkeypatch):
    store, run = own
    twin = RunDir(run.path.parent / "0123456789abcdef")
    shutil.copytree(run.path, twin.path)
    record = run.read_record().model_copy(update={"key": twin.path.name, "seed": 1})
    twin.write_record(record)
    for file in (twin.path / "predictions").glob("*.parquet"):
        _rename(file, record.key)
    calls = []
    monkeypatch.setattr(
        robustness, "corrupted_crops", lambda *given: calls.append(1) or corrupted_crops(*given)
    )
    measure(plan(store, [run, twin], roots, [BLUR]))
    assert len(calls) == 1
    one, other = (read_corrupted(corrupted_file(each, "oulu", "blur")) for each in (run, twin))
    assert one.by_strength[3].frame.equals(other.by_strength[3].frame)
    assert other.meta.predictions.key == record.key


def _rename(file, key):
    from dataclasses import replace

    from fer_bench.results.predictions import read_predictions, write_predictions

    found = read_predictions(file)
    write_predictions(file, replace(found, meta=found.meta.model_copy(update={"key": key})))


def test_other_data_and_unfinished_runs_are_refused(own, roots):
    store, run = own
    record = run.read_record()
    data = record.targets["oulu"].model_copy(update={"recipe": "whole 64px v0"})
    predictions = run.predictions_file("oulu", "val")
    before = predictions.read_bytes()
    _change_recipe(predictions, "whole 64px v0")
    run.write_record(record.model_copy(update={"targets": {"oulu": data}}))
    with pytest.raises(DataError, match="the crops of oulu are not those that the run was tested on"):
        plan(store, [run], roots, [BLUR])
    predictions.write_bytes(before)
    run.write_record(record.model_copy(update={"status": "interrupted"}))
    with pytest.raises(UsageError, match="the run is interrupted"):
        plan(store, [run], roots, [BLUR])


def _change_recipe(file, recipe):
    from dataclasses import replace

    from fer_bench.results.predictions import read_predictions, write_predictions

    found = read_predictions(file)
    write_predictions(file, replace(found, meta=found.meta.model_copy(update={"recipe": recipe})))
