"""Run on a Slurm cluster: a job array with a task per run, requeued at its time limit and resumed.

The sweep only watches: it may be stopped or die, and the jobs go on; the same sweep again watches those that
Slurm still has, and submits what is missing. Every machine needs this package, and
the store and the data at the same paths.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field

from fer_bench.config import RunOptions
from fer_bench.errors import StoreError, UsageError
from fer_bench.files import write_text
from fer_bench.results.store import Store
from fer_bench.runs.launchers.remote import StoreWatch
from fer_bench.runs.launchers.worker import STOPPED, run_dir, work
from fer_bench.runs.plan import PlannedRun
from fer_bench.runs.supervision import Event, Watch, log_tail, record_death
from fer_bench.schema import Frozen
from fer_bench.workspace.workspace import Workspace

POLL = 2.0
"""Seconds between two looks at jobs."""
LOOKS = 5
"""Looks in a row at which a job is not in the queue, after which it is over: a requeued one comes back."""
ASK_AGAIN = 5.0
"""Seconds after which a job asks again for a run on which somebody else works."""
FOLDER = ".slurm"
"""Where jobs are described and leave their output, within the store."""


class SlurmSettings(Frozen):
    """Settings of the slurm launcher.

    Attributes:
        partition: Partition; None takes the cluster's default.
        account: Account that pays.
        qos: Quality of service.
        time: Minutes after which a job is stopped, requeued and resumed.
        requeues: How often that may happen.
        warning: Seconds before the end at which a job is told to stop.
        cpus: Cores per process.
        memory: Gigabytes of memory per machine; None takes the cluster's default.
        gres: Generic resources in Slurm's words, where GPUs must be asked for that way.
        constraint: Features that machines must have.
        setup: Shell line that runs before each job, such as `module load cuda`.
        array: Jobs of the array that run at a time, where `--jobs` does not say it.
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


