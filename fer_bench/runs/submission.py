"""Predictions made elsewhere: checked row by row against the protocol, then scored like those of a run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fer_bench import datasets
from fer_bench.config import ProfileName
from fer_bench.data.card import Protocol
from fer_bench.data.index import fingerprint, stack_au
from fer_bench.data.loading.union import union_card
from fer_bench.data.protocols import evaluation_rows, find_protocol, folds_of, units_of
from fer_bench.data.reading.dataset import FaceDataset
from fer_bench.datasets import members_of, share_pixels, source_name
from fer_bench.emotions import ACTION_UNITS
from fer_bench.errors import DataError, StoreError, UsageError, nearest
from fer_bench.evaluation.scoring import score_predictions
from fer_bench.files import short_hash
from fer_bench.models.card import MODEL_NAME
from fer_bench.results.predictions import Predictions, PredictionsMeta, read_predictions
from fer_bench.results.record import Chosen, Record, Score, TargetData, TrainingData
from fer_bench.results.store import Store, kept_attributes
from fer_bench.runs import environment
from fer_bench.runs.assessment import Evaluation
from fer_bench.runs.outside import keep, refuse_method_name
from fer_bench.workspace.sources import DataRoots, Source, open_source


@dataclass(frozen=True)
class CheckedSubmission:
    """A submission that passed.

    Attributes:
        predictions: Its predictions.
        trained: Protocol that the model was trained under.
        tested: Protocol whose rows these are.
        fold: Fold that the model was not trained on.
        source: The opened target.
        score: Its score.
    """

    predictions: Predictions
    trained: Protocol
    tested: Protocol
    fold: int
    source: Source
    score: Score

    @property
    def meta(self) -> PredictionsMeta:
        """The metadata of its predictions."""
        return self.predictions.meta


def check_submission(
    file: Path, roots: DataRoots, *, protocol: str | None = None, fold: int = 1, quick: bool = False
) -> CheckedSubmission:
    """Validate predictions against the data and the protocol, and score them.

    Args:
        file: The parquet.
        roots: Data roots.
        protocol: Protocol of the source that the model was trained under; by default the source's.
        fold: Fold that the model was not trained on.
        quick: Default to the protocols of the `quick` profile.

    Raises:
        StoreError: Not a readable parquet, or it breaks the column contract.
        DataError: Rows, labels, classes or data differ from the protocol's.
        UsageError: Unknown dataset, protocol or fold.
    """
    predictions = read_predictions(file)
    meta = predictions.meta
    trained = trained_under(meta.source, protocol, quick=quick)
    if meta.target not in datasets.names():
        hint = nearest(meta.target, datasets.names())
        raise UsageError(f"{file}: unknown dataset", value=meta.target, hint=hint)
    refuse_shared(meta.source, meta.target, file)
    wanted = tuple(e.value for e in trained.label_set)
    if meta.classes != wanted:
        same = sorted(meta.classes) == sorted(wanted)
        raise DataError(
            f"classes {'in another order than' if same else 'that differ from'} {meta.source}/{trained.name}",
            file=file,
            value=", ".join(meta.classes),
            hint=f"wanted: {', '.join(wanted)}; another protocol: --protocol",
        )
    source = open_source(meta.target, roots)
    dataset = source.dataset
    if meta.card_version != dataset.card.version:
        raise DataError(
            f"made under another version of the card of {meta.target}: it is {dataset.card.version} here",
            file=file,
            value=meta.card_version,
            hint=f"today's facts: fer-bench submit rows --target {meta.target} --out FILE",
        )
    found = fingerprint(dataset.index)
    if meta.fingerprint != found:
        raise DataError(
            f"made on another version of {meta.target}: its index is {found} here",
            file=file,
            value=meta.fingerprint,
            hint=f"fer-bench data verify --dataset {meta.target}",
        )
    tested, rows = evaluation_rows(
        dataset.index,
        dataset.card,
        trained if meta.target in members_of(meta.source) else None,
        fold=fold,
        quick=quick,
        with_affect=not {"valence", f"au_{ACTION_UNITS[0]}"}.isdisjoint(predictions.frame.columns),
    )
    _check_rows(predictions, dataset, rows, file, f"{meta.target}/{tested.name}")
    index = kept_attributes(dataset.index)
    score = score_predictions(predictions, target_emotions=dataset.card.emotions, index=index)
    return CheckedSubmission(predictions, trained, tested, fold, source, score)


def add_submissions(
    checked: Sequence[CheckedSubmission],
    store: Store,
    *,
    profile: ProfileName,
    pretrained_on: Sequence[str] = (),
) -> list[Record]:
    """Store checked submissions as rows of the board, beside what is stored of the same models.

    Args:
        checked: The submissions.
        store: The store.
        profile: Profile of the board's section.
        pretrained_on: Datasets that the models saw besides their source.

    Returns:
        The record of each model and fold, with all targets that were submitted.

    Raises:
        UsageError: The model's name is that of a method, or no name of a folder; or an unknown dataset.
        StoreError: The store cannot be written, or holds this model with another checkpoint.
    """
    for name in pretrained_on:
        datasets.get(name)
    rows = [(found, _row_of(found, store, profile, pretrained_on)) for found in checked]
    kept: dict[str, Record] = {}
    for found, record in rows:
        meta, key = found.meta, record.key
        own = replace(found.predictions, meta=meta.model_copy(update={"key": key, "source": record.dataset}))
        data = TargetData(
            fingerprint=meta.fingerprint,
            pixels=meta.pixels,
            recipe=meta.recipe,
            card_version=meta.card_version,
            protocol=found.tested.name,
        )
        index = found.source.dataset.index
        kept[key] = keep(record, [Evaluation(own, data, found.score)], {meta.target: index}, store)
    return list(kept.values())


def _row_of(
    found: CheckedSubmission, store: Store, profile: ProfileName, pretrained_on: Sequence[str]
) -> Record:
    """Return the record of a submission's model without scores."""
    meta, source, trained_on = found.meta, found.source, source_name(found.meta.source)
    if re.fullmatch(MODEL_NAME, meta.method) is None:
        problem = "the name of the model must be letters, digits, dots, dashes and underscores"
        raise UsageError(problem, value=meta.method, hint="`method` in the metadata of the file")
    refuse_method_name(meta.method, "the submission")
    fields = {
        "submission": meta.key,
        "source": trained_on,
        "protocol": found.trained.name,
        "classes": list(meta.classes),
        "fold": found.fold,
        "seed": 0,
        "profile": profile,
        "data_kind": source.kind,
        "generator": source.generator,
    }
    key = short_hash(fields)
    run = store.run_dir(meta.method, trained_on, key)
    stored = run.read_record()
    if stored is not None and stored.checkpoint != meta.checkpoint:
        raise StoreError(
            f"the store holds {meta.method} {meta.key} with another checkpoint: {stored.checkpoint}",
            file=run.path,
            value=meta.checkpoint,
            hint="another model needs another `key` in its metadata; or delete this folder",
        )
    members = members_of(trained_on)
    more = [name for name in pretrained_on if name not in members]
    before = stored.training_data.exposure if stored is not None and stored.training_data else {}
    told = f"{trained_on} ({found.trained.name}), as its file says"
    return Record(
        status="done",
        key=key,
        method=meta.method,
        dataset=trained_on,
        protocol=found.trained.name,
        fold=found.fold,
        folds=len(folds_of(found.trained)),
        seed=0,
        profile=profile,
        data_kind=source.kind,
        generator=source.generator,
        classes=meta.classes,
        settings={"submission": meta.model_dump(mode="json")},
        key_fields=fields,
        selection={meta.selection: Chosen(epoch=0, val_uar=None, checkpoint=meta.checkpoint)},
        environment=environment.describe_without_torch(),
        training_data=TrainingData(
            text=f"{told}; pretrained on {', '.join(more)}" if more else told,
            exposure=before | dict.fromkeys((*members, *more), "in training"),
        ),
    )


