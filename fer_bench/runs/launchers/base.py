"""The base class of launchers. They communicate with runs only through the store and events."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from importlib import import_module
from typing import Any, ClassVar, Generic, TypeVar

from fer_bench.config import RunOptions, build, parse_override
from fer_bench.distribution import install_hint
from fer_bench.errors import UsageError
from fer_bench.results.store import Store
from fer_bench.runs.events import OnEvent
from fer_bench.runs.plan import PlannedRun
from fer_bench.schema import Frozen
from fer_bench.workspace.workspace import Workspace


class LauncherSettings(Frozen):
    """Settings of a launcher, which `--launcher-set NAME=VALUE` changes."""


S = TypeVar("S", bound=LauncherSettings)


class Launcher(ABC, Generic[S]):
    """A way to work on a list of runs.

    Args:
        options: How to run them, with the launcher's own settings.

    Raises:
        UsageError: A setting that does not exist, or a value out of range.
    """

    name: ClassVar[str]
    """Its name in the registry."""
    settings_type: ClassVar[type[LauncherSettings]] = LauncherSettings
    """Model of its own settings."""
    spans_nodes: ClassVar[bool] = False
    """Whether it can run one training on several machines."""
    is_remote: ClassVar[bool] = False
    """Whether runs may be on other machines, whose devices are unknown here."""
    requires: ClassVar[str | None] = None
    """Package that it imports, installed by the extra of the launcher's name."""

    settings: S

    def __init__(self, options: RunOptions | None = None) -> None:
        self.options = options or RunOptions()
        pairs = map(parse_override, self.options.launcher_settings)
        given = {".".join(path): value for path, value in pairs}
        if given and not self.settings_type.model_fields:
            raise UsageError(f"the {self.name} launcher has no settings", value=next(iter(given)))
        self.settings = build(self.settings_type, given, "--launcher-set")  # type: ignore[assignment]

    @abstractmethod
    def run(self, runs: Sequence[PlannedRun], store: Store, workspace: Workspace, on_event: OnEvent) -> None:
        """Work on all runs until each has ended; one that fails does not affect the others.

        A run that another process works on is tried again until it is complete or can be locked.

        Args:
            runs: The runs, in this order.
            store: Where they are stored.
            workspace: Datasets and packs.
            on_event: Called in this process on events; the last one of each run is its `end`.

        Raises:
            UsageError: The launcher is not installed, or cannot do what a run asks for.
            KeyboardInterrupt: It was stopped.
        """

    def check_nodes(self, devices: int, nodes: int) -> None:
        """Refuse a run on more machines than the launcher can use.

        Args:
            devices: Devices per machine.
            nodes: Machines that share a run.

        Raises:
            UsageError: The launcher keeps a run on one machine.
        """
        if nodes > 1 and not self.spans_nodes:
            raise UsageError(
                f"a run of the {self.name} launcher stays on one machine",
                value=f"--nodes {nodes}",
                hint="--launcher slurm",
            )

    def import_package(self) -> Any:
        """Return the package that the launcher requires.

        Raises:
            UsageError: It is not installed.
        """
        assert self.requires is not None
        try:
            return import_module(self.requires)
        except ImportError:
            raise UsageError(
                f"the {self.name} launcher needs the package {self.requires}",
                value=f"--launcher {self.name}",
                hint=install_hint(self.name),
            ) from None
