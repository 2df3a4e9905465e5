"""The tables of the board: from a store to plain data, without any formatting.

Kinds never mix: there is one section per data kind, profile and, for synthetic data, generator. Within a
section a *cell* holds all folds and seeds of one method on one source under one protocol.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from fer_bench.datasets import members_of
from fer_bench.errors import StoreError
from fer_bench.evaluation.components import Combined
from fer_bench.evaluation.exposure import Seen
from fer_bench.evaluation.intervals import Value, average
from fer_bench.evaluation.pairs import Column, compare
from fer_bench.evaluation.planning import over_sources
from fer_bench.evaluation.transfer import never_cross, retention
from fer_bench.files import canonical, short_hash
from fer_bench.leaderboard.cells import Cell, Problem, build_cell, crop_way
from fer_bench.leaderboard.variants import variants
from fer_bench.results.efficiency import Efficiency, read_efficiencies
from fer_bench.results.record import Record
from fer_bench.results.similarity import Similarity, read_similarities
from fer_bench.results.store import Store

_Measured = TypeVar("_Measured")


@dataclass(frozen=True)
class Overall:
    """A method's generalisation over sources.

    Attributes:
        label: The method.
        mean: Mean over `sources`, None when there is none.
        six: The same over the six basic emotions only.
        retention: Ratio of the means.
        sources: Single datasets complete, with the same folds, for every method compared.
        apart: Why the method is not compared with the others: its models saw a target before.
    """

    label: str
    mean: Value | None
    six: Value | None
    retention: Value | None
    sources: tuple[str, ...]
    apart: Seen | None = None

    @property
    def seed_sd(self) -> float | None:
        """Return the standard deviation (ddof 1) over seeds; None for one, or where sources have others."""
        return None if self.mean is None else self.mean.seed_sd

    @property
    def comparable(self) -> Combined | None:
        """Return the mean as it is compared, None without one."""
        return None if self.mean is None else self.mean.combined


@dataclass(frozen=True)
class Section:
    """Everything of one data kind and profile.

    Attributes:
        data_kind: `real` or `synthetic`.
        profile: Profile name.
        generator: What drew synthetic data, null for real data.
        cells: In the order of methods and sources.
        outside: Models that were trained elsewhere; they are in none of the tables of methods.
        sources: Sources in board order.
        targets: Targets in board order.
        excluded: Pairs of datasets that share pictures.
        overall: Generalisation per method, best first.
        own_columns: In-domain UAR of the methods compared, per source.
        general_columns: Their generalisation compared, per source.
        overall_column: Their generalisation over sources compared.
        records: All runs of the section.
        not_run: Datasets of the list without any run, per method.
        missing: Targets that were asked for and absent: (target, reason) -> number of runs.
        efficiencies: What predicting with its models costs, as far as that was measured.
    """

    data_kind: str
    profile: str
    generator: Mapping[str, Any] | None
    cells: tuple[Cell, ...]
    outside: tuple[Cell, ...]
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    excluded: frozenset[frozenset[str]]
    overall: tuple[Overall, ...]
    own_columns: Mapping[str, Column]
    general_columns: Mapping[str, Column]
    overall_column: Column
    records: tuple[Record, ...]
    not_run: Mapping[str, tuple[str, ...]]
    missing: Mapping[tuple[str, str], int]
    efficiencies: tuple[Efficiency, ...] = ()

    @property
    def finished(self) -> tuple[Record, ...]:
        """Return the finished runs."""
        return tuple(r for r in self.records if r.status == "done")

    @property
    def several_versions(self) -> list[str]:
        """Return the targets scored on several versions or crops; the size of a crop does not matter."""
        data = [item for r in self.finished for item in r.targets.items()]
        ways = {(target, d.fingerprint, crop_way(d.recipe)) for target, d in data}
        counts = Counter(target for target, _, _ in ways)
        return sorted(target for target, count in counts.items() if count > 1)

    @property
    def drawing(self) -> str:
        """Return what drew synthetic data, as text; empty for real data."""
        facts = (self.generator or {}).items()
        return ", ".join(f"{name} {v if isinstance(v, str) else canonical(v)}" for name, v in facts)

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the methods in the order of all tables: the best means first, other settings last."""
        return tuple(dict.fromkeys((*(o.label for o in self.overall), *(c.label for c in self.cells))))

    def cell(self, label: str, source: str) -> Cell | None:
        """Return the cell of a method and source, or None."""
        return next((c for c in self.cells if c.label == label and c.source == source), None)

    def over_sources(self, first: str, second: str) -> tuple[int, int, float | None]:
        """Return on how many sources a method's generalisation is ahead of another's: a check on their test.

        Returns:
            Sources on which the first is ahead on the seeds that both have, sources that both have, and the
            p-value of Wilcoxon's signed-rank test.
        """
        found = (column.difference(first, second) for column in self.general_columns.values())
        differences = [apart.value for apart in found if apart is not None]
        won, p = over_sources(differences)
        return won, len(differences), p

    def of_source(self, source: str) -> tuple[Cell, ...]:
        """Return all cells of a source, in the order of methods."""
        place = {label: i for i, label in enumerate(self.labels)}
        return tuple(sorted((c for c in self.cells if c.source == source), key=lambda c: place[c.label]))


