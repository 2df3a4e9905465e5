"""What is known of a checkpoint, wherever it was copied to: from the file, else from the run it lies in."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from pathlib import Path

from fer_bench.data.crops.faces import DetectorError
from fer_bench.data.crops.framing import Framing, measure_framing
from fer_bench.data.crops.recipe import AS_SHIPPED
from fer_bench.data.packs.joined import JoinedRecipe
from fer_bench.errors import StoreError
from fer_bench.results import checkpoint_facts
from fer_bench.results.record import Record, read_record
from fer_bench.results.store import RunDir
from fer_bench.workspace.workspace import Workspace


def run_of(checkpoint: Path) -> RunDir:
    """Return the folder of the run that a checkpoint lies in, if it lies in one."""
    return RunDir(checkpoint.absolute().parent.parent)


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
    file = run_of(path).record_file
    if not file.is_file():
        return None
    record = read_record(file)
    names = [name for name, one in record.selection.items() if one.checkpoint == weights]
    if not names:
        problem = "the record beside the checkpoint is of other weights, or its run is not finished"
        raise StoreError(problem, file=file, value=record.status, hint="finish it: fer-bench status")
    known = [name for name in (path.stem, record.headline) if name in names]  # one epoch can be several
    return checkpoint_facts.facts_of(record, (known or names)[0])


def describe_checkpoints(run: RunDir, record: Record, workspace: Workspace | None = None) -> None:
    """Store a run's record in its checkpoints, which then say what they are wherever they are copied to.

    Args:
        run: Its folder.
        record: Its record.
        workspace: The data that it was trained on; without them the checkpoints keep what they say of these.
    """
    from fer_bench.runs.training.checkpoints import attach_facts, read_facts

    measured: Framing | None = None
    if workspace is not None:
        measured = framing_of(workspace, record.dataset, int(record.key_fields["crop"]["size"]))
    for selection in record.selection:
        file = run.checkpoints / f"{selection}.pt"
        if not file.exists():
            continue
        framing = measured
        if workspace is None and (before := read_facts(file)) is not None:
            framing = checkpoint_facts.read_facts(before, file).framing
        attach_facts(file, checkpoint_facts.facts_of(record, selection, framing).plain())


def framing_of(workspace: Workspace, dataset: str, size: int) -> Framing | None:
    """Return how faces lie in the crops of a dataset, see `_framing`; measured once per workspace."""
    return workspace.once(("framing", dataset, size), partial(_framing, workspace, dataset, size))


def _framing(workspace: Workspace, dataset: str, size: int) -> Framing | None:
    """Return how faces lie in the crops of a dataset, where those are as their publisher made them."""
    pack = workspace.pack(dataset, size)
    if pack.recipe.kind not in AS_SHIPPED or isinstance(pack.recipe, JoinedRecipe):
        return None
    with suppress(DetectorError):  # only predicting other pictures needs it
        return measure_framing(pack.pixels)
    return None
