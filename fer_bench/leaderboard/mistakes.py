"""The worst mistakes of a cell on drawn faces: per class the wrong answer that a run of it is surest of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fer_bench.datasets import members_of
from fer_bench.errors import StoreError
from fer_bench.results.mistakes import Mistake, mistakes_file, read_mistakes
from fer_bench.results.record import Record
from fer_bench.results.store import Store


def worst_of(
    store: Store, records: Sequence[Record]
) -> tuple[Mapping[str, tuple[Mistake, ...]], list[StoreError]]:
    """Return the worst mistake of each class on a cell's own test rows, by target.

    Args:
        store: Where the runs are.
        records: Finished runs of the cell. Those of older versions, on photographs, or whose mistakes are of
            another checkpoint or other data add nothing.

    Returns:
        Mistakes in the order of classes, and files that cannot be read.
    """
    found: dict[str, tuple[Mistake, ...]] = {}
    problems: list[StoreError] = []
    for target in members_of(records[0].dataset):
        worst: dict[str, Mistake] = {}
        for record in records:
            try:
                mistakes = _of_run(store, record, target)
            except StoreError as error:
                problems.append(error)
                continue
            for one in mistakes:
                known = worst.get(one.truth)
                if known is None or one.probability > known.probability:
                    worst[one.truth] = one
        if worst:
            found[target] = tuple(worst[name] for name in records[0].classes if name in worst)
    return found, problems


def _of_run(store: Store, record: Record, target: str) -> tuple[Mistake, ...]:
    if record.data_kind != "synthetic" or target not in record.targets:
        return ()
    run = store.run_dir(record.method, record.dataset, record.key)
    kept = read_mistakes(mistakes_file(run, target))
    of = (record.checkpoint, record.targets[target].fingerprint)
    return kept.mistakes if kept is not None and (kept.checkpoint, kept.fingerprint) == of else ()
