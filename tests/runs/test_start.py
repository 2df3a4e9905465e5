"""Runs that start from a checkpoint: their key and settings, and what they score before and after."""

import numpy as np
import pytest

from fer_bench.errors import StoreError, UsageError
from fer_bench.evaluation.exposure import seen_before
from fer_bench.results.predictions import read_predictions
from fer_bench.results.store import Store
from fer_bench.runs.execute import execute
from fer_bench.runs.start import open_start, start_exposure, start_warnings
from fer_bench.runs.training.checkpoints import load_weights, save_weights


@pytest.fixture(scope="module")
def source(plan, workspace, tmp_path_factory):
    """A finished run on rafdb with its store."""
    store = Store(tmp_path_factory.mktemp("source"))
    planned = plan(dataset="rafdb", protocol=None, targets="none", max_epochs=2)
    record = execute(planned, store, workspace)
    assert record.status == "done", record.error
    return planned, store, record


@pytest.fixture(scope="module")
def file(source):
    planned, store, _ = source
    return planned.folder(store).checkpoints / "val.pt"


@pytest.fixture(scope="module")
def tuned(plan, workspace, file, tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("tuned"))
    planned = plan(overrides=(), targets="none", max_epochs=1, init=str(file))
    record = execute(planned, store, workspace)
    assert record.status == "done", record.error
    return planned, store, record


def test_a_key_names_the_weights_and_only_where_a_run_starts_from_some(plan, file):
    assert "init" not in plan().key_fields
    found = plan(overrides=(), init=str(file))
    weights = open_start(file).weights
    assert found.key_fields["init"] == {"weights": weights, "classes": list(open_start(file).classes)}
    assert found.key_fields["weights"] == {}
    assert found.changed["init"] == weights[:8]


def test_the_same_weights_elsewhere_are_the_same_run_and_others_another(plan, file, tmp_path):
    copy = tmp_path / "copy.pt"
    copy.write_bytes(file.read_bytes())
    key = plan(overrides=(), init=str(file)).key
    assert plan(overrides=(), init=str(copy)).key == key
    method = load_weights(file)
    next(method.parameters()).data += 1
    save_weights(method, copy)
    assert plan(overrides=(), init=str(copy)).key != key


def test_settings_are_the_checkpoints_with_a_tenth_of_its_rate(plan, file):
    old = open_start(file)
    found = plan(overrides=(), max_epochs=None, init=str(file)).config
    assert found.method_settings == {
        **old.settings.model_dump(mode="json"),
        "lr": pytest.approx(old.settings.lr / 10),
    }
    assert found.train == old.train
    named = plan(overrides=("method.lr=0.5",), max_epochs=None, init=str(file)).config
    assert named.method_settings["lr"] == 0.5


def test_a_start_is_not_taken_for_a_run_without_one_or_from_other_weights(plan, file, tmp_path):
    """Whatever the same workspace has planned before."""
    plain = plan(overrides=(), max_epochs=None).config
    found = plan(overrides=(), max_epochs=None, init=str(file)).config
    assert found.method_settings["width"] == open_start(file).settings.width != plain.method_settings["width"]
    other = tmp_path / "other.pt"
    kind, settings = type(load_weights(file)), open_start(file).settings
    save_weights(kind(load_weights(file).task, settings.model_copy(update={"width": 0.04})), other)
    assert plan(overrides=(), max_epochs=None, init=str(other)).config.method_settings["width"] == 0.04


def test_another_method_is_refused(plan, file):
    with pytest.raises(UsageError, match="of resemotenet, and a run of another method"):
        plan(method="gcn", overrides=(), init=str(file))


def test_weights_that_changed_since_the_plan_are_refused(plan, workspace, file, tmp_path):
    copy = tmp_path / "copy.pt"
    copy.write_bytes(file.read_bytes())
    planned = plan(overrides=(), targets="none", max_epochs=1, init=str(copy))
    method = load_weights(file)
    next(method.parameters()).data += 1
    save_weights(method, copy)
    record = execute(planned, Store(tmp_path / "store"), workspace)
    assert record.status == "failed"
    assert "other weights" in record.error.message


def test_before_is_the_checkpoint_unchanged_on_the_rows_of_after(tuned, workspace, file):
    planned, store, record = tuned
    (compared,) = record.start
    before, after = (
        read_predictions(planned.folder(store).predictions_file("oulu", which)) for which in ("start", "val")
    )
    assert list(before.frame["sample_id"]) == list(after.frame["sample_id"])
    method = load_weights(file)
    pack = workspace.pack("oulu", method.input_spec(method.settings).size)
    ids = workspace.source("oulu").dataset.index["sample_id"].tolist()
    from fer_bench.runs.evaluate import predict

    rows = np.array([ids.index(one) for one in before.frame["sample_id"]], np.int64)
    again = predict(method, workspace.source("oulu").dataset, pack, rows, device="cpu")
    assert before.frame.equals(again)
    assert before.meta.classes == open_start(file).classes != after.meta.classes
    uar = compared.changes["uar"]
    assert uar.after == pytest.approx(record.score("oulu").uar)  # oulu's six are known to both
    assert uar.difference == pytest.approx(uar.after - uar.before)
    assert compared.trained_on.startswith("drawn faces of rafdb (run ")


def test_the_record_says_what_it_started_from(tuned, source):
    _, _, record = tuned
    assert record.pretrained["start"].exposure == {"rafdb": "in training"}
    assert seen_before(record, "rafdb").reason == "its start was trained on rafdb"
    assert seen_before(record, "ckplus") is None
    assert any("the head was rebuilt" in text for text in record.warnings)
    assert any(text.startswith("it starts from weights of resemotenet") for text in record.warnings)


def test_rows_that_the_start_may_have_seen_are_warned_of(tuned, plan):
    planned, store, _ = tuned
    start = open_start(planned.folder(store).checkpoints / "val.pt")
    same, other = planned.key_fields["fingerprint"], plan(fold=2)
    assert not any("may be test rows" in t for t in start_warnings(start, plan().config, "synthetic", same))
    assert any("may be test rows" in t for t in start_warnings(start, other.config, "synthetic", same))
    assert set(start_exposure(start, "synthetic", same)) == {"start", "start's start"}
    assert any("saw synthetic faces" in t for t in start_warnings(start, other.config, "real", same))


def test_what_is_not_a_checkpoint_is_refused(tmp_path):
    with pytest.raises(StoreError, match="no such checkpoint"):
        open_start(tmp_path / "absent.pt")
    (foreign := tmp_path / "foreign.pt").write_bytes(b"no checkpoint")
    with pytest.raises(StoreError, match="not a readable checkpoint"):
        open_start(foreign)
