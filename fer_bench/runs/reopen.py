"""Open the data of a stored run again: the same drawing, crops and class names, without what it left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from fer_bench.data.crops.choice import crops_of_key
from fer_bench.errors import UsageError
from fer_bench.results.record import Record
from fer_bench.workspace.sources import DataRoots
from fer_bench.workspace.workspace import Announce, Workspace


def reopen(
    record: Record,
    roots: DataRoots,
    *,
    leave_out: Mapping[str, Sequence[str]] | None = None,
    announce: Announce | None = None,
    file: Path | None = None,
) -> Workspace:
    """Return a workspace in which the data of a run are what they were.

    Args:
        record: The run.
        roots: Where the data are.
        leave_out: Sample ids or paths to leave out, per dataset; None leaves out what the run left out.
        announce: Called while data are prepared.
        file: The run's folder or checkpoint, for messages.

    Raises:
        UsageError: Only one of the two is on real data.
        DataError: The data are absent or damaged.
    """
    drawn = record.generator or {}
    workspace = Workspace(
        roots.with_classes(record.class_map) if record.class_map else roots,
        size=drawn.get("size", "quick"),
        population=drawn.get("population", "benchmark"),
        leave_out=record.excluded if leave_out is None else leave_out,
        crops=crops_of_key(record.key_fields.get("crops", {})),
        announce=announce,
    )
    kind = workspace.source(record.dataset).kind
    if kind != record.data_kind:
        raise UsageError(
            f"the run is on {record.data_kind} data and these are {kind}",
            file=file,
            hint="--data-root DIR, as the run had it",
        )
    return workspace
