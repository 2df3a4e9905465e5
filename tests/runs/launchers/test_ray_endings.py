"""Ray tasks that fail or are lost, on a stand-in of the cluster."""

from types import SimpleNamespace

import pytest

from fer_bench.results.store import Store
from fer_bench.runs.execute import execute
from fer_bench.runs.launchers.ray import RayLauncher
from fer_bench.runs.launchers.worker import work


class RayError(Exception):
    pass


class LostError(RayError):
    pass


LOSSES = ("WorkerCrashedError", "NodeDiedError", "OutOfMemoryError", "RaySystemError", "ObjectLostError")


class Arguments(tuple):
    """A task, told from others by what it is."""

    __slots__ = ()
    __hash__ = object.__hash__


class Cluster:
    """Work on tasks one by one in this process, after what a test does in their place."""

    exceptions = SimpleNamespace(RayError=RayError, **dict.fromkeys(LOSSES, LostError))

    def __init__(self, instead):
        self.instead, self.sent = list(instead), 0

    def put(self, value):
        return value

    def remote(self, function):
        return SimpleNamespace(options=lambda **named: SimpleNamespace(remote=self.send))

    def send(self, *arguments):
        self.sent += 1
        return Arguments(arguments)

    def wait(self, tasks, **named):
        return tasks[:1], tasks[1:]

    def get(self, task):
        return self.instead.pop(0)(*task) if self.instead else work(*task)


@pytest.fixture
def run_tasks(workspace, tmp_path):
    """Work on runs on a cluster on which the first tasks do something else; return ends and cluster."""

    def call(runs, *instead):
        cluster, events = Cluster(instead), []
        RayLauncher()._run_tasks(cluster, runs, Store(tmp_path), workspace, events.append)
        return {e.key: (e.status, e.message) for e in events if e.phase == "end"}, cluster

    return call


@pytest.fixture
def runs(plan, plain):
    return [plan(method=plain, overrides=(), targets="none", max_epochs=1, seed=seed) for seed in (0, 1)]


def begun(run, store, workspace):
    """Leave a run as a process does that is gone in the middle of it; return its folder."""
    folder = run.folder(store)
    execute(run, store, workspace)
    folder.write_record(folder.read_record().model_copy(update={"status": "running"}))
    return folder


def test_a_task_that_breaks_is_a_failed_run_also_on_record(runs, run_tasks, tmp_path):
    def breaks(run, store, workspace, options):
        begun(run, store, workspace)
        raise RayError("traceback\nKeyError: 'what the task stumbled over'")

    ends, cluster = run_tasks(runs, breaks)
    reason = "KeyError: 'what the task stumbled over'"
    assert ends == {runs[0].key: ("failed", reason), runs[1].key: ("done", "")}
    assert cluster.sent == 2
    record = runs[0].folder(Store(tmp_path)).read_record()
    assert (record.status, record.error.message) == ("failed", reason)


def test_a_task_that_breaks_leaves_alone_what_another_process_works_on(runs, run_tasks, tmp_path):
    def breaks(run, store, workspace, options):
        assert begun(run, store, workspace).lock().acquire()
        raise RayError("no such module")

    ends, _ = run_tasks(runs[:1], breaks)
    assert ends[runs[0].key] == ("failed", "no such module")
    assert runs[0].folder(Store(tmp_path)).read_record().status == "running"


def test_a_record_that_a_loss_damages_is_made_again(runs, run_tasks, tmp_path):
    def is_lost(run, store, workspace, options):
        begun(run, store, workspace).record_file.write_text('{"schema_ver')
        raise LostError("gone")

    ends, cluster = run_tasks(runs, is_lost)
    assert ends == {run.key: ("done", "") for run in runs}
    assert cluster.sent == 3
    record = runs[0].folder(Store(tmp_path)).read_record()
    assert any("record of an earlier attempt was damaged" in warning for warning in record.warnings)


def test_a_run_that_is_lost_and_damaged_again_and_again_ends_alone(runs, run_tasks):
    def is_lost(run, store, workspace, options):
        begun(run, store, workspace).record_file.write_text("")
        raise LostError("gone")

    ends, cluster = run_tasks([runs[0]], *[is_lost] * 4)
    assert ends[runs[0].key][0] == "failed"
    assert cluster.sent == 4
