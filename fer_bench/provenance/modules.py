"""Find the source files of modules without importing them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path

OWN = __name__.partition(".")[0]
"""This package."""
SUFFIXES = (".py", *EXTENSION_SUFFIXES, ".pyc")
INSTALLED = {"site-packages", "dist-packages"}
"""Folders of packages that change only with their version."""


def file_of(name: str) -> Path | None:
    """Return the file of a module, the `__init__` of a package; None where there is none.

    A compiled module has its library, a module of an archive has the archive.
    """
    parent, _, leaf = name.rpartition(".")
    places = [folder / f"__init__{suffix}" for folder in folders_of(name) for suffix in SUFFIXES]
    places += [folder / f"{leaf}{suffix}" for folder in _home_of(parent, leaf) for suffix in SUFFIXES]
    for place in places:
        if place.is_file():
            return place
        if place.suffix == ".py" and (archive := _existing(place)).is_file():
            return archive
    loaded = getattr(sys.modules.get(name), "__file__", None)
    return Path(loaded) if loaded and Path(loaded).is_file() else None


def folders_of(package: str) -> tuple[Path, ...]:
    """Return the folders of a package, several for a namespace; none where it is not a package."""
    if (loaded := getattr(sys.modules.get(package), "__path__", None)) is not None:
        return tuple(map(Path, loaded))
    parent, _, leaf = package.rpartition(".")
    if not parent:
        spec = _find(package, None)
        return tuple(map(Path, (spec and spec.submodule_search_locations) or ()))
    above = folders_of(parent)
    if places := tuple(folder / leaf for folder in above if (folder / leaf).is_dir()):
        return places
    if any((folder / f"{leaf}.py").is_file() for folder in above):
        return ()
    spec = _find(package, tuple(map(str, above)))  # editable installations can map any package to any folder
    return tuple(map(Path, (spec and spec.submodule_search_locations) or ()))


def modules_below(package: str) -> Iterator[str]:
    """Yield the modules of a package and of all packages in it."""
    for folder in folders_of(package):
        for file in sorted(folder.rglob("*")):
            suffix = next((suffix for suffix in SUFFIXES if file.name.endswith(suffix)), None)
            if suffix is not None and "__pycache__" not in file.parts:
                parts = (*file.relative_to(folder).parts[:-1], file.name.removesuffix(suffix))
                yield ".".join((package, *parts)).removesuffix(".__init__")


def is_authors(top: str, importer: str) -> bool:
    """Return whether a top-level package belongs to the code that imports it, so that its source counts.

    It does if both are the same or of one distribution, or if it is in a folder of its author rather than
    among the installed packages: its code changes without a new version.

    Args:
        top: Name of the top-level package.
        importer: Name of the top-level package that imports it.
    """
    if top in (importer, OWN):
        return True
    if importer == OWN or top in sys.stdlib_module_names:
        return False
    place = next(iter(folders_of(top)), None) or file_of(top)
    if place is None:
        return False
    if not INSTALLED & set(place.parts):
        return True
    return bool(set(_distributions().get(top, ())) & set(_distributions().get(importer, ())))


def version_of(top: str) -> str | None:
    """Return the version of the distribution with a top-level package, None where none is known."""
    for distribution in (top, *_distributions().get(top, ())):
        try:
            return version(distribution)
        except PackageNotFoundError:
            continue
    found = getattr(sys.modules.get(top), "__version__", None)
    return None if found is None else str(found)


def forget() -> None:
    """Forget which packages are installed, after this has changed."""
    _tops.clear()
    _distributions.cache_clear()


_tops: dict[str, ModuleSpec] = {}


@cache
def _distributions() -> dict[str, list[str]]:
    return dict(packages_distributions())


def _home_of(parent: str, leaf: str) -> tuple[Path, ...]:
    """Return the folders that may hold a module."""
    if parent:
        return folders_of(parent)
    spec = _find(leaf, None)
    return (Path(spec.origin).parent,) if spec is not None and spec.origin and spec.has_location else ()


def _find(name: str, path: tuple[str, ...] | None) -> ModuleSpec | None:
    """Return where Python would find a module, by asking all its finders."""
    if name in _tops:
        return _tops[name]
    for finder in sys.meta_path:
        try:
            found = finder.find_spec(name, path)
        except (ImportError, ValueError, AttributeError, TypeError):
            continue
        if found is not None:
            if path is None:
                _tops[name] = found
            return found
    return None


def _existing(path: Path) -> Path:
    """Return the path itself or the nearest one above it that exists."""
    return next(place for place in (path, *path.parents) if place.exists())
