"""A cell of the board: all folds and seeds of one method on one source under one protocol."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fer_bench.datasets import members_of
from fer_bench.emotions import BASIC_SIX
from fer_bench.errors import StoreError
from fer_bench.evaluation import confusion
from fer_bench.evaluation.estimates import Estimate, answers, average, estimate
from fer_bench.evaluation.groups import SUBJECT, attributes_of, group_scores
from fer_bench.evaluation.intervals import Value
from fer_bench.evaluation.pairs import Comparable, mean_of, transfer_of, uar_of
from fer_bench.evaluation.statistics import Answers, mean_and_sd
from fer_bench.evaluation.stored import read_scored, stored_index
from fer_bench.evaluation.transfer import Generalisation, counted_targets, generalisation, retention
from fer_bench.files import canonical
from fer_bench.results.predictions import Predictions
from fer_bench.results.record import Record, Score, Selection
from fer_bench.results.scores import Groups
from fer_bench.results.store import Store


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
class Gap:
    """The widest gap between groups of rows in-domain, folds pooled and seeds averaged.

    Attributes:
        attribute: What groups them.
        groups: The groups.
        size: Difference of the highest and the lowest UAR.
    """

    attribute: str
    groups: Groups
    size: float


@dataclass(frozen=True)
class InDomain:
    """A cell's score on the test rows of its own dataset.

    Attributes:
        estimate: Folds pooled (each row is predicted once), seeds averaged.
        fold_mean: Mean UAR over the folds, each averaged over its seeds; None for a single fold.
        fold_sd: Standard deviation (ddof 1) over the folds.
        gap: Widest gap between groups, persons left out; None where no groups can be compared.
    """

    estimate: Estimate
    fold_mean: float | None
    fold_sd: float | None
    gap: Gap | None


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
        records: Finished runs of the seeds that have all folds which a seed has.
        partial: Folds of the seeds that lack some; they are left out.
        mixed: Datasets that the runs were tested on in several versions or crops; they are left out.
        selection: Which checkpoint is shown.
        in_domain: Score on the source, None when its predictions cannot be used.
        cross: Estimate per target.
        inside: Estimate per member of a union; these are no other datasets.
        generalisation: Mean transfer over the named targets.
        six: The same over the six basic emotions only.
        by_seed: Generalisation per seed, over the targets that were scored.
        comparable: Generalisation as a sum over units, None unless every target was scored.
        retention: Share of the in-domain score that survives.
    """

    method: str
    label: str
    usual: bool
    dataset: str
    protocol: str
    headline: bool
    records: tuple[Record, ...]
    partial: Mapping[int, tuple[int, ...]]
    mixed: tuple[str, ...]
    selection: Selection
    in_domain: InDomain | None
    cross: Mapping[str, Estimate]
    inside: Mapping[str, Estimate]
    generalisation: Generalisation
    six: Generalisation
    by_seed: Mapping[int, float]
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

    @property
    def seed_sd(self) -> float | None:
        """Return the standard deviation (ddof 1) of generalisation over the seeds, None for a single one."""
        return mean_and_sd(list(self.by_seed.values()))[1] if self.by_seed else None

    @property
    def is_union(self) -> bool:
        """Return whether several datasets were trained on."""
        return len(members_of(self.dataset)) > 1

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return what a reader of the cell's numbers should know, from its records."""
        return tuple(sorted({text for r in self.records for text in r.warnings}))


def variants(records: Sequence[Record]) -> list[tuple[str, bool, list[Record]]]:
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
        own = {text: not any(name.startswith("crops.") for name in flat[text]) for text in groups}
        usual = max(sorted(groups), key=lambda text: (age[text], own[text], common[text]))
        for text, group in groups.items():
            changed = _changes(flat[usual], flat[text])
            cells.append((f"{method} [{changed}]" if changed else method, text == usual, group))
    return cells


def _changes(usual: Mapping[str, str], other: Mapping[str, str]) -> str:
    """Return what another group of runs changes, as `name=value, ...`."""
    names = [n for n in sorted({*usual, *other}) if usual.get(n) != other.get(n)]
    if any(n.startswith("crops.") for n in names):  # they say why recipes and pictures differ
        names = [n for n in names if not {"crop", "pixels"} & {*n.split(".")}]
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


def whole_seeds(records: Sequence[Record]) -> tuple[list[Record], dict[int, tuple[int, ...]]]:
    """Return the runs of the seeds that can be averaged, and the folds of the others.

    A seed that lacks a fold would be a mean over other models and rows than the rest. The largest set of
    folds is taken, of several equally large ones that of most seeds.

    Args:
        records: Finished runs of one cell.
    """
    folds: dict[int, set[int]] = {}
    for r in records:
        folds.setdefault(r.seed, set()).add(r.fold)
    sets = Counter(tuple(sorted(found)) for found in folds.values())
    chosen = max(sorted(sets), key=lambda found: (len(found), sets[found]))
    partial = {seed: tuple(sorted(f)) for seed, f in sorted(folds.items()) if tuple(sorted(f)) != chosen}
    return [r for r in records if r.seed not in partial], partial