@dataclass(frozen=True)
class Board:
    """All sections and what could not be used.

    Attributes:
        sections: Real data before synthetic, `paper` before `quick`.
        problems: Damaged records and predictions.
        methods: Methods that this installation knows.
        named_targets: The target list of the generalisation score.
        similarities: How alike datasets look, as far as that was measured.
    """

    sections: tuple[Section, ...]
    problems: tuple[Problem, ...]
    methods: tuple[str, ...]
    named_targets: tuple[str, ...]
    similarities: tuple[Similarity, ...] = ()

    @property
    def synthetic(self) -> bool:
        """Return whether there are runs, and all of them are on drawn faces."""
        return bool(self.sections) and all(s.data_kind == "synthetic" for s in self.sections)


def slugs(sections: Sequence[Section]) -> list[str]:
    """Return a short name per section, with the generator's hash where two would share one."""
    names = [f"{s.data_kind}-{s.profile}" for s in sections]
    counts = Counter(names)
    return [
        name if counts[name] == 1 else f"{name}-{short_hash(section.generator, 8)}"
        for name, section in zip(names, sections, strict=True)
    ]


def build_board(
    store: Store,
    *,
    methods: Sequence[str],
    named_targets: Sequence[str],
    only: Sequence[str] | None = None,
) -> Board:
    """Read a store into the tables of the board.

    Args:
        store: The run store.
        methods: Methods that should have been run.
        named_targets: Target list of the generalisation score, and the datasets that should have been run.
        only: Methods to look at; all by default.
    """
    records, errors = store.scan()
    if only is not None:
        records = [r for r in records if r.method in only]
    problems = [Problem.of(store, error) for error in errors]
    groups: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        groups.setdefault(section_key(record), []).append(record)
    excluded = never_cross({*named_targets, *(m for r in records for m in members_of(r.dataset))})
    efficiencies = _read(store, read_efficiencies, problems)
    sections = []
    for key in sorted(groups):
        section, found = _build_section(store, groups[key], tuple(methods), tuple(named_targets), excluded)
        sections.append(replace(section, efficiencies=efficiencies))
        problems += found
    similarities = _read(store, read_similarities, problems)
    return Board(tuple(sections), tuple(problems), tuple(methods), tuple(named_targets), similarities)


def _read(
    store: Store, read: Callable[[Path], Sequence[_Measured]], problems: list[Problem]
) -> tuple[_Measured, ...]:
    """Return what was measured beside the runs; nothing, and a problem, where its file is damaged."""
    try:
        return tuple(read(store.root))
    except StoreError as error:
        problems.append(Problem.of(store, error))
        return ()


def section_key(record: Record) -> tuple[str, ...]:
    """Return what the runs of a section have in common: kind of data, profile and generator."""
    return record.data_kind, record.profile, canonical(record.generator)


def _board_order(names: Iterable[str], first: Sequence[str]) -> tuple[str, ...]:
    known = {name: i for i, name in enumerate(first)}
    return tuple(sorted(set(names), key=lambda n: (known.get(n, len(known)), n)))


