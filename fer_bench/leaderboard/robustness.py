"""What corruptions cost a cell: from stored predictions on corrupted test rows to relative drops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fer_bench.data.crops.corruptions import CORRUPTIONS, VERSION
from fer_bench.datasets import members_of
from fer_bench.errors import StoreError
from fer_bench.evaluation.intervals import Value
from fer_bench.evaluation.robustness import Drop, drop_of, mean_drop, ranking_value
from fer_bench.evaluation.stored import read_scored
from fer_bench.leaderboard.in_domain import pool
from fer_bench.leaderboard.variants import whole_seeds
from fer_bench.results.corrupted import Corrupted, corrupted_files, read_corrupted
from fer_bench.results.predictions import Predictions
from fer_bench.results.record import Record
from fer_bench.results.store import RunDir, Store


@dataclass(frozen=True)
class Robustness:
    """What corruptions of the test rows cost the models of a cell.

    Attributes:
        target: The dataset, which is the source or a member of it.
        records: Runs that it was measured for, whole seeds of them.
        n: Rows scored, of one seed.
        clean: UAR on the rows as they are.
        drops: Per corruption that was measured for all these runs, in the order of tables.
        mean: The mean over these corruptions.
    """

    target: str
    records: tuple[Record, ...]
    n: int
    clean: Value
    drops: Mapping[str, Drop]
    mean: Drop

    @property
    def complete(self) -> bool:
        """Return whether every corruption was measured: means over others are not comparable."""
        return set(self.drops) == set(CORRUPTIONS)


def measured(store: Store, records: Sequence[Record]) -> tuple[list[Robustness], list[StoreError]]:
    """Return what was measured for the runs of a cell, per target.

    Folds are pooled and seeds averaged, as for the score on the rows as they are.

    Args:
        store: The run store.
        records: Finished runs that differ in fold and seed only.

    Returns:
        One entry per target with a corruption that was measured; and files that cannot be used.
    """
    found, problems = [], []
    for target in members_of(records[0].dataset):
        stored: dict[str, dict[str, Corrupted]] = {}
        for record in records:
            read, wrong = _of_run(store, record, target)
            problems += wrong
            if read:
                stored[record.key] = read
        if not stored:
            continue
        kept = whole_seeds([record for record in records if record.key in stored]).records
        try:
            one = _summed_up(store, target, kept, stored)
        except StoreError as error:
            problems.append(error)
            continue
        if one is not None:
            found.append(one)
    return found, problems


def _of_run(store: Store, record: Record, target: str) -> tuple[dict[str, Corrupted], list[StoreError]]:
    """Return a run's predictions by corruption, and errors for those that are damaged or out of date."""
    run = store.run_dir(record.method, record.dataset, record.key)
    found, problems = {}, []
    for file in corrupted_files(run, target):
        try:
            corrupted = read_corrupted(file)
            _refuse_stale(record, run, target, corrupted)
        except StoreError as error:
            problems.append(StoreError(error.message, file=file, value=error.value))
            continue
        found[corrupted.meta.corruption] = corrupted
    return found, problems


def _refuse_stale(record: Record, run: RunDir, target: str, corrupted: Corrupted) -> None:
    meta, data = corrupted.meta, record.targets.get(target)
    rule = CORRUPTIONS.get(meta.corruption)
    again = f"; fer-bench robustness {record.key[:8]} measures it again"
    if rule is None or (meta.version, meta.constants) != (VERSION, rule.constants):
        raise StoreError(f"predictions under corruptions of another version{again}", value=meta.corruption)
    if meta.predictions.key != record.key or meta.predictions.target != target:
        raise StoreError(f"predictions of another run{again}", value=meta.predictions.key)
    if meta.predictions.checkpoint != record.checkpoint:
        raise StoreError(f"predictions of another checkpoint{again}", value=meta.predictions.checkpoint)
    if data is None or (meta.predictions.fingerprint, meta.predictions.pixels) != (
        data.fingerprint,
        data.pixels,
    ):
        raise StoreError(f"predictions on another version of the data{again}", value=target)


def _summed_up(
    store: Store, target: str, kept: Sequence[Record], stored: Mapping[str, Mapping[str, Corrupted]]
) -> Robustness | None:
    names = [name for name in CORRUPTIONS if all(name in stored[record.key] for record in kept)]
    if not names:
        return None
    clean = [(record, read_scored(store, record, target, record.headline)) for record in kept]
    score = kept[0].score(target, kept[0].headline)
    assert score is not None
    label_set, training = score.label_set, f"{kept[0].method} {kept[0].dataset}"

    def uar(models: Sequence[tuple[Record, Predictions]]) -> Value:
        return ranking_value(pool(models, label_set), target, training)

    whole = uar(clean)
    drops = {
        name: drop_of(whole, [uar(models) for models in _by_strength(kept, stored, name)]) for name in names
    }
    rows = next(iter(pool(clean, label_set).values()))
    return Robustness(
        target, tuple(kept), len(rows.truth), whole, drops, mean_drop(whole, list(drops.values()))
    )


def _by_strength(
    kept: Sequence[Record], stored: Mapping[str, Mapping[str, Corrupted]], name: str
) -> list[list[tuple[Record, Predictions]]]:
    strengths = sorted(stored[kept[0].key][name].by_strength)
    return [
        [(record, stored[record.key][name].by_strength[strength]) for record in kept]
        for strength in strengths
    ]
