"""Run on a Slurm cluster: a job array with a task per run, requeued at its time limit and resumed.

The sweep only watches: it may be stopped or die, and the jobs continue; the same sweep again watches those
that Slurm still has, and submits what is missing. Every machine needs this package, and the store and the
data at the same paths.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from fer_bench.config import RunOptions
from fer_bench.errors import UsageError
from fer_bench.files import write_text
from fer_bench.results.store import Store
from fer_bench.runs.events import Event, OnEvent
from fer_bench.runs.launchers.base import Launcher, LauncherSettings
from fer_bench.runs.launchers.run_queue import BUSY_DELAY
from fer_bench.runs.launchers.store_poller import StorePoller
from fer_bench.runs.launchers.worker import end_of_lost_run, work
from fer_bench.runs.plan import PlannedRun
from fer_bench.runs.processes import STOPPED
from fer_bench.runs.supervision import log_tail
from fer_bench.workspace.workspace import Workspace

POLL = 2.0
"""Seconds between two looks at jobs."""
LOOKS = 5
"""Looks in a row at which a job is not in the queue, after which it is over: a requeued one comes back."""
FOLDER = ".slurm"
"""Folder of the store with the jobs' scripts and output."""


class SlurmSettings(LauncherSettings):
    """Settings of the slurm launcher.

    Attributes:
        partition: Partition; None takes the cluster's default.
        account: Account that is charged.
        qos: Quality of service.
        time: Minutes after which a job is stopped, requeued and resumed.
        requeues: How often that may happen.
        warning: Seconds before the end at which a job is told to stop.
        cpus: Cores per process.
        memory: Gigabytes of memory per machine; None takes the cluster's default.
        gres: Generic resources in Slurm's syntax, on clusters that hand out GPUs that way.
        constraint: Features that machines must have.
        setup: Shell line that runs before each job, such as `module load cuda`.
        array: Jobs of the array that run at a time, without `--jobs`.
    """

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    time: int = Field(default=24 * 60, ge=1)
    requeues: int = Field(default=100, ge=0)
    warning: int = Field(default=90, ge=5)
    cpus: int = Field(default=1, ge=1)
    memory: float | None = Field(default=None, gt=0)
    gres: str | None = None
    constraint: str | None = None
    setup: str | None = None
    array: int = Field(default=256, ge=1)


