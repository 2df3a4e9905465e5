"""Run on a Ray cluster: one that runs already, or one that is started on this machine.

A run is a task with the resources it needs. A task whose machine or process is lost is sent again; the run
then resumes at its last whole epoch. Every machine needs this package, and the store and the data at the
same paths.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import Field

from fer_bench.config import RunOptions
from fer_bench.errors import StoreError, UsageError
from fer_bench.files import usable_cores
from fer_bench.provenance import package_folder
from fer_bench.results.store import Store
from fer_bench.runs.completeness import is_complete
from fer_bench.runs.launchers import check_nodes
from fer_bench.runs.launchers.remote import StoreWatch
from fer_bench.runs.launchers.worker import bury, run_dir, work
from fer_bench.runs.plan import PlannedRun
from fer_bench.runs.supervision import Event, Interrupted, Watch, record_death
from fer_bench.schema import Frozen
from fer_bench.workspace.workspace import Workspace

POLL = 0.5
"""Seconds for which Ray is asked at a time whether a task is done."""
ASK_AGAIN = 5.0
"""Seconds after which a run on which somebody else works is sent again."""


class RaySettings(Frozen):
    """Settings of the ray launcher.

    Attributes:
        address: A cluster that runs already, as `auto` or `ray://host:10001`; None takes RAY_ADDRESS, else
            starts a cluster on this machine.
        cpus: Cores per run; None takes one per device.
        retries: How often a run is sent again after its machine or process was lost.
    """

    address: str | None = None
    cpus: float | None = Field(default=None, gt=0)
    retries: int = Field(default=3, ge=0)


@dataclass
class RayLauncher:
    """Works off runs as tasks of a Ray cluster.

    Attributes:
        jobs: Runs at a time; None leaves it to the cluster.
        runs_per_gpu: Runs that share a GPU.
        options: What surrounds each run.
        settings: Where and how.
    """

    jobs: int | None = None
    runs_per_gpu: int = 1
    options: RunOptions = field(default_factory=RunOptions)
    settings: RaySettings = field(default_factory=RaySettings)

    def run(self, runs: Sequence[PlannedRun], store: Store, workspace: Workspace, watch: Watch) -> None:
        """Bring all runs to their end, see `Launcher`."""
        ray = _import()
        for run in runs:
            check_nodes("ray", run.config.devices, run.config.nodes)
        store = Store(store.root.absolute())
        own = not ray.is_initialized()
        if own:
            _connect(ray, self.settings.address)
        try:
            self._work_off(ray, runs, store, workspace, watch)
        finally:
            if own:
                ray.shutdown()

    def _work_off(
        self, ray: Any, runs: Sequence[PlannedRun], store: Store, workspace: Workspace, watch: Watch
    ) -> None:
        seen = StoreWatch(store, watch)
        shared = ray.put(workspace)
        waiting = [(0.0, run) for run in runs]
        at_work: dict[Any, PlannedRun] = {}
        losses: dict[str, int] = {}
        told: set[str] = set()
        try:
            while waiting or at_work:
                now = time.monotonic()
                while (self.jobs is None or len(at_work) < self.jobs) and (
                    ready := [entry for entry in waiting if entry[0] <= now]
                ):
                    waiting.remove(ready[0])
                    not_before, run = ready[0]
                    if not_before and is_complete(run, store, workspace):
                        watch(Event(run.key, "end", status="done"))
                    else:
                        at_work[self._send(ray, run, store, shared)] = run
                if at_work:
                    finished, _ = ray.wait(list(at_work), timeout=POLL)
                else:
                    finished = []
                    time.sleep(POLL)
                for task in finished:
                    run = at_work.pop(task)
                    outcome, how = _outcome_of(ray, task)
                    if outcome == "busy":
                        waiting.append((time.monotonic() + ASK_AGAIN, run))
                        if run.key not in told:
                            told.add(run.key)
                            watch(Event(run.key, "wait", message="another process works on it"))
                    elif how == "lost" and self._try_again(run, store, losses):
                        waiting.insert(0, (0.0, run))
                    elif how == "broke":
                        _put_on_record(run, store, outcome)
                        watch(Event(run.key, "end", status="failed", message=outcome))
                    else:
                        seen.end(run, outcome if how == "said" else _bury(run, store, outcome))
                seen.look(list(at_work.values()))
        except (KeyboardInterrupt, Interrupted):
            for task in at_work:
                ray.cancel(task)
            if at_work:
                ray.wait(list(at_work), num_returns=len(at_work), timeout=20)
            raise

    def _send(self, ray: Any, run: PlannedRun, store: Store, shared: Any) -> Any:
        config = run.config
        resources: dict[str, Any] = {"num_cpus": self.settings.cpus or config.devices, "max_retries": 0}
        if config.device == "cuda":
            resources["num_gpus"] = config.devices if config.devices > 1 else 1 / self.runs_per_gpu
        task = ray.remote(_task).options(name=f"fer-bench {run.key}", **resources)
        return task.remote(run, store, shared, self.options)

    def _try_again(self, run: PlannedRun, store: Store, losses: dict[str, int]) -> bool:
        """Return whether a run whose process was lost is sent again; one that hung is not.

        A record that the loss has damaged says nothing: the run is done again.
        """
        losses[run.key] = losses.get(run.key, 0) + 1
        try:
            record = run_dir(run, store).read_record()
        except StoreError:
            record = None
        said_why = record is not None and record.status not in ("running", "planned")
        return not said_why and losses[run.key] <= self.settings.retries


def _task(run: PlannedRun, store: Store, workspace: Workspace, options: RunOptions) -> str:
    """Work off a run in a process of the cluster; return `busy`, or what is to be said of its end."""
    ends: list[Event] = []

    def keep(event: Event) -> None:
        if event.phase == "end":
            ends.append(event)

    work(run, store, workspace, options, keep)
    if ends and ends[-1].status == "running":
        return "busy"
    return ends[-1].message if ends else ""


def _outcome_of(ray: Any, task: Any) -> tuple[str, Literal["said", "lost", "broke"]]:
    """Return what is known of a task's end, and how it ended.

    It said so itself; it was lost before it could; or it broke with an error, which it would do again.
    """
    gone = (
        ray.exceptions.WorkerCrashedError,
        ray.exceptions.NodeDiedError,
        ray.exceptions.OutOfMemoryError,
        ray.exceptions.RaySystemError,
        ray.exceptions.ObjectLostError,
    )
    try:
        return str(ray.get(task)), "said"
    except gone as error:
        return f"lost: {type(error).__name__}", "lost"
    except ray.exceptions.RayError as error:
        return (str(error).strip().splitlines() or [type(error).__name__])[-1], "broke"


def _bury(run: PlannedRun, store: Store, outcome: str) -> str:
    reason = bury(run, store, 1)
    return f"{reason} ({outcome})"


def _put_on_record(run: PlannedRun, store: Store, reason: str) -> None:
    """Write into the record of a run whose task broke why, unless somebody else works on the run."""
    folder = run_dir(run, store)
    if folder.lock().is_stale():
        with suppress(StoreError):
            record_death(folder, reason)


def _connect(ray: Any, address: str | None) -> None:
    passed_on = {name: value for name, value in os.environ.items() if name.startswith("FER_BENCH_")}
    where = address or os.environ.get("RAY_ADDRESS")
    if not where:  # processes of this machine take the package from where this one has it
        paths = (str(package_folder().parent), os.environ.get("PYTHONPATH", ""))
        passed_on["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    here: dict[str, Any] = {} if where else {"num_cpus": usable_cores(), "include_dashboard": False}
    try:
        ray.init(
            address=where or "local",
            runtime_env={"env_vars": passed_on},
            log_to_driver=False,
            logging_level="ERROR",
            **here,
        )
    except (ConnectionError, ValueError) as error:
        raise UsageError(
            f"the Ray cluster does not answer: {str(error).splitlines()[0]}",
            value=where,
            hint="ray status; or --launcher-set address=ray://HOST:10001",
        ) from None


def _import() -> Any:
    """Return the ray package.

    Raises:
        UsageError: It is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing goes over the network unasked
    try:
        import ray
        import ray.exceptions
    except ImportError:
        raise UsageError(
            "the ray launcher needs the package ray",
            value="--launcher ray",
            hint='pip install "fer-bench[ray]"',
        ) from None
    return ray
