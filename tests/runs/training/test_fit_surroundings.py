"""A run that is not distributed ignores the cluster around it: it trains the same and requeues nothing."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from fer_bench.results.store import Store

SLURM = {
    "SLURM_JOB_ID": "4711",
    "SLURM_JOB_NAME": "train",
    "SLURM_NTASKS": "8",
    "SLURM_NNODES": "2",
    "SLURM_NODELIST": "node[1-2]",
    "SLURM_PROCID": "3",
    "SLURM_LOCALID": "3",
    "SLURM_NODEID": "1",
}
CLUSTERS = {
    "slurm": SLURM,
    "slurm, tasks per node": {**SLURM, "SLURM_NTASKS_PER_NODE": "4"},
    "lsf": {
        "LSB_JOBID": "4711",
        "LSB_DJOB_RANKFILE": "/nowhere/rankfile",
        "JSM_NAMESPACE_LOCAL_RANK": "3",
        "JSM_NAMESPACE_RANK": "3",
        "JSM_NAMESPACE_SIZE": "8",
    },
    "torchelastic": {
        "TORCHELASTIC_RUN_ID": "none",
        "RANK": "3",
        "LOCAL_RANK": "3",
        "WORLD_SIZE": "8",
        "GROUP_RANK": "0",
        "LOCAL_WORLD_SIZE": "8",
        "MASTER_ADDR": "node1",
        "MASTER_PORT": "29500",
    },
    "lightning": {"PL_TRAINER_LIMIT_TRAIN_BATCHES": "1", "PL_TRAINER_FAST_DEV_RUN": "1"},
}
SMALL = ("--profile", "quick", "--set", "method.width=0.03", "--targets", "none", "--max-epochs", "1")
THREE_WAYS = """
import json, sys
import fer_bench
from fer_bench.cli.main import main
from fer_bench.config import RunOptions
from fer_bench.results.store import Store
from fer_bench.runs.launchers.worker import work
from fer_bench.workspace.sources import find_roots
from fer_bench.workspace.workspace import Workspace
from tests.plans import plan_one

root, settings = sys.argv[1], {"method.width": 0.03, "train.max_epochs": 1}
records = [fer_bench.run("resemotenet", "oulu", root=root, runs_dir="api", targets="none", settings=settings)]
sys.argv = ["fer-bench", "run", "-m", "resemotenet", "-d", "oulu", "--data-root", root, "--json", *%r]
try: main()
except SystemExit: pass
workspace, store = Workspace(find_roots(root)), Store("worker")
run = plan_one(
    workspace, method="resemotenet", dataset="oulu", fold=1, profile="quick", targets="none",
    overrides=("method.width=0.03",), max_epochs=1,
)
work(run, store, workspace, RunOptions())  # what the launchers for clusters send to a machine
assert sys.modules["lightning.pytorch.utilities"].rank_zero_only.rank == 0
records += [*Store("runs").scan()[0], *store.scan()[0]]
print("RECORDS", json.dumps([[r.key, r.status, r.error and r.error.message, r.checkpoint] for r in records]))
"""


def surrounded(variables):
    """Return the environment of these tests within that of a cluster, whose commands leave a mark."""
    return {**os.environ, **variables, "PYTHONPATH": os.pathsep.join(sys.path)}


def train_three_ways(variables, root, folder):
    folder.mkdir()
    command = [sys.executable, "-c", THREE_WAYS % (SMALL,), str(root)]
    done = subprocess.run(command, cwd=folder, env=surrounded(variables), capture_output=True, text=True)
    assert "RECORDS" in done.stdout, done.stderr
    return json.loads(done.stdout.rpartition("RECORDS")[2])


@pytest.fixture(scope="module")
def alone(tiny_root, tmp_path_factory):
    return train_three_ways({}, tiny_root, tmp_path_factory.mktemp("alone") / "x")


@pytest.mark.long
def test_alone_all_ways_train_the_same(alone):
    assert [status for _, status, *_ in alone] == ["done"] * 3
    assert alone[0] == alone[1] == alone[2]


@pytest.mark.long
@pytest.mark.parametrize("cluster", CLUSTERS)
def test_a_run_within_a_cluster_is_the_run_alone(alone, cluster, tiny_root, tmp_path):
    assert train_three_ways(CLUSTERS[cluster], tiny_root, tmp_path / "x") == alone


@pytest.mark.long
def test_sigusr1_in_a_slurm_job_stops_the_run_and_requeues_nothing(tiny_root, tmp_path):
    scontrol = tmp_path / "bin" / "scontrol"
    scontrol.parent.mkdir()
    scontrol.write_text(f"#!/bin/sh\necho $@ >> {tmp_path}/requeued\n")
    scontrol.chmod(0o755)
    small = [*SMALL[:-1], "500"]
    command = [sys.executable, "-m", "fer_bench.cli.main", "run", "-m", "resemotenet", "-d", "oulu"]
    process = subprocess.Popen(
        [*command, "--data-root", str(tiny_root), *small],
        cwd=tmp_path,
        env=surrounded({**SLURM, "PATH": f"{scontrol.parent}{os.pathsep}{os.environ['PATH']}"}),
        start_new_session=True,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and not list(tmp_path.rglob("metrics.csv")):
            time.sleep(0.2)
        os.killpg(process.pid, signal.SIGUSR1)
        process.wait(60)
        (record,) = wait_for_end(Store(tmp_path / "runs"))
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert record.status == "interrupted"
    assert not (tmp_path / "requeued").exists()
    assert not list(tmp_path.rglob("hpc_ckpt*"))


def wait_for_end(store):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        records = store.scan()[0]
        if records and all(record.status != "running" for record in records):
            return records
        time.sleep(0.2)
    return store.scan()[0]
