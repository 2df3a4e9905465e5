"""What a plan says of each run beside the store, and how long the rest takes."""

import pytest

from fer_bench.errors import DataError
from fer_bench.results.store import Store
from fer_bench.runs.completeness import match
from fer_bench.runs.execute import execute
from fer_bench.runs.processes import Interrupted
from fer_bench.workspace.workspace import Workspace


def test_every_state_is_told(plan, plain, workspace, tmp_path):
    store = Store(tmp_path)

    def of(seed, targets="none"):
        return plan(method=plain, overrides=(), seed=seed, targets=targets)

    def stop(event):
        if event.phase == "train" and event.done == 1:
            raise Interrupted("enough")

    execute(of(0), store, workspace)
    execute(of(1), store, workspace)
    for seed in (2, 3):
        with pytest.raises(Interrupted):
            execute(of(seed), store, workspace, stop)
    folder = store.run_dir("plain", "oulu", of(3).key)
    folder.write_record(folder.read_record().model_copy(update={"status": "running"}))
    assert folder.lock().acquire()
    planned = [of(0), of(1, ["rafdb"]), of(2), of(3), of(4)]
    found = match(planned, store, workspace)
    assert [p.state for p in found] == ["done", "targets", "resumes", "running", "to do"]
    assert [p.run for p in found] == planned
    seconds = [p.seconds for p in found]
    assert seconds[0] == 0
    assert 0 < seconds[1] < seconds[4]
    folder.lock().release()
    (again,) = match([of(3)], store, workspace)
    assert again.state == "resumes"


def test_without_earlier_runs_measured_rates_tell(plan, plain, workspace, tmp_path):
    (found, theirs) = match([plan(), plan(method=plain, overrides=())], Store(tmp_path), workspace)
    assert (found.state, found.basis) == ("to do", "rates")
    assert found.seconds > 0
    assert (theirs.state, theirs.seconds, theirs.basis) == ("to do", None, None)


def test_a_target_that_became_unreadable_does_not_keep_the_plan_from_being_told(
    plan, plain, workspace, tmp_path, monkeypatch
):
    store, run = Store(tmp_path), plan(method=plain, overrides=())
    execute(run, store, workspace)
    (found,) = match([run], store, Workspace(workspace.roots))
    assert found.state == "done"
    blind, pack = Workspace(workspace.roots), Workspace.pack

    def damaged(self, name, size):
        if name == "rafdb":
            raise DataError("a bad line")
        return pack(self, name, size)

    monkeypatch.setattr(Workspace, "pack", damaged)
    (found,) = match([run], store, blind)
    assert found.state == "targets"
