"""Slurm jobs that end in one way or another, on stand-ins of submitit's jobs."""

import pickle
from types import SimpleNamespace

import pytest

from fer_bench.config import RunOptions
from fer_bench.results.store import Store
from fer_bench.runs.events import Event
from fer_bench.runs.execute import execute
from fer_bench.runs.launchers import slurm
from fer_bench.runs.processes import STOPPED


@pytest.fixture
def run(plan, plain):
    return plan(method=plain, overrides=(), targets="none", max_epochs=1)


@pytest.fixture
def end(run, workspace, tmp_path):
    """Return the last event of the run, given its job's result or error and what that wrote."""

    def call(result=None, error=None, stderr=""):
        (tmp_path / "stderr").write_text(stderr)
        if result is not None or error is not None:
            (tmp_path / "result").touch()
        paths = SimpleNamespace(result_pickle=tmp_path / "result", stderr=tmp_path / "stderr")
        job = SimpleNamespace(
            job_id="12_3",
            paths=paths,
            exception=lambda: error,
            results=lambda: [result, Event("other", "end")],
        )
        return slurm._end(job, run, Store(tmp_path), workspace)

    return call


def test_a_job_returns_the_last_event_of_its_run(run, end, workspace, tmp_path):
    job = slurm.RunJob(run, Store(tmp_path), workspace, RunOptions())
    event = pickle.loads(pickle.dumps(job()))
    assert (event.key, event.status) == (run.key, "done")
    assert event.seconds > 0
    assert end(result=event) == event


def test_a_job_waits_for_another_process_and_has_no_result_when_it_is_stopped(
    run, workspace, tmp_path, monkeypatch
):
    ends = ["running", "done", "interrupted"]
    monkeypatch.setattr(slurm, "BUSY_DELAY", 0.01)
    monkeypatch.setattr(slurm, "work", lambda *arguments: Event(run.key, "end", status=ends.pop(0)))
    job = slurm.RunJob(run, Store(tmp_path), workspace, RunOptions())
    assert job().status == "done"
    with pytest.raises(SystemExit) as stopped:
        job()
    assert stopped.value.code == STOPPED


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"error": ValueError("traceback\nKeyError: 'x'")}, "Slurm job 12_3 ended: KeyError: 'x'"),
        ({"stderr": "slurmstepd: warning\nCANCELLED"}, "Slurm job 12_3 ended: CANCELLED"),
        ({}, "Slurm job 12_3 ended: without an error message"),
    ],
)
def test_a_lost_job_is_a_failed_run_also_on_record(run, end, workspace, tmp_path, given, reason):
    folder = run.folder(Store(tmp_path))
    record = execute(run, Store(tmp_path), workspace)
    folder.write_record(record.model_copy(update={"status": "running"}))
    assert (end(**given).status, end(**given).message) == ("failed", reason)
    record = folder.read_record()
    assert (record.status, record.error.message) == ("failed", reason)


def test_a_job_that_is_lost_after_its_run_was_complete_is_done(run, end, workspace, tmp_path):
    execute(run, Store(tmp_path), workspace)
    assert end(stderr="node failure").status == "done"
