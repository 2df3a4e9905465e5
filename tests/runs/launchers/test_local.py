import dataclasses
import os
import signal
import time

import pytest

from fer_bench import arithmetic
from fer_bench.config import RunOptions
from fer_bench.results.store import Store
from fer_bench.runs import facts
from fer_bench.runs.events import Event
from fer_bench.runs.execute import execute
from fer_bench.runs.launchers import local, worker
from fer_bench.runs.launchers.local import LocalLauncher
from fer_bench.runs.launchers.worker import end_of_lost_run
from fer_bench.runs.processes import Interrupted
from fer_bench.workspace.workspace import Workspace


@pytest.fixture
def plans(plan):
    return [plan(seed=seed, targets="none", max_epochs=1) for seed in range(3)]


def statuses(store, plans):
    found = [p.folder(store).read_record() for p in plans]
    return [None if record is None else record.status for record in found]


def test_all_runs_come_to_their_end(plans, workspace, tmp_path):
    store, events = Store(tmp_path), []
    LocalLauncher(RunOptions(jobs=2)).run(plans, store, workspace, events.append)
    assert statuses(store, plans) == ["done"] * 3
    assert sorted(e.key for e in events if e.phase == "end") == sorted(p.key for p in plans)


def test_processes_give_the_same_bytes_as_this_one(plans, workspace, tmp_path):
    apart, here = Store(tmp_path / "apart"), Store(tmp_path / "here")
    LocalLauncher(RunOptions(jobs=2)).run(plans[:1], apart, workspace, lambda event: None)
    execute(plans[0], here, workspace)
    file = [plans[0].folder(s).predictions_file("oulu", "val") for s in (apart, here)]
    assert file[0].read_bytes() == file[1].read_bytes()


def test_a_fork_finds_what_its_parent_has_worked_out(plan, workspace, tmp_path, monkeypatch):
    planned, parent = plan(dataset="rafdb", protocol=None, targets="none", max_epochs=1), os.getpid()
    asked = []

    def measured(crops):
        assert os.getpid() == parent
        asked.append(len(crops))

    monkeypatch.setattr(facts, "measure_framing", measured)
    store = Store(tmp_path)
    LocalLauncher(RunOptions(jobs=1)).run([planned], store, Workspace(workspace.roots), lambda event: None)
    assert [record.status for record in store.records()] == ["done"]
    assert len(asked) == 1


@pytest.mark.long
@pytest.mark.skipif(not arithmetic.can_be_portable(), reason="needs Linux on x86-64 with AVX2")
def test_a_portable_run_gets_a_fresh_process_where_this_one_has_computed_otherwise(
    plan, workspace, tmp_path, monkeypatch
):
    portable = plan(targets="none", max_epochs=1, portable=True)
    apart, here = Store(tmp_path / "apart"), Store(tmp_path / "here")
    execute(portable, here, workspace)
    monkeypatch.setattr(arithmetic, "is_portable", lambda: False)
    LocalLauncher(RunOptions(jobs=1)).run([portable], apart, workspace, lambda event: None)
    records = [portable.folder(s).read_record() for s in (apart, here)]
    assert [r.status for r in records] == ["done"] * 2  # a forked process would have refused
    assert records[0].environment["arithmetic"]["digest"] == records[1].environment["arithmetic"]["digest"]
    file = [portable.folder(s).predictions_file("oulu", "val") for s in (apart, here)]
    assert file[0].read_bytes() == file[1].read_bytes()
    assert execute(portable, Store(tmp_path / "refused"), workspace).error.message.startswith(
        "the run wants portable arithmetic"
    )


def test_code_that_was_edited_since_the_plan_is_not_run_under_its_key(plans, workspace, tmp_path):
    other = {**plans[0].key_fields, "training_code": "0123456789abcdef"}
    old, events = dataclasses.replace(plans[0], key_fields=other), []
    LocalLauncher(RunOptions(jobs=1)).run([old], Store(tmp_path), workspace, events.append)
    (end,) = [e for e in events if e.phase == "end"]
    assert end.status == "failed"
    assert "training_code has changed since the run was planned" in end.message
    assert statuses(Store(tmp_path), plans[:1]) == [None]


def test_a_killed_run_is_a_row_and_the_rest_goes_on(plans, workspace, tmp_path, monkeypatch):
    def killed_once(run, store, workspace, on_event, options):
        def deadly(event):
            on_event(event)
            if run.key == plans[0].key and event.phase == "train":
                os.kill(os.getpid(), signal.SIGKILL)

        return execute(run, store, workspace, deadly, options)

    monkeypatch.setattr(worker, "execute", killed_once)
    store, events = Store(tmp_path), []
    LocalLauncher(RunOptions(jobs=1)).run(plans, store, workspace, events.append)
    assert statuses(store, plans) == ["failed", "done", "done"]
    (end,) = [e for e in events if e.phase == "end" and e.key == plans[0].key]
    assert "SIGKILL" in end.message
    record = plans[0].folder(store).read_record()
    assert "SIGKILL" in record.error.message
    monkeypatch.undo()
    LocalLauncher(RunOptions(jobs=1)).run(plans[:1], store, workspace, events.append)
    assert statuses(store, plans) == ["done"] * 3


def test_stopping_leaves_interrupted_runs_and_no_processes(plan, workspace, tmp_path):
    long = [plan(seed=seed, targets="none", max_epochs=500) for seed in range(2)]
    store = Store(tmp_path)
    launcher = LocalLauncher(RunOptions(jobs=2))
    started = set()

    def stop_when_both_train(event: Event) -> None:
        if event.phase == "train":
            started.add(event.key)
        if len(started) == 2:
            raise Interrupted("enough")

    with pytest.raises(Interrupted):
        launcher.run(long, store, workspace, stop_when_both_train)
    deadline = time.monotonic() + 30
    while any(slot.process.is_alive() for slot in launcher._slots) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert statuses(store, long) == ["interrupted"] * 2
    assert not list(tmp_path.rglob("lock"))


def test_visible_gpus_are_handed_out(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, 5")
    assert local._visible_gpus() == ["3", "5"]


def test_a_run_that_is_stopped_before_it_can_say_so_is_interrupted(plans, workspace, tmp_path, monkeypatch):
    def stopped_at_once(run, store, workspace, on_event, options):
        raise Interrupted("SIGTERM")

    monkeypatch.setattr(worker, "execute", stopped_at_once)
    store, events = Store(tmp_path), []
    LocalLauncher(RunOptions(jobs=1)).run(plans[:1], store, workspace, events.append)
    (end,) = [e for e in events if e.phase == "end"]
    assert (end.status, end.message) == ("interrupted", "SIGTERM")


def test_a_lost_run_ends_as_its_record_says_also_of_a_target_that_failed(plan, workspace, tmp_path):
    store, events = Store(tmp_path), []
    run = plan(max_epochs=1, targets="none")
    record = execute(run, store, workspace)
    more = plan(max_epochs=1, targets=["rafdb"])
    folder = run.folder(store)
    events.append(end_of_lost_run(run, store, workspace, ""))
    folder.write_record(record.model_copy(update={"missing": {"rafdb": "OSError: gone"}}))
    events.append(end_of_lost_run(more, store, workspace, ""))
    assert [(e.status, e.message) for e in events] == [("done", ""), ("failed", "rafdb: OSError: gone")]
