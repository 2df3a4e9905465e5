"""The ray launcher on a real cluster of this machine."""

import os
import signal
import time

import pytest

from fer_bench.config import RunOptions
from fer_bench.errors import UsageError
from fer_bench.results.store import Store
from fer_bench.runs.events import read_progress
from fer_bench.runs.execute import execute
from fer_bench.runs.launchers.ray import RayLauncher

ray = pytest.importorskip("ray", reason="the extra `ray` is not installed")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster():
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    passed_on = {"FER_BENCH_CACHE": os.environ["FER_BENCH_CACHE"]}
    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        runtime_env={"env_vars": passed_on},
    )
    yield
    ray.shutdown()


def predictions(store, run):
    return run.folder(store).predictions_file("oulu", "val").read_bytes()


def test_runs_end_as_they_do_here_also_when_a_worker_is_killed(cluster, plan, workspace, tmp_path):
    """One of two workers is killed in the middle of a run; that run is sent again, and resumes."""
    runs = [plan(seed=seed, targets="none", max_epochs=epochs) for seed, epochs in ((0, 150), (1, 2))]
    store, here, events, killed = Store(tmp_path / "ray"), Store(tmp_path / "here"), [], []

    def on_event(event):
        events.append(event)
        found = read_progress(runs[0].folder(store))
        if not killed and found and found.get("phase") == "train":
            killed.append(found["pid"])
            os.kill(found["pid"], signal.SIGKILL)

    RayLauncher(RunOptions(launcher_settings=("cpus=1",))).run(runs, store, workspace, on_event)
    assert killed
    ends = {e.key: e.status for e in events if e.phase == "end"}
    assert ends == {run.key: "done" for run in runs}, events[-1]
    log = runs[0].folder(store).log_file.read_text()
    assert "Restoring states from the checkpoint" in log
    for run in runs:
        execute(run, here, workspace)
        assert predictions(store, run) == predictions(here, run)


def test_a_diverged_run_is_not_sent_again(cluster, plan, workspace, tmp_path):
    overrides = ("method.width=0.03", "train.batch_size=16", "method.recipe=repo", "method.lr=1e30")
    run, events = plan(overrides=overrides, targets="none", max_epochs=1), []
    RayLauncher().run([run], Store(tmp_path), workspace, events.append)
    (end,) = [e for e in events if e.phase == "end"]
    assert end.status == "diverged", end.message
    assert "NaN or infinite" in end.message


def test_a_run_that_another_process_works_on_is_waited_for(cluster, plan, workspace, tmp_path, monkeypatch):
    monkeypatch.setattr("fer_bench.runs.launchers.run_queue.BUSY_DELAY", 0.5)
    run, store, events = plan(targets="none", max_epochs=1), Store(tmp_path), []
    lock = run.folder(store).lock()
    assert lock.acquire()

    def on_event(event):
        events.append(event)
        if event.phase == "wait":
            lock.release()

    started = time.monotonic()
    RayLauncher().run([run], store, workspace, on_event)
    assert [e.phase for e in events if e.phase in ("wait", "end")] == ["wait", "end"]
    assert events[-2].status == "done" or events[-1].status == "done"
    assert time.monotonic() - started < 60


def test_several_machines_are_refused(cluster, plan, workspace, tmp_path):
    with pytest.raises(UsageError, match="stays on one machine"):
        RayLauncher().run([plan(nodes=2)], Store(tmp_path), workspace, lambda event: None)
