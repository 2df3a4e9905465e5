"""Hashes of source code: which code decided a result, wherever its files lie.

A run key, a kept index and a stored score each hold a hash of the code that can change them. It covers a
*closure*: some root modules and every module of their author or of this package that these import, directly
or through others, except those declared not to matter. Only what the code does counts. Docstrings, comments,
layout, import statements and file names are left out, so that moving a module changes no hash, and a new
helper module cannot escape one.

Of the `__init__.py` of a package only what is used counts: what runs on import, and what defines or imports
the names that are asked for. So methods that are all imported there do not depend on each other.
"""

from __future__ import annotations

import hashlib
import logging
import sys
from collections.abc import Iterable
from pathlib import Path

from fer_bench.errors import DataError
from fer_bench.provenance import modules
from fer_bench.provenance.answers import kept
from fer_bench.provenance.imports import ALL
from fer_bench.provenance.modules import OWN, file_of, folders_of, is_authors, modules_below
from fer_bench.provenance.statements import Effect, Parts, Whole, read_parts, read_whole


def package_folder() -> Path:
    """Return the folder of this package."""
    return Path(__file__).parents[1]


def code_hash(roots: Iterable[str], *, without: Iterable[str] = ()) -> str:
    """Return a hash of what a closure of modules does: 16 hexadecimal digits.

    Args:
        roots: Modules to start from, or `module:name` for what one name of a package needs.
        without: Modules that do not count and are not followed, see `closure`.

    Raises:
        DataError: A root module that does not exist, or a source file that cannot be read.
    """
    roots, without = list(roots), list(without)

    def computed() -> str:
        digests = sorted(Closure(roots, without).digests().values())
        return hashlib.sha256("\n".join(digests).encode()).hexdigest()[:16]

    if not all(_is_own(root.partition(":")[0]) for root in roots):
        return computed()  # the code of others can change while this package stays the same
    return kept("code", [roots, without], computed)


def closure(roots: Iterable[str], *, without: Iterable[str] = ()) -> dict[str, Path]:
    """Return the source file of every module that the roots need, by module name.

    Imports are read from the source, those inside functions included; nothing is executed. Only modules of
    the roots' author and of this package count, see `modules.is_authors`, and imports for type checking alone
    do not. A module whose name is computed at run time can be any of its package, so all of those count.

    Args:
        roots: Modules to start from, or `module:name` for what one name of a package needs.
        without: Modules that do not count and are not followed: `a.b` is that module alone, `a.b.*` the
            package with all its modules.

    Raises:
        DataError: A root module that does not exist, or a source file that cannot be read.
    """
    found = Closure(roots, without)
    return {name: found.files[name] for name in sorted(found.digests())}


def forget() -> None:
    """Forget what was read of packages, after some were installed or replaced within this process."""
    modules.forget()
    _loaded.clear()
    read_whole.cache_clear()
    read_parts.cache_clear()


