"""The tables of the board: from a store to plain data, without any formatting.

Kinds never mix: there is one section per data kind, profile and, for synthetic data, generator. Within a
section a *cell* holds all folds and seeds of one method on one source under one protocol.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fer_bench.errors import StoreError
from fer_bench.evaluation import metrics
from fer_bench.evaluation.estimates import (
    Estimate,
    Value,
    answers,
    average,
    estimate,
    seed_shares,
)
from fer_bench.evaluation.pairs import Column, Comparable, compare, mean_of, transfer_of, uar_of
from fer_bench.evaluation.statistics import Answers, mean_and_sd
from fer_bench.evaluation.stored import read_scored
from fer_bench.evaluation.transfer import (
    SMALL_CLASS,
    Generalisation,
    counted_targets,
    generalisation,
    members,
    never_cross,
    retention,
)
from fer_bench.files import canonical
from fer_bench.runs.predictions import Predictions
from fer_bench.runs.record import Record, Score, Selection
from fer_bench.runs.store import Store

OPEN = ("planned", "running")
"""Statuses of runs that have not ended."""


@dataclass(frozen=True)
class Problem:
    """Something in the store that cannot be used.

    Attributes:
        file: Its path below the store.
        message: What is wrong.
    """

    file: str
    message: str


@dataclass(frozen=True)
class InDomain:
    """A cell's score on the test rows of its own dataset.

    Attributes:
        estimate: Folds pooled (each row is predicted once), seeds averaged.
        fold_mean: Mean UAR over the folds, each averaged over its seeds; None for a single fold.
        fold_sd: Standard deviation (ddof 1) over the folds.
        seed_sd: Standard deviation (ddof 1) of the pooled UAR over the seeds; None for a single seed.
        small_classes: Scored classes with fewer than five rows in the pool.
    """

    estimate: Estimate
    fold_mean: float | None
    fold_sd: float | None
    seed_sd: float | None
    small_classes: tuple[str, ...]


@dataclass(frozen=True)
class Cell:
    """All folds and seeds of one method on one source under one protocol.

    Attributes:
        method: Registry name of the method.
        label: The method's name, with the settings that set it apart from the section's usual ones.
        usual: Whether these are the usual settings; others are shown and not ranked.
        dataset: Source dataset.
        protocol: Protocol within it.
        headline: Whether this is the source's main protocol in the section.
        records: Finished runs.
        selection: Which checkpoint is shown.
        in_domain: Score on the source, None when its predictions cannot be used.
        cross: Estimate per target.
        inside: Estimate per member of a union; these are no other datasets.
        generalisation: Mean transfer over the named targets.
        comparable: The same as a sum over units, None unless every target was scored.
        retention: Share of the in-domain score that survives.
    """

    method: str
    label: str
    usual: bool
    dataset: str
    protocol: str
    headline: bool
    records: tuple[Record, ...]
    selection: Selection
    in_domain: InDomain | None
    cross: Mapping[str, Estimate]
    inside: Mapping[str, Estimate]
    generalisation: Generalisation
    comparable: Comparable | None
    retention: float | None

    @property
    def source(self) -> str:
        """Return the dataset, with the protocol unless it is the headline one."""
        return self.dataset if self.headline else f"{self.dataset}/{self.protocol}"

    @property
    def folds(self) -> tuple[int, ...]:
        """Return the folds that are finished."""
        return tuple(sorted({r.fold for r in self.records}))

    @property
    def seeds(self) -> tuple[int, ...]:
        """Return the seeds that are finished."""
        return tuple(sorted({r.seed for r in self.records}))

    @property
    def adapted(self) -> str | None:
        """Return how the method is adapted to the dataset, or None."""
        return next((r.adapted for r in self.records if r.adapted), None)


@dataclass(frozen=True)
class Overall:
    """A method's generalisation over sources.

    Attributes:
        label: The method.
        mean: Mean over `sources`, None when there is none.
        retention: Ratio of the means.
        sources: Sources complete, with the same folds, for every method compared.
        comparable: The mean as a sum over units.
    """

    label: str
    mean: Value | None
    retention: float | None
    sources: tuple[str, ...]
    comparable: Comparable | None


@dataclass(frozen=True)
class TargetVersion:
    """Data on which predictions of a section were made.

    Attributes:
        target: Dataset.
        fingerprint: Hash of its index.
        pixels: Hash of its pictures.
        recipe: Crop recipe.
        protocol: Protocol whose rows were used.
        faces_weak: Share of faces found by a weak fallback.
        runs: Number of runs.
    """

    target: str
    fingerprint: str
    pixels: str
    recipe: str
    protocol: str
    faces_weak: float
    runs: int


@dataclass(frozen=True)
class Section:
    """Everything of one data kind and profile.

    Attributes:
        data_kind: `real` or `synthetic`.
        profile: Profile name.
        generator: What drew synthetic data, null for real data.
        cells: In the order of methods and sources.
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
        versions: Data behind the scores.
        environment: Distinct values per key of the records' environments.
    """

    data_kind: str
    profile: str
    generator: Mapping[str, Any] | None
    cells: tuple[Cell, ...]
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
    versions: tuple[TargetVersion, ...]
    environment: Mapping[str, tuple[str, ...]]

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the methods' labels in board order."""
        return tuple(dict.fromkeys(cell.label for cell in self.cells))

    def cell(self, label: str, source: str) -> Cell | None:
        """Return the cell of a method and source, or None."""
        return next((c for c in self.cells if c.label == label and c.source == source), None)

    def of_source(self, source: str) -> tuple[Cell, ...]:
        """Return all cells of a source."""
        return tuple(c for c in self.cells if c.source == source)


