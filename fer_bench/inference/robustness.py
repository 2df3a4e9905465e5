"""Predict corrupted test rows with the checkpoints of stored runs; nothing is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fer_bench.data.crops.corruptions import STRENGTHS, VERSION, Corruption, corrupt
from fer_bench.data.crops.points import Points, typical_points
from fer_bench.data.packs.pack import Pack
from fer_bench.data.reading.dataset import FaceDataset
from fer_bench.datasets import members_of
from fer_bench.errors import DataError, UsageError
from fer_bench.evaluation.stored import read_scored
from fer_bench.files import canonical
from fer_bench.inference.face_model import Answers, FaceModel
from fer_bench.inference.opening import open_face_model
from fer_bench.results.corrupted import Corrupted, CorruptedMeta, corrupted_file, read_meta, write_corrupted
from fer_bench.results.predictions import Predictions, PredictionsMeta
from fer_bench.results.record import Record, read_record
from fer_bench.results.store import RunDir, Store
from fer_bench.runs.assessment import answers_frame
from fer_bench.runs.reopen import reopen
from fer_bench.workspace.sources import DataRoots
from fer_bench.workspace.workspace import Announce, Workspace

AT_ONCE = 128
"""Rows that are corrupted and predicted at once."""


@dataclass
class Work:
    """What is left to measure of one run on one target.

    Attributes:
        run: Its folder.
        record: Its record.
        dataset: The target.
        pack: Its crops.
        rows: Index positions of the scored test rows.
        meta: Metadata of the predictions on these rows as they are.
        points: Typical places of eyes, nose and mouth in the crops.
        wanted: Corruptions to measure.
        stored: Corruptions whose predictions are there.
    """

    run: RunDir
    record: Record
    dataset: FaceDataset
    pack: Pack
    rows: NDArray[np.int64]
    meta: PredictionsMeta
    points: Points
    wanted: list[Corruption] = field(default_factory=list)
    stored: list[Corruption] = field(default_factory=list)

    def meta_of(self, corruption: Corruption) -> CorruptedMeta:
        """Return what a file of this work must say."""
        points = tuple((float(x), float(y)) for x, y in self.points) if corruption.covers else None
        return CorruptedMeta(
            corruption=corruption.name,
            version=VERSION,
            constants=corruption.constants,
            points=points,
            predictions=self.meta,
        )

    def file_of(self, corruption: Corruption) -> Path:
        """Return the file of a corruption."""
        return corrupted_file(self.run, self.meta.target, corruption.name)

    @property
    def shared(self) -> tuple[str, bytes]:
        """Return what runs must share to be shown the same corrupted crops."""
        return self.pack.pixel_hash, self.rows.tobytes()


def plan(
    store: Store,
    runs: Sequence[RunDir],
    roots: DataRoots,
    corruptions: Sequence[Corruption],
    *,
    again: bool = False,
    announce: Announce | None = None,
) -> list[Work]:
    """Open the data of runs and find out what is left to measure.

    Args:
        store: The run store.
        runs: The runs.
        roots: Where the data are.
        corruptions: What to measure.
        again: Measure what is stored already, too.
        announce: Called while data are prepared.

    Raises:
        UsageError: A run that is not finished, was not trained here, or is on data of another kind.
        DataError: The data differ from those that the run was tested on.
        StoreError: A record or predictions are damaged.
    """
    opened: dict[str, Workspace] = {}
    points: dict[str, Points] = {}
    found = []
    for run in runs:
        record = _usable(run)
        same = canonical(
            [record.generator, record.excluded, record.class_map, record.key_fields.get("crops"),
             record.data_kind]
        )  # fmt: skip
        if same not in opened:
            opened[same] = reopen(record, roots, file=run.path, announce=announce)
        for target in members_of(record.dataset):
            work = _work(store, run, record, opened[same], target, points)
            for corruption in corruptions:
                current = not again and read_meta(work.file_of(corruption)) == work.meta_of(corruption)
                (work.stored if current else work.wanted).append(corruption)
            found.append(work)
    return found


def _usable(run: RunDir) -> Record:
    record = read_record(run.record_file)
    if record.is_outside:
        raise UsageError(
            "an outside model is not kept in the store, so it cannot be shown corrupted rows", file=run.path
        )
    if record.status != "done":
        raise UsageError(
            f"the run is {record.status}, so it has no score that corruptions could lower",
            file=run.path,
            hint="the command that began it finishes it",
        )
    return record


def _work(
    store: Store,
    run: RunDir,
    record: Record,
    workspace: Workspace,
    target: str,
    points: dict[str, Points],
) -> Work:
    clean = read_scored(store, record, target, record.headline)
    score, data = record.score(target, record.headline), record.targets[target]
    assert score is not None
    dataset = workspace.source(target).dataset
    crop = record.key_fields["crop"]
    pack = workspace.pack(target, crop["members"][target]["size"] if "members" in crop else crop["size"])
    for what, now, then in (
        ("index", pack.fingerprint, data.fingerprint),
        ("crops", pack.recipe.text, data.recipe),
        ("pictures", pack.pixel_hash, data.pixels),
    ):
        if now != then:
            raise DataError(
                f"the {what} of {target} are not those that the run was tested on",
                file=run.path,
                value=f"{now}, then {then}",
                hint="the command that trained it tests it on today's",
            )
    scored = clean.frame["label"].isin(score.label_set).to_numpy()
    names = pd.Index(clean.frame["sample_id"][scored])
    rows = np.sort(pd.Index(dataset.index["sample_id"]).get_indexer(names)).astype(np.int64)
    if pack.pixel_hash not in points:
        points[pack.pixel_hash] = typical_points(pack.pixels, rows, pack.recipe)
    return Work(run, record, dataset, pack, rows, clean.meta, points[pack.pixel_hash])


def measure(works: Sequence[Work], *, device: str = "auto", announce: Announce | None = None) -> None:
    """Predict what is left of some work, and store it corruption by corruption.

    Runs that are tested on the same crops share the corrupted ones. What is stored stays when a call is
    stopped, and the next one goes on after it.

    Args:
        works: From `plan`.
        device: `auto`, `cpu` or `cuda`.
        announce: Called with a label, predicted crops and crops to predict.
    """
    groups: dict[tuple[str, bytes], list[Work]] = {}
    for work in works:
        if work.wanted:
            groups.setdefault(work.shared, []).append(work)
    for group in groups.values():
        models = [open_face_model(work.run.path, device) for work in group]
        for corruption in dict.fromkeys(one for work in group for one in work.wanted):
            pairs = [
                (work, model) for work, model in zip(group, models, strict=True) if corruption in work.wanted
            ]
            _measure_one(corruption, pairs, announce)


def _measure_one(
    corruption: Corruption, pairs: Sequence[tuple[Work, FaceModel]], announce: Announce | None
) -> None:
    """Predict the rows that some runs share under one corruption, and store the answers of each run."""
    first = pairs[0][0]
    answers: dict[tuple[int, int], list[Answers]] = {}
    for start in range(0, len(first.rows), AT_ONCE):
        rows = first.rows[start : start + AT_ONCE]
        crops = corrupted_crops(first.dataset, first.pack, rows, corruption, first.points)
        for number, (_, model) in enumerate(pairs):
            for strength in range(STRENGTHS):
                answers.setdefault((number, strength), []).append(model.answer(crops[strength]))
        if announce is not None:
            label, done = f"{corruption.title} on {first.meta.target}", start + len(rows)
            announce(label, done * STRENGTHS, len(first.rows) * STRENGTHS)
    for number, (work, _) in enumerate(pairs):
        by_strength = {
            strength + 1: Predictions(_frame(work, answers[number, strength]), work.meta)
            for strength in range(STRENGTHS)
        }
        write_corrupted(work.file_of(corruption), Corrupted(work.meta_of(corruption), by_strength))


def corrupted_crops(
    dataset: FaceDataset, pack: Pack, rows: NDArray[np.int64], corruption: Corruption, points: Points
) -> NDArray[np.uint8]:
    """Return the crops of some rows at all strengths, uint8 [strengths, n, S, S, 3].

    Args:
        dataset: The dataset.
        pack: Its crops.
        rows: Index positions [n].
        corruption: Which corruption.
        points: Places of eyes, nose and mouth [5, 2], as shares of the crop.
    """
    names = dataset.index["sample_id"].iloc[rows]
    side = pack.pixels.shape[1]
    crops = np.empty((STRENGTHS, len(rows), side, side, 3), np.uint8)
    for place, (row, name) in enumerate(zip(rows, names, strict=True)):
        for strength in range(STRENGTHS):
            crops[strength, place] = corrupt(pack.pixels[row], name, corruption, strength + 1, points)
    return crops


def _frame(work: Work, answers: Sequence[Answers]) -> pd.DataFrame:
    return answers_frame(
        work.dataset, work.rows, work.record.classes, np.concatenate([one.logits for one in answers])
    )
