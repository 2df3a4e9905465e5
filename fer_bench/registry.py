"""Find what has a name: built in, or brought by another package through an entry point."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar, cast

from fer_bench.errors import UsageError, nearest

T = TypeVar("T")


class Registry(Generic[T]):
    """Classes by name, imported only when they are asked for. Another package cannot replace a built-in name.

    Args:
        what: What they are, for messages.
        group: Entry point group of other packages.
        built_in: `module:Class` by name.
    """

    def __init__(self, what: str, group: str, built_in: Mapping[str, str]) -> None:
        self.what, self.group, self.built_in = what, group, built_in

    @cached_property
    def targets(self) -> Mapping[str, str]:
        """`module:Class` by name: the built-in ones, then those of other packages."""
        return {point.name: point.value for point in entry_points(group=self.group)} | dict(self.built_in)

    def names(self) -> tuple[str, ...]:
        """Return all names, the built-in ones first."""
        return tuple(dict.fromkeys((*self.built_in, *self.targets)))

    def get(self, name: str) -> T:
        """Import and return what has a name.

        Raises:
            UsageError: The name is unknown; near names are suggested. Or another package named something that
                cannot be imported.
        """
        target = self.targets.get(name)
        if target is None:
            raise UsageError(f"unknown {self.what}", value=name, hint=nearest(name, self.names()))
        module, _, attribute = target.partition(":")
        try:
            found: Any = getattr(import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            if name in self.built_in:
                raise
            raise UsageError(
                f"the {self.what} {name} cannot be imported: {type(error).__name__}: {error}",
                value=target,
                hint=f"the entry point {self.group} of another package names it",
            ) from error
        return cast(T, found)

    def refresh(self) -> None:
        """Look for entry points again, after packages were installed."""
        self.__dict__.pop("targets", None)
