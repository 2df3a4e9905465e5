"""Checkpoints: the weights of a method in plain types, and Lightning's states written atomically."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins import TorchCheckpointIO
from torch import Tensor

from fer_bench import methods
from fer_bench.errors import DataError, StoreError, one_line
from fer_bench.files import write_atomic
from fer_bench.methods.base import Method
from fer_bench.methods.plain_file import mismatch, read_plain
from fer_bench.methods.weights import state_hash
from fer_bench.results.store import FROZEN

FORMAT = 1
"""Layout of the files that `save_weights` writes."""
LAST_STATE = "last.ckpt"
"""File of the state to resume from, in a run's folder of checkpoints."""


class AtomicCheckpointIO(TorchCheckpointIO):
    """Write Lightning's checkpoints as everything else in a store: complete or not at all.

    Lightning's own writer goes through the system's folder for temporary files, and is atomic only where that
    is on the file system of the store.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint."""
        write_atomic(Path(path), lambda temporary: torch.save(checkpoint, temporary))

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> Any:
        """Read a checkpoint onto the CPU, executing nothing in it.

        Raises:
            StoreError: It holds more than tensors and plain values, or is damaged.
        """
        try:
            return read_plain(path)
        except DataError as error:
            raise StoreError(
                f"the state to resume from is not readable: {error.message}",
                file=path,
                hint="--force starts the run anew; a method's state must be tensors and plain values",
            ) from None


def remove_damaged(checkpoint: Path) -> str | None:
    """Delete a state to resume from that differs from what was written.

    Returns:
        A warning for the record, None where the state is intact or absent.
    """
    try:
        with zipfile.ZipFile(checkpoint) as archive:  # what torch.save writes, with a checksum of each part
            damage = archive.testzip()
    except FileNotFoundError:
        return None
    except (OSError, zipfile.BadZipFile, zlib.error) as error:
        damage = str(error)
    if damage is None:
        return None
    checkpoint.unlink(missing_ok=True)
    return f"the state of an earlier attempt was damaged ({damage}), so training began anew"


def save_weights(
    method: Method, path: Path, *, state: Mapping[str, Tensor] | None = None, frozen: Path | None = None
) -> None:
    """Save weights with what rebuilds the method: plain types only, so that loading executes nothing.

    Args:
        method: The method.
        path: The file.
        state: Other weights than the method has now, as its `state_dict` returned them; None takes its own.
        frozen: Folder for weights that are never trained, one file per content, because the runs of a store
            share a large pretrained tower. None saves them with the others.
    """
    state = {name: value.detach().cpu() for name, value in (state or method.state_dict()).items()}
    content = {
        "format": FORMAT,
        "method": method.name,
        "task": asdict(method.task),
        "settings": method.settings.model_dump(mode="json"),
        "train": method.train_settings.model_dump(mode="json"),
    }
    untrained = [name for name, value in method.named_parameters() if not value.requires_grad]
    if frozen is not None and untrained:
        shared = {name: state.pop(name) for name in untrained}
        content["frozen"] = state_hash(shared)
        file = frozen / f"{content['frozen']}.pt"
        if not file.exists():
            _save({"format": FORMAT, "state": shared}, file)
    _save({**content, "state": state}, path)


def _save(content: dict[str, Any], path: Path) -> None:
    buffer = io.BytesIO()  # a file's name would become part of its bytes
    torch.save(content, buffer)
    write_atomic(path, lambda temporary: temporary.write_bytes(buffer.getvalue()))


def load_weights(path: Path, *, expected: str | None = None) -> Method:
    """Rebuild a method from its saved weights, in evaluation mode on the CPU.

    Args:
        path: The file.
        expected: The `state_hash` that its weights must have, None for any.

    Raises:
        StoreError: The file is absent, unreadable, or holds other weights than expected.
    """
    content = _read(path)
    try:
        if "frozen" in content:
            content["state"] |= read_plain(_frozen_file(path, content["frozen"]))["state"]
        kind = methods.get(content["method"])
        method = kind(content["task"], content["settings"], content["train"])
    except DataError as error:
        raise StoreError(
            f"not a readable checkpoint: {error.message}", file=error.file, hint=error.hint
        ) from None
    except (KeyError, TypeError):
        raise _foreign(path) from None
    try:
        method.load_state_dict(content["state"])
    except RuntimeError as error:
        reason = mismatch(content["state"], method.state_dict()) or one_line(error)
        raise StoreError(f"not the weights of {method.name}: {reason}", file=path) from None
    found = expected and state_hash(content["state"])
    if found != expected:
        raise StoreError(
            "the checkpoint holds other weights than this run trained",
            file=path,
            value=found,
            hint="another process worked on this run at the same time; repeat the command to repair it",
        )
    return method.eval()


def attach_facts(path: Path, facts: Mapping[str, Any]) -> None:
    """Store values of JSON beside the weights of a checkpoint, instead of those that it held.

    The hash of the weights stays the same. As text, equal facts are equal bytes; those of a pickle depend on
    which values are one object.

    Args:
        path: The file.
        facts: The values by name.

    Raises:
        StoreError: The file is absent, unreadable or not a checkpoint, or cannot be written.
    """
    _save({**_read(path), "facts": json.dumps(facts, allow_nan=False)}, path)


def read_facts(path: Path) -> dict[str, Any] | None:
    """Return what `attach_facts` stored in a checkpoint, None where it has not.

    Raises:
        StoreError: The file is absent, unreadable or not a checkpoint.
    """
    found = _read(path).get("facts")
    if found is None:
        return None
    try:
        facts: dict[str, Any] = dict(json.loads(found))
    except (TypeError, ValueError):
        raise StoreError("the checkpoint's facts are damaged", file=path) from None
    return facts


def _read(path: Path) -> dict[str, Any]:
    """Return what `save_weights` and `attach_facts` wrote."""
    try:
        content = read_plain(path)
    except FileNotFoundError:
        raise StoreError("the checkpoint is absent", file=path) from None
    except DataError as error:
        raise StoreError(
            f"not a readable checkpoint: {error.message}", file=error.file, hint=error.hint
        ) from None
    if not isinstance(content, dict) or not {"format", "method", "state"} <= content.keys():
        raise _foreign(path)
    if content["format"] != FORMAT:
        raise StoreError(
            f"the checkpoint was written by another version; this one reads format {FORMAT}",
            file=path,
            value=content["format"],
            hint="install the version that wrote it; this one: fer-bench --version",
        )
    return content


def _foreign(path: Path) -> StoreError:
    return StoreError(
        "not a checkpoint of this suite",
        file=path,
        hint="those of other code: fer-bench import METHOD FILE --out OUT",
    )


def _frozen_file(path: Path, name: str) -> Path:
    """Return the file with a checkpoint's weights that were never trained, in the store it belongs to."""
    for folder in path.absolute().parents[:5]:
        if (file := folder / FROZEN / f"{name}.pt").exists():
            return file
    raise StoreError(
        "weights that this checkpoint shares with others of its store are absent",
        file=path,
        value=f"{name}.pt",
        hint=f"copy the store's folder {FROZEN} next to the checkpoint or into a folder above it",
    )
