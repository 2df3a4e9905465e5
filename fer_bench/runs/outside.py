"""Models that were trained elsewhere: predictions on every target, and their record in the store."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fer_bench import datasets, methods
from fer_bench.config import ProfileName
from fer_bench.data.crops.choice import CropChoice, Faces, read_crops
from fer_bench.data.crops.detectors import Detector
from fer_bench.data.packs.pack import Pack
from fer_bench.data.protocols import evaluation_rows
from fer_bench.errors import DataError, UsageError
from fer_bench.evaluation.class_order import other_order
from fer_bench.files import short_hash
from fer_bench.models.opening import OutsideModel, open_model
from fer_bench.results.predictions import write_predictions
from fer_bench.results.record import OUTSIDE, Chosen, Record, Selection, TargetData
from fer_bench.results.store import Store
from fer_bench.runs import environment
from fer_bench.runs.assessment import Evaluation, answers_frame, assess
from fer_bench.runs.completeness import has_current
from fer_bench.runs.records import picture_notes
from fer_bench.runs.resolve import default_profile
from fer_bench.runs.supervision import claimed
from fer_bench.workspace.sources import DataKind, DataRoots, Source, available
from fer_bench.workspace.workspace import Announce, Workspace

SELECTION: Selection = "last"
"""Which checkpoint an outside model is: the only one there is."""
AT_ONCE = 256


@dataclass(frozen=True)
class Targets:
    """The datasets that a model is tested on.

    Attributes:
        names: Those that are there, of one kind and drawing.
        missing: Why the others are not.
        kind: `real` or `synthetic`.
        generator: What drew them, None for real data.
    """

    names: tuple[str, ...]
    missing: dict[str, str]
    kind: DataKind
    generator: dict[str, Any] | None


@dataclass(frozen=True)
class Prepared:
    """Everything that a test of an outside model needs.

    Attributes:
        model: The opened model.
        targets: The datasets.
        workspace: Datasets and packs, with the crops that the model is given.
        profile: Whose protocols decide the rows of lab datasets.
    """

    model: OutsideModel
    targets: Targets
    workspace: Workspace
    profile: ProfileName


def prepare(
    name: str,
    wanted: Sequence[str],
    roots: DataRoots,
    *,
    card: str | None = None,
    profile: ProfileName | None = None,
    crop: Sequence[str] = (),
    faces: Faces | None = None,
    detector: Detector | None = None,
    leave_out: Mapping[str, Sequence[str]] | None = None,
    device: str = "cpu",
    announce: Announce | None = None,
) -> Prepared:
    """Open a model and the datasets that it is to be tested on.

    Args:
        name: See `open_model`.
        wanted: See `find_targets`.
        roots: Where data are.
        card: See `open_model`.
        profile: By default `quick` on synthetic data and `paper` on real data.
        crop: Crops instead of those of the card, as on the command line.
        faces: See `CropChoice`.
        detector: See `CropChoice`.
        leave_out: Sample ids or paths to leave out, per dataset.
        device: `cpu` or `cuda`.
        announce: Called while data are prepared.

    Raises:
        UsageError: See `open_model` and `find_targets`; or an unknown crop.
        DataError: See `open_model` and `find_targets`.
    """
    model = open_model(name, card=card, device=device)
    return open_targets(
        model,
        wanted,
        roots,
        profile=profile,
        crop=crop,
        faces=faces,
        detector=detector,
        leave_out=leave_out,
        announce=announce,
    )


def open_targets(
    model: OutsideModel,
    wanted: Sequence[str],
    roots: DataRoots,
    *,
    profile: ProfileName | None = None,
    crop: Sequence[str] = (),
    faces: Faces | None = None,
    detector: Detector | None = None,
    leave_out: Mapping[str, Sequence[str]] | None = None,
    announce: Announce | None = None,
    usual: CropChoice | None = None,
) -> Prepared:
    """Open the datasets that an opened model is to be tested on.

    Args:
        model: The model.
        wanted: See `find_targets`.
        roots: Where data are.
        profile: See `prepare`.
        crop: See `prepare`.
        faces: See `prepare`.
        detector: See `prepare`.
        leave_out: See `prepare`.
        announce: See `prepare`.
        usual: The crops of the model, which each option replaces; by default those of its card.

    Raises:
        UsageError, DataError: See `find_targets`; or an unknown crop.
    """
    usual = model.card.crops if usual is None else usual
    given = read_crops(crop, faces, datasets.names(), detector)
    crops = CropChoice(
        wishes=given.wishes or usual.wishes,
        faces=given.faces or usual.faces,
        detector=given.detector or usual.detector,
    )
    workspace = Workspace(roots, leave_out=leave_out, crops=crops, announce=announce)
    targets = find_targets(wanted, workspace)
    return Prepared(model, targets, workspace, profile or default_profile(targets.kind))


def find_targets(wanted: Sequence[str], workspace: Workspace) -> Targets:
    """Open the datasets that a model is to be tested on.

    Args:
        wanted: Names, or `all` for the seven of the leaderboard, of which absent ones are left out.
        workspace: The datasets.

    Raises:
        UsageError: Unknown dataset, or a union.
        DataError: A named dataset is absent or damaged, or of another kind or drawing than the first.
    """
    every = tuple(wanted) == ("all",)
    names = datasets.MAIN_SEVEN if every else tuple(dict.fromkeys(wanted))
    for name in names:
        if len(datasets.members_of(name)) > 1:
            hint = " ".join(f"--dataset {member}" for member in datasets.members_of(name))
            raise UsageError("a union is trained on; models are tested on datasets", value=name, hint=hint)
        datasets.get(name)
    found, missing = available(names, workspace.roots) if every else (list(names), {})
    opened: dict[str, Source] = {}
    for name in found:
        try:
            source = workspace.source(name)
            first = next(iter(opened.values()), source)
            if (source.kind, source.generator) != (first.kind, first.generator):
                problem = (
                    f"{name} is of another kind or drawing than {next(iter(opened))}, and they never mix"
                )
                raise DataError(problem, file=source.dataset.base)
        except DataError as error:
            if not every:
                raise
            missing[name] = f"cannot be used: {error.message}"
        else:
            opened[name] = source
    if not opened:
        origin = workspace.roots.origin
        raise DataError(f"none of the datasets was found ({origin})", hint="fer-bench doctor")
    first = next(iter(opened.values()))
    return Targets(tuple(opened), missing, first.kind, first.generator)


def evaluate_model(ready: Prepared, store: Store, *, announce: Announce | None = None) -> Record:
    """Test a model on every target and store predictions and record; what is stored already stays.

    Nothing is written unless the model's answers on all targets are what its card says.

    Args:
        ready: The model and the datasets.
        store: Where the record goes.
        announce: Called with a label, rows done and total rows.

    Raises:
        UsageError: The card has the name of a method.
        DataError: The model cannot be computed, its answers are not what its card says, or a target has no
            row of a class that it knows.
        StoreError: The store cannot be written, or another process works on the same model.
    """
    started = time.perf_counter()
    model, targets, workspace, profile = ready.model, ready.targets, ready.workspace, ready.profile
    card = model.card
    refuse_method_name(card.name, "the model card")
    fields = {
        "outside": {"kind": model.kind, "weights": model.sha256},
        "card": card.model_dump(mode="json", include={"name", "classes", "input", "outputs", "output"}),
        "profile": profile,
        "generator": targets.generator,
        "data_kind": targets.kind,
        **({"crops": workspace.crops.key} if workspace.crops.key else {}),
    }
    key = short_hash(fields)
    run = store.run_dir(card.name, OUTSIDE, key)
    stored = run.read_record()
    done: list[Evaluation] = []
    missing = dict(targets.missing)

    def finish() -> Record:
        every = tuple(dict.fromkeys((*(stored.targets if stored else ()), *targets.names)))
        record = Record(
            status="done",
            key=key,
            method=card.name,
            dataset=OUTSIDE,
            protocol=f"{len(card.labels)}-class",
            fold=1,
            folds=1,
            seed=0,
            profile=profile,
            data_kind=targets.kind,
            generator=targets.generator,
            classes=card.labels,
            settings={"model": model.name, "kind": model.kind, "card": card.model_dump(mode="json")},
            key_fields=fields,
            selection={SELECTION: Chosen(epoch=0, val_uar=None, checkpoint=model.sha256)},
            missing=missing,
            excluded=workspace.excluded(every),
            class_map=workspace.class_map(every),
            environment=environment.describe_without_torch(),
            timing={"evaluate": round(time.perf_counter() - started, 3)},
            training_data=card.training(every),
        )
        tested = [one.predictions.meta.target for one in done]
        return keep(record, done, {name: workspace.source(name).dataset.index for name in tested}, store)

    try:
        for name in targets.names:
            try:
                source, pack = workspace.source(name), workspace.pack(name, card.input.size)
            except DataError as error:
                if len(targets.names) == 1:
                    raise
                missing[name] = f"cannot be used: {error.message}"
                continue
            if stored is not None and has_current(stored, run, name, source, pack):
                continue
            protocol, rows = evaluation_rows(
                source.dataset.index, source.dataset.card, None, quick=profile == "quick"
            )
            frame = answers_frame(
                source.dataset, rows, card.labels, _predict(model, pack, rows, name, announce)
            )
            try:
                evaluation = assess(
                    frame,
                    source.dataset,
                    pack,
                    rows,
                    key=key,
                    method=card.name,
                    trained_on=OUTSIDE,
                    target=name,
                    protocol=protocol.name,
                    selection=SELECTION,
                    checkpoint=model.sha256,
                    classes=card.labels,
                )
            except DataError as error:  # it knows no class of this target
                if len(targets.names) == 1:
                    raise
                missing[name] = error.message
            else:
                done.append(evaluation)
    except KeyboardInterrupt:  # what is tested stays tested; a model whose answers are wrong leaves nothing
        if done:
            finish()
        raise
    return finish()


def _predict(
    model: OutsideModel, pack: Pack, rows: NDArray[np.int64], name: str, announce: Announce | None
) -> NDArray[np.float32]:
    """Return the logits of all rows."""
    answers = []
    for start in range(0, len(rows), AT_ONCE):
        answers.append(model.answer(np.asarray(pack.pixels[rows[start : start + AT_ONCE]])))
        if announce is not None:
            announce(f"testing on {name}", min(start + AT_ONCE, len(rows)), len(rows))
    return model.logits(np.concatenate(answers))


def refuse_method_name(name: str, what: str) -> None:
    """Refuse a model with the name of a method, with whose runs a board would mix it.

    Raises:
        UsageError: A method has this name.
    """
    if name in methods.known():
        raise UsageError(f"{what} has the name of a method", value=name, hint="give it another name")


def keep(
    record: Record, done: Sequence[Evaluation], indexes: Mapping[str, pd.DataFrame], store: Store
) -> Record:
    """Store predictions of a model that was trained elsewhere, added to those stored of it before.

    This is how outside models and submissions get onto the board.

    Args:
        record: What the model is, without scores.
        done: What it did on targets.
        indexes: Index of each of these targets.
        store: The store.

    Returns:
        The record as it is stored.

    Raises:
        StoreError: The store cannot be written, or another process works on the same model.
    """
    store.check_writable()
    run = store.run_dir(record.method, record.dataset, record.key)
    run.path.mkdir(parents=True, exist_ok=True)
    with claimed(run, "model"):
        before = run.read_record()
        for one in done:
            target = one.predictions.meta.target
            write_predictions(run.predictions_file(target, record.headline), one.predictions)
            store.keep_index(one.data.fingerprint, indexes[target])
        merged = _merged(record, before, done)
        run.write_record(merged)
        return merged


def _merged(record: Record, before: Record | None, done: Sequence[Evaluation]) -> Record:
    """Return a record with the scores of earlier and new targets, and what a reader of them should know."""
    scores = {score.target: score for score in (before.scores if before else ())}
    data: dict[str, TargetData] = dict(before.targets) if before else {}
    warnings = [text for text in (before.warnings if before else ()) if not _is_of(text, done)]
    for one in done:
        target = one.predictions.meta.target
        assert one.score is not None
        scores[target], data[target] = one.score, one.data
        if (order := other_order(one.predictions)) is not None:
            warnings.append(f"{target}: {order.text}")
    warnings += picture_notes({one.predictions.meta.target: one.data for one in done})
    asked = {**(before.missing if before else {}), **record.missing}
    timing = {**record.timing, "finished_at": round(time.time(), 3)}
    return record.model_copy(
        update={
            "scores": tuple(scores[name] for name in sorted(scores)),
            "targets": dict(sorted(data.items())),
            "missing": {name: asked[name] for name in sorted(asked) if name not in data},
            "warnings": tuple(warnings),
            "timing": timing if done or before is None else before.timing,
        }
    )


def _is_of(warning: str, done: Sequence[Evaluation]) -> bool:
    return any(warning.startswith(f"{one.predictions.meta.target}: ") for one in done)
