"""The runs of a store as a list: what each varies, how it ended and what it scored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fer_bench.config import parse_override
from fer_bench.datasets import members_of
from fer_bench.errors import StoreError, UsageError, nearest
from fer_bench.files import canonical, spelled
from fer_bench.results.record import Record, method_with
from fer_bench.results.store import RunDir, Store


def state_of(run: RunDir, record: Record) -> str:
    """Return the status of a run; `lost` where its process is gone."""
    return "lost" if record.status == "running" and run.lock().is_stale() else str(record.status)


@dataclass(frozen=True)
class ListedRun:
    """A run of a store.

    Attributes:
        run: Its folder.
        record: Its record.
        state: Its status; `lost` where its process is gone.
        settings: All settings, by the name that a grid gives them.
        varied: Settings that differ from the profile's, or among the store's runs of its method and profile.
    """

    run: RunDir
    record: Record
    state: str
    settings: Mapping[str, str]
    varied: Mapping[str, str]

    @property
    def method(self) -> str:
        """The method with what varies, as a grid is written."""
        return method_with(self.record.method, self.varied)

    @property
    def uar(self) -> float | None:
        """UAR on the source in [0, 1]; of a union the mean over its members; None before it is scored."""
        record = self.record
        found = [record.score(name, record.headline) for name in members_of(record.dataset)]
        return float(np.mean([s.uar for s in found if s is not None])) if all(found) else None

    @property
    def transfer(self) -> tuple[float, int] | None:
        """Mean transfer score over the other datasets it was tested on, and how many they are."""
        own, headline = members_of(self.record.dataset), self.record.headline
        scores = [s for s in self.record.scores if s.target not in own and s.selection == headline]
        known = [value for s in scores if (value := s.metrics.get("transfer")) is not None]
        return (float(np.mean(known)), len(known)) if known else None

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(file.stat().st_size for file in self.run.path.rglob("*") if file.is_file())

    def document(self) -> dict[str, Any]:
        """Return the run as a JSON document."""
        r = self.record
        scores = {f"{s.target}@{s.selection}": s.metrics for s in r.scores}
        fields = ("key", "method", "dataset", "protocol", "fold", "folds", "seed", "profile", "data_kind")
        return {
            **{name: getattr(r, name) for name in fields},
            "status": self.state,
            "varied": dict(self.varied),
            "uar": self.uar,
            "scores": scores,
            "subsets": {f"{s.score.target}:{s.name}": s.score.metrics for s in r.subsets},
            "error": None if r.error is None else r.error.reason,
            "path": str(self.run.path),
        }


def list_runs(
    store: Store,
    *,
    method: Sequence[str] = (),
    dataset: Sequence[str] = (),
    status: Sequence[str] = (),
    profile: str | None = None,
    settings: Sequence[str] = (),
) -> tuple[list[ListedRun], list[StoreError]]:
    """Return the runs of a store that meet all conditions, and an error per damaged record.

    Args:
        store: The store.
        method: Methods, none for all.
        dataset: Sources, none for all.
        status: States, none for all.
        profile: Profile.
        settings: Settings with their value, such as `lr=1e-3` or `train.batch_size=16`.

    Raises:
        UsageError: A condition that no run of the store can meet: an unknown name, state or setting.
    """
    found, problems = _all(store)
    for what, wanted, known in (
        ("method", method, {one.record.method for one in found}),
        ("dataset", dataset, {one.record.dataset for one in found}),
        ("status", status, {one.state for one in found}),
        ("profile", [profile] if profile else [], {one.record.profile for one in found}),
    ):
        for name in wanted:
            if name not in known:
                raise UsageError(
                    f"no run of the store has this {what}", value=name, hint=nearest(name, known)
                )
    conditions = [_condition(text, found) for text in settings]
    chosen = [
        one
        for one in found
        if (not method or one.record.method in method)
        and (not dataset or one.record.dataset in dataset)
        and (not status or one.state in status)
        and (profile is None or one.record.profile == profile)
        and all(condition(one) for condition in conditions)
    ]
    return chosen, problems


def _all(store: Store) -> tuple[list[ListedRun], list[StoreError]]:
    records, problems = store.scan()
    settings = {record.key: _settings(record) for record in records}
    values: dict[tuple[str, str], dict[str, set[str]]] = {}
    for record in records:
        seen = values.setdefault((record.method, record.profile), {})
        for name, text in settings[record.key].items():
            seen.setdefault(name, set()).add(text)
    found = []
    for record in records:
        own, seen = settings[record.key], values[record.method, record.profile]
        differ = {name: text for name, text in own.items() if len(seen[name]) > 1}
        run = store.run_dir(record.method, record.dataset, record.key)
        varied = dict(sorted({**record.varied, **differ}.items()))
        found.append(ListedRun(run, record, state_of(run, record), own, varied))
    return found, problems


def _settings(record: Record) -> dict[str, str]:
    """Return a run's settings by the name that a grid gives them."""
    stored = record.settings
    return spelled({**stored.get("method", {}), "train": stored.get("train", {})})


def _condition(text: str, runs: Iterable[ListedRun]) -> Callable[[ListedRun], bool]:
    path, value = parse_override(text)
    name = ".".join(path).removeprefix("method.")
    known = {each for one in runs for each in one.settings}
    if name not in known:
        raise UsageError("no run of the store has this setting", value=text, hint=nearest(name, known))
    wanted = value if isinstance(value, str) else canonical(value)

    def meets(one: ListedRun) -> bool:
        own = one.settings.get(name)
        if own is None or own == wanted:
            return own is not None
        try:
            return float(own) == float(wanted)  # 1 and 1.0
        except ValueError:
            return False

    return meets
