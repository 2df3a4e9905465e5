"""Find what has a name: built in, or brought by another package through an entry point."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from functools import cached_property, reduce
from importlib import import_module
from importlib.metadata import entry_points
from inspect import isabstract
from typing import Any, Generic, TypeVar, cast

from fer_bench.errors import UsageError, nearest, place_of

T = TypeVar("T")
NameOf = Callable[[Any], str]


class Registry(Generic[T]):
    """Classes by name, imported only when they are asked for. Another package cannot replace a built-in name.

    Args:
        what: What they are, for messages.
        group: Entry point group of other packages.
        built_in: `module:Class` by name.
        base: `module:Class` of what all of them inherit from; None where they are not classes.
        name_of: Returns the name that a class gives itself, which must be the one it is registered under.
        unlisted: Further built-in ones, which need more than their name: `names` leaves them out, so that
            "all" does not mean them, and `get` finds them.
    """

    def __init__(
        self,
        what: str,
        group: str,
        built_in: Mapping[str, str],
        *,
        base: str | None = None,
        name_of: NameOf | None = None,
        unlisted: Mapping[str, str] | None = None,
    ) -> None:
        self.what, self.group, self.built_in = what, group, built_in
        self.unlisted = unlisted or {}
        self.base, self.name_of = base, name_of

    @cached_property
    def targets(self) -> Mapping[str, str]:
        """`module:Class` by name: the built-in ones, then those of other packages."""
        found: dict[str, str] = {}
        for point in entry_points(group=self.group):
            target = point.value.partition("[")[0].strip()
            both = sorted({target, found.get(point.name, target)})
            found[point.name] = " and ".join(both)
        return found | {**self.unlisted, **self.built_in}

    def names(self) -> tuple[str, ...]:
        """Return all names but the unlisted ones, the built-in ones first."""
        return tuple(name for name in self.known() if name not in self.unlisted)

    def known(self) -> tuple[str, ...]:
        """Return all names, the built-in ones first, the unlisted ones last."""
        return tuple(dict.fromkeys((*self.built_in, *self.targets)))

    def get(self, name: str) -> T:
        """Import and return what has a name.

        Raises:
            UsageError: The name is unknown; near names are suggested. Or another package gave it to something
                that cannot be imported or is something else.
        """
        target = self.targets.get(name)
        if target is None:
            raise UsageError(f"unknown {self.what}", value=name, hint=nearest(name, self.known()))
        if target in (self.built_in.get(name), self.unlisted.get(name)):
            return cast(T, _load(target))
        if " and " in target:
            raise self._error(f"two packages bring a {self.what} {name}", target, "uninstall one of them")
        try:
            found = _load(target)
        except (Exception, SystemExit) as error:
            file, line, _ = place_of(error, _files_of(target, error)) or (None, None, "")
            reason = error.msg if isinstance(error, SyntaxError) else error
            problem = f"the {self.what} {name} cannot be imported: {type(error).__name__}: {reason}"
            raise self._error(problem, target, file=file, line=line) from error
        self._check(name, found, target)
        return cast(T, found)

    def usable(self) -> dict[str, T]:
        """Return all by name, those of other packages that cannot be imported left out."""
        found: dict[str, T] = {}
        for name in self.names():
            try:
                found[name] = self.get(name)
            except UsageError:
                if name in self.built_in:
                    raise
        return found

    def refresh(self) -> None:
        """Look for entry points again, after packages were installed."""
        self.__dict__.pop("targets", None)

    def _check(self, name: str, found: Any, target: str) -> None:
        """Refuse what cannot be used under a name."""
        if self.base is not None:
            base: Any = _load(self.base)
            if not (isinstance(found, type) and issubclass(found, base)):
                raise self._error(f"the {self.what} {name} is not a subclass of {self.base}", target)
            if isabstract(found):
                missing = ", ".join(sorted(getattr(found, "__abstractmethods__", ())))
                raise self._error(f"the {self.what} {name} does not define: {missing}", target)
        if self.name_of is not None:
            try:
                own = self.name_of(found)
            except AttributeError as error:
                raise self._error(f"the {self.what} {name}: {error}", target) from None
            if own != name:
                problem = f"the {self.what} calls itself {own!r}, and its entry point calls it {name!r}"
                raise self._error(problem, target, "give both the same name")

    def _error(self, problem: str, target: str, hint: str | None = None, **place: Any) -> UsageError:
        origin = f"the entry point of {self.group} in another package names it"
        return UsageError(problem, value=target, hint=f"{origin}; {hint}" if hint else origin, **place)


def _files_of(target: str, error: BaseException) -> set[str]:
    """Return the files of an entry point's package that were running when an error was raised."""
    package = target.partition(":")[0].partition(".")[0]
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    return {
        one.f_code.co_filename for one in frames if one.f_globals["__name__"].partition(".")[0] == package
    }


def _load(target: str) -> Any:
    module, _, attributes = target.partition(":")
    return reduce(getattr, filter(None, attributes.split(".")), import_module(module))
