"""Somebody else's predictions: checked row by row against the protocol, then scored as any run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fer_bench import datasets
from fer_bench.data.card import Protocol
from fer_bench.data.index import fingerprint, stack_au
from fer_bench.data.loading.union import union_card
from fer_bench.data.protocols import evaluation_rows, find_protocol, units_of
from fer_bench.data.reading.dataset import FaceDataset
from fer_bench.datasets import members_of, share_pixels
from fer_bench.emotions import ACTION_UNITS
from fer_bench.errors import DataError, UsageError, nearest
from fer_bench.evaluation.scoring import score_predictions
from fer_bench.results.predictions import Predictions, PredictionsMeta, read_predictions
from fer_bench.results.record import Score
from fer_bench.results.store import kept_attributes
from fer_bench.workspace.sources import DataRoots, Source, open_source


@dataclass(frozen=True)
class Checked:
    """A submission that holds.

    Attributes:
        meta: What it says it is.
        protocol: Protocol whose rows it predicts.
        fold: Fold of the source protocol.
        data_kind: `real` or `synthetic`.
        score: Its score.
    """

    meta: PredictionsMeta
    protocol: str
    fold: int
    data_kind: str
    score: Score


def check_submission(
    file: Path, roots: DataRoots, *, protocol: str | None = None, fold: int = 1, quick: bool = False
) -> Checked:
    """Validate predictions against the data and the protocol, and score them.

    Args:
        file: The parquet.
        roots: Where the data stand.
        protocol: Protocol of the source that the model was trained under; its default otherwise.
        fold: Fold that the model was not trained on.
        quick: Take the protocols of the `quick` profile where none is named.

    Raises:
        StoreError: No readable parquet, or it breaks the column contract.
        DataError: Rows, labels, classes or data differ from the protocol's.
        UsageError: Unknown dataset, protocol or fold.
    """
    predictions = read_predictions(file)
    meta = predictions.meta
    trained = trained_under(meta.source, protocol, quick=quick)
    if meta.target not in datasets.names():
        raise UsageError(
            f"{file}: unknown dataset", value=meta.target, hint=nearest(meta.target, datasets.names())
        )
    parts = members_of(meta.source)
    in_domain = meta.target in parts
    refuse_shared(meta.source, meta.target, file)
    wanted_classes = tuple(e.value for e in trained.label_set)
    if meta.classes != wanted_classes:
        same = sorted(meta.classes) == sorted(wanted_classes)
        problem = "classes in another order than" if same else "other classes than those of"
        raise DataError(
            f"{problem} {meta.source}/{trained.name}",
            file=file,
            value=", ".join(meta.classes),
            hint=f"wanted: {', '.join(wanted_classes)}; another protocol: --protocol",
        )
    source = open_source(meta.target, roots)
    card = source.dataset.card
    if meta.card_version != card.version:
        raise DataError(
            f"made under another version of the card of {card.name}: it is {card.version} here",
            file=file,
            value=meta.card_version,
            hint=f"fer-bench submit rows --target {card.name} prints today's facts",
        )
    affect = "valence" in predictions.frame or f"au_{ACTION_UNITS[0]}" in predictions.frame
    index = source.dataset.index
    own = trained if in_domain else None
    tested, rows = evaluation_rows(index, card, own, fold=fold, quick=quick, with_affect=affect)
    _check_rows(predictions, source.dataset, rows, file, f"{meta.target}/{tested.name}")
    score = score_predictions(predictions, target_emotions=card.emotions, index=kept_attributes(index))
    return Checked(meta, trained.name, fold, source.kind, score)


def trained_under(source: str, protocol: str | None, *, quick: bool = False) -> Protocol:
    """Return the protocol of a dataset, or of a union `a+b`, that a model was trained under.

    Args:
        source: What was trained on.
        protocol: Its name; the default of the source otherwise.
        quick: Take the protocol of the `quick` profile where none is named.

    Raises:
        UsageError: Unknown dataset or protocol, or a union that cannot be.
    """
    cards = [datasets.get(name).card for name in members_of(source)]
    return find_protocol(cards[0] if len(cards) == 1 else union_card(cards), protocol, quick=quick)


def refuse_shared(source: str, target: str, file: Path | None = None) -> None:
    """Refuse a target that holds pictures of what was trained on.

    Raises:
        UsageError: It does.
    """
    parts = members_of(source)
    same = [] if target in parts else [name for name in parts if share_pixels(name, target)]
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
        trained: As of `evaluation_rows`.
        fold: As of `evaluation_rows`.
        quick: As of `evaluation_rows`.
        with_affect: As of `evaluation_rows`; adds the truths of valence, arousal and action units to copy.
    """
    dataset = source.dataset
    _, rows = evaluation_rows(
        dataset.index, dataset.card, trained, fold=fold, quick=quick, with_affect=with_affect
    )
    index = dataset.index.iloc[rows]
    boxes = ["" if box is None else " ".join(f"{v:g}" for v in box) for box in index["box"]]
    columns = {name: index[name].tolist() for name in ("sample_id", "path", "frame")}
    more = {"box": boxes, "unit": units_of(index, dataset.card), "label": index["label"].tolist()}
    table = pd.DataFrame(columns | more)
    if with_affect:
        truths = _truths(index)
        for name in (str(c) for c in truths if str(c).endswith("_true")):
            table[name] = truths[name].to_numpy()
    return table


def _truths(index: pd.DataFrame) -> pd.DataFrame:
    """Return an index with the truths of valence, arousal and action units as predictions name them."""
    units = stack_au(index)
    columns = {f"{name}_true": index[name].to_numpy(np.float32) for name in ("valence", "arousal")}
    columns |= {f"au_{number}_true": units[:, i] for i, number in enumerate(ACTION_UNITS)}
    return index.assign(**columns)


def _check_rows(
    predictions: Predictions, dataset: FaceDataset, rows: NDArray[np.int64], file: Path, where: str
) -> None:
    """Refuse another index, missing or foreign rows, and labels or units that differ from the index."""
    name = dataset.card.name
    found = fingerprint(dataset.index)
    if predictions.meta.fingerprint != found:
        raise DataError(
            f"made on another version of {name}: its index is {found} here",
            file=file,
            value=predictions.meta.fingerprint,
            hint=f"fer-bench data verify --dataset {name}",
        )
    index = dataset.index.iloc[rows]
    frame = predictions.frame
    given = pd.Index(frame["sample_id"])
    missing = index["sample_id"][~index["sample_id"].isin(given)]
    if len(missing):
        raise DataError(
            f"{len(missing)} of {len(index)} rows of {where} are missing, the first is",
            file=file,
            value=missing.iloc[0],
            hint=f"fer-bench submit rows --target {name} lists them all",
        )
    foreign = ~frame["sample_id"].isin(index["sample_id"]).to_numpy()
    if foreign.any():
        row = int(np.flatnonzero(foreign)[0])
        raise DataError(
            f"{int(foreign.sum())} rows are none of {where}", file=file, line=row + 1, value=given[row]
        )
    own = _truths(index.assign(unit=units_of(index, dataset.card))).set_index("sample_id").loc[given]
    for column in ("label", "unit", *(str(c) for c in own if str(c).endswith("_true") and c in frame)):
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
