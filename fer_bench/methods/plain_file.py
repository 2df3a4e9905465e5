"""Read what `torch.save` wrote without executing anything in it, or say plainly why it is refused."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeGuard

import torch
from torch import Tensor

from fer_bench.errors import DataError, one_line
from fer_bench.files import mistaken_for

SHOWN = 5
"""Names that a message lists at most."""
SAVE_PLAIN = "save only the tensors where the file was written: torch.save(model.state_dict(), FILE)"


def read_plain(file: Path | str) -> Any:
    """Read a file that `torch.save` wrote, or a safetensors file, onto the CPU.

    Only tensors and plain values are read, so that nothing in the file is executed.

    Raises:
        FileNotFoundError: There is no such file.
        DataError: The file is damaged, of another kind, or holds other objects; its message says which.
    """
    path = Path(file)
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about what makes it fail next
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise
    except Exception as error:  # damaged files raise many kinds of errors: zip, pickle, header, text
        reason, hint = _reason(error, path)
        raise DataError(reason, file=path, hint=hint) from None


def is_local_file(source: Path | str | IO[Any]) -> TypeGuard[Path | str]:
    """Return whether this is the path of a file, rather than an open file or an address in a network."""
    return isinstance(source, Path) or (isinstance(source, str) and "://" not in source)


def read_method_name(file: Path | str, hyper_parameters: str) -> str:
    """Return the name of the method in a checkpoint that Lightning wrote.

    Args:
        file: The checkpoint.
        hyper_parameters: Lightning's key of hyperparameters.

    Raises:
        DataError: The file is absent, unreadable, or not a checkpoint of a method.
    """
    try:
        stored = read_plain(file)
    except FileNotFoundError:
        raise DataError("the checkpoint is absent", file=file) from None
    except DataError as error:
        raise DataError(f"not a readable checkpoint: {error.message}", file=file, hint=error.hint) from None
    found = stored.get(hyper_parameters) if isinstance(stored, dict) and "state_dict" in stored else None
    if not isinstance(found, dict) or "method" not in found:
        raise DataError("not a checkpoint of a method", file=file)
    return str(found["method"])


@contextmanager
def refuse_misfit(method: str, source: object) -> Iterator[None]:
    """Turn the error of loading weights that do not fit a method into one in our words.

    Raises:
        DataError: Tensors are missing, left over or of another shape.
    """
    try:
        yield
    except RuntimeError as error:
        found = re.sub(r"^Error\(s\) in loading state_dict for \w+: ", "", one_line(error))
        raise DataError(f"not a checkpoint of {method}: {found}", file=str(source)) from None


def mismatch(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str:
    """Return how a state dict differs from that of a network in names and shapes; empty if it does not.

    Args:
        state: The state dict.
        expected: That of the network.
    """
    shapes = [
        f"{name} {tuple(state[name].shape)} instead of {tuple(value.shape)}"
        for name, value in expected.items()
        if name in state and state[name].shape != value.shape
    ]
    found = {
        "lacks": [name for name in expected if name not in state],
        "holds besides": [name for name in state if name not in expected],
        "has in another shape": shapes,
    }
    return "; ".join(f"it {what} {shown(names)}" for what, names in found.items() if names)


def shown(names: list[str]) -> str:
    """Return names for a message, the first of them and how many there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _reason(error: Exception, path: Path) -> tuple[str, str | None]:
    """Return why a file could not be read and what helps: torch's own texts advise to execute it."""
    text = one_line(error)
    if foreign := _foreign_objects(text, path):
        return (
            f"it holds objects besides tensors and plain values ({shown(foreign)}), and loading those would "
            "execute code from the file"
        ), SAVE_PLAIN
    if "TorchScript" in text:
        return "it is a TorchScript archive, which holds code", SAVE_PLAIN
    if (mistaken := mistaken_for(path)) is not None:
        return mistaken
    if "Weights only load failed" in text:  # the pickle machine met a byte it does not know
        return "it is damaged, or torch.save did not write it", None
    if "PytorchStreamReader" in text:
        return f"it is damaged or incomplete: {text.partition('. ')[0]}", None
    return f"it is damaged: {text or type(error).__name__}", None


def _foreign_objects(text: str, path: Path) -> list[str]:
    """Return the types and functions that a refused file asks for."""
    named = re.search(
        r"GLOBAL (\S+) (?:was not an allowed|whose module)|allowlisted .* but got (.+?)(?: Check|$)", text
    )
    if named is None:
        return []
    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path)) or [named[1] or named[2]]
    except Exception:  # a file in the format before torch 1.6: all that is known is in the text
        return [named[1] or named[2]]
