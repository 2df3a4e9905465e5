"""The slurm launcher on a real Slurm of this machine, where that is installed (Debian: slurm-wlm)."""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import time

import pytest

from fer_bench.config import RunOptions
from fer_bench.errors import UsageError
from fer_bench.results.store import Store
from fer_bench.runs import launchers
from fer_bench.runs.completeness import is_complete
from fer_bench.runs.execute import execute
from fer_bench.runs.launchers import slurm as launcher
from fer_bench.runs.launchers.ray import RayLauncher
from fer_bench.runs.launchers.slurm import SlurmLauncher

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol")
CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobRequeue=1
MpiDefault=none
KillWait=5
SchedulerParameters=batch_sched_delay=0,sched_interval=1
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=2000 State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def free_ports(count):
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """Start a Slurm of one node with two cores; its daemons end with the tests."""
    pytest.importorskip("submitit", reason="the extra `slurm` is not installed")
    lacking = [name for name in PROGRAMS if shutil.which(name) is None]
    if lacking:
        pytest.skip(f"Slurm is not installed: no {', '.join(lacking)}")
    if os.geteuid() != 0:
        pytest.skip("starting a Slurm of our own needs root")
    folder = tmp_path_factory.mktemp("slurm")
    for part in ("state", "spool", "munge"):
        (folder / part).mkdir()
    munge = folder / "munge"
    munge.chmod(0o700)
    (munge / "key").write_bytes(secrets.token_bytes(128))
    (munge / "key").chmod(0o400)
    text = CONFIGURATION.format(host=socket.gethostname().split(".")[0], folder=folder, ports=free_ports(2))
    (folder / "slurm.conf").write_text(text)
    files = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
    options = [f"--{option}={munge / name}" for option, name in files.items()]
    patch = pytest.MonkeyPatch()
    patch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
    daemons = [
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for command in (
            ["munged", "--foreground", "--force", *options],
            ["slurmctld", "-D", "-f", folder / "slurm.conf"],
            ["slurmd", "-D", "-f", folder / "slurm.conf"],
        )
    ]
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        seen = subprocess.run(["sinfo", "-h", "-o", "%t"], capture_output=True, text=True)
        if seen.stdout.strip() == "idle":
            break
        time.sleep(0.5)
    else:
        for daemon in daemons:
            daemon.kill()
        pytest.fail(f"Slurm did not start; see {folder}/slurmctld.log")
    yield folder
    subprocess.run(["scancel", "--name", "fer-bench"], check=False)
    time.sleep(1)
    for daemon in reversed(daemons):
        daemon.terminate()
        daemon.wait(15)
    patch.undo()


def predictions(store, run):
    return run.folder(store).predictions_file("oulu", "val").read_bytes()


def launch(runs, store, workspace, on_event, *settings):
    SlurmLauncher(RunOptions(launcher_settings=("time=5", *settings))).run(runs, store, workspace, on_event)


def ends(events):
    return {event.key: event.status for event in events if event.phase == "end"}


def is_pending(job):
    found = subprocess.run(["squeue", "-h", "-t", "PD", "-j", job], capture_output=True, text=True)
    return bool(found.stdout.strip())


@pytest.mark.slow
@pytest.mark.parametrize("how", ["by the administrator", "at the time limit"])
def test_an_array_of_jobs_with_a_requeue_ends_as_here(slurm, plan, workspace, tmp_path, how):
    """One job is requeued while it trains: it resumes and ends in the same bytes.

    At its time limit a job gets the signal that submitit asks Slurm for, and requeues itself.
    """
    runs = [plan(seed=seed, targets="none", max_epochs=epochs) for seed, epochs in ((0, 150), (1, 1))]
    store, here, events = Store(tmp_path / "slurm"), Store(tmp_path / "here"), []
    requeued, released = [], []

    def on_event(event):
        events.append(event)
        if event.phase == "train" and event.key == runs[0].key and not requeued:
            (job,) = [
                line.split()[0]
                for line in subprocess.run(
                    ["squeue", "-h", "-r", "-t", "R", "-o", "%i %F_%K"], capture_output=True, text=True
                ).stdout.splitlines()
                if line.endswith("_0")
            ]
            requeued.append(job)
            if how == "at the time limit":
                subprocess.run(["scancel", job, "--signal", "USR2"], check=True)
            else:
                subprocess.run(["scontrol", "requeue", job], check=True)
        elif requeued and not released and is_pending(requeued[0]):
            # Slurm lets a requeued job wait two minutes; an administrator need not.
            released.append(requeued[0])
            subprocess.run(["scontrol", "update", f"JobId={requeued[0]}", "StartTime=now"], check=True)

    launch(runs, store, workspace, on_event)
    assert requeued
    assert ends(events) == {run.key: "done" for run in runs}
    assert "Restoring states from the checkpoint" in runs[0].folder(store).log_file.read_text()
    for run in runs:
        execute(run, here, workspace)
        assert predictions(store, run) == predictions(here, run)


