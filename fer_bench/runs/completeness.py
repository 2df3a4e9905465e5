"""What of a run is stored: the one rule for skipping finished runs and for evaluating targets again."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median_high
from typing import Literal

from fer_bench.data.card import Card
from fer_bench.data.packs.pack import Pack
from fer_bench.datasets import members_of
from fer_bench.errors import DataError, StoreError
from fer_bench.results.predictions import read_predictions
from fer_bench.results.record import Record, TargetData
from fer_bench.results.store import RunDir, Store
from fer_bench.results.summary import Summary
from fer_bench.runs.plan import PlannedRun
from fer_bench.runs.resolve import input_spec
from fer_bench.workspace.sources import Source
from fer_bench.workspace.workspace import Workspace

State = Literal["done", "running", "resumes", "targets", "to do"]
STATES: dict[State, str] = {
    "done": "finished, with current predictions on everything asked for",
    "running": "a process is working on it",
    "resumes": "was stopped or failed, and continues after the last epoch it wrote",
    "targets": "trained already; only targets are predicted",
    "to do": "starts from nothing",
}


def is_complete(run: PlannedRun, store: Store, workspace: Workspace) -> bool:
    """Return whether a run is done and has whole, current predictions on everything it was asked for."""
    folder = run.folder(store)
    try:
        summary = folder.read_summary()
    except StoreError:
        return False
    return summary is not None and _is_done(run, summary, folder, workspace, read=True)


def _is_done(
    run: PlannedRun, stored: Record | Summary, folder: RunDir, workspace: Workspace, *, read: bool
) -> bool:
    if stored.status != "done" or still_missing(run, stored.targets, stored.missing) != stored.missing:
        return False
    return not stale_targets(run, stored, folder, workspace, read=read)


def stale_targets(
    run: PlannedRun, stored: Record | Summary, folder: RunDir, workspace: Workspace, *, read: bool = True
) -> set[str]:
    """Return which of the targets asked for lack predictions that fit the checkpoint and today's data.

    Args:
        run: The run.
        stored: Its record, or the summary of it.
        folder: Its folder.
        workspace: Datasets and packs.
        read: Read every file of predictions; otherwise those that exist are taken to be whole.
    """
    size = input_spec(run.config).size
    try:
        present: Container[str] = set(os.listdir(folder.path / "predictions"))
    except OSError:
        present = set()

    def is_stale(target: str) -> bool:
        known, file = stored.targets.get(target), folder.predictions_file(target, stored.headline)
        if known is None or file.name not in present:
            return True
        today = workspace.once(("data of", target, size), partial(_data_of, target, size, workspace))
        if today is None or deciding(known) != today:
            return True
        try:
            return read and read_predictions(file).meta.checkpoint != stored.checkpoint
        except StoreError:
            return True

    return {target for target in (*members_of(run.config.dataset), *run.config.targets) if is_stale(target)}


def _data_of(target: str, size: int, workspace: Workspace) -> tuple[str, str, str, int] | None:
    """Return what predictions on a target must have been made on; None where it cannot be used today."""
    try:
        dataset, pack = workspace.source(target).dataset, workspace.pack(target, size)
    except DataError:  # the sweep will say which data cannot be used
        return None
    return deciding_today(dataset.card, pack)


def deciding_today(card: Card, pack: Pack) -> tuple[str, str, str, int]:
    """Return what predictions on today's data are made on, as `deciding` returns it of stored ones."""
    return pack.fingerprint, pack.pixel_hash, pack.recipe.text, card.version


def has_current(stored: Record, run: RunDir, name: str, source: Source, pack: Pack) -> bool:
    """Return whether predictions on today's data of a target are stored.

    Args:
        stored: A record.
        run: Its folder.
        name: The target.
        source: Its dataset.
        pack: Its crops.
    """
    known = stored.targets.get(name)
    if known is None or deciding(known) != deciding_today(source.dataset.card, pack):
        return False
    try:
        return read_predictions(run.predictions_file(name, stored.headline)).meta.key == stored.key
    except StoreError:
        return False


