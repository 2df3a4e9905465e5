import os
import signal
import sys
from functools import partial

import pytest

from fer_bench.errors import StoreError
from fer_bench.inference import peak_memory
from fer_bench.inference.checkpoint import CheckpointModel
from fer_bench.inference.peak_memory import peak_in_child
from tests.inference.models import saved


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak of a process")
def test_it_holds_the_weights_and_grows_with_the_pictures(monkeypatch, tmp_path):
    model = saved(tmp_path, method="resemotenet", width=0.5)
    opened = partial(CheckpointModel, recipe=model.card.recipe)  # which the file does not say
    monkeypatch.setattr(peak_memory, "CheckpointModel", opened)
    weights = sum(p.nbytes for p in model.method.parameters())
    found = peak_in_child(model.path)
    if not found:
        pytest.skip("the peak cannot be reset here")
    pictures = 32 * model.spec.size**2 * 3 * 4
    assert weights > 10e6
    assert 0.95 * weights < found[1] < found[32] < 60 * weights
    assert found[32] - found[1] > pictures


def test_a_file_that_cannot_be_read_says_why(tmp_path):
    (tmp_path / "notes.pt").write_text("notes")
    with pytest.raises(StoreError, match="not a readable checkpoint") as refused:
        peak_in_child(tmp_path / "notes.pt")
    assert refused.value.file == tmp_path / "notes.pt"


def test_a_killed_process_is_told_apart(monkeypatch, tmp_path):
    monkeypatch.setattr(peak_memory, "peak_memory", lambda file: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(StoreError, match="was killed"):
        peak_in_child(tmp_path / "any.pt")
