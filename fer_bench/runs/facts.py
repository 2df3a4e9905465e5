"""What is known of a checkpoint, wherever it was copied to: from the file, else from the run it lies in."""

from __future__ import annotations

from pathlib import Path

from fer_bench.errors import StoreError
from fer_bench.results import checkpoint_facts
from fer_bench.results.record import Record, read_record
from fer_bench.results.store import RunDir

BESIDE = "record.json"
"""Record of the run, in the folder above that of its checkpoints."""


def find_facts(path: Path, weights: str) -> checkpoint_facts.CheckpointFacts | None:
    """Return what is known of a checkpoint: from the file, else from the record of the run it lies in.

    Args:
        path: The checkpoint.
        weights: Hash of its weights.

    Returns:
        None where neither says anything.

    Raises:
        StoreError: The facts are of a newer version, damaged, or of other weights.
    """
    from fer_bench.runs.training.checkpoints import read_facts

    values = read_facts(path)
    if values is not None:
        facts = checkpoint_facts.read_facts(values, path)
        if facts.weights != weights:
            raise StoreError("the checkpoint's facts are about other weights", file=path, value=facts.weights)
        return facts
    file = path.absolute().parent.parent / BESIDE
    if not file.is_file():
        return None
    record = read_record(file)
    names = [name for name, one in record.selection.items() if one.checkpoint == weights]
    if not names:
        problem = "the record beside the checkpoint is of other weights, or its run is not finished"
        raise StoreError(problem, file=file, value=record.status, hint="finish it: fer-bench status")
    known = [name for name in (path.stem, record.headline) if name in names]  # one epoch can be several
    return checkpoint_facts.facts_of(record, (known or names)[0])


def describe_checkpoints(run: RunDir, record: Record) -> None:
    """Store a run's record in its checkpoints, which then say what they are wherever they are copied to."""
    from fer_bench.runs.training.checkpoints import attach_facts

    for name in record.selection:
        file = run.checkpoints / f"{name}.pt"
        if file.exists():
            attach_facts(file, checkpoint_facts.facts_of(record, name).plain())
