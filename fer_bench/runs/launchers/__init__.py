"""Launchers, the ways to work on a list of runs, and the registry that finds them by name."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from fer_bench.errors import UsageError, nearest

if TYPE_CHECKING:
    from fer_bench.runs.launchers.base import Launcher

BUILT_IN: dict[str, str] = {
    "local": "fer_bench.runs.launchers.local:LocalLauncher",
    "ray": "fer_bench.runs.launchers.ray:RayLauncher",
    "slurm": "fer_bench.runs.launchers.slurm:SlurmLauncher",
}


@cache
def registry() -> dict[str, str]:
    """Return `module:Class` of all launchers by name: the built-in ones, then those of other packages."""
    found = dict(BUILT_IN)
    for point in entry_points(group="fer_bench.launchers"):
        found.setdefault(point.name, point.value)
    return found


def names() -> tuple[str, ...]:
    """Return the names of all launchers."""
    return tuple(registry())


def get(name: str) -> type[Launcher[Any]]:
    """Return the launcher class of that name.

    Raises:
        UsageError: Unknown launcher; near names are suggested.
    """
    target = registry().get(name)
    if target is None:
        raise UsageError("unknown launcher", value=name, hint=nearest(name, names()))
    module, _, attribute = target.partition(":")
    found: type[Launcher[Any]] = getattr(import_module(module), attribute)
    return found
