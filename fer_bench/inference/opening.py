"""Open what a user names as a model: a checkpoint, a run or its key. Imports torch only for checkpoints."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from fer_bench.data.crops.recipe import CropRecipe
from fer_bench.errors import StoreError, UsageError, one_line
from fer_bench.files import expand_home
from fer_bench.inference.face_model import FaceModel
from fer_bench.results.store import RunDir, Store

if TYPE_CHECKING:
    from fer_bench.inference.checkpoint import CheckpointModel
    from fer_bench.inference.model_card import ModelCard

KEY = re.compile(r"[0-9a-f]{4,16}")
"""A run key, or how it begins."""
KINDS = "a checkpoint (.pt), an export (.onnx), a run's folder, or a run key"
LIST = "all runs: fer-bench runs"


def open_face_model(
    what: str | Path, device: str = "auto", *, recipe: CropRecipe | None = None, runs_dir: Path | str = "runs"
) -> FaceModel:
    """Open a trained model.

    Args:
        what: A checkpoint (`.pt`), an ONNX file that `fer-bench export` wrote, a run's folder or a run key,
            both for the checkpoint that tables show.
        device: `auto`, `cpu` or `cuda`.
        recipe: How faces are cropped, instead of what the model says; its size is ignored.
        runs_dir: The run store in which a key is looked up.

    Raises:
        UsageError: Nothing of this name, no such device, or torch is missing.
        StoreError: The file cannot be read, or is of another version.
    """
    file = find_file(what, runs_dir)
    if file.suffix == ".onnx":
        from fer_bench.inference.onnx_model import OnnxModel

        return OnnxModel(file, device, recipe)
    return open_checkpoint(file, device, recipe=recipe)


def open_checkpoint(path: Path, device: str = "auto", *, recipe: CropRecipe | None = None) -> CheckpointModel:
    """Open a checkpoint of this suite; arguments and errors as for `open_face_model`."""
    try:
        from fer_bench.inference.checkpoint import CheckpointModel
    except ImportError as error:
        raise UsageError(
            f"checkpoints need torch, which cannot be imported: {one_line(error)}",
            value=str(path),
            hint="install all of fer-bench, or export it where it is: fer-bench export CHECKPOINT --to onnx",
        ) from None
    return CheckpointModel(path, device, recipe)


def checkpoint_of(
    model: FaceModel, why: str = "explanations need gradients, which only a checkpoint has"
) -> CheckpointModel:
    """Return the model as a checkpoint.

    Args:
        model: Any model.
        why: What to say of another kind.

    Raises:
        UsageError: It is of another kind.
    """
    with suppress(ImportError):  # where torch cannot be imported, no model is a checkpoint
        from fer_bench.inference.checkpoint import CheckpointModel

        if isinstance(model, CheckpointModel):
            return model
    raise UsageError(why, value=str(model.path), hint="name the checkpoint (.pt) that it was exported from")


def read_model_card(what: str | Path, runs_dir: Path | str = "runs") -> ModelCard:
    """Return the model card of a checkpoint, an export or a run; errors are those of `open_face_model`."""
    file = find_file(what, runs_dir)
    if file.suffix == ".onnx":
        from fer_bench.inference.onnx_model import OnnxModel

        return OnnxModel(file, "cpu").model_card
    opened = open_checkpoint(file, "cpu")
    from fer_bench.inference.model_card import model_card
    from fer_bench.inference.source_rows import record_of

    return model_card(opened.card, record_of(opened))


def find_file(what: str | Path, runs_dir: Path | str = "runs") -> Path:
    """Return the file that a user means.

    Args:
        what: See `open_face_model`.
        runs_dir: See `open_face_model`.

    Raises:
        UsageError: Nothing of this name.
        StoreError: A folder without a run, a run without a checkpoint, or several runs with such a key.
    """
    path = expand_home(what)
    if path.is_dir():
        return _of_run(RunDir(path))
    if path.is_file():
        return path
    text = str(what)
    if KEY.fullmatch(text) and Path(runs_dir).is_dir():
        return _of_run(Store(runs_dir).find(text))
    known = f"; {runs_dir} is not a run store" if KEY.fullmatch(text) else ""
    raise UsageError(f"no such model: {text}", hint=f"{KINDS}{known}; {LIST}")


def _of_run(run: RunDir) -> Path:
    """Return the checkpoint of a run that tables show."""
    record = run.read_record()
    if record is None:
        raise StoreError("the folder does not hold a run", file=run.path, hint=LIST)
    file = run.checkpoints / f"{record.headline}.pt"
    if not file.is_file():
        raise StoreError(
            "the run has no checkpoint: it is not finished, or was removed",
            file=file,
            value=record.status,
            hint="the command that began it finishes it",
        )
    return file
