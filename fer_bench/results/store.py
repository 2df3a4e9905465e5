"""The run store: one folder per run, found by its key; readable while others write.

```
runs/
  <method>/<dataset>/<key>/      config.yaml env.json record.json summary.json metrics.csv log.txt
                                 predictions/ checkpoints/ robustness/ mistakes/
  indexes/<fingerprint>.parquet  attributes of a target's rows, once per fingerprint
  efficiency/<device>.json       what predicting with the models costs, see `fer-bench efficiency`
  similarity/<name>.json         how alike the datasets look, see `fer-bench similarity`
  subsets/<dataset>/<name>.json  rows of a dataset that are also scored on their own
  frozen/<hash>.pt               weights that are never trained, shared by checkpoints
  audit.json                     only where runs were trained with a bad habit, see `fer-bench audit`
  teachers/<hash>/<method>.ckpt  what students learned from, see `fer-bench distill`
```

Every file in the store is whole: it is written under a temporary name and renamed, and the record says `done`
only after all predictions are written.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from fer_bench.data.index import stack_votes
from fer_bench.emotions import Emotion
from fer_bench.errors import StoreError, UsageError
from fer_bench.files import write_atomic, write_json, write_text
from fer_bench.results.lock import Lock
from fer_bench.results.predictions import Predictions, read_predictions
from fer_bench.results.record import Record, Selection, read_record
from fer_bench.results.summary import Summary, stamp_of, stored_summary, summarise

KEPT_COLUMNS = (
    *("sample_id", "path", "label", "subject", "sequence", "group", "variant", "split"),
    *("gender", "race", "age"),
)
FROZEN = "frozen"
"""Folder of weights that are never trained, within the store."""
MARK = "audit.json"
"""File of a store whose runs were trained with a bad habit on purpose, see `fer-bench audit`: no board is
made of them."""


@dataclass(frozen=True)
class RunDir:
    """The folder of one run.

    Attributes:
        path: The folder.
    """

    path: Path

    @property
    def record_file(self) -> Path:
        """Path of the record."""
        return self.path / "record.json"

    @property
    def summary_file(self) -> Path:
        """Path of the record's summary."""
        return self.path / "summary.json"

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def history_file(self) -> Path:
        """Path of the losses and validation scores, a line per epoch."""
        return self.path / "metrics.csv"

    @property
    def log_file(self) -> Path:
        """Path of the log."""
        return self.path / "log.txt"

    @property
    def progress_file(self) -> Path:
        """Path of the progress of a run that is being worked on."""
        return self.path / "progress.json"

    def remove_leftovers(self) -> None:
        """Delete what killed attempts left half written; call it under the lock."""
        for file in self.path.rglob(".*.tmp"):
            file.unlink(missing_ok=True)

    def predictions_file(self, target: str, selection: str) -> Path:
        """Return the path of the predictions on a target."""
        return self.path / "predictions" / f"{target}@{selection}.parquet"

    def write_record(self, record: Record) -> None:
        """Write the record atomically, and its summary after it."""
        stamp = stamp_of(write_json(self.record_file, record.model_dump(mode="json")))
        with suppress(StoreError):  # the record is stored, and is read where it has no summary
            write_text(self.summary_file, summarise(record, stamp).model_dump_json(indent=2) + "\n")

    def read_record(self) -> Record | None:
        """Return the record, or None before the first one is written.

        Raises:
            StoreError: The record is damaged.
        """
        return read_record(self.record_file) if self.record_file.exists() else None

    def read_summary(self) -> Summary | None:
        """Return the summary of the record as it is now, or None before the first record is written.

        Raises:
            StoreError: The summary does not fit the record, and the record is damaged.
        """
        try:
            stamp = stamp_of(self.record_file.stat())
        except FileNotFoundError:
            return None
        return stored_summary(self.summary_file, stamp) or summarise(read_record(self.record_file), stamp)

    def holds(self, run: Record | Summary) -> bool:
        """Return whether this is the folder of a run."""
        return (run.method, run.dataset, run.key) == self.path.parts[-3:]

    def lock(self) -> Lock:
        """Return the lock of this run."""
        return Lock(self.path / "lock")


