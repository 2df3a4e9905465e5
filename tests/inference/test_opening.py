"""What a user names as a model: a file, a run's folder or its key."""

import sys

import pytest

from fer_bench.errors import StoreError, UsageError
from fer_bench.inference.opening import checkpoint_of, find_file, open_face_model
from tests.inference.models import Colours


def test_a_file_a_folder_and_a_key_are_one_model(trained, trained_store):
    file = trained / "checkpoints" / "val.pt"
    for what in (file, str(file), trained, trained.name, trained.name[:6]):
        assert find_file(what, trained_store.root) == file
    model = open_face_model(trained.name, "cpu", runs_dir=trained_store.root)
    assert model.path == file
    assert model.sha256 == model.card.weights


def test_what_is_not_there_is_named(trained, trained_store, tmp_path):
    with pytest.raises(UsageError, match="no such model") as refused:
        find_file("nothing.pt", trained_store.root)
    assert "fer-bench runs" in refused.value.hint
    with pytest.raises(UsageError, match="no such model") as refused:
        find_file("abcdef01", tmp_path / "nowhere")
    assert "is not a run store" in refused.value.hint
    with pytest.raises(StoreError, match="no run has this key"):
        find_file("ffffffff", trained_store.root)
    with pytest.raises(StoreError, match="does not hold a run"):
        find_file(tmp_path, trained_store.root)


def test_a_run_without_a_checkpoint_is_refused(trained, tmp_path):
    (tmp_path / "record.json").write_bytes((trained / "record.json").read_bytes())
    with pytest.raises(StoreError, match="has no checkpoint"):
        find_file(tmp_path)


def test_only_a_checkpoint_is_one_also_where_torch_is_missing(trained, monkeypatch):
    model = open_face_model(trained, "cpu")
    assert checkpoint_of(model) is model
    for _ in range(2):
        with pytest.raises(UsageError, match="only a checkpoint has"):
            checkpoint_of(Colours())
        monkeypatch.setitem(sys.modules, "fer_bench.inference.checkpoint", None)