class RunJob:
    """The code of a job. It is pickled when it is submitted, and once more when it is requeued.

    Args:
        run: The run.
        store: Where it is stored.
        workspace: Datasets and packs.
        options: Loggers and time limit.
    """

    def __init__(self, run: PlannedRun, store: Store, workspace: Workspace, options: RunOptions) -> None:
        self.run, self.store, self.workspace, self.options = run, store, workspace, options

    def __call__(self) -> Event:
        """Work on the run, waiting while another process does; return its last event."""
        if self.run.config.world_size > 1:
            from submitit.helpers import TorchDistributedEnvironment

            TorchDistributedEnvironment().export(set_cuda_visible_devices=False, overwrite=True)
        while (end := work(self.run, self.store, self.workspace, self.options)).status == "running":
            time.sleep(BUSY_DELAY)
        if end.status == "interrupted":  # no result: a job that is requeued is not done
            sys.exit(STOPPED)
        return end

    def checkpoint(self) -> Any:
        """Return the code of the requeued job: the same, which resumes."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


class SlurmLauncher(Launcher[SlurmSettings]):
    """Work on runs as the jobs of an array, by default as many at a time as its setting `array`."""

    name = "slurm"
    settings_type = SlurmSettings
    spans_nodes = True
    is_remote = True
    requires = "submitit"

    def run(self, runs: Sequence[PlannedRun], store: Store, workspace: Workspace, on_event: OnEvent) -> None:
        """Work on all runs, see `Launcher.run`; when it is stopped the jobs continue.

        Raises:
            UsageError: submitit or sbatch is not installed, Slurm refuses the jobs, or runs share a GPU.
            KeyboardInterrupt: It was stopped; the message says how to stop the jobs.
        """
        submitit = self.import_package()
        if shutil.which("sbatch") is None:
            raise UsageError(
                "this machine cannot submit Slurm jobs: it has no sbatch",
                value="--launcher slurm",
                hint="run the sweep on a login node of the cluster",
            )
        if self.options.runs_per_gpu > 1:
            raise UsageError(
                "Slurm hands out whole GPUs", value=f"--runs-per-gpu {self.options.runs_per_gpu}"
            )
        if not runs:
            return
        store = Store(store.root.absolute())
        open_jobs = self._known_jobs(submitit, runs, store)
        for job, run in open_jobs.items():
            on_event(Event(run.key, "wait", message=f"{run.name}: Slurm has it as job {job.job_id} already"))
        known = {run.key for run in open_jobs.values()}
        fresh = [run for run in runs if run.key not in known]
        size = _largest_array()
        for at in range(0, len(fresh), size):
            open_jobs |= self._submit(submitit, fresh[at : at + size], store, workspace)
        poller = StorePoller(store, on_event)
        absent: Counter[str] = Counter()
        try:
            while open_jobs:
                queued = _queue()
                for job, run in list(open_jobs.items()):
                    if queued is not None:
                        absent[job.job_id] = 0 if job.job_id in queued else absent[job.job_id] + 1
                    if job.paths.result_pickle.exists() or absent[job.job_id] >= LOOKS:
                        del open_jobs[job]
                        on_event(_end(job, run, store, workspace))
                poller.poll(list(open_jobs.values()))
                time.sleep(POLL if open_jobs else 0)
        except KeyboardInterrupt:
            numbers = sorted({str(job.job_id).partition("_")[0] for job in open_jobs})
            stop = f"scancel {' '.join(numbers)} stops them"
            raise KeyboardInterrupt(f"the jobs go on, the same command watches them; {stop}") from None

    def _submit(
        self, submitit: Any, runs: Sequence[PlannedRun], store: Store, workspace: Workspace
    ) -> dict[Any, PlannedRun]:
        """Submit an array, and write down the job of each run.

        Raises:
            UsageError: Slurm refuses it.
        """
        executor = submitit.AutoExecutor(
            folder=store.root / FOLDER / "%j",
            cluster="slurm",
            slurm_max_num_timeout=self.settings.requeues,
        )
        executor.update_parameters(**self._parameters(runs[0]))
        try:
            with executor.batch():
                jobs = [executor.submit(RunJob(run, store, workspace, self.options)) for run in runs]
        except (RuntimeError, OSError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
            raise UsageError(
                f"Slurm does not take the jobs: {reason}",
                value=" ".join(
                    f"{name}={value}" for name, value in self.settings.model_dump(exclude_none=True).items()
                ),
                hint="sinfo shows partitions and their limits; --launcher-set NAME=VALUE",
            ) from None
        for job, run in zip(jobs, runs, strict=True):
            write_text(_job_file(store, run), str(job.job_id))
        return dict(zip(jobs, runs, strict=True))

    def _known_jobs(self, submitit: Any, runs: Sequence[PlannedRun], store: Store) -> dict[Any, PlannedRun]:
        """Return the jobs of an earlier sweep that Slurm still has, so that no run gets a second one."""
        found: dict[Any, PlannedRun] = {}
        queued = _queue()
        for run in runs if queued else ():
            file = _job_file(store, run)
            number = file.read_text().strip() if file.exists() else ""
            if queued and number in queued:
                tasks = list(range(run.config.world_size))
                job = submitit.SlurmJob(folder=store.root / FOLDER / "%j", job_id=number, tasks=tasks)
                found[job] = run
        return found

    def _parameters(self, run: PlannedRun) -> dict[str, Any]:
        settings, config = self.settings, run.config
        found: dict[str, Any] = {
            "name": "fer-bench",
            "timeout_min": settings.time,
            "nodes": config.nodes,
            "tasks_per_node": config.devices,
            "cpus_per_task": settings.cpus,
            "mem_gb": settings.memory,
            "slurm_array_parallelism": self.options.jobs or settings.array,
            "slurm_signal_delay_s": settings.warning,
            "slurm_partition": settings.partition,
            "slurm_account": settings.account,
            "slurm_qos": settings.qos,
            "slurm_gres": settings.gres,
            "slurm_constraint": settings.constraint,
            "slurm_setup": [settings.setup] if settings.setup else None,
            "slurm_additional_parameters": {"requeue": True},
        }
        if config.device == "cuda" and settings.gres is None:
            found["gpus_per_node"] = config.devices
        return {name: value for name, value in found.items() if value is not None}


def _end(job: Any, run: PlannedRun, store: Store, workspace: Workspace) -> Event:
    """Return the last event of a run whose job is over."""
    if job.paths.result_pickle.exists():
        error = job.exception()
        if error is None:
            end: Event = job.results()[0]
            return end
        last = (str(error).strip().splitlines() or [type(error).__name__])[-1]
    else:
        last = log_tail(job.paths.stderr, 1) or "without an error message"
    return end_of_lost_run(run, store, workspace, f"Slurm job {job.job_id} ended: {last}")


def _job_file(store: Store, run: PlannedRun) -> Path:
    """Return the file with the number of a run's job."""
    return store.root / FOLDER / f"{run.key}.job"


def _largest_array() -> int:
    """Return the cluster's limit of jobs in an array, Slurm's default if it is unknown."""
    try:
        command = ["scontrol", "show", "config"]
        shown = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        shown = ""
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", shown, re.MULTILINE)
    return max(1, int(found[1])) if found else 1000


def _queue() -> set[str] | None:
    """Return the jobs that wait or run, as `12_3`, or `12` without an array; None if Slurm does not answer.

    They are read from the queue because not every cluster keeps accounting records.
    """
    command = ["squeue", "--noheader", "--array", "--me", "--format=%F_%K"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return {name.removesuffix("_N/A") for name in found.stdout.split()}