def deciding(known: TargetData) -> tuple[str, str, str, int]:
    """Return what makes stored predictions stale where it changes."""
    return known.fingerprint, known.pixels, known.recipe, known.card_version


def still_missing(run: PlannedRun, evaluated: Iterable[str], missing: Mapping[str, str]) -> dict[str, str]:
    """Return the absent targets: those known before and those met now, less those evaluated or found now.

    Args:
        run: The run.
        evaluated: Targets that have been evaluated.
        missing: Targets known to be absent, with the reason.
    """
    there = {*evaluated, *run.config.targets}
    known = {**missing, **run.missing}
    return {target: known[target] for target in sorted(known) if target not in there}


@dataclass(frozen=True)
class PlannedState:
    """A planned run beside the store.

    Attributes:
        run: The run.
        state: What is left of it, see `STATES`.
        seconds: About how long that takes; None where nothing tells.
        basis: What tells it: earlier `records` of runs like it, or the `rates` that come with the package.
    """

    run: PlannedRun
    state: State
    seconds: float | None
    basis: Literal["records", "rates"] | None = None


def match(planned: Sequence[PlannedRun], store: Store, workspace: Workspace) -> list[PlannedState]:
    """Return each run with what is left of it, in the same order.

    Stored predictions are taken to be whole here; `is_complete` reads them.

    Args:
        planned: The runs.
        store: The store.
        workspace: Datasets and packs.
    """
    known = store.summaries()
    rates = Rates(known.values())
    found: list[PlannedState] = []
    for run in planned:
        state = _state(run, known.get(run.key), run.folder(store), workspace)
        found.append(_timed(run, state, rates, workspace))
    return found


def _timed(run: PlannedRun, state: State, rates: Rates, workspace: Workspace) -> PlannedState:
    if state == "done":
        return PlannedState(run, state, 0.0)
    if (seconds := rates.seconds(run, state)) is not None:
        return PlannedState(run, state, seconds, "records")
    from fer_bench.runs.rates import seconds_of  # it needs torch, which what is scored here may do without

    if (parts := seconds_of(run.config, workspace)) is None:
        return PlannedState(run, state, None)
    training, rest = parts
    return PlannedState(run, state, rest if state == "targets" else training + rest, "rates")


def _state(run: PlannedRun, summary: Summary | None, folder: RunDir, workspace: Workspace) -> State:
    if summary is None:
        return "to do"
    if summary.status == "done":
        return "done" if _is_done(run, summary, folder, workspace, read=False) else "targets"
    if summary.status == "running" and not folder.lock().is_stale():
        return "running"
    return "resumes" if (folder.checkpoints / "last.ckpt").exists() else "to do"


class Rates:
    """How long epochs and predictions took in earlier runs.

    Args:
        known: Summaries of earlier runs.
    """

    def __init__(self, known: Iterable[Summary]) -> None:
        epochs: dict[tuple[str, ...], list[float]] = defaultdict(list)
        rest: dict[tuple[str, ...], list[float]] = defaultdict(list)
        for run in known:
            if run.status == "done" and (train := run.timing.get("train", 0.0)) > 0:
                for name in _alike(run.method, run.dataset, run.profile, run.device):
                    epochs[name].append(train / run.max_epochs)
                    rest[name].append(run.timing.get("evaluate", 0.0))
        self._seconds = {name: (median_high(epochs[name]), median_high(rest[name])) for name in epochs}

    def seconds(self, run: PlannedRun, state: State) -> float | None:
        """Return about how many seconds a run takes.

        The median of earlier runs of the same method, dataset, profile and kind of device counts, else that
        of the same method on other datasets.
        """
        config = run.config
        for name in _alike(config.method, config.dataset, config.profile, config.device):
            if name in self._seconds:
                epoch, rest = self._seconds[name]
                return rest + (0.0 if state == "targets" else epoch * config.train.max_epochs)
        return None


def _alike(method: str, dataset: str, profile: str, device: str) -> tuple[tuple[str, ...], ...]:
    """Return the groups of runs that tell how long a run takes, the closest first."""
    return (method, dataset, profile, device), (method, profile, device)