@pytest.mark.slow
def test_a_job_that_dies_is_a_row_and_the_others_go_on(slurm, plan, workspace, tmp_path):
    runs = [plan(seed=seed, targets="none", max_epochs=epochs) for seed, epochs in ((0, 3000), (1, 1))]
    store, events, cancelled = Store(tmp_path), [], []

    def on_event(event):
        events.append(event)
        if event.phase == "train" and event.key == runs[0].key and not cancelled:
            cancelled.append(event)
            subprocess.run(["scancel", "--signal=KILL", "--name", "fer-bench", "-t", "R"], check=True)

    launch(runs[:1], store, workspace, on_event)
    assert cancelled
    record = runs[0].folder(store).read_record()
    assert record.status in ("failed", "interrupted")  # Slurm's SIGTERM may come before the SIGKILL
    assert ends(events) == {runs[0].key: record.status}
    assert record.error.message
    launch(runs[1:], store, workspace, events.append)
    assert ends(events)[runs[1].key] == "done"


@pytest.mark.slow
def test_a_sweep_that_was_stopped_watches_its_jobs_again(slurm, plan, workspace, tmp_path, monkeypatch):
    """Also where arrays may be no larger than one job, and there are two."""
    monkeypatch.setattr(launcher, "_largest_array", lambda: 1)
    runs = [plan(seed=seed, targets="none", max_epochs=150) for seed in (0, 1)]
    store, events = Store(tmp_path), []

    def stop_when_training(event):
        if event.phase == "train":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match=r"the jobs go on.*scancel \d+ \d+ stops them"):
        launch(runs, store, workspace, stop_when_training)
    left = [run for run in runs if not is_complete(run, store, workspace)]
    assert left
    launch(left, store, workspace, events.append)
    assert ends(events) == {run.key: "done" for run in left}
    assert {event.key for event in events if event.phase == "wait"} == {run.key for run in left}
    assert len(list((tmp_path / launcher.FOLDER).glob("*/*_submission.sh"))) == 2


@pytest.mark.slow
def test_what_slurm_refuses_is_said_in_its_words(slurm, plan, workspace, tmp_path):
    assert launcher._largest_array() == 1001
    with pytest.raises(UsageError, match=r"does not take the jobs: .*Invalid partition") as refused:
        launch([plan(targets="none")], Store(tmp_path), workspace, None, "partition=nope")
    assert "partition=nope" in str(refused.value)


@pytest.mark.slow
def test_one_run_on_two_tasks(slurm, plan, workspace, tmp_path):
    """Slurm starts both processes of the run, and tells them who they are."""
    run, events = plan(targets="none", max_epochs=1, devices=2), []
    launch([run], Store(tmp_path), workspace, events.append)
    assert ends(events) == {run.key: "done"}
    assert run.folder(Store(tmp_path)).read_record().settings["devices"] == 2


def test_what_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(UsageError, match='pip install "submitit>='):
        SlurmLauncher().run([], None, None, None)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match='pip install "ray>='):
        RayLauncher().run([], None, None, None)
    with pytest.raises(UsageError, match="did you mean partition"):
        SlurmLauncher(RunOptions(launcher_settings=("partitoin=gpu",)))
    with pytest.raises(UsageError, match="did you mean slurm"):
        launchers.get("slrum")
