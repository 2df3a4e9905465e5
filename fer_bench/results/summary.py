"""The summary of a record: the few facts that planning and `status` need of thousands of runs.

It is a small file in the run's folder and holds the size, time and inode of the record file it was made from.
It is ignored as soon as these differ, so a crash between the two writes is harmless.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from fer_bench.results.record import Record, Selection, Status, TargetData
from fer_bench.schema import Frozen

SCHEMA_VERSION: Literal[1] = 1
Stamp = tuple[int, int, int]


class Summary(Frozen):
    """What planning and `status` need of a record.

    Attributes:
        schema_version: Version of this layout.
        record: Size, modification time in nanoseconds and inode of the record file.
        key: Run key.
        name: Readable name of the run.
        status: How far the run came.
        error: First line of why it did not end well, or null.
        method: Method name.
        dataset: Source dataset.
        profile: Profile name.
        device: Kind of device it trains on.
        max_epochs: Most epochs it trains.
        timing: As in the record, in seconds.
        headline: The selection that is tested on all targets.
        checkpoint: SHA-256 of its weights, null before they exist.
        targets: Data that each target's predictions were made on.
        missing: Targets that were asked for and absent, with the reason.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    record: Stamp
    key: str
    name: str
    status: Status
    error: str | None
    method: str
    dataset: str
    profile: str
    device: str
    max_epochs: int
    timing: dict[str, float]
    headline: Selection
    checkpoint: str | None
    targets: dict[str, TargetData]
    missing: dict[str, str]


def stamp_of(file: os.stat_result) -> Stamp:
    """Return what identifies one version of a file."""
    return file.st_size, file.st_mtime_ns, file.st_ino


def summarise(record: Record, stamp: Stamp) -> Summary:
    """Return the summary of a record.

    Args:
        record: The record.
        stamp: Of the file that holds it.
    """
    return Summary(
        record=stamp,
        key=record.key,
        name=record.name,
        status=record.status,
        error=(record.error.message.splitlines() or [record.error.kind])[0] if record.error else None,
        method=record.method,
        dataset=record.dataset,
        profile=record.profile,
        device=record.settings.get("device", "cpu"),
        max_epochs=record.settings.get("train", {}).get("max_epochs", 1),
        timing=record.timing,
        headline=record.headline,
        checkpoint=record.checkpoint,
        targets=record.targets,
        missing=record.missing,
    )


def stored_summary(path: Path, stamp: Stamp) -> Summary | None:
    """Return a stored summary, None where it is absent, damaged or of another record file.

    Args:
        path: The summary file.
        stamp: Of the record file as it is now.
    """
    try:
        found = Summary.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
    return found if found.record == stamp else None
