"""Rows of the data that a checkpoint was trained on: real crops to compare two forms of a model on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fer_bench.data.card import Protocol
from fer_bench.data.packs.pack import Pack
from fer_bench.data.protocols import find_protocol, in_label_set
from fer_bench.errors import StoreError, UsageError
from fer_bench.inference.checkpoint import CheckpointModel
from fer_bench.inference.face_model import Crops, FaceModel
from fer_bench.results.predictions import Predictions
from fer_bench.results.record import Record, read_record
from fer_bench.runs.assessment import answers_frame, assess
from fer_bench.runs.facts import find_facts, run_of
from fer_bench.runs.reopen import reopen
from fer_bench.workspace.sources import DataRoots, Source
from fer_bench.workspace.workspace import Announce

AT_ONCE = 256
"""Crops per call of a model."""


def record_of(model: CheckpointModel) -> Record | None:
    """Return the record of the run that trained a checkpoint; None for imported weights.

    That beside the checkpoint, where there is one, also says which rows were left out by name.
    """
    facts = find_facts(model.path, model.sha256)
    if facts is None:
        return None
    beside = run_of(model.path).record_file
    if beside.is_file():
        try:
            stored = read_record(beside)
        except StoreError:
            return facts.record
        if stored.key == facts.record.key:
            return stored
    return facts.record


@dataclass(frozen=True)
class SourceRows:
    """The data that a checkpoint was trained on, opened again.

    Attributes:
        record: The run.
        source: Its dataset.
        pack: The crops, at the size of the network's input.
        protocol: The protocol that dealt the rows.
        changed: Whether the data differ from those of the run.
    """

    record: Record
    source: Source
    pack: Pack
    protocol: Protocol
    changed: bool

    def rows(self, role: str, most: int | None = None) -> NDArray[np.int64]:
        """Return the index positions of the labelled rows of a role, ascending.

        Args:
            role: `train` or `val`.
            most: Number of rows at most: a random part, the same in each call.
        """
        dataset = self.source.dataset
        roles = dataset.roles(self.protocol, self.record.fold)
        found = np.flatnonzero((roles == role) & in_label_set(dataset.index, self.protocol))
        if most is not None and len(found) > most:
            found = np.sort(np.random.default_rng(0).choice(found, most, replace=False))
        return found

    def crops(self, rows: NDArray[np.int64]) -> Crops:
        """Return crops uint8 [B, S, S, 3] of index positions [B]."""
        return np.asarray(self.pack.pixels[rows])

    def predictions(self, model: FaceModel, rows: NDArray[np.int64]) -> Predictions:
        """Return the answers of a model on rows, as a store keeps them.

        Args:
            model: Takes crops of the pack's size.
            rows: Index positions.
        """
        parts = [model.answer(self.crops(rows[at : at + AT_ONCE])) for at in range(0, len(rows), AT_ONCE)]
        logits = np.concatenate([part.logits for part in parts])
        classes, dataset = model.card.classes, self.source.dataset
        return assess(
            answers_frame(dataset, rows, classes, logits),
            dataset,
            self.pack,
            rows,
            key=model.card.key,
            method=model.card.method,
            trained_on=self.record.dataset,
            target="val",
            protocol=self.protocol.name,
            selection=self.record.headline,
            checkpoint=model.sha256,
            classes=classes,
        ).predictions


def open_source_rows(
    model: CheckpointModel, roots: DataRoots, *, announce: Announce | None = None
) -> SourceRows:
    """Open the data that a checkpoint was trained on.

    Args:
        model: The checkpoint.
        roots: Where the data are.
        announce: Called while data are prepared.

    Raises:
        UsageError: The weights were imported, so nobody knows on what they were trained; or only one of the
            run and the data is real.
        DataError: The data are absent or damaged.
    """
    record = record_of(model)
    if record is None:
        raise UsageError(
            "these weights were imported, so the rows that they were trained on are unknown", file=model.path
        )
    workspace = reopen(record, roots, announce=announce, file=model.path)
    source = workspace.source(record.dataset)
    pack = workspace.pack(record.dataset, model.spec.size)
    fields = record.key_fields
    changed = (pack.fingerprint, pack.pixel_hash) != (fields.get("fingerprint"), fields.get("pixels"))
    return SourceRows(record, source, pack, find_protocol(source.dataset.card, record.protocol), changed)
