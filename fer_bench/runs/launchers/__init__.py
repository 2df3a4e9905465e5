"""Launchers, the ways to work on a list of runs, and the registry that finds them by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fer_bench.registry import Registry

if TYPE_CHECKING:
    from fer_bench.runs.launchers.base import Launcher

BUILT_IN: dict[str, str] = {
    "local": "fer_bench.runs.launchers.local:LocalLauncher",
    "ray": "fer_bench.runs.launchers.ray:RayLauncher",
    "slurm": "fer_bench.runs.launchers.slurm:SlurmLauncher",
}
REGISTRY: Registry[type[Launcher[Any]]] = Registry(
    "launcher",
    "fer_bench.launchers",
    BUILT_IN,
    base="fer_bench.runs.launchers.base:Launcher",
    name_of=lambda launcher: launcher.name,
)
names, get = REGISTRY.names, REGISTRY.get