def kept_attributes(index: pd.DataFrame) -> pd.DataFrame:
    """Return what the store keeps of an index: one row per sample with its groups, attributes and votes.

    Votes become columns `votes_<emotion>`, where the dataset has any.
    """
    kept = index[list(KEPT_COLUMNS)].copy()
    if index["votes"].notna().any():
        counts = stack_votes(index)
        for position, emotion in enumerate(Emotion):
            kept[f"votes_{emotion.value}"] = counts[:, position]
    return kept


class Store:
    """All runs below a folder.

    Args:
        root: The store's folder; need not exist yet.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)

    @classmethod
    def existing(cls, root: Path | str, *, hint: str) -> Store:
        """Return the store of a folder that is there.

        Args:
            root: The store's folder.
            hint: What helps where it is absent.

        Raises:
            UsageError: The folder does not exist.
        """
        store = cls(root)
        if not store.root.is_dir():
            raise UsageError("the run store does not exist", file=store.root, hint=hint)
        return store

    @property
    def frozen(self) -> Path:
        """Folder of weights that are never trained."""
        return self.root / FROZEN

    def run_dir(self, method: str, dataset: str, key: str) -> RunDir:
        """Return the folder of a run, existing or not."""
        return RunDir(self.root / method / dataset / key)

    def run_dirs(self) -> Iterator[RunDir]:
        """Yield the folders that hold a record, in the order of method, dataset and key."""
        for record in sorted(self.root.glob("*/*/*/record.json")):
            yield RunDir(record.parent)

    def records(self) -> list[Record]:
        """Return all records in a stable order.

        Raises:
            StoreError: A record is damaged.
        """
        found, problems = self.scan()
        if problems:
            raise problems[0]
        return found

    def scan(self) -> tuple[list[Record], list[StoreError]]:
        """Return the readable records in a stable order, and an error for each of the others."""
        found: list[Record] = []
        problems: list[StoreError] = []
        for run in self.run_dirs():
            try:
                record = read_record(run.record_file)
            except StoreError as error:
                problems.append(error)
                continue
            if run.holds(record):
                found.append(record)
            else:
                where = f"{record.method}/{record.dataset}/{record.key}"
                problems.append(
                    StoreError("the record belongs to another folder", file=run.record_file, value=where)
                )
        found.sort(key=lambda r: (r.method, r.dataset, r.protocol, r.profile, r.seed, r.fold, r.key))
        return found, problems

    def summaries(self) -> dict[str, Summary]:
        """Return the summaries of all readable records, by run key."""
        found: dict[str, Summary] = {}
        for run in self.run_dirs():
            with suppress(StoreError):
                summary = run.read_summary()
                if summary is not None and run.holds(summary):
                    found[summary.key] = summary
        return found

    def find(self, key: str) -> RunDir:
        """Return the run whose key starts with the given text.

        Raises:
            StoreError: None or several match.
        """
        matching = [run for run in self.run_dirs() if run.path.name.startswith(key)]
        if len(matching) != 1:
            problem = f"{len(matching)} runs have keys that start so" if matching else "no run has this key"
            raise StoreError(problem, file=self.root, value=key)
        return matching[0]

    def predictions(self, record: Record, target: str, selection: Selection = "val") -> Predictions:
        """Return a run's stored predictions.

        Raises:
            StoreError: They are absent or damaged.
        """
        run = self.run_dir(record.method, record.dataset, record.key)
        return read_predictions(run.predictions_file(target, selection))

    def keep_index(self, fingerprint: str, index: pd.DataFrame) -> None:
        """Keep the attributes of a target's rows, once per fingerprint, for scores per group and vote."""
        path = self.root / "indexes" / f"{fingerprint}.parquet"
        if not path.exists():
            kept = kept_attributes(index)
            write_atomic(path, lambda temporary: kept.to_parquet(temporary, index=False))

    def check_writable(self) -> None:
        """Make sure that the store can be written to.

        Raises:
            StoreError: It is not writable.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            probe = self.root / f".probe.{os.getpid()}"
            write_text(probe, "")
            probe.unlink()
        except OSError as error:
            raise StoreError(f"the run store cannot be written: {error.strerror}", file=self.root) from None