@dataclass(frozen=True)
class Board:
    """All sections and what could not be used.

    Attributes:
        sections: Real data before synthetic, `paper` before `quick`.
        problems: Damaged records and predictions.
        methods: Methods that this installation knows.
        named_targets: The target list of the generalisation score.
    """

    sections: tuple[Section, ...]
    problems: tuple[Problem, ...]
    methods: tuple[str, ...]
    named_targets: tuple[str, ...]


def build_board(store: Store, *, methods: Sequence[str], named_targets: Sequence[str]) -> Board:
    """Read a store into the tables of the board.

    Args:
        store: The run store.
        methods: Methods that should have been run.
        named_targets: Target list of the generalisation score, and the datasets that should have been run.
    """
    records, errors = store.scan()
    problems = [Problem(_below(store, error), _what(error)) for error in errors]
    groups: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        groups.setdefault(_section_key(record), []).append(record)
    excluded = never_cross({*named_targets, *(m for r in records for m in members(r.dataset))})
    sections = []
    for key in sorted(groups):
        section, found = _build_section(store, groups[key], tuple(methods), tuple(named_targets), excluded)
        sections.append(section)
        problems += found
    return Board(tuple(sections), tuple(problems), tuple(methods), tuple(named_targets))


def _section_key(record: Record) -> tuple[str, ...]:
    return record.data_kind, record.profile, canonical(record.generator)


def _below(store: Store, error: StoreError) -> str:
    path = Path(str(error.file))
    return path.relative_to(store.root).as_posix() if path.is_relative_to(store.root) else path.name


def _what(error: StoreError) -> str:
    line = "" if error.line is None else f"row {error.line}: "
    value = "" if error.value is None else f" (found {error.value!r})"
    return f"{line}{error.message}{value}"


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
    cells = []
    for label, usual, group in _variants(done):
        cell, found = _build_cell(store, label, usual, group, headline, named, excluded)
        cells.append(cell)
        problems += found
    order = {name: i for i, name in enumerate(_board_order((c.dataset for c in cells), named))}
    cells.sort(key=lambda c: (c.method, not c.usual, c.label, order[c.dataset], not c.headline, c.protocol))
    sources = tuple(
        dict.fromkeys(c.source for c in sorted(cells, key=lambda c: (order[c.dataset], not c.headline)))
    )
    ran = {(r.method, r.dataset) for r in records}
    every_method = tuple(dict.fromkeys((*methods, *sorted({r.method for r in records}))))
    overall = _overall(cells)
    missing = Counter((target, reason) for r in records for target, reason in sorted(r.missing.items()))
    section = Section(
        data_kind=records[0].data_kind,
        profile=records[0].profile,
        generator=records[0].generator,
        cells=tuple(cells),
        sources=sources,
        targets=_board_order((*(t for c in cells for t in (*c.cross, *c.inside)), *named), named),
        excluded=excluded,
        overall=overall,
        own_columns={source: _own_column(cells, source) for source in sources},
        general_columns={source: _general_column(cells, source) for source in sources},
        overall_column=compare({o.label: o.comparable for o in overall if o.comparable is not None}),
        records=tuple(records),
        not_run={m: tuple(d for d in named if (m, d) not in ran) for m in every_method},
        missing=dict(sorted(missing.items())),
        versions=_versions(done),
        environment=_environment(records),
    )
    return section, problems