class Closure:
    """The modules that some roots need, and which parts of packages' `__init__.py`.

    Args:
        roots: See `closure`.
        without: See `closure`.

    Attributes:
        files: File of each module that was visited.
        packages: Top-level packages of others that are imported.

    Raises:
        DataError: A root module that does not exist, or a source file that cannot be read.
    """

    def __init__(self, roots: Iterable[str], without: Iterable[str] = ()) -> None:
        self.files: dict[str, Path] = {}
        self.packages: set[str] = set()
        self._excluded = tuple(without)
        self._written: dict[str, int] = {}
        self._whole: set[str] = set()
        self._units: dict[str, set[int]] = {}
        self._renamed: dict[str, set[tuple[str, str]]] = {}
        self._seen: set[tuple[str, str]] = set()
        self._waiting: list[tuple[str, str]] = []
        for root in roots:
            module, _, name = root.partition(":")
            if file_of(module) is None:
                raise DataError("the module does not exist", value=module)
            self._push(module, name or ALL)
        while self._waiting:
            self._visit(*self._waiting.pop())

    def digests(self) -> dict[str, str]:
        """Return a hash of what counts of each module, by its name."""
        found = {name: self._whole_of(name).digest for name in self._whole}
        for name in {*self._units, *self._renamed} - self._whole:
            units = self._parts_of(name).units
            parts = [units[number].digest for number in sorted(self._units.get(name, ()))]
            text = f"{sorted(self._renamed.get(name, ()))}\n{parts}"
            found[name] = hashlib.sha256(text.encode()).hexdigest()
        return found

    def blind_spots(self) -> list[str]:
        """Return what the code of other packages brings in without an import: file, line and description."""
        return [
            f"{self.files[name]}, line {line}: {what}"
            for name in sorted(self.digests())
            if not _is_own(name)
            for line, what in self._whole_of(name).blind
        ]

    def _whole_of(self, module: str) -> Whole:
        return read_whole(self.files[module], module, self._written[module])

    def _parts_of(self, module: str) -> Parts:
        return read_parts(self.files[module], module, self._written[module])

    def _push(self, module: str, path: str) -> None:
        if (module, path) not in self._seen:
            self._seen.add((module, path))
            self._waiting.append((module, path))

    def _push_need(self, importer: str, module: str, path: str) -> None:
        """Follow an import, unless it is of somebody else's package."""
        top = module.partition(".")[0]
        if is_authors(top, importer.partition(".")[0]):
            self._push(module, path)
        elif path and not _is_own(importer) and top not in sys.stdlib_module_names:
            self.packages.add(top)

    def _visit(self, module: str, path: str) -> None:
        if self._is_excluded(module):
            return
        package, star, _ = module.partition(f".{ALL}")
        if star:
            for each in (package, *modules_below(package)):
                self._push(each, ALL)
            return
        parent = module.rpartition(".")[0]
        if parent and not _is_own(module):
            self._push(parent, "")
        file = file_of(module)
        if file is None:
            if path not in ("", ALL):  # a package without __init__.py
                name, _, rest = path.partition(".")
                self._push(f"{module}.{name}", rest or ALL)
            return
        if module not in self.files:
            self.files[module], self._written[module] = file, _written(module, file)
        if path == ALL or (path and not folders_of(module)):
            self._whole.add(module)
            for need in self._whole_of(module).needs:
                self._push_need(module, *need)
            return
        if path:
            self._resolve(module, path)
        least = Effect.POSSIBLE if folders_of(module) else Effect.CERTAIN
        parts = self._parts_of(module)
        for number, unit in enumerate(parts.units):
            if unit.effect >= least:
                self._keep(module, number)
        for each in parts.loads if not _is_own(module) else ():
            self._push_need(module, each, "")

    def _keep(self, module: str, number: int) -> None:
        """Count a top-level statement, and what it needs."""
        kept = self._units.setdefault(module, set())
        if number in kept:
            return
        kept.add(number)
        unit = self._parts_of(module).units[number]
        for need in unit.needs:
            self._push_need(module, *need)
        for name, attributes in unit.uses:
            self._resolve(module, f"{name}.{attributes}".rstrip("."), inside=True)

    def _resolve(self, module: str, path: str, *, inside: bool = False) -> None:
        """Follow a name of a module to where it is defined.

        Args:
            module: The module.
            path: The name, perhaps with attributes.
            inside: Whether the module itself reads the name, so that it can be a built-in one.
        """
        name, _, rest = path.partition(".")
        parts = self._parts_of(module)
        for number, unit in enumerate(parts.units):
            if name in unit.binds:
                self._keep(module, number)
        for each in parts.imports.get(name, ()):
            if each.name and each.name != name:
                self._renamed.setdefault(module, set()).add((each.name, name))
            if each.module == module and each.name:
                self._push(f"{module}.{each.name}", rest or ALL)
            else:
                self._push_need(module, *each.need(rest))
        if parts.binds(name):
            return
        stars = [star for star in parts.stars if self._defines(star, name)]
        for star in stars:
            self._push_need(module, star, path)
        if stars or inside:
            return
        if file_of(f"{module}.{name}") is not None or folders_of(f"{module}.{name}"):
            self._push(f"{module}.{name}", rest or ALL)
        elif any("__getattr__" in unit.binds and unit.effect == Effect.NONE for unit in parts.units):
            self._resolve(module, "__getattr__", inside=True)
        elif not parts.stars and not (name.startswith("__") and name.endswith("__")):
            self._push(f"{module}.{ALL}", "")  # defined in a way that cannot be seen

    def _defines(self, module: str, name: str, known: frozenset[str] = frozenset()) -> bool:
        """Return whether a module defines a name, perhaps by importing everything of another."""
        file = None if module in known or self._is_excluded(module) else file_of(module)
        if file is None:
            return False
        parts = read_parts(file, module, _written(module, file))
        return parts.binds(name) or any(self._defines(star, name, known | {module}) for star in parts.stars)

    def _is_excluded(self, name: str) -> bool:
        return any(
            name == pattern or (pattern.endswith(".*") and f"{name}.".startswith(pattern[:-1]))
            for pattern in self._excluded
        )


def _is_own(module: str) -> bool:
    return module.partition(".")[0] == OWN


_loaded: dict[str, tuple[object, int]] = {}
"""Of each module of this process, how it was loaded and when its file was written, as far as known."""


def _written(name: str, file: Path) -> int:
    """Return when the code of a module was written: of one that is loaded, the code that was loaded."""
    now = file.stat().st_mtime_ns
    if (module := sys.modules.get(name)) is None:
        return now
    how, then = _loaded.get(name, (None, now))
    if how is module.__spec__ and now != then:
        message = "%s was edited after this process had loaded it; what was loaded is used"
        logging.getLogger(OWN).warning(message, file)
        return then
    _loaded[name] = (module.__spec__, now)  # loaded since, or reloaded
    return now
