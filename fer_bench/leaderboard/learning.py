"""Learning curves of a cell: what its runs logged after each epoch, folds averaged."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fer_bench.results.record import Record
from fer_bench.results.store import Store

UAR = "val/uar"
LOSS = "train/total"
MOST_EPOCHS = 60
"""Epochs that a curve is thinned to; the first, the last and the chosen ones stay."""


@dataclass(frozen=True)
class Epoch:
    """One epoch of one seed.

    Attributes:
        seed: The seed.
        epoch: Epoch from 0.
        uar: Validation UAR, None where no fold logged it.
        loss: Training loss, None where no fold logged it.
        chosen: Whether a fold's headline checkpoint is of this epoch.
    """

    seed: int
    epoch: int
    uar: float | None
    loss: float | None
    chosen: bool


def learning_curves(store: Store, records: Sequence[Record]) -> tuple[Epoch, ...]:
    """Return the epochs of a cell's runs by seed, each a mean over the folds that reached it.

    Args:
        store: Where the runs are.
        records: Finished runs of the cell. One without readable metrics adds nothing.
    """
    found: dict[tuple[int, int], dict[str, list[float]]] = {}
    chosen = {(r.seed, c.epoch) for r in records if (c := r.selection.get(r.headline)) is not None}
    for record in records:
        for epoch, values in _logged(store, record):
            place = found.setdefault((record.seed, epoch), {})
            for name, value in values.items():
                place.setdefault(name, []).append(value)
    kept = {seed: _thinned([e for s, e in sorted(found) if s == seed]) for seed in {s for s, _ in found}}
    return tuple(
        Epoch(seed, epoch, _mean(values.get(UAR)), _mean(values.get(LOSS)), (seed, epoch) in chosen)
        for (seed, epoch), values in sorted(found.items())
        if epoch in kept[seed] or (seed, epoch) in chosen
    )


def _logged(store: Store, record: Record) -> list[tuple[int, Mapping[str, float]]]:
    file = store.run_dir(record.method, record.dataset, record.key).history_file
    try:
        with file.open(encoding="utf-8", newline="") as text:
            return [
                (int(line["epoch"]), {name: float(line[name]) for name in (UAR, LOSS) if line.get(name)})
                for line in csv.DictReader(text)
            ]
    except (OSError, ValueError, KeyError, csv.Error):
        return []  # curves explain a score and are no part of it


def _thinned(epochs: Sequence[int]) -> set[int]:
    step = -(-len(epochs) // MOST_EPOCHS)
    return {*epochs[::step], *epochs[-1:]}


def _mean(values: Sequence[float] | None) -> float | None:
    return sum(values) / len(values) if values else None
