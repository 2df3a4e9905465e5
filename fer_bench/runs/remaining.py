"""What a sweep still has to do: planned runs beside what a store holds, and how long the rest takes."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from pydantic_core import from_json

from fer_bench import methods
from fer_bench.config import InputSpec, build
from fer_bench.datasets import members_of
from fer_bench.errors import DataError
from fer_bench.results.store import RunDir, Store
from fer_bench.runs.keys import recipe_text
from fer_bench.runs.plan import PlannedRun
from fer_bench.workspace.workspace import Workspace

State = Literal["done", "running", "resumes", "targets", "to do"]
STATES: dict[State, str] = {
    "done": "finished, with current predictions on everything asked for",
    "running": "a process works on it now",
    "resumes": "was stopped or failed, and goes on at its last whole epoch",
    "targets": "trained already; only targets are predicted",
    "to do": "starts from nothing",
}


@dataclass(frozen=True)
class Summary:
    """What planning needs of a record.

    Attributes:
        status: How far the run came.
        group: Method, dataset, profile and device, which decide how long an epoch takes.
        epochs: Most epochs it trains.
        train: Seconds of training, 0 where unknown.
        evaluate: Seconds of predicting, 0 where unknown.
        targets: Fingerprint, pixels, recipe and card version per target.
        headline: The selection that all targets have.
        missing: Targets it could not have.
    """

    status: str
    group: tuple[str, str, str, str]
    epochs: int
    train: float
    evaluate: float
    targets: dict[str, tuple[str, str, str, int]]
    headline: str
    missing: tuple[str, ...]


@dataclass(frozen=True)
class Planned:
    """A planned run beside the store.

    Attributes:
        run: The run.
        state: What is left to do.
        seconds: About how long that takes, None without an earlier record like it.
    """

    run: PlannedRun
    state: State
    seconds: float | None


def summaries(store: Store) -> dict[str, Summary]:
    """Return what planning needs of every record of a store, by key; unreadable records are left out."""
    found: dict[str, Summary] = {}
    shared: dict[Any, Any] = {}
    for run in store.run_dirs():
        try:
            raw = from_json(_without(run.record_file.read_bytes(), "scores", "key_fields", "error"))
            found[raw["key"]] = _summary(raw, shared)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
    return found


def _without(record: bytes, *fields: str) -> bytes:
    """Return the JSON of a record without some of its fields, which are most of it.

    Records are written with an indent of two, so that only the fields of the record itself begin there; a
    record that is laid out in another way stays as it is.
    """
    for name in fields:
        start = record.find(f'\n  "{name}": '.encode())
        end = record.find(b'\n  "', start + 1)
        if start >= 0 and end >= 0:
            record = record[:start] + record[end:]
    return record


def _summary(raw: Mapping[str, Any], shared: dict[Any, Any]) -> Summary:
    def once(value: Any) -> Any:
        return shared.setdefault(value, value)

    settings, timing = raw["settings"], raw.get("timing", {})
    group = (raw["method"], raw["dataset"], raw["profile"], settings.get("device", "cpu"))
    targets = {
        once(name): once((t["fingerprint"], t["pixels"], t["recipe"], t["card_version"]))
        for name, t in raw.get("targets", {}).items()
    }
    selection = raw.get("selection", {})
    return Summary(
        status=once(raw["status"]),
        group=once(group),
        epochs=int(settings.get("train", {}).get("max_epochs", 1)),
        train=float(timing.get("train", 0.0)),
        evaluate=float(timing.get("evaluate", 0.0)),
        targets=targets,
        headline="val" if "val" in selection or not selection else "last",
        missing=once(tuple(sorted(raw.get("missing", {})))),
    )


def match(
    planned: Sequence[PlannedRun], known: Mapping[str, Summary], store: Store, workspace: Workspace
) -> list[Planned]:
    """Return each run with what is left of it, in the same order.

    Predictions are believed to be whole here; `is_complete` reads them.

    Args:
        planned: The runs.
        known: What the store holds, see `summaries`.
        store: The store.
        workspace: Datasets and packs, for what predictions must fit today.
    """
    rates = Rates(known.values())
    found: list[Planned] = []
    for run in planned:
        summary = known.get(run.key)
        folder = store.run_dir(run.config.method, run.config.dataset, run.key)
        state: State
        if summary is None:
            state = "to do"
        elif summary.status == "done":
            state = "done" if _is_current(run, summary, folder, workspace) else "targets"
        elif summary.status == "running" and not folder.lock().is_stale():
            state = "running"
        else:
            state = "resumes" if (folder.checkpoints / "last.ckpt").exists() else "to do"
        found.append(Planned(run, state, 0.0 if state == "done" else rates.seconds(run, state)))
    return found


def _is_current(run: PlannedRun, summary: Summary, folder: RunDir, workspace: Workspace) -> bool:
    wanted = (*members_of(run.config.dataset), *run.config.targets)
    if any(name in summary.missing for name in wanted):
        return False
    spec = workspace.once(("spec", run.config.method, str(run.config.method_settings)), lambda: _spec(run))
    try:
        there = set(os.listdir(folder.path / "predictions"))
    except OSError:
        return False
    for target in wanted:
        has = summary.targets.get(target)
        if has is None or folder.predictions_file(target, summary.headline).name not in there:
            return False
        try:
            now = workspace.once(("current", target, spec.size), partial(_current, target, spec, workspace))
        except DataError:  # the sweep will say which data cannot be used
            return False
        if has != now:
            return False
    return True


def _spec(run: PlannedRun) -> InputSpec:
    kind = methods.get(run.config.method)
    return kind.input_spec(build(kind.settings_type, run.config.method_settings, "settings"))


def _current(target: str, spec: InputSpec, workspace: Workspace) -> tuple[str, str, str, int]:
    source, pack = workspace.source(target), workspace.pack(target, spec.size)
    return pack.fingerprint, pack.pixel_hash, recipe_text(source, spec), source.dataset.card.version


class Rates:
    """How long epochs and predictions took in earlier runs.

    Args:
        known: Earlier runs.
    """

    def __init__(self, known: Iterable[Summary]) -> None:
        self._epoch: dict[tuple[str, ...], list[float]] = defaultdict(list)
        self._rest: dict[tuple[str, ...], list[float]] = defaultdict(list)
        for summary in known:
            if summary.status == "done" and summary.train > 0:
                method, dataset, profile, device = summary.group
                for name in ((method, dataset, profile, device), (method, profile, device)):
                    self._epoch[name].append(summary.train / summary.epochs)
                    self._rest[name].append(summary.evaluate)
        self._mean = {name: _middle(values) for name, values in self._epoch.items()}
        self._mean_rest = {name: _middle(values) for name, values in self._rest.items()}

    def seconds(self, run: PlannedRun, state: State) -> float | None:
        """Return about how many seconds a run takes.

        The median of earlier runs of the same method, dataset, profile and kind of device counts; of the same
        method elsewhere where there is none.
        """
        config = run.config
        for name in (
            (config.method, config.dataset, config.profile, config.device),
            (config.method, config.profile, config.device),
        ):
            if name in self._mean:
                training = 0.0 if state == "targets" else self._mean[name] * config.train.max_epochs
                return training + self._mean_rest[name]
        return None


def _middle(values: list[float]) -> float:
    ordered = sorted(values)
    return ordered[len(ordered) // 2]
