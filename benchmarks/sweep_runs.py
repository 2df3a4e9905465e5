"""The finished runs of a store that benchmarks read: those on some datasets, or those of a sweep file.

Runs of a sweep file are found by their settings, whatever code trained them.
"""

from __future__ import annotations

from collections.abc import Sequence

from fer_bench.config import SweepConfig
from fer_bench.errors import StoreError
from fer_bench.results.record import Record
from fer_bench.results.store import Store
from fer_bench.runs.resolve import resolve_settings


def finished_on(store: Store, datasets: Sequence[str], method: str | None = None) -> list[Record]:
    """Return the finished runs that were trained on some datasets.

    Args:
        store: Where the runs are.
        datasets: Their sources.
        method: Method name, None for all.

    Raises:
        StoreError: A damaged record, or no such run.
    """
    found = [
        r
        for r in store.records()
        if r.status == "done" and r.dataset in datasets and not r.is_outside and method in (None, r.method)
    ]
    refuse_empty(found, store, "quick")
    return found


def finished_runs(store: Store, method: str, sweep: SweepConfig, *, size: str | None = None) -> list[Record]:
    """Return the finished runs of a method under a sweep's profile and seeds, the last finished at the end.

    Args:
        store: Where the runs are.
        method: Method name.
        sweep: The sweep.
        size: Leave out synthetic runs on a stand-in of another size.

    Raises:
        StoreError: A damaged record, or synthetic and real data in one store.
    """
    found = [
        r
        for r in store.records()
        if (r.method, r.profile, r.status) == (method, sweep.profile, "done")
        and r.seed in sweep.seeds
        and (size is None or r.generator is None or r.generator["size"] == size)
    ]
    if len({r.data_kind for r in found}) > 1:
        raise StoreError("the store mixes synthetic and real data", file=store.root)
    return sorted(found, key=lambda r: float(r.timing["finished_at"]))


def runs_of_variant(records: Sequence[Record], sweep: SweepConfig, change: Sequence[str]) -> list[Record]:
    """Return the runs that have the settings of a variant.

    Args:
        records: What `finished_runs` returned.
        sweep: The sweep.
        change: The variant's settings.
    """
    if not records:
        return []
    settings, train = resolve_settings(records[0].method, sweep.profile, (*sweep.set, *change))
    wanted = (settings.model_dump(mode="json"), train.model_dump(mode="json"))
    return [r for r in records if (r.settings["method"], r.settings["train"]) == wanted]


def refuse_empty(found: object, store: Store, sweep_file: str) -> None:
    """Raise a StoreError where a store has no run of a sweep."""
    if not found:
        raise StoreError(
            "the store has no finished run of this sweep",
            file=store.root,
            hint=f"fer-bench sweep {sweep_file} --runs-dir {store.root}",
        )
