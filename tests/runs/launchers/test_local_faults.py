"""A sweep that is killed again and again ends in the store of an undisturbed one."""

import json
import multiprocessing
import os
import random
import resource
import signal
import time

import pytest
import torch

from fer_bench.config import RunOptions
from fer_bench.results.lock import Lock
from fer_bench.results.store import Store
from fer_bench.runs.execute import execute
from fer_bench.runs.launchers.local import LocalLauncher
from fer_bench.runs.launchers.worker import end_of_lost_run, work
from fer_bench.runs.processes import TIMED_OUT, exit_reason

FORK = multiprocessing.get_context("fork")


def lasting(root):
    """Return the content of the files that must not depend on when and how often a sweep was killed."""
    found = {}
    for path in sorted(root.rglob("*")):
        if path.is_file() and path.name not in ("log.txt", "env.json", "summary.json"):
            content = path.read_bytes()
            if path.name == "record.json":
                record = json.loads(content)
                record.pop("timing")
                record.pop("environment")
                content = json.dumps(record)
            found[str(path.relative_to(root))] = content
    return found


@pytest.fixture(scope="module")
def sweep(plan):
    gcn = {
        "method": "gcn",
        "overrides": ("method.width=0.1", "method.generator_weights=null", "train.batch_size=16"),
        "targets": "none",
    }
    return [plan(seed=seed, max_epochs=4, **kind) for seed in (0, 1) for kind in ({}, gcn)]


@pytest.fixture(scope="module")
def undisturbed(sweep, workspace, tmp_path_factory):
    root = tmp_path_factory.mktemp("undisturbed")
    started = time.monotonic()
    run_sweep(sweep, root, workspace)
    assert {run.folder(Store(root)).read_record().status for run in sweep} == {"done"}
    return lasting(root), time.monotonic() - started


def run_sweep(runs, root, workspace):
    LocalLauncher(RunOptions(jobs=2)).run(runs, Store(root), workspace, lambda event: None)


def _sweep_process(runs, root, workspace):
    os.setsid()
    run_sweep(runs, root, workspace)


def _children(pid):
    listed = f"/proc/{pid}/task/{pid}/children"
    return [int(child) for child in open(listed).read().split()] if os.path.exists(listed) else []


