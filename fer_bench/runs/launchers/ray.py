"""Run on a Ray cluster: one that runs already, or one that is started on this machine.

A run is a task with the resources it needs. A task whose machine or process is lost is sent again, and the
run resumes after the last epoch that it wrote. Every machine needs this package, and the store and the data
at the same paths.
"""

from __future__ import annotations

import math
import os
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from pydantic import Field

from fer_bench import arithmetic
from fer_bench.errors import StoreError, UsageError
from fer_bench.files import usable_cores
from fer_bench.provenance import package_folder
from fer_bench.results.store import Store
from fer_bench.runs.events import Event, OnEvent
from fer_bench.runs.launchers.base import Launcher, LauncherSettings
from fer_bench.runs.launchers.run_queue import RunQueue
from fer_bench.runs.launchers.store_poller import StorePoller
from fer_bench.runs.launchers.worker import end_of_lost_run, work
from fer_bench.runs.plan import PlannedRun
from fer_bench.runs.processes import Interrupted
from fer_bench.runs.supervision import record_lost_run
from fer_bench.workspace.workspace import Workspace

POLL = 0.5
"""Seconds for which Ray waits for a task to end before progress is read."""


class RaySettings(LauncherSettings):
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


class RayLauncher(Launcher[RaySettings]):
    """Work on runs as tasks of a Ray cluster, by default as many at a time as the cluster has room for."""

    name = "ray"
    settings_type = RaySettings
    is_remote = True
    requires = "ray"

    def run(self, runs: Sequence[PlannedRun], store: Store, workspace: Workspace, on_event: OnEvent) -> None:
        """Work on all runs, see `Launcher.run`."""
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing goes over the network unasked
        ray = self.import_package()
        for run in runs:
            self.check_nodes(run.config.devices, run.config.nodes)
        store = Store(store.root.absolute())
        connects = not ray.is_initialized()
        if connects:
            _connect(ray, self.settings.address)
        try:
            self._run_tasks(ray, runs, store, workspace, on_event)
        finally:
            if connects:
                ray.shutdown()

    def _run_tasks(
        self, ray: Any, runs: Sequence[PlannedRun], store: Store, workspace: Workspace, on_event: OnEvent
    ) -> None:
        queue, poller = RunQueue(runs, store, workspace, on_event), StorePoller(store, on_event)
        shared = ray.put(workspace)
        tasks: dict[Any, PlannedRun] = {}
        limit = self.options.jobs or math.inf
        losses: Counter[str] = Counter()
        try:
            while queue or tasks:
                while len(tasks) < limit and (run := queue.pop()) is not None:
                    tasks[self._send(ray, run, store, shared)] = run
                finished: list[Any] = []
                if tasks:
                    finished, _ = ray.wait(list(tasks), timeout=POLL)
                else:
                    time.sleep(POLL)
                for task in finished:
                    run = tasks.pop(task)
                    end = self._end(ray, task, run, store, workspace, losses)
                    if end is None:
                        queue.push_front(run)
                    elif end.status == "running":
                        queue.push_busy(run, end.message)
                    else:
                        on_event(end)
                poller.poll(list(tasks.values()))
        except (KeyboardInterrupt, Interrupted):
            for task in tasks:
                ray.cancel(task)
            if tasks:
                ray.wait(list(tasks), num_returns=len(tasks), timeout=20)
            raise

    def _send(self, ray: Any, run: PlannedRun, store: Store, shared: Any) -> Any:
        config = run.config
        resources: dict[str, Any] = {"num_cpus": self.settings.cpus or config.devices, "max_retries": 0}
        if config.device == "cuda":
            resources["num_gpus"] = config.devices if config.devices > 1 else 1 / self.options.runs_per_gpu
        if config.portable:  # a worker of its own, which has not computed in another way before
            resources["runtime_env"] = {"env_vars": {**_variables(), **arithmetic.PORTABLE}}
        task = ray.remote(work).options(name=f"fer-bench {run.key}", **resources)
        return task.remote(run, store, shared, self.options)

    def _end(
        self,
        ray: Any,
        task: Any,
        run: PlannedRun,
        store: Store,
        workspace: Workspace,
        losses: Counter[str],
    ) -> Event | None:
        """Return the last event of a run whose task is over, None if the run must be sent again.

        It is sent again when its process was lost, but not when the task failed with an error, which it would
        do again.
        """
        gone = (
            ray.exceptions.WorkerCrashedError,
            ray.exceptions.NodeDiedError,
            ray.exceptions.OutOfMemoryError,
            ray.exceptions.RaySystemError,
            ray.exceptions.ObjectLostError,
        )
        try:
            end: Event = ray.get(task)
            return end
        except gone as error:
            losses[run.key] += 1
            if losses[run.key] <= self.settings.retries and not _has_ended(run, store):
                return None
            return end_of_lost_run(run, store, workspace, f"the Ray worker was lost: {type(error).__name__}")
        except ray.exceptions.RayError as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
            folder = run.folder(store)
            if folder.lock().is_stale():  # else another process works on the run
                record_lost_run(folder, reason)
            return Event(run.key, "end", status="failed", message=reason)


def _has_ended(run: PlannedRun, store: Store) -> bool:
    """Return whether the record of a lost run says how it ended, as after a hang; a damaged one does not."""
    with suppress(StoreError):
        record = run.folder(store).read_record()
        return record is not None and record.status not in ("running", "planned")
    return False


def _variables() -> dict[str, str]:
    """Return the variables of this package that workers get as well."""
    return {name: value for name, value in os.environ.items() if name.startswith("FER_BENCH_")}


def _connect(ray: Any, address: str | None) -> None:
    where = address or os.environ.get("RAY_ADDRESS")
    variables = _variables()
    if not where:  # processes of this machine import the package from the same folder
        paths = (str(package_folder().parent), os.environ.get("PYTHONPATH", ""))
        variables["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    here: dict[str, Any] = {} if where else {"num_cpus": usable_cores(), "include_dashboard": False}
    try:
        ray.init(
            address=where or "local",
            runtime_env={"env_vars": variables},
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
