"""Test a trained model of this suite on labelled pictures of one's own, and store it as any evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fer_bench import datasets
from fer_bench.config import ProfileName
from fer_bench.data.crops.choice import CropChoice, crops_of_key
from fer_bench.datasets import members_of
from fer_bench.errors import FerBenchError, StoreError, UsageError
from fer_bench.files import expand_home
from fer_bench.inference.card import DeploymentCard
from fer_bench.inference.face_model import FaceModel
from fer_bench.inference.model_card import ModelCard, model_card
from fer_bench.inference.opening import KEY, find_file, open_face_model
from fer_bench.models.card import ModelCard as OutsideCard
from fer_bench.models.card import NetworkInput
from fer_bench.models.opening import OutsideModel
from fer_bench.models.preprocess import Crops, Numbers
from fer_bench.results.predictions import Predictions
from fer_bench.results.record import Record, Score
from fer_bench.results.store import RunDir, Store
from fer_bench.runs.facts import find_facts
from fer_bench.runs.further import score_further
from fer_bench.runs.outside import Prepared, evaluate_model, open_targets, prepare
from fer_bench.workspace.sources import DataRoots
from fer_bench.workspace.workspace import Announce, Workspace

COPY = "name the run, which knows on which of them it was tested: fer-bench evaluate KEY --dataset folder:DIR"


@dataclass(frozen=True)
class OwnModel:
    """A trained model of this suite.

    Attributes:
        file: Its checkpoint or export.
        model: The opened model.
        described: Its model card, which has its in-domain scores.
        record: Record of the run that trained it, None where only the card in the file is known.
        run: The run's folder in a store, None for a file on its own.
    """

    file: Path
    model: FaceModel
    described: ModelCard
    record: Record | None
    run: RunDir | None

    @property
    def card(self) -> DeploymentCard:
        """What predicting needs."""
        return self.model.card

    @property
    def crops(self) -> CropChoice:
        """How the run that trained it was told to crop faces."""
        held = {} if self.record is None else self.record.key_fields.get("crops", {})
        return crops_of_key(held)

    @property
    def training_counts(self) -> dict[str, float] | None:
        """How often each class was learned, None where nobody knows."""
        if self.file.suffix == ".onnx":
            return None
        from fer_bench.inference.checkpoint import CheckpointModel  # a checkpoint is open, so torch is there

        assert isinstance(self.model, CheckpointModel)
        method = self.model.method
        if getattr(method.settings, "balanced", False):
            return dict.fromkeys(method.task.classes, 1.0)
        return dict(zip(method.task.classes, map(float, method.task.class_counts), strict=True))


@dataclass(frozen=True)
class Outcome:
    """What a model did on one dataset.

    Attributes:
        target: The dataset.
        predictions: Its predictions.
        score: Its score.
        record: The record that holds the score: that of the run, or a row for a model of its own.
        folder: Where it is stored.
        home: Predictions on the test rows of what it was trained on, by dataset; empty where its run is not
            in a store.
        unit: What a unit is, see `Card`.
    """

    target: str
    predictions: Predictions
    score: Score
    record: Record
    folder: Path
    home: Mapping[str, Predictions]
    unit: str


def find_own(what: str, runs_dir: Path) -> Path | None:
    """Return the file of a trained model of this suite, None where the text names something else.

    Args:
        what: A checkpoint, a run's folder, how the key of a run begins, or an exported ONNX file.
        runs_dir: The run store.

    Raises:
        UsageError: The run is a model that was trained elsewhere.
        StoreError: The run has no checkpoint, or several runs have such a key.
    """
    path = expand_home(what)
    if path.suffix == ".onnx":
        return path if path.is_file() and _is_export(path) else None
    if path.suffix == ".pt" and path.is_file():
        return path
    if path.is_dir():
        run = RunDir(path)
        if not run.record_file.is_file():
            return None
    elif KEY.fullmatch(what) and runs_dir.is_dir():
        known = [one for one in Store(runs_dir).run_dirs() if one.path.name.startswith(what)]
        if not known:
            return None
        run = known[0]
    else:
        return None
    record = run.read_record()
    if record is not None and record.is_outside:
        raise UsageError(
            "this row is of a model that was trained elsewhere",
            value=what,
            hint="name its file: fer-bench evaluate MODEL --dataset DATASET",
        )
    return find_file(what, runs_dir)


def _is_export(path: Path) -> bool:
    """Return whether an ONNX file was written by `fer-bench export`; reads its bytes, not its network."""
    from fer_bench.inference.embedded import PREFIX

    return f"{PREFIX}card".encode() in path.read_bytes()


def open_own(file: Path, device: str = "cpu") -> OwnModel:
    """Open a trained model of this suite.

    Args:
        file: See `find_own`.
        device: `cpu` or `cuda`.

    Raises:
        UsageError: torch, or what ONNX files need, is missing.
        StoreError: The file cannot be read, or is of another version.
        DataError: An export was changed or damaged.
    """
    model = open_face_model(file, device)
    if file.suffix == ".onnx":
        from fer_bench.inference.onnx_model import OnnxModel

        assert isinstance(model, OnnxModel)
        return OwnModel(file, model, model.model_card, None, None)
    facts = find_facts(file, model.sha256)
    record = None if facts is None else facts.record
    run = RunDir(file.absolute().parent.parent)
    try:
        stored = run.read_record()
    except StoreError:
        stored = None
    in_store = (
        stored is not None
        and stored.status == "done"
        and stored.checkpoint == model.sha256
        and run.holds(stored)
    )
    described = model_card(model.card, record)
    if in_store:
        return OwnModel(file, model, described, stored, run)
    return OwnModel(file, model, described, record, None)


def evaluate_own(
    own: OwnModel, ready: Prepared, runs_dir: Path, *, announce: Announce | None = None
) -> list[Outcome]:
    """Test a trained model on datasets; what is stored already is not repeated.

    A run of the store `runs_dir` gets further targets, as from `run --targets`. A file on its own, a run of
    another store, and one that was trained on data of another kind or on another folder, is stored there as a
    model that was trained elsewhere. Nothing outside `runs_dir` is written.

    Args:
        own: The model.
        ready: The datasets, opened for `as_outside`.
        runs_dir: The store that is written to.
        announce: Called while data are predicted.

    Raises:
        UsageError: A file on its own that was trained on these pictures.
        DataError: A dataset is damaged, or has no row of a class that the model knows.
        StoreError: The store cannot be written, or another process works on the run.
    """
    workspace, targets = ready.workspace, ready.targets
    trained = [name for name in targets.names if _was_trained_on(own, name, workspace)]
    if trained and own.run is None:
        raise UsageError("the checkpoint was trained on these pictures", value=trained[0], hint=COPY)
    found: dict[str, Outcome] = {}
    home: Mapping[str, Predictions] = {}
    others = [name for name in targets.names if name not in trained]
    if own.run is not None and own.record is not None:
        store, record = Store(own.run.path.parents[2]), own.record
        same = (targets.kind, targets.generator) == (record.data_kind, record.generator)
        same = same and store.root.resolve() == runs_dir.resolve()  # another store is read, never written
        further = [name for name in others if same and name not in members_of(record.dataset)]
        if further:
            record = score_further(
                store, own.run, further, workspace, device=own.model.device, announce=announce
            )
        home = _home(store, record)
        for name in (*further, *trained):
            found[name] = _outcome(name, record, store, own.run.path, home, workspace)
        others = [name for name in others if name not in further]
    if others:
        store = Store(runs_dir)
        rest = replace(ready, targets=replace(targets, names=tuple(others)))
        row = evaluate_model(rest, store, announce=announce)
        folder = store.run_dir(row.method, row.dataset, row.key).path
        found |= {name: _outcome(name, row, store, folder, home, workspace) for name in others}
    return [found[name] for name in targets.names]


def evaluate_any(
    name: str,
    wanted: Sequence[str],
    roots: DataRoots,
    runs_dir: Path,
    *,
    card: str | Path | None = None,
    profile: ProfileName | None = None,
    crop: Sequence[str] = (),
    device: str = "cpu",
) -> Record:
    """Test a model of this suite, or one that was trained elsewhere, and return the record with its scores.

    Args:
        name: See `find_own` and `open_model`.
        wanted: See `find_targets`.
        roots: Where data are.
        runs_dir: The run store.
        card: Card of a model that was trained elsewhere.
        profile: See `prepare`.
        crop: See `prepare`.
        device: `cpu` or `cuda`.

    Raises:
        UsageError: See `open_model`, `find_targets` and `evaluate_own`.
        DataError: See `open_model`, `find_targets` and `evaluate_own`.
        StoreError: See `evaluate_own`.
    """
    file = None if card is not None else find_own(name, runs_dir)
    if file is None:
        described = None if card is None else str(card)
        ready = prepare(name, wanted, roots, card=described, profile=profile, crop=crop, device=device)
        return evaluate_model(ready, Store(runs_dir))
    own = open_own(file, device)
    ready = open_targets(as_outside(own), wanted, roots, profile=profile, crop=crop, usual=own.crops)
    return evaluate_own(own, ready, runs_dir)[-1].record


def outcomes_of(record: Record, store: Store, ready: Prepared) -> list[Outcome]:
    """Return what a model that was trained elsewhere did on each dataset.

    Args:
        record: Its record.
        store: Where it is.
        ready: The datasets.
    """
    folder = store.run_dir(record.method, record.dataset, record.key).path
    names = [name for name in ready.targets.names if record.score(name, record.headline) is not None]
    return [_outcome(name, record, store, folder, {}, ready.workspace) for name in names]


def _was_trained_on(own: OwnModel, name: str, workspace: Workspace) -> bool:
    """Return whether a model was trained on rows of this very data."""
    record = own.record
    if record is None or name not in members_of(record.dataset):
        return False
    known = record.targets.get(name)
    pack = workspace.pack(name, own.card.recipe.size)
    return known is not None and known.fingerprint == pack.fingerprint


def _home(store: Store, record: Record) -> dict[str, Predictions]:
    """Return a run's predictions on the test rows of what it was trained on, those that can be read."""
    found = {}
    for name in members_of(record.dataset):
        try:
            found[name] = store.predictions(record, name, record.headline)
        except FerBenchError:
            continue
    return found