def _own_column(cells: Sequence[Cell], source: str) -> Column:
    entries = {}
    for cell in cells:
        if cell.usual and cell.source == source and cell.in_domain is not None:
            found = cell.in_domain.estimate
            if found.terms is not None:
                entries[cell.label] = uar_of(found.terms, found.values["uar"].value)
    return compare(entries)


def _general_column(cells: Sequence[Cell], source: str) -> Column:
    ranked = [c for c in cells if c.usual and c.source == source]
    return compare({c.label: c.comparable for c in ranked if c.comparable is not None})


def _headline_protocols(records: Sequence[Record]) -> dict[str, str]:
    """Return the protocol of each dataset that most runs used; the shortest name on ties."""
    counts = Counter((r.dataset, r.protocol) for r in records)
    ranked = sorted(counts, key=lambda pair: (counts[pair], -len(pair[1]), pair[1]))
    return dict(ranked)


def _variants(records: Sequence[Record]) -> list[tuple[str, bool, list[Record]]]:
    """Group finished runs into cells and name them.

    Runs belong together when what their keys were made from differs in fold and seed only: models of other
    settings, code or data are never pooled. Where one method has several such groups on a source, the plain
    name goes to the code that finished a run last, and within it to the group whose facts are the commonest
    among the method's runs; the others name what they change.

    Returns:
        Label, whether it is the usual group, and the runs, per cell.
    """
    sources: dict[tuple[str, str, str], dict[str, list[Record]]] = {}
    for r in records:
        groups = sources.setdefault((r.method, r.dataset, r.protocol), {})
        groups.setdefault(canonical(_identity(r)), []).append(r)
    facts = Counter((r.method, fact) for r in records for fact in _flat(_identity(r)).items())
    newest: dict[tuple[object, ...], float] = {}
    for r in records:
        newest[_code(r)] = max(newest.get(_code(r), 0.0), r.timing.get("finished_at", 0.0))
    cells: list[tuple[str, bool, list[Record]]] = []
    for (method, _, _), groups in sorted(sources.items()):
        flat = {text: _flat(_identity(group[0])) for text, group in groups.items()}
        common = {text: sum(facts[method, fact] for fact in own.items()) for text, own in flat.items()}
        age = {text: newest[_code(group[0])] for text, group in groups.items()}
        usual = max(sorted(groups), key=lambda text: (age[text], common[text]))
        for text, group in groups.items():
            changed = _changes(flat[usual], flat[text])
            cells.append((f"{method} [{changed}]" if changed else method, text == usual, group))
    return cells


def _changes(usual: Mapping[str, str], other: Mapping[str, str]) -> str:
    """Return what another group of runs changes, as `name=value, ...`."""
    names = [n for n in sorted({*usual, *other}) if usual.get(n) != other.get(n)]
    return ", ".join(f"{n}={other.get(n, 'unset')}" for n in names)


def _code(record: Record) -> tuple[object, ...]:
    """Return which method and code made a run."""
    fields = record.key_fields
    return record.method, fields.get("method_code"), fields.get("training_code")


def _identity(record: Record) -> dict[str, Any]:
    return {name: value for name, value in record.key_fields.items() if name not in ("fold", "seed")}


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value if isinstance(value, str) else canonical(value)
    return flat