def crop_way(recipe: str) -> str:
    """Return how faces are cut out, without the size, in which methods may differ."""
    return re.sub(r" \d+px\b", "", recipe)


def _mixed_targets(records: Sequence[Record]) -> tuple[str, ...]:
    versions: dict[str, set[tuple[str, str, str]]] = {}
    for r in records:
        for name, data in r.targets.items():
            versions.setdefault(name, set()).add((data.fingerprint, data.pixels, data.recipe))
    return tuple(sorted(name for name, found in versions.items() if len(found) > 1))


def build_cell(
    store: Store,
    label: str,
    usual: bool,
    finished: Sequence[Record],
    headline: Mapping[str, str],
    named: tuple[str, ...],
    excluded: frozenset[frozenset[str]],
) -> tuple[Cell, list[Problem]]:
    """Compute a cell from stored predictions.

    Args:
        store: Where they are.
        label: What the method is called.
        usual: Whether these are its usual settings.
        finished: Finished runs that belong together, from `variants`.
        headline: Main protocol of each source.
        named: Target list of the generalisation score.
        excluded: Pairs of datasets that share pictures.

    Returns:
        The cell, and predictions that cannot be used.
    """
    problems: list[Problem] = []
    records, partial = whole_seeds(finished)
    mixed = _mixed_targets(records)
    first = records[0]
    selection: Selection = first.headline
    own: list[tuple[Record, Predictions]] = []
    cross: dict[str, list[tuple[Record, Answers]]] = {}
    over_six: dict[str, list[Answers]] = {}
    parts = members_of(first.dataset)
    for record in records:
        for score in record.scores:
            if score.selection != selection or score.target in mixed:
                continue
            try:
                predictions = _read(store, record, score)
            except StoreError as error:
                problems.append(Problem(below(store, error), what(error)))
                continue
            if score.target == record.dataset:
                own.append((record, predictions))
            elif score.target in parts or not any(frozenset((m, score.target)) in excluded for m in parts):
                cross.setdefault(score.target, []).append((record, answers(predictions, score.label_set)))
                six = [name for name in score.label_set if name in BASIC_SIX]
                over_six.setdefault(score.target, []).append(answers(predictions, six))
    estimates = {
        target: estimate([a for _, a in pairs], target, seeds=[r.seed for r, _ in pairs])
        for target, pairs in sorted(cross.items())
        if len(pairs) == len(records)  # a mean over some folds only is another number
    }
    try:
        in_domain = _in_domain(store, own, first) if len(own) == len(records) else None
    except StoreError as error:
        in_domain = None
        problems.append(Problem(f"{first.method}/{first.dataset}", what(error)))
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
    sixes = {t: _over_six(cross[t], over_six[t], estimates[t]) for t in scored}
    each = [estimates[t].by_seed["transfer"] for t in scored]
    seeds = sorted({r.seed for r in records}) if each else []
    cell = Cell(
        method=first.method,
        label=label,
        usual=usual,
        dataset=first.dataset,
        protocol=first.protocol,
        headline=headline[first.dataset] == first.protocol,
        records=tuple(records),
        partial=partial,
        mixed=mixed,
        selection=selection,
        in_domain=in_domain,
        cross=estimates,
        inside=inside,
        generalisation=general,
        six=generalisation({t: v for t, v in sixes.items() if v is not None}, wanted),
        by_seed={seed: float(np.mean([one[seed] for one in each])) for seed in seeds},
        comparable=_comparable(general, {t: estimates[t] for t in scored}, records),
        retention=retention([general]),
    )
    return cell, problems


def _over_six(
    scored: Sequence[tuple[Record, Answers]], given: Sequence[Answers], whole: Estimate
) -> Value | None:
    """Return the transfer score over the six basic emotions, None with fewer than two of them.

    Args:
        scored: Runs with their answers over all scored classes.
        given: The same models' answers over the six.
        whole: Estimate from `scored`, which is the one wanted where only the six were scored.
    """
    if set(whole.label_set) <= set(BASIC_SIX):
        return whole.values["transfer"]
    if not all(len(one.truth) for one in given):
        return None
    target = whole.terms.target if whole.terms else ""
    return estimate(given, target, seeds=[r.seed for r, _ in scored]).values.get("transfer")


def in_domain_sum(cell: Cell) -> Comparable | None:
    """Return a cell's in-domain UAR as a sum over units; only methods tested alike share its rows."""
    found = cell.in_domain.estimate if cell.in_domain else None
    if found is None or found.terms is None:
        return None
    whole = uar_of(found.terms, found.values["uar"].value)
    return replace(whole, rows=f"{_tested(cell.records, ())} {whole.rows}")


