"""Repeat a run from its record and compare its predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from fer_bench import arithmetic
from fer_bench.config import RunConfig, build
from fer_bench.datasets import members_of
from fer_bench.errors import StoreError, UsageError
from fer_bench.results.predictions import read_predictions
from fer_bench.results.record import read_record
from fer_bench.results.store import RunDir, Store
from fer_bench.runs.contrast import differences
from fer_bench.runs.execute import execute
from fer_bench.runs.plan import plan_run, prepare_targets
from fer_bench.runs.reopen import reopen
from fer_bench.runs.sweep import Show
from fer_bench.workspace.sources import DataRoots
from fer_bench.workspace.workspace import Announce


@dataclass(frozen=True)
class Repetition:
    """A comparison of a repetition with the original run.

    Attributes:
        key: Key of the repetition.
        changed: Fields of the run key that have changed since.
        differences: Largest absolute difference of a number per prediction file; infinite where rows differ
            or a file is absent.
        failure: Why the repetition failed, None if it did not.
        missing: Targets that could not be opened this time, with the reason.
        arithmetic: In which way the arithmetic of the two differs; None where it does not or is unknown.
    """

    key: str
    changed: tuple[str, ...]
    differences: dict[str, float]
    failure: str | None
    missing: Mapping[str, str] = field(default_factory=dict)
    arithmetic: str | None = None

    @property
    def identical(self) -> bool:
        """Whether every prediction is bit for bit the same."""
        return self.agrees(0.0)

    def agrees(self, tolerance: float) -> bool:
        """Return whether there are predictions and every number agrees within the tolerance."""
        found = self.differences.values()
        return self.failure is None and bool(found) and all(value <= tolerance for value in found)

    def document(self) -> dict[str, Any]:
        """Return the comparison as a JSON document; infinite differences are null."""
        shown = {name: value if np.isfinite(value) else None for name, value in self.differences.items()}
        return {
            "key": self.key,
            "identical": self.identical,
            "changed": list(self.changed),
            "differences": shown,
            "failure": self.failure,
            "missing": dict(self.missing),
            "arithmetic": self.arithmetic,
        }

    @property
    def other_rows(self) -> bool:
        """Whether the rows of the source have changed."""
        return any(name.rpartition(".")[2] == "fingerprint" for name in self.changed)


def repeat(
    store: Store,
    run: RunDir,
    out: Path,
    roots: DataRoots,
    *,
    leave_out: Mapping[str, Sequence[str]] | None = None,
    announce: Announce | None = None,
    show: Show | None = None,
) -> Repetition:
    """Repeat a run from its record, in another store, and compare the predictions.

    Args:
        store: The store of the run.
        run: The run.
        out: Folder of the other store.
        roots: Where the data are.
        leave_out: Sample ids or paths to leave out, per dataset; None leaves out what the run left out.
        announce: Called while data are prepared.
        show: Opens a display of the repetition.

    Raises:
        UsageError: The two stores are the same, the run is not done, or only one of the two
            is on real data.
        StoreError: The run's record or settings cannot be read.
        DataError: The data are absent or damaged.
    """
    if out.absolute() == store.root.absolute():
        raise UsageError("the repetition would replace the run", value=str(out), hint="another --out")
    record = read_record(run.record_file)
    if record.is_outside:
        problem = "an outside model was not trained here, so there is nothing to repeat"
        raise UsageError(problem, file=run.path, hint="fer-bench evaluate MODEL --dataset DATASET")
    if record.status != "done":
        raise UsageError(
            f"the run is {record.status}, so it has no predictions to compare with",
            file=run.path,
            hint="how it ended: fer-bench logs KEY; the same run or sweep again finishes it",
        )
    file = run.path / "config.yaml"
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise StoreError(f"the run's settings cannot be read: {error}", file=file) from None
    config = build(RunConfig, content, str(file))
    own = members_of(config.dataset)  # targets may have been asked for after the settings were written
    config = config.model_copy(update={"targets": tuple(t for t in record.targets if t not in own)})
    if config.portable:
        arithmetic.choose_portable()  # before anything is computed
    workspace = reopen(record, roots, leave_out=leave_out, announce=announce, file=run.path)
    (planned,) = prepare_targets([plan_run(config, {}, workspace)], workspace, skip_damaged=True)
    workspace.announce = None
    with show([planned], 0) if show is not None else nullcontext() as on_event:
        repeated = execute(planned, Store(out), workspace, on_event)
    changed = tuple(differences(record.key_fields, planned.key_fields))
    if repeated.status != "done":
        why = repeated.error.message if repeated.error is not None else repeated.status
        return Repetition(planned.key, changed, {}, why, planned.missing)
    again = planned.folder(Store(out))
    found = {
        path.name: _difference(path, again.path / "predictions" / path.name)
        for path in sorted((run.path / "predictions").glob("*.parquet"))
    }
    other = arithmetic.difference(record.environment, repeated.environment)
    return Repetition(planned.key, changed, found, None, planned.missing, other)


def _difference(one: Path, other: Path) -> float:
    """Return the largest absolute difference of two prediction files."""
    try:
        first, second = read_predictions(one).frame, read_predictions(other).frame
    except StoreError:
        return float("inf")
    if list(first.columns) != list(second.columns) or len(first) != len(second):
        return float("inf")
    numbers = first.select_dtypes("number").columns
    texts = first.columns.difference(numbers)
    if not first[texts].equals(second[texts]):
        return float("inf")
    a, b = first[numbers].to_numpy(np.float64), second[numbers].to_numpy(np.float64)
    if (np.isnan(a) != np.isnan(b)).any():
        return float("inf")
    return float(np.nanmax(np.abs(a - b), initial=0.0))
