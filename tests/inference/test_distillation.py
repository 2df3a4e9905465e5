import pytest
import torch

from fer_bench.data.crops.choice import EVERY
from fer_bench.data.crops.recipe import CropRecipe
from fer_bench.errors import UsageError
from fer_bench.inference import distillation
from fer_bench.inference.checkpoint import CheckpointModel
from fer_bench.inference.distillation import STUDENTS, prepare_lessons
from fer_bench.inference.source_rows import record_of
from fer_bench.methods.base import Method
from fer_bench.methods.distilled.teacher import teacher_hash, teacher_origin
from fer_bench.methods.erm.network import check_backbone
from fer_bench.results.store import Store
from fer_bench.runs.sweepfile import check_sweep
from fer_bench.runs.training.checkpoints import save_weights


@pytest.fixture(scope="module")
def model(trained):
    return CheckpointModel(trained / "checkpoints" / "val.pt", "cpu")


def test_the_teacher_is_kept_in_the_store_and_answers_as_before(model, tmp_path):
    lessons = prepare_lessons(model, Store(tmp_path), "small")
    assert lessons.file.is_relative_to(tmp_path / "teachers")
    assert lessons.file.stem.startswith("resemotenet")
    assert teacher_hash(str(lessons.file)) == model.sha256
    assert model.card.key in teacher_origin(str(lessons.file))["name"]
    image = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    loaded = Method.load_from_checkpoint(lessons.file).eval()
    torch.testing.assert_close(loaded(image).logits, model.method(image).logits)
    before = lessons.file.stat().st_mtime_ns
    assert prepare_lessons(model, Store(tmp_path), "small").file.stat().st_mtime_ns == before


def test_the_student_trains_on_the_rows_of_its_teacher(model, tmp_path, monkeypatch):
    record = record_of(model)
    crops = {EVERY: "detect", "oulu": "box+0.3", "faces": "detect"}
    changed = record.model_copy(
        update={"fold": 3, "seed": 7, "key_fields": {**record.key_fields, "crops": crops}}
    )
    monkeypatch.setattr(distillation, "record_of", lambda model: changed)
    lessons = prepare_lessons(model, Store(tmp_path), "small", size=48, changes=("method.temperature=2",))
    sweep = check_sweep(lessons.fields)
    assert (sweep.methods, sweep.datasets, sweep.protocols) == (
        ("distilled",),
        ("oulu",),
        {"oulu": "6-4fold"},
    )
    assert (sweep.folds, sweep.seeds, sweep.profile, sweep.targets) == ((3,), (7,), "quick", "none")
    assert (sweep.crop, sweep.faces) == (("detect", "oulu=box+0.3"), "detect")
    assert set(sweep.set) == {
        f"method.teacher={lessons.file}",
        "method.backbone=small",
        "method.size=48",
        "method.temperature=2",
    }


def test_a_network_that_timm_does_not_have_and_imported_weights_are_refused(model, tmp_path):
    with pytest.raises(UsageError, match="no such backbone"):
        check_backbone("mobilnet", 64, 16)
    save_weights(model.method, tmp_path / "imported.pt")
    imported = CheckpointModel(tmp_path / "imported.pt", "cpu", CropRecipe(kind="whole", size=16))
    with pytest.raises(UsageError, match="nobody knows which rows they saw"):
        prepare_lessons(imported, Store(tmp_path), "small")


@pytest.mark.parametrize("name", STUDENTS)
def test_the_students_that_help_names_take_faces_of_64_pixels(name):
    check_backbone(name, 64, 16)
