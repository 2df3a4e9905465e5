"""The datasets and packs that one command works with: each is opened once and shared by its runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar

from fer_bench.data.crops.choice import CropChoice
from fer_bench.data.packs.joined import join_packs
from fer_bench.data.packs.pack import Pack, open_pack
from fer_bench.data.reading.dataset import FaceDataset
from fer_bench.datasets import MAIN_SEVEN, members_of
from fer_bench.datasets.folder_classes import DROP
from fer_bench.errors import DataError
from fer_bench.files import cpu_seconds
from fer_bench.workspace.sources import DataRoots, Source, available, open_source
from fer_bench.workspace.unions import drop_seen, open_union, refuse_same_tree

Announce = Callable[[str, int, int], None]
T = TypeVar("T")


class Workspace:
    """Datasets and packs that the runs of one command share; each is opened once.

    Args:
        roots: Where data are.
        size: Size of the synthetic stand-in.
        population: Who the synthetic stand-in shows: `benchmark`, or `development` for choosing defaults.
        leave_out: Sample ids or paths to leave out, per dataset.
        crops: How faces are cut out, where that is not each dataset's own way.
        announce: Called with a label, steps done and total steps while data are prepared.
        alter: Called with every dataset that was opened; returns it, or a copy with other rows.
    """

    def __init__(
        self,
        roots: DataRoots,
        *,
        size: str = "quick",
        population: str = "benchmark",
        leave_out: Mapping[str, Sequence[str]] | None = None,
        crops: CropChoice = CropChoice(),
        announce: Announce | None = None,
        alter: Callable[[FaceDataset], FaceDataset] | None = None,
    ) -> None:
        self.alter = alter
        self.roots, self.size, self.population = roots, size, population
        self.crops, self.announce = crops, announce
        self._leave_out = leave_out or {}
        self._sources: dict[str, Source] = {}
        self._packs: dict[tuple[str, int], Pack] = {}
        self._memory: dict[tuple[Any, ...], Any] = {}
        self.spent = {"drawing and reading": 0.0, "packing": 0.0}
        """CPU-seconds of this process and its children that opening took, by kind of work."""

    def __getstate__(self) -> dict[str, Any]:
        """Travel to another process without open files; they are opened again there."""
        return {**self.__dict__, "announce": None, "_sources": {}, "_packs": {}, "_memory": {}}

    def once(self, name: tuple[Any, ...], make: Callable[[], T]) -> T:
        """Return what `make` returns, called once per name: the runs of a sweep have much in common.

        Args:
            name: Everything the answer depends on.
            make: Computes it; its answer must not be changed afterwards.
        """
        if name not in self._memory:
            self._memory[name] = make()
        found: T = self._memory[name]
        return found

    def excluded(self, datasets: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """Return what is left out by name of some datasets, without those of which nothing is."""
        return {name: tuple(self._leave_out[name]) for name in datasets if self._leave_out.get(name)}

    def class_map(self, datasets: Iterable[str]) -> dict[str, str]:
        """Return what the user says that class names mean, if `folder` is among the datasets."""
        if "folder" not in datasets:
            return {}
        return {
            name: DROP if emotion is None else emotion.value for name, emotion in self.roots.classes.items()
        }

    def source(self, name: str) -> Source:
        """Return a dataset or a union of several, opened on first use."""
        if name not in self._sources and len(members := members_of(name)) > 1:
            self._sources[name] = open_union([self.source(member) for member in members])
        if name not in self._sources:
            with self._counted("drawing and reading"):
                source = open_source(
                    name,
                    self.roots,
                    size=self.size,
                    population=self.population,
                    progress=self._progress(f"drawing {name}"),
                )
            if self._leave_out.get(name):
                source.dataset.leave_out(self._leave_out[name])
            self.crops.apply(source.dataset)
            if self.alter is not None:
                source = replace(source, dataset=self.alter(source.dataset))
            self._sources[name] = source
        return self._sources[name]

    def pack(self, name: str, size: int) -> Pack:
        """Return the packed crops of a dataset, built on first use; a union reads those of its members."""
        if (name, size) not in self._packs and len(members := members_of(name)) > 1:
            self._packs[name, size] = join_packs({member: self.pack(member, size) for member in members})
        if (name, size) not in self._packs:
            dataset = self.source(name).dataset
            with self._counted("packing"):
                self._packs[name, size] = open_pack(dataset, size, progress=self._progress(f"packing {name}"))
        return self._packs[name, size]

    def targets(self, wanted: Sequence[str] | str, source: str) -> tuple[list[str], dict[str, str]]:
        """Return which targets besides the source can be tested, and why the others cannot.

        Args:
            wanted: Dataset names, `all` (the seven of the leaderboard) or `none`.
            source: The dataset or union trained on.

        Raises:
            DataError: A named target is in the folder of the source, or the reverse.
        """
        if wanted == "none":
            return [], {}
        names = MAIN_SEVEN if wanted == "all" else tuple(wanted)
        kind, own = self.source(source).kind, members_of(source)
        found, missing = available([name for name in names if name not in own], self.roots, kind=kind)
        found, seen = drop_seen(found, source)
        for target in found:
            base = self.roots.base_of(target)
            try:
                if base is not None:
                    refuse_same_tree([self.source(member) for member in own], target, base)
            except DataError as error:
                if wanted != "all":
                    raise
                seen[target] = error.message
        return [target for target in found if target not in seen], missing | seen

    @contextmanager
    def _counted(self, what: str) -> Iterator[None]:
        """Add the CPU time of the block to `spent`."""
        before = cpu_seconds()
        try:
            yield
        finally:
            self.spent[what] += cpu_seconds() - before

    def _progress(self, label: str) -> Callable[[int, int], None] | None:
        announce = self.announce
        return None if announce is None else lambda done, total: announce(label, done, total)
