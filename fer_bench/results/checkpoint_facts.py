"""What a checkpoint file says about itself, so that it can be used wherever it is copied to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from fer_bench.data.crops.framing import Framing
from fer_bench.errors import StoreError
from fer_bench.results.record import SCHEMA_VERSION, Record
from fer_bench.schema import Frozen

NOT_STORED = {"timing", "excluded", "missing", "error"}
"""Fields of a record that say nothing about the weights: durations, and names of files of this machine."""


class CheckpointFacts(Frozen):
    """What is stored beside weights.

    Attributes:
        selection: Which epoch they are.
        weights: Their SHA-256, as in the record.
        record: The record of the run that trained them, without `NOT_STORED`.
        framing: How faces lie in the crops that they learned from, where those are as their publisher made
            them; null in checkpoints of older versions, too.
        temperature: Divides the logits, where this is a calibrated copy.
        offsets: Added to the logits after that, one per class, where class shares were corrected.
    """

    selection: str
    weights: str
    record: Record
    framing: Framing | None = None
    temperature: float = Field(default=1.0, gt=0)
    offsets: tuple[float, ...] = ()

    def plain(self) -> dict[str, Any]:
        """Return it as plain values."""
        found = self.model_dump(mode="json", exclude={"record": NOT_STORED})
        if self.temperature == 1 and not self.offsets:
            del found["temperature"], found["offsets"]
        return found


def facts_of(record: Record, selection: str, framing: Framing | None = None) -> CheckpointFacts:
    """Return what a checkpoint of a run says about itself: the same bytes for the same run.

    Args:
        record: Record of the run, with its selections.
        selection: Which checkpoint.
        framing: How faces lie in the crops of its dataset.
    """
    weights = record.selection[selection].checkpoint
    timeless = record.model_copy(update={"timing": {}})
    return CheckpointFacts(selection=selection, weights=weights, record=timeless, framing=framing)


def read_facts(values: Mapping[str, Any], file: Path) -> CheckpointFacts:
    """Return facts from plain values.

    Args:
        values: See `CheckpointFacts.plain`.
        file: The checkpoint, for messages.

    Raises:
        StoreError: They are of a newer version, or break the schema.
    """
    record = values.get("record")
    version = record.get("schema_version") if isinstance(record, Mapping) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise StoreError(
            f"the checkpoint was written by a newer version; this one reads records up to schema "
            f"{SCHEMA_VERSION}",
            file=file,
            value=version,
            hint="install the version that wrote it; this one: fer-bench --version",
        )
    try:
        return CheckpointFacts.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise StoreError(f"the checkpoint's facts are damaged: {where}: {first['msg']}", file=file) from None