def trained_under(source: str, protocol: str | None, *, quick: bool = False) -> Protocol:
    """Return the protocol of a dataset, or of a union `a+b`, that a model was trained under.

    Args:
        source: The dataset or union.
        protocol: Name of the protocol; by default the source's.
        quick: Default to the protocol of the `quick` profile.

    Raises:
        UsageError: Unknown dataset or protocol, or a union that is not possible.
    """
    cards = [datasets.get(name).card for name in members_of(source)]
    return find_protocol(cards[0] if len(cards) == 1 else union_card(cards), protocol, quick=quick)


def refuse_shared(source: str, target: str, file: Path | None = None) -> None:
    """Refuse a target that holds pictures of the source.

    Raises:
        UsageError: It does.
    """
    members = members_of(source)
    same = [] if target in members else [name for name in members if share_pixels(name, target)]
    if same:
        where = f"{file}: " if file else ""
        raise UsageError(
            f"{where}{target} holds pictures of {same[0]}, so a model of one is never scored on the other",
            value=f"{source} -> {target}",
            hint="another target",
        )


def template(
    source: Source,
    trained: Protocol | None,
    *,
    fold: int = 1,
    quick: bool = False,
    with_affect: bool = False,
) -> pd.DataFrame:
    """Return what to predict: sample ids, files, frames and boxes, with the labels and units to copy.

    Args:
        source: The target.
        trained: See `evaluation_rows`.
        fold: See `evaluation_rows`.
        quick: See `evaluation_rows`.
        with_affect: See `evaluation_rows`; adds the truths of valence, arousal and action units to copy.
    """
    index, card = source.dataset.index, source.dataset.card
    _, rows = evaluation_rows(index, card, trained, fold=fold, quick=quick, with_affect=with_affect)
    index = index.iloc[rows]
    boxes = ["" if box is None else " ".join(f"{v:g}" for v in box) for box in index["box"]]
    found = index[["sample_id", "path", "frame"]].assign(box=boxes, unit=units_of(index, card))
    found = found.assign(label=index["label"], **(_truths(index) if with_affect else {}))
    return found.reset_index(drop=True)