class SlurmRun:
    """What a job does. It is pickled by whoever submits it, and once more when it is requeued.

    Args:
        run: The run.
        store: Where it is kept.
        workspace: Datasets and packs.
        options: What surrounds it.
    """

    def __init__(self, run: PlannedRun, store: Store, workspace: Workspace, options: RunOptions) -> None:
        self.run, self.store, self.workspace, self.options = run, store, workspace, options

    def __call__(self) -> str:
        """Work off the run, waiting while somebody else works on it; return what is to be said of its end."""
        if self.run.config.world_size > 1:
            from submitit.helpers import TorchDistributedEnvironment

            TorchDistributedEnvironment().export(set_cuda_visible_devices=False, overwrite=True)
        while True:
            ends: list[Event] = []
            code = work(self.run, self.store, self.workspace, self.options, ends.append)
            if code == STOPPED:  # no result: a job that is requeued is not done
                sys.exit(STOPPED)
            if not ends or ends[-1].status != "running":
                return ends[-1].message if ends else ""
            time.sleep(ASK_AGAIN)

    def checkpoint(self) -> Any:
        """Return what the requeued job does: the same, which resumes."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


@dataclass
class SlurmLauncher:
    """Works off runs as the jobs of an array.

    Attributes:
        jobs: Runs at a time; None takes `settings.array`.
        runs_per_gpu: Must be 1: Slurm hands out whole GPUs.
        options: What surrounds each run.
        settings: Where and how.
    """

    jobs: int | None = None
    runs_per_gpu: int = 1
    options: RunOptions = field(default_factory=RunOptions)
    settings: SlurmSettings = field(default_factory=SlurmSettings)

    def run(self, runs: Sequence[PlannedRun], store: Store, workspace: Workspace, watch: Watch) -> None:
        """Bring all runs to their end, see `Launcher`; when stopped, jobs go on without it."""
        submitit = _import()
        if self.runs_per_gpu > 1:
            raise UsageError("Slurm hands out whole GPUs", value=f"--runs-per-gpu {self.runs_per_gpu}")
        if not runs:
            return
        store = Store(store.root.absolute())
        open_jobs = self._known_jobs(submitit, runs, store)
        for job, run in open_jobs.items():
            watch(Event(run.key, "wait", message=f"{run.name}: Slurm has it as job {job.job_id} already"))
        known = {run.key for run in open_jobs.values()}
        fresh = [run for run in runs if run.key not in known]
        size = _largest_array()
        for at in range(0, len(fresh), size):
            open_jobs |= self._submit(submitit, fresh[at : at + size], store, workspace)
        seen = StoreWatch(store, watch)
        absent: Counter[str] = Counter()
        try:
            while open_jobs:
                queued = _queue()
                for job, run in list(open_jobs.items()):
                    if queued is not None:
                        absent[job.job_id] = 0 if job.job_id in queued else absent[job.job_id] + 1
                    if job.paths.result_pickle.exists() or absent[job.job_id] >= LOOKS:
                        del open_jobs[job]
                        seen.end(run, self._bury(job, run, store))
                seen.look(list(open_jobs.values()))
                time.sleep(POLL if open_jobs else 0)
        except KeyboardInterrupt:
            numbers = sorted({str(job.job_id).partition("_")[0] for job in open_jobs})
            stop = f"scancel {' '.join(numbers)} stops them"
            raise KeyboardInterrupt(f"the jobs go on, the same command watches them; {stop}") from None

    def _submit(
        self, submitit: Any, runs: Sequence[PlannedRun], store: Store, workspace: Workspace
    ) -> dict[Any, PlannedRun]:
        """Submit an array and note which job has which run.

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
                jobs = [executor.submit(SlurmRun(run, store, workspace, self.options)) for run in runs]
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
        """Return the jobs that Slurm still has of an earlier sweep, so that none works on its run twice."""
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
            "slurm_array_parallelism": self.jobs or settings.array,
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

    def _bury(self, job: Any, run: PlannedRun, store: Store) -> str:
        """Put on record why a job ended that could not say so itself; return it."""
        if job.paths.result_pickle.exists():
            error = job.exception()
            if error is None:
                return str(job.results()[0])
            last = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        else:
            last = log_tail(job.paths.stderr, 1) or "without a word"
        reason = f"Slurm job {job.job_id} ended: {last}"
        try:
            return record_death(run_dir(run, store), reason)
        except StoreError as damage:
            return damage.message


def _job_file(store: Store, run: PlannedRun) -> Path:
    """Return where the number of a run's job stands."""
    return store.root / FOLDER / f"{run.key}.job"


def _largest_array() -> int:
    """Return how many jobs an array may have, by the cluster's configuration; Slurm's default if unknown."""
    try:
        command = ["scontrol", "show", "config"]
        shown = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        shown = ""
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", shown, re.MULTILINE)
    return max(1, int(found[1])) if found else 1000


def _queue() -> set[str] | None:
    """Return the jobs that wait or run, as `12_3`, or `12` where one run needs no array.

    None is returned when Slurm does not answer.

    The queue is asked, not the accounts, because not every cluster keeps accounts.
    """
    command = ["squeue", "--noheader", "--array", "--me", "--format=%F_%K"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return {name.removesuffix("_N/A") for name in found.stdout.split()}


def _import() -> Any:
    """Return the submitit package.

    Raises:
        UsageError: It is not installed, or this machine has no Slurm.
    """
    try:
        import submitit
    except ImportError:
        raise UsageError(
            "the slurm launcher needs the package submitit",
            value="--launcher slurm",
            hint='pip install "fer-bench[slurm]"',
        ) from None
    if shutil.which("sbatch") is None:
        raise UsageError(
            "this machine cannot submit Slurm jobs: there is no sbatch",
            value="--launcher slurm",
            hint="run the sweep on a login node of the cluster",
        )
    return submitit
