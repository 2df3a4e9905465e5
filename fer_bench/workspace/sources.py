"""Where datasets are found: in the user's data roots or in the synthetic stand-in, never in both."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import yaml

from fer_bench import datasets
from fer_bench.data.packs.index_cache import keep_index
from fer_bench.data.reading.dataset import FaceDataset
from fer_bench.data.reading.links import following
from fer_bench.datasets.folder import Folder
from fer_bench.datasets.folder_classes import class_names
from fer_bench.emotions import Emotion
from fer_bench.errors import DataError, DatasetNotFoundError, UsageError, nearest
from fer_bench.files import expand_home
from fer_bench.synthetic.marker import marker_of

ENVIRONMENT_VARIABLE = "FER_BENCH_DATA"
LINKS_VARIABLE = "FER_BENCH_FOLLOW_LINKS"
GENERATOR_FIELDS = ("generator_version", "size", "population", "seed")
DataKind = Literal["real", "synthetic"]
_YAML_EXAMPLE = "example: `rafdb: ~/data/RAF-DB`"


@dataclass(frozen=True)
class Source:
    """An opened dataset.

    Attributes:
        dataset: Its reader.
        kind: `real`, or `synthetic` when the generator's marker is in the folder or above it.
        generator: Version, size, population and seed of the drawing, from that marker; None for real data.
            Boards keep datasets of different drawings apart by it.
    """

    dataset: FaceDataset
    kind: DataKind
    generator: dict[str, Any] | None


@dataclass(frozen=True)
class DataRoots:
    """Where to look for each dataset.

    Attributes:
        root: A folder with one folder per dataset, or the folder of one dataset; None when nothing was given.
        named: Paths by dataset name, from a `data.yaml`.
        origin: What named them, for messages: the option, the variable or the file.
        classes: Emotion by folder name in `folder`, None for folders that are dropped.
        follow_links: Whether links in a dataset's folder may lead out of it.
    """

    root: Path | None
    named: dict[str, Path]
    origin: str
    classes: Mapping[str, Emotion | None] = field(default_factory=dict)
    follow_links: bool = False

    @property
    def is_synthetic(self) -> bool:
        """Whether there is no data root, so that the synthetic stand-in is used."""
        return self.root is None and not self.named

    @property
    def notice(self) -> str:
        """What a user should read before anything is computed on these data."""
        if not self.is_synthetic:
            return f"data: {self.origin}"
        return (
            "SYNTHETIC DATA: no data root was given, so drawn faces replace the licensed datasets.\n"
            "  Scores on them say nothing about real faces. Real data: --data-root DIR or\n"
            "  FER_BENCH_DATA=DIR; how to obtain and lay them out: fer-bench data describe DATASET"
        )

    def path_of(self, name: str) -> Path | None:
        """Return the path of a dataset, None when `data.yaml` does not list it."""
        return self.named.get(name, self.root)

    def base_of(self, name: str) -> Path | None:
        """Return the base folder of a dataset that is there, None for stand-ins and where it is absent."""
        path = self.path_of(name)
        return None if path is None else self.reader(name).find(path)

    def with_folder(self, path: Path) -> DataRoots:
        """Return these roots with a folder of pictures as the dataset `folder`."""
        folder = expand_home(path).absolute()
        origin = f"folder {folder}" if self.is_synthetic else self.origin
        return replace(self, named={**self.named, "folder": folder}, origin=origin)

    def with_classes(
        self, classes: Mapping[str, str] | str | Path | None, drop: Iterable[str] = ()
    ) -> DataRoots:
        """Return these roots with another meaning of the class names of `folder`.

        Args:
            classes: See `datasets.folder_classes.class_names`.
            drop: Further names to drop.

        Raises:
            DataError: The map cannot be read, or a value is not an emotion.
        """
        return replace(self, classes=class_names(classes, drop))

    def reader(self, name: str) -> type[FaceDataset]:
        """Return the reader of a dataset; that of `folder` knows what class names mean.

        Raises:
            UsageError: Unknown dataset.
        """
        kind = datasets.get(name)
        return kind.named(self.classes) if issubclass(kind, Folder) else kind


def find_roots(option: str | None, *, follow_links: bool = False) -> DataRoots:
    """Return the data roots from the option, else `FER_BENCH_DATA`, else `./data.yaml`, else none.

    Args:
        option: Value of `--data-root`: a folder, or a YAML file that maps dataset names to folders.
        follow_links: Follow links that leave a dataset's folder; `FER_BENCH_FOLLOW_LINKS=1` does so as well.

    Raises:
        UsageError: The option is empty.
        DataError: The folder or file does not exist or is malformed.
    """
    follow_links = follow_links or os.environ.get(LINKS_VARIABLE, "") not in ("", "0")
    return replace(_find_roots(option), follow_links=follow_links)


def _find_roots(option: str | None) -> DataRoots:
    if option == "":
        raise UsageError(
            "--data-root is empty", hint="give a folder, or omit the option to use the synthetic stand-in"
        )
    for value, origin in (
        (option, "--data-root"),
        (os.environ.get(ENVIRONMENT_VARIABLE), ENVIRONMENT_VARIABLE),
    ):
        if value:
            path = expand_home(value)
            if path.is_file():
                return DataRoots(None, _read_yaml(path), f"{origin} {path}")
            if not path.is_dir():
                raise DataError(
                    f"the data root given by {origin} does not exist", file=path, hint="fer-bench doctor"
                )
            return DataRoots(path, {}, f"{origin} {path}")
    here = Path("data.yaml")
    if here.is_file():
        return DataRoots(None, _read_yaml(here), str(here))
    return DataRoots(None, {}, "the synthetic stand-in")


def split_source(
    source: str, option: str | Path | None, *, follow_links: bool = False
) -> tuple[str, DataRoots]:
    """Return the name of a source and where data are; `folder:PATH` names both at once.

    Args:
        source: A dataset, a union, or `folder:PATH`.
        option: See `find_roots`.
        follow_links: See `find_roots`.

    Raises:
        UsageError: Another dataset than `folder` with a path.
        DataError: The folder or file does not exist or is malformed.
    """
    roots = find_roots(None if option is None else str(option), follow_links=follow_links)
    return _with_path(source, roots)


def split_targets(
    targets: Sequence[str], sources: Iterable[str], roots: DataRoots
) -> tuple[tuple[str, ...], DataRoots]:
    """Return the names of targets and where data are; `folder:PATH` names both at once.

    Args:
        targets: Dataset names or `folder:PATH`.
        sources: Names of what is trained on.
        roots: Where data are.

    Raises:
        UsageError: Another dataset than `folder` with a path, or `folder` with two paths.
    """
    names = []
    for target in targets:
        name, found = _with_path(target, roots)
        if found is not roots:
            is_source = any("folder" in datasets.members_of(source) for source in sources)
            known = roots.path_of("folder") if is_source else roots.named.get("folder")
            if known is not None and known.absolute() != found.named["folder"]:
                raise UsageError(
                    f"folder is {known} already, and one command takes one folder of that name",
                    value=target,
                )
            roots = found
        names.append(name)
    return tuple(dict.fromkeys(names)), roots


def _with_path(name: str, roots: DataRoots) -> tuple[str, DataRoots]:
    name, colon, path = name.partition(":")
    if colon and name != "folder":
        raise UsageError(
            "only folder takes a path after a colon",
            value=f"{name}:{path}",
            hint="example: folder:~/pictures",
        )
    return name, roots.with_folder(Path(path)) if colon else roots


def _read_yaml(path: Path) -> dict[str, Path]:
    try:
        tree = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(f"not valid YAML: {error}", file=path, hint=_YAML_EXAMPLE) from None
    except OSError as error:
        raise DataError(
            f"the file cannot be read: {error.strerror}", file=path, hint="--data-root names another"
        ) from None
    if not isinstance(tree, yaml.MappingNode) or not tree.value:
        raise DataError("expected lines of the form `dataset: folder`", file=path, hint=_YAML_EXAMPLE)
    found: dict[str, Path] = {}
    for key, value in tree.value:
        name, line = str(key.value), key.start_mark.line + 1
        if name not in datasets.names():
            hint = nearest(name, datasets.names())
            raise DataError("unknown dataset", file=path, line=line, value=name, hint=hint)
        if name in found:
            problem, wrong, hint = "this dataset is listed twice", name, "keep one of the lines"
            raise DataError(problem, file=path, line=line, value=wrong, hint=hint)
        if value.tag != "tag:yaml.org,2002:str" or not value.value:
            problem, wrong, hint = f"the folder of {name} is not text", str(value.value), _YAML_EXAMPLE
            raise DataError(problem, file=path, line=line, value=wrong, hint=hint)
        found[name] = (path.parent / expand_home(value.value)).absolute()
    return found


def open_source(
    name: str,
    roots: DataRoots,
    *,
    size: str = "quick",
    population: str = "benchmark",
    progress: Callable[[int, int], None] | None = None,
) -> Source:
    """Open a dataset in the given roots or, without roots, its synthetic stand-in.

    Its index is taken from the cache where the reader says that it is worth keeping.

    Args:
        name: Dataset name.
        roots: Where to look.
        size: Size of the synthetic stand-in, which is written on first use.
        population: Population of the synthetic stand-in.
        progress: Called with pictures written and total pictures.

    Raises:
        UsageError: Unknown dataset.
        DataError: The dataset is missing or not in its official layout.
    """
    kind = roots.reader(name)
    if roots.is_synthetic:
        from fer_bench.synthetic.stand_in import stand_in

        path: Path | None = stand_in(name, size, population=population, progress=progress)
    else:
        path = roots.path_of(name)
    if path is None:
        raise DataError(f"{roots.origin} does not list {name}", hint=f"add a line `{name}: FOLDER`")
    try:
        with following(roots.follow_links):  # `folder` reads its tree at once
            dataset = kind(path)
    except DatasetNotFoundError as error:
        others = [other for other in datasets.looks_like(Path(str(error.file))) if other != name]
        if not others:
            raise
        message = f"{error.message}\n  It looks like {' or '.join(others)} instead."
        raise DatasetNotFoundError(message, file=error.file, hint=error.hint) from None
    dataset.follow_links = roots.follow_links
    keep_index(dataset)
    return Source(dataset, *_origin(dataset.base))


def available(
    names: Iterable[str], roots: DataRoots, *, kind: DataKind | None = None
) -> tuple[list[str], dict[str, str]]:
    """Return the datasets that can be opened, and why the others cannot.

    Without a data root these are the datasets that the generator draws; with one, drawn data are not used.

    Args:
        names: Dataset names.
        roots: Where to look.
        kind: Count datasets of another kind as missing, because real and synthetic data never mix.

    Raises:
        UsageError: Unknown dataset.
    """
    found: list[str] = []
    missing: dict[str, str] = {}
    for name in names:
        try:
            reader = roots.reader(name)
        except UsageError as error:  # of another package, and it cannot be imported
            if name not in datasets.names():
                raise
            missing[name] = f"{error.message} ({error.value})"
            continue
        if roots.is_synthetic:
            from fer_bench.synthetic import layouts

            if name in layouts.names():
                found.append(name)
            else:
                missing[name] = "no synthetic stand-in"
            continue
        path = roots.path_of(name)
        if path is None:
            missing[name] = f"not listed in {roots.origin}"
        elif not path.is_dir():
            missing[name] = f"{path} does not exist"
        elif (base := reader.find(path)) is None:
            missing[name] = (
                "not found below the data root" if name not in roots.named else f"not found in {path}"
            )
        elif kind is not None and (other := _origin(base)[0]) != kind:
            missing[name] = f"{other} data, which are never mixed with {kind} data"
        else:
            found.append(name)
    return found, missing


def recognised(roots: DataRoots) -> tuple[list[str], dict[str, str]]:
    """Return the datasets that are there, and why the others are not taken to be; see `available`.

    A dataset that a folder could be, but not surely is, counts only where `data.yaml` names it.

    Args:
        roots: Where to look.
    """
    found, missing = available(datasets.names(), roots)
    for name in found if not roots.is_synthetic else ():
        base = roots.base_of(name)
        if name not in roots.named and base is not None and not datasets.get(name).is_surely(base):
            missing[name] = (
                f"{base} could be any pictures in class folders; --dataset {name} takes it for {name}"
            )
    return [name for name in found if name not in missing], missing


def _origin(base: Path) -> tuple[DataKind, dict[str, Any] | None]:
    """Return the kind of the data in a folder and, if they were drawn, what identifies the drawing."""
    marker = marker_of(base)
    if marker is None:
        return "real", None
    return "synthetic", {name: marker.get(name) for name in GENERATOR_FIELDS}
