"""Grouping the runs of a method into cells, and naming what differs from its usual settings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fer_bench.evaluation.exposure import is_enrolled
from fer_bench.files import canonical, spelled
from fer_bench.results.record import Record

INIT = "init.weights"
"""Fact of runs that start from a checkpoint: the hash of its weights."""


def variants(records: Sequence[Record]) -> list[tuple[str, bool, list[Record]]]:
    """Group finished runs into cells and name them.

    Runs belong together when what their keys were made from differs in fold and seed only: models of other
    settings, code or data are never pooled. Where one method has several such groups on a source, the plain
    name goes to the code that finished a run last, and within it to the group whose facts are the commonest
    among the method's runs; the others name what they change. Models that see a second picture, the
    enrolled neutral one, always name it.

    Returns:
        Label, whether it is the usual group, and the runs, per cell.
    """
    sources: dict[tuple[str, str, str], dict[str, list[Record]]] = {}
    for r in records:
        groups = sources.setdefault((r.method, r.dataset, r.protocol), {})
        groups.setdefault(canonical(_identity(r)), []).append(r)
    facts = Counter((r.method, fact) for r in records for fact in spelled(_identity(r)).items())
    newest: dict[tuple[object, ...], float] = {}
    for r in records:
        newest[_code(r)] = max(newest.get(_code(r), 0.0), r.timing.get("finished_at", 0.0))
    cells: list[tuple[str, bool, list[Record]]] = []
    for (method, _, _), groups in sorted(sources.items()):
        flat = {text: spelled(_identity(group[0])) for text, group in groups.items()}
        common = {text: sum(facts[method, fact] for fact in own.items()) for text, own in flat.items()}
        age = {text: newest[_code(group[0])] for text, group in groups.items()}
        own = {text: not any(name.startswith("crops.") for name in flat[text]) for text in groups}
        alone = {text: not is_enrolled(group[0]) for text, group in groups.items()}
        usual = max(sorted(groups), key=lambda text: (alone[text], age[text], own[text], common[text]))
        for text, group in groups.items():
            changed = _changes(flat[usual], flat[text])
            if text == usual and not alone[text]:  # never under the plain name, even without any other
                changed = "method_settings.reference=enrolled"
            cells.append((f"{method} [{changed}]" if changed else method, text == usual, group))
    return cells


def _changes(usual: Mapping[str, str], other: Mapping[str, str]) -> str:
    """Return what another group of runs changes, as `name=value, ...`."""
    names = [n for n in sorted({*usual, *other}) if usual.get(n) != other.get(n)]
    if any(n.startswith("crops.") for n in names):  # they say why recipes and pictures differ
        names = [n for n in names if not {"crop", "pixels"} & {*n.split(".")}]
    if INIT in names:  # the hash names the checkpoint; its classes, and what weights it had, follow
        names = [n for n in names if n == INIT or not n.startswith(("init.", "weights."))]
    short = {INIT: ("init", other.get(INIT, "unset")[:8])}
    return ", ".join("=".join(short.get(n, (n, other.get(n, "unset")))) for n in names)


def _code(record: Record) -> tuple[object, ...]:
    """Return which method and code made a run."""
    fields = record.key_fields
    return record.method, fields.get("method_code"), fields.get("training_code")


def _identity(record: Record) -> dict[str, Any]:
    return {name: value for name, value in record.key_fields.items() if name not in ("fold", "seed")}


@dataclass(frozen=True)
class WholeSeeds:
    """The runs of a cell that can be averaged.

    Attributes:
        records: Runs of the same folds for every seed.
        partial: Seeds that lack some of these folds, with the folds they have; they are left out.
        ahead: Folds of the other seeds that are left out, since too few seeds have them.
    """

    records: tuple[Record, ...]
    partial: Mapping[int, tuple[int, ...]]
    ahead: Mapping[int, tuple[int, ...]]


def whole_seeds(records: Sequence[Record]) -> WholeSeeds:
    """Return the runs of the seeds that can be averaged.

    A seed that lacks a fold would be a mean over other models and rows than the rest. Of the sets of folds
    that some seed has, the one with the most runs of seeds that have all of it is taken, so that one further
    fold of one seed takes no other seed away; of equal ones the largest.

    Args:
        records: Finished runs of one cell.
    """
    folds: dict[int, set[int]] = {}
    for r in records:
        folds.setdefault(r.seed, set()).add(r.fold)
    sets = sorted({tuple(sorted(found)) for found in folds.values()})
    counts = {one: len(one) * sum(found >= {*one} for found in folds.values()) for one in sets}
    chosen = {*max(sets, key=lambda one: (counts[one], len(one)))}
    partial = {seed: tuple(sorted(f)) for seed, f in sorted(folds.items()) if not f >= chosen}
    ahead = {s: tuple(sorted(f - chosen)) for s, f in sorted(folds.items()) if f > chosen}
    kept = tuple(r for r in records if r.seed not in partial and r.fold in chosen)
    return WholeSeeds(kept, partial, ahead)