def _kill_all(process):
    """Kill a sweep and its runs; one that has not yet opened its group has no run either, or is over."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        process.kill()


def disturb(process, how, rng):
    """Kill the machine (all processes), the sweep, one run, or ask the sweep or a run to stop."""
    if how == "power":
        _kill_all(process)
    elif how in ("sweep dies", "sweep is asked"):
        os.kill(process.pid, signal.SIGKILL if how == "sweep dies" else signal.SIGINT)
    elif children := _children(process.pid):
        victim = rng.choice(children)
        try:
            os.kill(victim, signal.SIGKILL if how == "run dies" else signal.SIGTERM)
        except ProcessLookupError:
            return


@pytest.mark.parametrize(
    ("kills", "seed"),
    [pytest.param(5, 0, marks=pytest.mark.long), pytest.param(30, 1, marks=pytest.mark.slow)],
    ids=["short", "long"],
)
def test_killed_at_random_points_the_store_is_that_of_an_undisturbed_sweep(
    sweep, undisturbed, workspace, tmp_path, kills, seed
):
    wanted, took = undisturbed
    rng, ways = random.Random(seed), ("power", "sweep dies", "run dies", "sweep is asked", "run is asked")
    done = 0
    while done < kills:
        process = FORK.Process(target=_sweep_process, args=(sweep, tmp_path, workspace))
        process.start()
        time.sleep(rng.uniform(0.05, took / 3))
        if process.is_alive():
            disturb(process, ways[done % len(ways)], rng)
        done += 1
        if ways[(done - 1) % len(ways)] in ("run dies", "run is asked"):
            time.sleep(rng.uniform(0, took / 4))
            _kill_all(process)
        process.join(60)
        assert process.exitcode is not None
    run_sweep(sweep, tmp_path, workspace)
    for left in (tmp_path / "indexes").glob(".*.tmp"):
        left.unlink()
    found = lasting(tmp_path)
    assert set(found) == set(wanted)
    assert [name for name in wanted if found[name] != wanted[name]] == []


def _write_and_die(run, root, workspace, point):
    """Die at write number `point` of a file: between its content and its name."""
    torch.set_num_threads(1)
    original, count = os.fsync, [0]

    def fsync(handle):
        count[0] += 1
        if count[0] == point:
            os.kill(os.getpid(), signal.SIGKILL)
        original(handle)

    os.fsync = fsync
    execute(run, Store(root), workspace)
    os._exit(0)


@pytest.mark.long
def test_killed_between_content_and_name_of_every_kind_of_file(sweep, undisturbed, workspace, tmp_path):
    run, point, exits = sweep[0], 1, []
    while not exits or exits[-1] != 0:
        process = FORK.Process(target=_write_and_die, args=(run, tmp_path, workspace, point))
        process.start()
        process.join(60)
        exits.append(process.exitcode)
        point += 5 if len(exits) % 2 else 2
    assert exits.count(-signal.SIGKILL) >= 3
    found = lasting(run.folder(Store(tmp_path)).path)
    prefix = f"{run.config.method}/{run.config.dataset}/{run.key}/"
    wanted = {n.removeprefix(prefix): c for n, c in undisturbed[0].items() if n.startswith(prefix)}
    assert found == wanted


class TestTwoSweeps:
    @pytest.mark.long
    def test_on_one_store_each_run_is_done_once(self, sweep, undisturbed, workspace, tmp_path, monkeypatch):
        monkeypatch.setattr("fer_bench.runs.launchers.run_queue.BUSY_DELAY", 0.3)
        both = [FORK.Process(target=_sweep_process, args=(sweep, tmp_path, workspace)) for _ in range(2)]
        for process in both:
            process.start()
        for process in both:
            process.join(120)
        assert [process.exitcode for process in both] == [0, 0]
        assert lasting(tmp_path) == undisturbed[0]

    @pytest.mark.long
    def test_where_locks_do_not_hold(self, sweep, undisturbed, workspace, tmp_path, monkeypatch):
        """Both work on every run at once; what they made of it is whole, or repaired by the next sweep."""
        monkeypatch.setattr(Lock, "acquire", lambda self: True)
        both = [FORK.Process(target=_sweep_process, args=(sweep, tmp_path, workspace)) for _ in range(2)]
        for process in both:
            process.start()
            time.sleep(0.7)
        for process in both:
            process.join(120)
        run_sweep(sweep, tmp_path, workspace)
        assert lasting(tmp_path) == undisturbed[0]


def _limited(run, root, workspace, most):
    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    os._exit(work(run, Store(root), workspace, RunOptions()).status != "done")


@pytest.mark.parametrize("most", [150_000, 2_000])
def test_a_full_disk_fails_the_run_and_harms_nothing(sweep, undisturbed, workspace, tmp_path, most):
    """Files can grow to some size only: too little for checkpoints, or too little for a record as well."""
    run = sweep[0]
    process = FORK.Process(target=_limited, args=(run, tmp_path, workspace, most))
    process.start()
    process.join(60)
    assert process.exitcode == 1
    record = run.folder(Store(tmp_path)).read_record()
    assert record is None or record.status in ("failed", "running")
    if most > 100_000:
        assert "cannot write" in record.error.message
    run_sweep([run], tmp_path, workspace)
    found, prefix = lasting(tmp_path), f"{run.config.method}/{run.config.dataset}/{run.key}/"
    assert {n: c for n, c in found.items() if n.startswith(prefix)} == {
        n: c for n, c in undisturbed[0].items() if n.startswith(prefix)
    }


def _hang(run, root, workspace, keeps_interpreter):
    import ctypes

    def on_event(event):
        if event.phase == "train":
            if keeps_interpreter:
                ctypes.PyDLL(None).sleep(100)
            time.sleep(100)

    torch.set_num_threads(1)
    os._exit(work(run, Store(root), workspace, RunOptions(timeout=6), on_event).status != "done")


class TestHanging:
    @pytest.mark.long
    def test_is_ended_and_says_where_it_stood(self, sweep, workspace, tmp_path):
        process = FORK.Process(target=_hang, args=(sweep[0], tmp_path, workspace, False))
        process.start()
        process.join(60)
        assert process.exitcode == TIMED_OUT
        folder = sweep[0].folder(Store(tmp_path))
        record = folder.read_record()
        assert (record.status, record.error.kind) == ("failed", "Timeout")
        assert "no progress for 6 s" in record.error.message
        assert "test_local_faults.py" in record.error.log
        assert not (folder.path / "lock").exists()
        assert not folder.progress_file.exists()

    @pytest.mark.long
    def test_is_ended_also_when_it_keeps_the_interpreter(self, sweep, workspace, tmp_path):
        process = FORK.Process(target=_hang, args=(sweep[0], tmp_path, workspace, True))
        process.start()
        process.join(60)
        assert process.exitcode == 1
        end = end_of_lost_run(sweep[0], Store(tmp_path), workspace, exit_reason(1))
        assert "no progress" in end.message
        assert sweep[0].folder(Store(tmp_path)).read_record().status == "failed"

    def test_a_run_that_goes_on_is_left_alone(self, sweep, workspace, tmp_path):
        record = execute(sweep[0], Store(tmp_path), workspace, options=RunOptions(timeout=30))
        assert record.status == "done"