def _outcome(
    name: str,
    record: Record,
    store: Store,
    folder: Path,
    home: Mapping[str, Predictions],
    workspace: Workspace,
) -> Outcome:
    score = record.score(name, record.headline)
    if score is None:
        raise StoreError(
            "the model could not be tested on this dataset", file=folder, value=record.missing.get(name, name)
        )
    return Outcome(
        target=name,
        predictions=store.predictions(record, name, record.headline),
        score=score,
        record=record,
        folder=folder,
        home=home,
        unit=workspace.source(name).dataset.card.unit,
    )


def as_outside(own: OwnModel) -> OutsideModel:
    """Return a trained model as one that was trained elsewhere: how files on their own are stored."""
    card, record = own.card, own.record
    kind = "export" if own.file.suffix == ".onnx" else "checkpoint"
    drawn = "drawn faces of " if card.data_kind == "synthetic" else ""
    seen = (
        [name for name in members_of(card.trained_on) if name in datasets.names() and name != "folder"]
        if card.data_kind == "real"
        else []
    )

    def answer(crops: Crops) -> Numbers:
        return np.asarray(own.model.answer(crops).logits, np.float32)

    described = OutsideCard(
        name=f"{card.method}-{own.model.sha256[:12]}",
        title=card.name,
        classes=tuple(card.classes),
        input=NetworkInput(size=card.recipe.size, range=(0, 255)),
        outputs="logits",
        licence="see its model card",
        source=f"fer-bench, run {card.key or 'unknown'}",
        training_data=f"{drawn}{card.trained_on}" + ("" if record is None else f" (run {record.key})"),
        exposure=dict.fromkeys(seen, "in training"),
    )
    return OutsideModel(str(own.file), kind, described, own.model.sha256, answer)