def _build_cell(
    store: Store,
    label: str,
    usual: bool,
    records: Sequence[Record],
    headline: Mapping[str, str],
    named: tuple[str, ...],
    excluded: frozenset[frozenset[str]],
) -> tuple[Cell, list[Problem]]:
    problems: list[Problem] = []
    first = records[0]
    selection: Selection = "val" if any(s.selection == "val" for r in records for s in r.scores) else "last"
    own: list[tuple[Record, Predictions]] = []
    cross: dict[str, list[tuple[Record, Answers]]] = {}
    parts = members(first.dataset)
    for record in records:
        for score in record.scores:
            if score.selection != selection:
                continue
            try:
                predictions = _read(store, record, score)
            except StoreError as error:
                problems.append(Problem(_below(store, error), _what(error)))
                continue
            if score.target == record.dataset:
                own.append((record, predictions))
            elif score.target in parts or not any(frozenset((m, score.target)) in excluded for m in parts):
                cross.setdefault(score.target, []).append((record, answers(predictions, score.label_set)))
    estimates = {
        target: estimate([a for _, a in pairs], seed_shares([r.seed for r, _ in pairs]), target)
        for target, pairs in sorted(cross.items())
        if len(pairs) == len(records)  # a mean over some folds only is another number
    }
    try:
        in_domain = _in_domain(own, first.dataset, first.classes) if len(own) == len(records) else None
    except StoreError as error:
        in_domain = None
        problems.append(Problem(f"{first.method}/{first.dataset}", _what(error)))
    inside = {target: estimates.pop(target) for target in parts if target in estimates}
    wanted = counted_targets(first.dataset, named, excluded)
    transfers = {t: e.values["transfer"] for t, e in estimates.items() if "transfer" in e.values}
    scored = [t for t in wanted if t in transfers]
    base = (
        _in_domain_on_pairs(own, first.dataset, [estimates[t].label_set for t in scored])
        if in_domain
        else None
    )
    general = generalisation(transfers, wanted, base)
    cell = Cell(
        method=first.method,
        label=label,
        usual=usual,
        dataset=first.dataset,
        protocol=first.protocol,
        headline=headline[first.dataset] == first.protocol,
        records=tuple(records),
        selection=selection,
        in_domain=in_domain,
        cross=estimates,
        inside=inside,
        generalisation=general,
        comparable=_comparable(general, [estimates[t] for t in scored], records),
        retention=retention([general]),
    )
    return cell, problems


def _comparable(
    general: Generalisation, estimates: Sequence[Estimate], records: Sequence[Record]
) -> Comparable | None:
    """Return a complete generalisation as a sum over units; only methods on the same folds share its rows."""
    if not general.complete or general.mean is None:
        return None
    parts = [transfer_of(e.terms, e.values["transfer"].value) for e in estimates if e.terms is not None]
    folds = " ".join(map(str, sorted({r.fold for r in records})))
    whole = mean_of(parts, general.mean.value)
    return replace(whole, rows=f"folds {folds} {whole.rows}")


def _read(store: Store, record: Record, score: Score) -> Predictions:
    """Read the predictions of a score and make sure that they still give it.

    Raises:
        StoreError: They are absent, damaged, of another run or data, or do not give the record's score.
    """
    predictions = read_scored(store, record, score.target, score.selection)
    given = answers(predictions, score.label_set)
    matrix = metrics.count_pairs(given.truth, given.answer, len(given.classes))
    if len(given.truth) != score.n or not np.isclose(metrics.uar(matrix), score.uar, rtol=0, atol=1e-6):
        file = store.run_dir(record.method, record.dataset, record.key)
        raise StoreError(
            "the predictions do not give the record's score",
            file=file.predictions_file(score.target, score.selection),
            value=score.uar,
        )
    return predictions


def _pool(own: Sequence[tuple[Record, Predictions]], label_set: Sequence[str]) -> dict[int, Answers]:
    """Return the answers of each seed with its folds pooled.

    Raises:
        StoreError: Two folds of a seed test the same row.
    """
    pooled: dict[int, Answers] = {}
    for seed in sorted({r.seed for r, _ in own}):
        parts = [p for r, p in own if r.seed == seed]
        ids = np.concatenate([p.frame["sample_id"].to_numpy(object) for p in parts])
        if len(np.unique(ids)) < len(ids):
            raise StoreError("two folds test the same row, so they cannot be pooled")
        given = [answers(p, label_set) for p in parts]
        pooled[seed] = replace(
            given[0],
            truth=np.concatenate([g.truth for g in given]),
            answer=np.concatenate([g.answer for g in given]),
            units=np.concatenate([g.units for g in given]),
            samples=np.concatenate([g.samples for g in given]),
            all_units=np.unique(np.concatenate([g.all_units for g in given])),
            labelled=sum(g.labelled for g in given),
        )
    return pooled