def _comparable(
    general: Generalisation, estimates: Mapping[str, Estimate], records: Sequence[Record]
) -> Comparable | None:
    """Return a complete generalisation as a sum over units; only methods tested alike share its rows."""
    if not general.complete or general.mean is None:
        return None
    sums = [transfer_of(e.terms, e.values["transfer"].value) for e in estimates.values() if e.terms]
    whole = mean_of(sums, general.mean.value)
    return replace(whole, rows=f"{_tested(records, estimates)} {whole.rows}")


def _tested(records: Sequence[Record], targets: Iterable[str]) -> str:
    """Return what must be equal of two methods besides their rows: folds, seeds and crops."""
    folds, seeds = ({getattr(r, name) for r in records} for name in ("fold", "seed"))
    data = records[0].targets
    crops = [
        f"{name} {crop_way(data[name].recipe)}"
        for name in (*members_of(records[0].dataset), *targets)
        if name in data
    ]
    return f"folds {sorted(folds)} seeds {sorted(seeds)} {'; '.join(crops)}"


def _read(store: Store, record: Record, score: Score) -> Predictions:
    """Read the predictions of a score and make sure that they still give it.

    Raises:
        StoreError: They are absent, damaged, of another run or data, or do not give the record's score.
    """
    predictions = read_scored(store, record, score.target, score.selection)
    given = answers(predictions, score.label_set)
    matrix = confusion.count_pairs(given.truth, given.answer, len(given.classes))
    if len(given.truth) != score.n or not np.isclose(confusion.uar(matrix), score.uar, rtol=0, atol=1e-6):
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


def _in_domain(store: Store, own: Sequence[tuple[Record, Predictions]], first: Record) -> InDomain:
    pooled = _pool(own, first.classes)
    given = list(pooled.values())
    folds = sorted({r.fold for r, _ in own})
    by_fold = [np.mean([_uar(answers(p, first.classes)) for r, p in own if r.fold == fold]) for fold in folds]
    fold_mean, fold_sd = mean_and_sd([float(v) for v in by_fold]) if len(folds) > 1 else (None, None)
    index = stored_index(store.root, own[0][1].meta.fingerprint)
    return InDomain(
        estimate=estimate(given, first.dataset, seeds=list(pooled)),
        fold_mean=fold_mean,
        fold_sd=fold_sd,
        gap=None if index is None else _widest_gap(index, given, first.dataset),
    )


def _uar(given: Answers) -> float:
    return float(confusion.uar(confusion.count_pairs(given.truth, given.answer, len(given.classes))))


def _widest_gap(index: pd.DataFrame, given: Sequence[Answers], dataset: str) -> Gap | None:
    """Return the widest gap between groups of pooled rows; single persons make none."""
    places = index.index.get_indexer(pd.Index(np.concatenate([g.samples for g in given])))
    rows = index.iloc[places].reset_index(drop=True)
    truth = np.concatenate([g.truth for g in given])
    answer = np.concatenate([g.answer for g in given])
    gaps = []
    for attribute, values in attributes_of(rows, dataset).items():
        if attribute == SUBJECT:
            continue
        found = group_scores(values, truth, answer, given[0].classes, repeats=len(given))
        if found is not None and found.gap is not None:
            gaps.append(Gap(attribute, found, found.gap))
    return max(gaps, key=lambda gap: (gap.size, gap.attribute), default=None)


def _in_domain_on_pairs(
    own: Sequence[tuple[Record, Predictions]], dataset: str, label_sets: Sequence[Sequence[str]]
) -> Value | None:
    """Return the mean over label sets of the in-domain chance-corrected UAR, from the same stored logits."""
    if not label_sets:
        return None
    by_set: dict[tuple[str, ...], Value] = {}
    for label_set in dict.fromkeys(map(tuple, label_sets)):
        given = list(_pool(own, label_set).values())
        if not all(len(one.truth) for one in given):
            return None
        found = estimate(given, dataset).values.get("transfer")
        if found is None:
            return None
        by_set[label_set] = found
    means = list(by_set.values()) if len(by_set) == 1 else [by_set[tuple(s)] for s in label_sets]
    return average(means)  # all label sets share the resamples of the dataset's units


def below(store: Store, error: StoreError) -> str:
    """Return the path of an error's file below the store."""
    path = Path(str(error.file))
    return path.relative_to(store.root).as_posix() if path.is_relative_to(store.root) else path.name


def what(error: StoreError) -> str:
    """Return what is wrong, without the path."""
    line = "" if error.line is None else f"row {error.line}: "
    value = "" if error.value is None else f" (found {error.value!r})"
    return f"{line}{error.message}{value}"
