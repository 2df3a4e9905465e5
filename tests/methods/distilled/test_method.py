import pytest
import torch

from fer_bench.data.batch import Task
from fer_bench.errors import DataError, UsageError
from fer_bench.methods import Distilled
from fer_bench.methods.distilled.settings import DistilledSettings
from fer_bench.methods.weights import state_hash
from fer_bench.runs.training.checkpoints import load_weights, save_weights
from tests.methods.distilled.conftest import CLASSES

SMALL = {"backbone": "small", "mode": "scratch", "size": 32, "width": 4}


def student(file, **changes):
    torch.manual_seed(1)
    return Distilled(Task(CLASSES, (1, 1, 1)), {**SMALL, "teacher": str(file), **changes}, _train())


def _train():
    return Distilled.profile("quick")[1]


@pytest.fixture
def batch():
    image = torch.randn(12, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    return {"image": image, "label": torch.tensor([0, 1, 2, -1] * 3)}


def test_the_student_learns_what_the_teacher_answers(file, batch):
    method = student(file, imitation=1.0, similarity=0.0)
    optimizer = torch.optim.Adam(method.parameters(), 0.01)
    method.log_losses = lambda *_, **__: None
    first = None
    for _ in range(40):
        total = method.training_step(batch, 0)
        first = total.item() if first is None else first
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    assert total.item() < 0.2 * first


def test_rows_without_a_label_teach_and_weights_of_losses_are_used(file, batch):
    method = student(file, imitation=0.75, similarity=2.0)
    logged = {}
    method.log_losses = lambda size, **losses: logged.update(losses)
    total = method.training_step(batch, 0)
    wanted = 0.25 * logged["cls"] + 0.75 * logged["imitation"] + 2.0 * logged["similarity"]
    assert total.item() == pytest.approx(wanted.item())
    unlabelled = {**batch, "label": torch.full((12,), -1)}
    parts = method.eval().losses(unlabelled)
    assert parts["cls"].item() == 0
    assert parts["imitation"].item() > 0


def test_the_teacher_is_not_part_of_the_student(file, batch, taught, tmp_path):
    method = student(file)
    before = state_hash(method.teacher.method.state_dict())
    method.losses(batch)["imitation"].backward()
    assert state_hash(method.teacher.method.state_dict()) == before == state_hash(taught.state_dict())
    assert all(name.startswith("network.") for name in method.state_dict())
    save_weights(method, tmp_path / "student.pt")
    file.unlink()
    loaded = load_weights(tmp_path / "student.pt")
    image = batch["image"]
    torch.testing.assert_close(loaded(image).logits, method.eval()(image).logits)


def test_the_key_holds_the_teachers_weights_and_not_its_path(file, taught):
    settings = DistilledSettings(**SMALL, teacher=str(file))
    found = Distilled.weights(settings)
    assert found["teacher"] == state_hash(taught.state_dict())
    assert found["teacher's tower"] == "0" * 64
    assert "teacher" in Distilled.weight_settings
    assert set(Distilled.pretraining(settings)) == set(found)
    assert Distilled.pretraining(settings)["teacher's tower"] == "ImageNet-1k"
    assert "learns from erm/" in Distilled.caveats(settings)[0]


def test_a_student_without_a_teacher_and_a_linear_probe_are_refused(file, tmp_path):
    with pytest.raises(UsageError, match="needs a teacher") as raised:
        Distilled.weights(DistilledSettings(**SMALL))
    assert "fer-bench distill" in raised.value.hint
    with pytest.raises(DataError, match="absent"):
        Distilled.weights(DistilledSettings(**SMALL, teacher=str(tmp_path / "absent.ckpt")))
    with pytest.raises(UsageError, match="only the last layer learns"):
        student(file, mode="linear-probe", backbone="resnet18")


def test_it_is_found_by_name_and_is_not_among_all():
    from fer_bench import methods

    assert methods.get("distilled") is Distilled
    assert "distilled" in methods.known()
    assert "distilled" not in methods.names()
    assert methods.entry("distilled").source
