"""Runs that start from the checkpoint of another run: its settings, and what is known about its weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from fer_bench import methods
from fer_bench.config import MethodSettings, RunConfig, StartFrom, TrainSettings, apply_overrides
from fer_bench.datasets import members_of
from fer_bench.errors import StoreError, UsageError
from fer_bench.files import expand_home, spelled
from fer_bench.methods.faults import faults_named
from fer_bench.results.record import OUTSIDE, START, Exposure, Record, TrainingData
from fer_bench.runs.facts import find_facts

if TYPE_CHECKING:
    from fer_bench.methods.base import Method

GENTLER = 0.1
"""The learning rate of a run that starts from a checkpoint, as a share of that which made the checkpoint."""
RATE = "lr"
"""The setting that is the learning rate, where a method has one."""


@dataclass(frozen=True)
class Start:
    """A checkpoint that runs can start from.

    Attributes:
        file: The checkpoint.
        weights: SHA-256 of its weights.
        method: Name of its method.
        classes: Its ordered classes.
        settings: Settings of its method.
        train: Training settings that made it.
        record: Record of the run that made it, None where that is unknown.
    """

    file: Path
    weights: str
    method: str
    classes: tuple[str, ...]
    settings: MethodSettings
    train: TrainSettings
    record: Record | None

    @property
    def text(self) -> str:
        """What the weights are, in words."""
        return f"{self.method} trained on {self.trained_on}"

    @property
    def trained_on(self) -> str:
        """What the weights were trained on, in words."""
        if self.record is None:
            return "unknown data"
        drawn = "drawn faces of " if self.record.data_kind == "synthetic" else ""
        return f"{drawn}{self.record.dataset} (run {self.record.key})"

    @property
    def source(self) -> str:
        """The dataset or union that the weights were trained on, `outside` where that is unknown."""
        return OUTSIDE if self.record is None else self.record.dataset


def open_start(file: str | Path) -> Start:
    """Read a checkpoint that a run is to start from.

    Args:
        file: Its path.

    Raises:
        StoreError: It is absent, unreadable, or not a checkpoint of this suite.
    """
    path = expand_home(file).absolute()
    try:
        changed = path.stat().st_mtime_ns
    except OSError:
        raise StoreError("there is no such checkpoint", file=path) from None
    return _open_start(path, changed)


@lru_cache(maxsize=8)
def _open_start(path: Path, changed: int) -> Start:
    from fer_bench.methods.weights import state_hash
    from fer_bench.runs.training.checkpoints import load_weights

    method: Method = load_weights(path)
    weights = state_hash(method.state_dict())
    facts = find_facts(path, weights)
    return Start(
        file=path,
        weights=weights,
        method=method.name,
        classes=method.task.classes,
        settings=method.settings,
        train=method.train_settings,
        record=None if facts is None else facts.record,
    )


def start_settings(start: Start, changes: Sequence[str] = ()) -> tuple[MethodSettings, TrainSettings]:
    """Return the settings of a run that starts from a checkpoint: the checkpoint's, then overrides.

    The learning rate is a tenth of what made the checkpoint, unless an override names it.

    Args:
        start: The checkpoint.
        changes: Overrides, as on the command line.

    Raises:
        UsageError: Unknown setting, or a value out of range.
    """
    kind = methods.get(start.method)
    with faults_named(start.method):
        settings, train = apply_overrides(changes, method=_gentle(start), train=start.train)
        return settings, kind.resolve_train(settings, train)


def _gentle(start: Start) -> MethodSettings:
    rate = getattr(start.settings, RATE, None)
    if not isinstance(rate, float):
        return start.settings
    return start.settings.model_copy(update={RATE: float(f"{rate * GENTLER:.6g}")})


def start_changes(start: Start, config: RunConfig) -> dict[str, str]:
    """Return what names a run that starts from a checkpoint: the weights, and settings that are not theirs.

    Args:
        start: The checkpoint.
        config: Settings of the run.
    """
    usual = spelled({**start.settings.model_dump(mode="json"), "train": start.train.model_dump(mode="json")})
    own = spelled({**config.method_settings, "train": config.train.model_dump(mode="json")})
    changed = {name: text for name, text in own.items() if usual.get(name) != text}
    return {"init": start.weights[:8], **changed}


def start_of(config: RunConfig) -> Start | None:
    """Return the checkpoint that a run starts from, None where it starts from none.

    Raises:
        StoreError: It is absent or unreadable.
        UsageError: It holds other weights than when the run was planned.
    """
    if config.init is None:
        return None
    found = open_start(config.init.file)
    if found.weights != config.init.weights:
        raise UsageError(
            "the checkpoint to start from holds other weights than when the run was planned",
            file=found.file,
            value=found.weights,
        )
    return found


def start_field(start: Start) -> StartFrom:
    """Return a checkpoint as the settings of a run hold it."""
    return StartFrom(file=str(start.file), weights=start.weights)


def start_key(start: Start) -> dict[str, object]:
    """Return what of a checkpoint decides the weights that a run starts from."""
    return {"weights": start.weights, "classes": list(start.classes)}


def start_exposure(start: Start, kind: str, fingerprint: str) -> dict[str, TrainingData]:
    """Return what weights were trained on that a run starts from, and what these had started from.

    Args:
        start: The checkpoint.
        kind: Whether the run's faces are `real` or `synthetic`: drawn faces stand for no photographs.
        fingerprint: Of the run's data: another folder of pictures has the same name.
    """
    record = start.record
    if record is None:
        return {START: TrainingData(text=start.text)}
    seen = members_of(record.dataset) if record.data_kind == kind else ()
    other_folder = record.key_fields.get("fingerprint") != fingerprint
    exposure: dict[str, Exposure] = {
        name: "in training" for name in seen if not (name == "folder" and other_folder)
    }
    earlier = {f"{START}'s {part}": data for part, data in record.pretrained.items()}
    return {START: TrainingData(text=start.text, exposure=exposure, source=record.key), **earlier}


def start_warnings(start: Start, config: RunConfig, kind: str, fingerprint: str) -> tuple[str, ...]:
    """Return what a reader of a run should know about the checkpoint that it starts from.

    Args:
        start: The checkpoint.
        config: Settings of the run.
        kind: See `start_exposure`.
        fingerprint: See `start_exposure`.
    """
    found = [f"it starts from weights of {start.text}"]
    record = start.record
    if record is None:
        return (*found, "if these saw the test rows, its scores measure faces that were trained on")
    if record.data_kind != kind:
        found.append(f"these weights saw {record.data_kind} faces, and the run is on {kind} ones")
    seen = start_exposure(start, kind, fingerprint)[START].exposure
    again = [name for name in members_of(config.dataset) if name in seen]
    same = (record.dataset, record.protocol, record.fold) == (config.dataset, config.protocol, config.fold)
    if again and not (same and record.key_fields.get("fingerprint") == fingerprint):
        found.append(
            f"these weights were trained on other rows of {', '.join(again)}, which may be test rows here: "
            "then scores measure faces that were trained on"
        )
    return tuple(found)
