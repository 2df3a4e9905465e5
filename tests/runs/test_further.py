"""A finished run is tested on further targets as `run --targets` does, without the data it was trained on."""

import shutil

import pytest

from fer_bench.errors import DataError, StoreError
from fer_bench.results.predictions import read_predictions
from fer_bench.results.store import RunDir, Store
from fer_bench.runs.execute import execute
from fer_bench.runs.facts import find_facts
from fer_bench.runs.further import score_further
from fer_bench.workspace.sources import find_roots
from fer_bench.workspace.workspace import Workspace


@pytest.fixture(scope="module")
def finished(plan, workspace, tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("finished"))
    planned = plan(targets="none", max_epochs=1)
    assert execute(planned, store, workspace).status == "done"
    return planned, store


@pytest.fixture
def copied(finished, tmp_path):
    """A copy of the store, and the run's folder in it."""
    planned, store = finished
    shutil.copytree(store.root, tmp_path / "runs")
    copy = Store(tmp_path / "runs")
    return copy, planned.folder(copy)


@pytest.fixture(scope="module")
def elsewhere(tiny_root, tmp_path_factory):
    """The data without what the run was trained on."""
    root = tmp_path_factory.mktemp("elsewhere")
    shutil.copytree(tiny_root / "ckplus", root / "ckplus")
    return Workspace(find_roots(str(root)))


def test_it_is_what_a_run_with_that_target_stores(copied, finished, plan, workspace, elsewhere, tmp_path):
    store, run = copied
    record = score_further(store, run, ["ckplus"], elsewhere)
    again = plan(targets=["ckplus"], max_epochs=1)
    shutil.copytree(finished[1].root, tmp_path / "other")
    other = Store(tmp_path / "other")
    wanted = execute(again, other, workspace)
    assert record.score("ckplus") == wanted.score("ckplus")
    assert record.targets["ckplus"] == wanted.targets["ckplus"]
    assert record.warnings == wanted.warnings
    files = [r.predictions_file("ckplus", "val") for r in (run, again.folder(other))]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert run.read_record() == record


def test_checkpoints_say_the_new_score_and_nothing_is_predicted_twice(copied, elsewhere):
    store, run = copied
    record = score_further(store, run, ["ckplus"], elsewhere)
    facts = find_facts(run.checkpoints / "val.pt", record.checkpoint)
    assert facts.record.score("ckplus") == record.score("ckplus")
    file = run.predictions_file("ckplus", "val")
    written = file.stat().st_mtime_ns, run.record_file.stat().st_mtime_ns
    assert score_further(store, run, ["ckplus"], elsewhere) == record
    assert (file.stat().st_mtime_ns, run.record_file.stat().st_mtime_ns) == written
    assert read_predictions(file).meta.checkpoint == record.checkpoint


def test_its_own_data_an_absent_run_and_a_busy_one_are_refused(copied, elsewhere, tmp_path):
    store, run = copied
    with pytest.raises(DataError, match="was trained on this dataset"):
        score_further(store, run, ["oulu"], elsewhere)
    with pytest.raises(StoreError, match="not stored"):
        score_further(store, RunDir(tmp_path / "nothing"), ["ckplus"], elsewhere)
    lock = run.lock()
    assert lock.acquire()
    try:
        with pytest.raises(StoreError, match="another process"):
            score_further(store, run, ["ckplus"], elsewhere)
    finally:
        lock.release()
    assert "ckplus" not in run.read_record().targets