def _build_section(
    store: Store,
    records: Sequence[Record],
    methods: tuple[str, ...],
    named: tuple[str, ...],
    excluded: frozenset[frozenset[str]],
) -> tuple[Section, list[Problem]]:
    done = [r for r in records if r.status == "done"]
    problems: list[Problem] = []
    headline = _headline_protocols(done)
    cells: list[Cell] = []
    outside: list[Cell] = []
    for label, usual, group in variants(done):
        cell, found = build_cell(store, label, usual, group, headline, named, excluded)
        (outside if group[0].is_outside else cells).append(cell)
        problems += found
    order = {name: i for i, name in enumerate(_board_order((c.dataset for c in cells), named))}
    cells.sort(key=lambda c: (c.method, not c.usual, c.label, order[c.dataset], not c.headline, c.protocol))
    sources = tuple(
        dict.fromkeys(c.source for c in sorted(cells, key=lambda c: (order[c.dataset], not c.headline)))
    )
    ran = {(r.method, r.dataset) for r in records}
    trained_here = sorted({r.method for r in records if not r.is_outside})
    every_method = tuple(dict.fromkeys((*methods, *trained_here)))
    overall = _overall(cells)
    missing = Counter((target, reason) for r in records for target, reason in sorted(r.missing.items()))
    section = Section(
        data_kind=records[0].data_kind,
        profile=records[0].profile,
        generator=records[0].generator,
        cells=tuple(cells),
        outside=tuple(sorted(outside, key=lambda c: (c.label, c.dataset, c.protocol))),
        sources=sources,
        targets=_board_order(
            (*(t for c in (*cells, *outside) for t in (*c.cross, *c.inside)), *named), named
        ),
        excluded=excluded,
        overall=overall,
        own_columns={source: _own_column(cells, source) for source in sources},
        general_columns={source: _general_column(cells, source) for source in sources},
        overall_column=compare(
            {o.label: o.comparable for o in overall if o.comparable is not None and o.apart is None}
        ),
        records=tuple(records),
        not_run={m: tuple(d for d in named if (m, d) not in ran) for m in every_method},
        missing=dict(sorted(missing.items())),
    )
    return section, problems


def _own_column(cells: Sequence[Cell], source: str) -> Column:
    compared = [c for c in cells if c.usual and c.source == source and c.apart_in_domain is None]
    own = {c.label: c.own for c in compared}
    return compare({label: one for label, one in own.items() if one is not None})


def _general_column(cells: Sequence[Cell], source: str) -> Column:
    ranked = [c for c in cells if c.usual and c.source == source and c.apart_elsewhere is None]
    return compare({c.label: c.comparable for c in ranked if c.comparable is not None})


def _headline_protocols(records: Sequence[Record]) -> dict[str, str]:
    """Return the protocol of each dataset that most runs used; the shortest name on ties."""
    counts = Counter((r.dataset, r.protocol) for r in records)
    ranked = sorted(counts, key=lambda pair: (counts[pair], -len(pair[1]), pair[1]))
    return dict(ranked)


def _overall(cells: Sequence[Cell]) -> tuple[Overall, ...]:
    """Return the generalisation of each method with its usual settings: best first, apart and none last.

    Unions are other sources than their members and would count these twice, so they take no part. Methods
    that are apart have their mean over the same sources and no say in which these are, unless all are.
    """
    ranked = [c for c in cells if c.usual and c.headline and not c.is_union]
    labels = tuple(dict.fromkeys(c.label for c in ranked))
    apart: dict[str, Seen] = {}
    for cell in ranked:
        if (seen := cell.apart_elsewhere) is not None:
            apart.setdefault(cell.label, seen)
    complete = [c for c in ranked if c.generalisation.complete]
    compared = {c.label for c in complete if c.label not in apart} or {c.label for c in complete}
    common = []
    for source in dict.fromkeys(c.source for c in ranked if c.label in compared):
        of_source = [c for c in complete if c.label in compared and c.source == source]
        alike = {c.comparable.rows for c in of_source if c.comparable}
        if {c.label for c in of_source} == compared and len(alike) == 1:
            common.append(source)
    result = []
    for label in labels:
        mine = [c for c in ranked if c.label == label and c.source in common]
        parts = [c.generalisation for c in mine]
        whole = label in apart and len(mine) == len(common) and all(p.complete for p in parts)
        means = [p.mean for p in parts if p.mean is not None] if label in compared or whole else []
        mean = average(means) if means else None
        sixes = [c.six.mean for c in mine if c.six.complete and c.six.mean is not None]
        result.append(
            Overall(
                label=label,
                mean=mean,
                six=average(sixes) if means and len(sixes) == len(mine) else None,
                retention=retention(parts) if means else None,
                sources=tuple(common) if means else (),
                apart=apart.get(label),
            )
        )
    return tuple(sorted(result, key=_place))


def _place(mine: Overall) -> tuple[bool, bool, float, str]:
    return mine.mean is None, mine.apart is not None, -(mine.mean.value if mine.mean else 0.0), mine.label