def _uar(given: Answers) -> float:
    return float(metrics.uar(metrics.count_pairs(given.truth, given.answer, len(given.classes))))


def _in_domain(own: Sequence[tuple[Record, Predictions]], dataset: str, label_set: Sequence[str]) -> InDomain:
    pooled = _pool(own, label_set)
    given = list(pooled.values())
    whole = estimate(given, np.full(len(given), 1 / len(given)), dataset)
    folds = sorted({r.fold for r, _ in own})
    by_fold = [np.mean([_uar(answers(p, label_set)) for r, p in own if r.fold == fold]) for fold in folds]
    fold_mean, fold_sd = mean_and_sd([float(v) for v in by_fold]) if len(folds) > 1 else (None, None)
    largest = max(given, key=lambda g: len(g.truth))
    rows = np.bincount(largest.truth, minlength=len(largest.classes))
    return InDomain(
        estimate=whole,
        fold_mean=fold_mean,
        fold_sd=fold_sd,
        seed_sd=mean_and_sd([_uar(g) for g in given])[1],
        small_classes=tuple(n for n, count in zip(largest.classes, rows, strict=True) if count < SMALL_CLASS),
    )


def _in_domain_on_pairs(
    own: Sequence[tuple[Record, Predictions]], dataset: str, label_sets: Sequence[Sequence[str]]
) -> Value | None:
    """Return the mean over label sets of the in-domain chance-corrected UAR, from the same stored logits."""
    if not label_sets:
        return None
    by_set = {tuple(s): list(_pool(own, s).values()) for s in dict.fromkeys(map(tuple, label_sets))}
    given = [one for label_set in label_sets for one in by_set[tuple(label_set)]]
    if not all(len(one.truth) for one in given):
        return None
    return estimate(given, np.full(len(given), 1 / len(given)), dataset).values.get("transfer")


def _overall(cells: Sequence[Cell]) -> tuple[Overall, ...]:
    """Return the generalisation of each method with its usual settings, best first, none last."""
    ranked = [c for c in cells if c.usual and c.headline]
    labels = tuple(dict.fromkeys(c.label for c in ranked))
    compared = {c.label for c in ranked if c.generalisation.complete}
    common = []
    for source in dict.fromkeys(c.source for c in ranked):
        of_source = [c for c in ranked if c.source == source and c.generalisation.complete]
        if {c.label for c in of_source} == compared and len({c.folds for c in of_source}) == 1:
            common.append(source)
    result = []
    for label in labels:
        mine = [c for c in ranked if c.label == label and c.source in common]
        parts = [c.generalisation for c in mine]
        means = [p.mean for p in parts if p.mean is not None] if label in compared else []
        mean = average(means) if means else None
        sums = [c.comparable for c in mine if c.comparable is not None]
        result.append(
            Overall(
                label=label,
                mean=mean,
                retention=retention(parts) if means else None,
                sources=tuple(common) if means else (),
                comparable=mean_of(sums, mean.value) if mean else None,
            )
        )
    return tuple(sorted(result, key=lambda o: (o.mean is None, -(o.mean.value if o.mean else 0.0), o.label)))


def _versions(records: Sequence[Record]) -> tuple[TargetVersion, ...]:
    counts = Counter(
        (name, d.fingerprint, d.pixels, d.recipe, d.protocol, d.faces_weak)
        for r in records
        for name, d in r.targets.items()
    )
    return tuple(TargetVersion(*key, runs=counts[key]) for key in sorted(counts))


def _environment(records: Sequence[Record]) -> dict[str, tuple[str, ...]]:
    values: dict[str, set[str]] = {}
    for record in records:
        for name, value in record.environment.items():
            text = "none" if value is None else value if isinstance(value, str) else canonical(value)
            values.setdefault(name, set()).add(text)
    return {name: tuple(sorted(found)) for name, found in values.items()}