def _truths(index: pd.DataFrame) -> dict[str, NDArray[np.float32] | NDArray[np.int8]]:
    """Return the truths of valence, arousal and action units under their names in predictions."""
    truths: dict[str, NDArray[np.float32] | NDArray[np.int8]] = {}
    for name in ("valence", "arousal"):
        truths[f"{name}_true"] = index[name].to_numpy(np.float32)
    units = stack_au(index)
    return truths | {f"au_{number}_true": units[:, i] for i, number in enumerate(ACTION_UNITS)}


def _check_rows(
    predictions: Predictions, dataset: FaceDataset, rows: NDArray[np.int64], file: Path, where: str
) -> None:
    """Refuse missing or foreign rows, and labels, units or truths that differ from the index."""
    name, index, frame = dataset.card.name, dataset.index.iloc[rows], predictions.frame
    given = frame["sample_id"]
    missing = index["sample_id"][~index["sample_id"].isin(given)]
    if len(missing):
        raise DataError(
            f"{len(missing)} of {len(index)} rows of {where} are missing, the first is",
            file=file,
            value=missing.iloc[0],
            hint=f"all of them: fer-bench submit rows --target {name} --out FILE",
        )
    foreign = ~given.isin(index["sample_id"]).to_numpy()
    if foreign.any():
        row = int(np.flatnonzero(foreign)[0])
        raise DataError(
            f"{int(foreign.sum())} rows are not in {where}", file=file, line=row + 1, value=given[row]
        )
    truths = _truths(index)
    own = index.assign(unit=units_of(index, dataset.card), **truths).set_index("sample_id").loc[given]
    for column in ("label", "unit", *(column for column in truths if column in frame)):
        there, here = frame[column], own[column].reset_index(drop=True)
        differs = ((there != here) & ~(there.isna() & here.isna())).fillna(True).to_numpy(bool)
        if differs.any():
            row = int(np.flatnonzero(differs)[0])
            raise DataError(
                f"the {column} of {given[row]!r} is {here.iloc[row]!r} in {name}",
                file=file,
                line=row + 1,
                value=there.iloc[row],
            )
