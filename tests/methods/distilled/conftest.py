import pytest
import torch

from fer_bench.data.batch import Task
from fer_bench.inference.distillation import write_teacher
from fer_bench.methods import ERM
from fer_bench.results.record import TrainingData
from tests.results.conftest import record

__all__ = ["record"]
CLASSES = ("fear", "anger", "disgust")


@pytest.fixture
def taught():
    """A method that can teach: erm with a small network for pictures of 32 pixels."""
    torch.manual_seed(0)
    settings = {"backbone": "small", "mode": "scratch", "size": 32, "width": 4}
    return ERM(Task(CLASSES, (1, 1, 1)), settings, ERM.profile("quick")[1]).eval()


@pytest.fixture
def file(taught, record, tmp_path):
    """Its file."""

    class Opened:
        method = taught

    told = {"weights": {"tower": "0" * 64}}
    known = record(
        method="erm", key_fields=told, pretrained={"tower": TrainingData(text="ImageNet-1k")}, status="done"
    )
    write_teacher(Opened, known, tmp_path / "erm.ckpt")
    return tmp_path / "erm.ckpt"
