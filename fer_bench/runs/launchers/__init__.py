"""Launchers: ways to work off a list of runs. They talk to runs only through the store and events."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

from fer_bench.config import RunOptions, build, parse_override
from fer_bench.errors import UsageError, nearest

if TYPE_CHECKING:
    from fer_bench.results.store import Store
    from fer_bench.runs.plan import PlannedRun
    from fer_bench.runs.supervision import Watch
    from fer_bench.workspace.workspace import Workspace

LauncherName = Literal["local", "ray", "slurm"]
LAUNCHERS: dict[LauncherName, str] = {
    "local": "processes on this machine: one per core, or as many per GPU as asked for",
    "ray": "a Ray cluster that runs already, or one that is started on this machine",
    "slurm": "a Slurm job array, with requeue and resume",
}


class Launcher(Protocol):
    """A way to work off runs."""

    def run(self, runs: Sequence[PlannedRun], store: Store, workspace: Workspace, watch: Watch) -> None:
        """Bring all runs to their end; one that fails does not touch the others.

        Args:
            runs: What to do, the first first.
            store: Where runs are kept.
            workspace: Datasets and packs.
            watch: Called in this process on events, the last of each run being its `end`.

        Raises:
            UsageError: The launcher is not installed, or cannot do what a run asks for.
            KeyboardInterrupt: Somebody stopped it.
        """


def check_nodes(name: str, devices: int, nodes: int) -> None:
    """Refuse a launcher that cannot spread a run over machines, before anything is computed or stored.

    Args:
        name: One of `LAUNCHERS`.
        devices: Devices per machine.
        nodes: Machines that share a run.

    Raises:
        UsageError: The launcher works on one machine.
    """
    from fer_bench.runs.distributed import refuse_alone

    if name == "ray" and nodes > 1:
        raise UsageError(
            "a run of the ray launcher stays on one machine",
            value=f"--nodes {nodes}",
            hint="--launcher slurm",
        )
    if name == "local":
        refuse_alone(devices, nodes)


def make_launcher(
    name: str,
    *,
    jobs: int | None = None,
    runs_per_gpu: int = 1,
    options: RunOptions | None = None,
    settings: Iterable[str] = (),
) -> Launcher:
    """Return a launcher.

    Args:
        name: One of `LAUNCHERS`.
        jobs: Runs at a time.
        runs_per_gpu: Runs that share a GPU.
        options: What surrounds each run.
        settings: Settings of the launcher, as `partition=gpu`.

    Raises:
        UsageError: An unknown launcher or setting, or one whose package is not installed.
    """
    options = options or RunOptions()
    given: dict[str, Any] = {}
    for text in settings:
        path, value = parse_override(text)
        given[".".join(path)] = value
    common: dict[str, Any] = {"jobs": jobs, "runs_per_gpu": runs_per_gpu, "options": options}
    if name == "local":
        if given:
            raise UsageError("the local launcher has no settings", value=next(iter(given)), hint="--jobs")
        from fer_bench.runs.launchers.local import LocalLauncher

        return LocalLauncher(**common)
    if name == "ray":
        from fer_bench.runs.launchers.ray import RayLauncher, RaySettings

        return RayLauncher(settings=build(RaySettings, given, "--launcher-set"), **common)
    if name == "slurm":
        from fer_bench.runs.launchers.slurm import SlurmLauncher, SlurmSettings

        return SlurmLauncher(settings=build(SlurmSettings, given, "--launcher-set"), **common)
    raise UsageError("unknown launcher", value=name, hint=nearest(name, LAUNCHERS))
