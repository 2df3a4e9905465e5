"""The public Python API: what the command line does, as functions that return records and data frames."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from fer_bench.config import Device, Precision, ProfileName, RunOptions, SweepConfig
from fer_bench.errors import StoreError
from fer_bench.results.predictions import Predictions, PredictionsMeta, read_predictions, validate_predictions
from fer_bench.results.record import Record, Score, Selection
from fer_bench.results.store import Store

if TYPE_CHECKING:
    from fer_bench.data.reading.dataset import FaceDataset
    from fer_bench.methods.base import Method
    from fer_bench.runs.sweep import SweepResult
    from fer_bench.workspace.sources import DataRoots


ClassMap = Mapping[str, str] | str | Path
"""Emotion, or `drop`, by name of class folder, or a YAML file of such lines: what `--classes` takes."""


def open_dataset(
    name: str,
    root: str | Path | None = None,
    *,
    classes: ClassMap | None = None,
    follow_links: bool = False,
) -> FaceDataset:
    """Open a dataset, or a union of several, for reading. Needs no torch.

    Its `index` is a pandas frame with a row per face, its `card` holds facts and protocols, and
    `roles(protocol, fold)` says which row trains, validates and tests.

    Args:
        name: Dataset name, a union such as `ckplus+oulu`, or `folder:PATH` for pictures of your own.
        root: Folder of the dataset, or a folder with one folder per dataset. By default `FER_BENCH_DATA`,
            `./data.yaml` or the synthetic stand-in.
        classes: What the class folders of `folder` mean, where names and aliases do not say it.
        follow_links: Follow symlinks that leave the dataset's folder.

    Raises:
        UsageError: Unknown dataset.
        DataError: The dataset is absent or damaged.
    """
    from fer_bench.datasets import source_name
    from fer_bench.workspace.sources import split_source
    from fer_bench.workspace.workspace import Workspace

    source, roots = split_source(name, root, follow_links=follow_links)
    roots = roots.with_classes(classes)
    _say(roots)
    return Workspace(roots).source(source_name(source)).dataset


def load_method(checkpoint: str | Path) -> Method:
    """Load a trained method from a stored checkpoint, in evaluation mode on the CPU.

    Args:
        checkpoint: A file such as `runs/gcn/oulu/<key>/checkpoints/val.pt`, the run's folder or its key.

    Raises:
        UsageError: There is no such checkpoint.
        StoreError: It cannot be read. Nothing in it is executed.
    """
    from fer_bench.inference.opening import find_file
    from fer_bench.runs.training.checkpoints import load_weights

    return load_weights(find_file(checkpoint))


def run(
    method: str,
    dataset: str,
    *,
    root: str | Path | None = None,
    follow_links: bool = False,
    runs_dir: str | Path = "runs",
    protocol: str | None = None,
    fold: int = 1,
    seed: int = 0,
    profile: ProfileName | None = None,
    init: str | Path | None = None,
    targets: Sequence[str] | Literal["all", "none"] = "all",
    settings: Mapping[str, Any] | None = None,
    device: Device = "auto",
    precision: Precision = "auto",
    portable: bool | None = None,
    classes: ClassMap | None = None,
    options: RunOptions = RunOptions(),
) -> Record:
    """Train a method on one fold of a dataset, test it there and on the targets, and store the result.

    The same call again returns the stored record; a run that was killed resumes. It is `fer-bench run`.

    Args:
        method: Method name.
        dataset: Source: a dataset, a union such as `ckplus+oulu`, or `folder:PATH`.
        root: See `open_dataset`.
        follow_links: See `open_dataset`.
        runs_dir: The run store.
        protocol: Protocol name; the profile's by default.
        fold: Fold from 1. `sweep` runs several.
        seed: Repetition.
        profile: `quick`, `small` or `paper`; by default `quick` on synthetic data and `paper` on real data.
        init: Checkpoint of the method to start from, see `fer_bench.runs.start`.
        targets: Datasets to test on besides the source, also `folder:PATH`.
        settings: Changed settings by dotted name, such as `{"method.lr": 1e-3, "train.max_epochs": 5}`.
        device: Where to train and test.
        precision: Precision of training.
        portable: Whether every x86-64 processor with AVX2 computes the same bytes; by default quick runs on a
            CPU do, unless torch has computed in this process already.
        classes: See `open_dataset`.
        options: How the run is carried out.

    Returns:
        The record. Its `status` is `done`, or says how the run ended and `error` why.

    Raises:
        UsageError: A name or setting that does not exist.
        DataError: The data are absent or damaged.
        StoreError: The store cannot be written.
    """
    from fer_bench.inference.opening import find_file
    from fer_bench.runs.sweepfile import check_sweep
    from fer_bench.workspace.sources import split_source

    name, roots = split_source(dataset, root, follow_links=follow_links)
    cell = {
        "methods": [method],
        "datasets": [name],
        "protocols": {} if protocol is None else {name: protocol},
        "folds": [fold],
        "seeds": [seed],
        "profile": profile,
        "init": None if init is None else str(find_file(init, runs_dir).absolute()),
        "targets": targets,
        "set": [f"{key}={json.dumps(value)}" for key, value in (settings or {}).items()],
        "device": device,
        "precision": precision,
        "portable": portable,
    }
    result = _carry_out(check_sweep(cell), roots.with_classes(classes), runs_dir, options, strict=True)
    if not result.records:
        raise StoreError(result.bad_endings[0].message, file=result.bad_endings[0].folder.path)
    return result.records[0]


def sweep(
    what: str | Path | SweepConfig | Mapping[str, Any],
    *,
    root: str | Path | None = None,
    follow_links: bool = False,
    runs_dir: str | Path = "runs",
    classes: ClassMap | None = None,
    options: RunOptions = RunOptions(),
) -> list[Record]:
    """Run methods x datasets x folds x seeds; what is finished is never repeated. It is `fer-bench sweep`.

    Args:
        what: A sweep file, the name of a sweep of the package such as `quick`, or fields of `SweepConfig`.
        root: See `open_dataset`.
        follow_links: See `open_dataset`.
        runs_dir: The run store.
        classes: See `open_dataset`; instead of `classes` and `drop` of the sweep.
        options: How runs are carried out.

    Returns:
        The records in the order planned; `status` of each says how it ended.

    Raises:
        UsageError: A name or setting that does not exist.
        DataError: No source can be used.
        StoreError: The store cannot be written.
    """
    from fer_bench.runs.sweepfile import check_sweep, read_sweep
    from fer_bench.workspace.sources import split_source

    if not isinstance(what, SweepConfig):
        what = check_sweep(what) if isinstance(what, Mapping) else read_sweep(what)
    roots = split_source("", root, follow_links=follow_links)[1]
    if classes is not None:
        roots, what = roots.with_classes(classes), what.model_copy(update={"classes": {}, "drop": ()})
    return list(_carry_out(what, roots, runs_dir, options, strict=False).records)


def evaluate(
    model: str | Path,
    dataset: str | Sequence[str] = "all",
    *,
    card: str | Path | None = None,
    root: str | Path | None = None,
    follow_links: bool = False,
    runs_dir: str | Path = "runs",
    profile: ProfileName | None = None,
    crop: Sequence[str] = (),
    classes: ClassMap | None = None,
    device: Literal["cpu", "cuda"] = "cpu",
) -> Record:
    """Test a model on labelled pictures and store what it scores. It is `fer-bench evaluate`.

    Args:
        model: A checkpoint, export or run of this suite, the run by its folder or key; or of others an ONNX
            file, a name of timm, or an entry point of `fer_bench.models`.
        dataset: One or several datasets, also `folder:PATH`, or `all` for the seven of the board.
        card: The card of a model that was trained elsewhere; by default the YAML file beside it, or the
            package's card of its file.
        root: See `open_dataset`.
        follow_links: See `open_dataset`.
        runs_dir: The run store.
        profile: See `run`.
        crop: Crops instead of those of the model, such as `rafdb=detect`.
        classes: See `open_dataset`.
        device: Where to compute.

    Returns:
        The record that holds the scores: that of the run, or the row of a model of its own.

    Raises:
        UsageError: No such model, dataset or crop, no card, or a missing package.
        DataError: The model cannot be used or does not fit its card, or the data are absent or damaged.
        StoreError: The store cannot be written.
    """
    from fer_bench.inference.own_data import evaluate_any
    from fer_bench.workspace.sources import split_source, split_targets

    roots = split_source("", root, follow_links=follow_links)[1]
    names = (dataset,) if isinstance(dataset, str) else tuple(dataset)
    if names != ("all",):
        names, roots = split_targets(names, (), roots)
    roots = roots.with_classes(classes)
    _say(roots)
    return evaluate_any(
        str(model), names, roots, Path(runs_dir), card=card, profile=profile, crop=crop, device=device
    )


def _carry_out(
    config: SweepConfig, roots: DataRoots, runs_dir: str | Path, options: RunOptions, *, strict: bool
) -> SweepResult:
    from fer_bench.runs.sweep import carry_out, open_sweep

    _say(roots)
    planned = open_sweep(config, roots, options)
    for source, reason in planned.missing.items():
        print(f"missing: {source}: {reason}", file=sys.stderr)
    if config.portable is None and planned.has_computed_before:
        print(
            "not portable: torch has computed in this process already, and processors may get other bytes; "
            "a fresh process, or portable=True, which starts one for each run",
            file=sys.stderr,
        )
    return carry_out(planned, Store(runs_dir), strict=strict)


def _say(roots: DataRoots) -> None:
    if roots.is_synthetic:
        print(roots.notice, file=sys.stderr)


def read_store(folder: str | Path = "runs") -> StoreFrames:
    """Open a run store as data frames. Needs no torch.

    Raises:
        UsageError: The folder does not exist.
    """
    return StoreFrames(Store.existing(folder, hint="fer-bench run --method gcn --dataset oulu"))


class StoreFrames:
    """The records and predictions of a store as data frames.

    Attributes:
        store: The store.
    """

    def __init__(self, store: Store) -> None:
        self.store = store

    @cached_property
    def records(self) -> list[Record]:
        """All readable records, in a stable order."""
        return self.store.scan()[0]

    @cached_property
    def runs(self) -> pd.DataFrame:
        """One row per run: what it was, how it ended, its size and its seconds; the index is its key."""
        rows = [
            {
                "key": r.key,
                **{name: getattr(r, name) for name in _RUN_FIELDS},
                **{f"seconds_{name}": r.timing.get(name) for name in ("train", "evaluate")},
            }
            for r in self.records
        ]
        columns = ["key", *_RUN_FIELDS, "seconds_train", "seconds_evaluate"]
        return pd.DataFrame(rows, columns=columns).set_index("key")

    @cached_property
    def scores(self) -> pd.DataFrame:
        """One row per run, target and selection, with the number of rows and classes and every metric."""
        from fer_bench.evaluation.metrics import registry

        rows = [
            {
                "key": r.key,
                **{name: getattr(r, name) for name in _CELL_FIELDS},
                "target": s.target,
                "selection": s.selection,
                "headline": s.selection == r.headline,
                "n": s.n,
                "k": s.k,
                **s.metrics,
            }
            for r in self.records
            for s in r.scores
        ]
        columns = ["key", *_CELL_FIELDS, "target", "selection", "headline", "n", "k", *registry()]
        return pd.DataFrame(rows, columns=columns)

    def predictions(
        self, key: str, target: str | None = None, selection: Selection | None = None
    ) -> pd.DataFrame:
        """Return the predictions of a run: sample id, unit, label and a logit per class.

        Args:
            key: Run key, or how it begins.
            target: Dataset; the run's own by default, `val` for its validation rows.
            selection: Which checkpoint; the one that tables show by default.

        Raises:
            StoreError: No such run, or no such predictions.
        """
        folder = self.store.find(key)
        record = folder.read_record()
        assert record is not None
        return self.store.predictions(record, target or record.dataset, selection or record.headline).frame


_CELL_FIELDS = ("method", "dataset", "protocol", "fold", "seed", "profile", "data_kind")
_RUN_FIELDS = (*_CELL_FIELDS, "status", "parameters", "multiply_adds")


def score(predictions: pd.DataFrame | str | Path, *, target: str = "predictions") -> Score:
    """Score predictions: accuracy, UAR, macro-F1 and everything else a record holds. Needs no torch.

    Args:
        predictions: A file of a store, or a frame with the columns `label` and `logit_<class>` for each
            class; optionally `sample_id` (else rows are numbered) and `unit` (what varies as a whole;
            else each row is a unit).
        target: Name of the data in a frame.

    Raises:
        StoreError: The file cannot be read, or columns are missing or hold something else.
        DataError: No row can be scored.
    """
    from fer_bench.emotions import Emotion
    from fer_bench.evaluation.scoring import score_classes, score_predictions

    if isinstance(predictions, pd.DataFrame):
        found = _as_predictions(predictions, target)
    else:
        found = read_predictions(Path(predictions))
    if found.meta.target == "val":
        return score_classes(found, [Emotion(name) for name in found.meta.classes])
    return score_predictions(found, target_emotions=tuple(Emotion))


def _as_predictions(frame: pd.DataFrame, name: str) -> Predictions:
    """Return a frame as predictions of a model that was trained on the same data.

    Raises:
        StoreError: Columns are missing or hold something else.
    """
    rows = [f"{name}/{number}" for number in range(len(frame))]
    logits = [str(column) for column in frame.columns if str(column).startswith("logit_")]
    unknown = dict.fromkeys(("key", "method", "checkpoint", "fingerprint", "pixels", "recipe"), "")
    meta = PredictionsMeta(
        **unknown,
        source=name,
        target=name,
        selection="last",
        card_version=0,
        classes=tuple(column.removeprefix("logit_") for column in logits),
    )
    ids = frame.get("sample_id", rows)
    texts = {"sample_id": ids, "unit": frame.get("unit", ids), "label": frame.get("label")}
    types = {**dict.fromkeys(texts, "str"), **dict.fromkeys(logits, "float32")}
    given = frame.assign(**texts).astype(types)
    found = Predictions(given.reset_index(drop=True), meta)
    validate_predictions(found, Path(name))
    return found
