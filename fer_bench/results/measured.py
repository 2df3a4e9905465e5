"""What was measured beside the runs of a store: JSON files in a folder of their own."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from fer_bench.errors import StoreError
from fer_bench.files import write_json
from fer_bench.schema import Frozen

M = TypeVar("M", bound=Frozen)


def write_measured(folder: Path, found: Frozen, name: str) -> Path:
    """Write a measurement over the last one of its name, and return its path.

    Args:
        folder: Of these measurements in a store.
        found: What was measured.
        name: Name of the file, without ending.
    """
    path = folder / f"{name}.json"
    write_json(path, found.model_dump(mode="json"))
    return path


def read_measured(folder: Path, kind: type[M], what: str, command: str) -> list[M]:
    """Return the measurements of a folder, in the order of file names.

    Args:
        folder: Of these measurements in a store; it may be absent.
        kind: What a file holds.
        what: Says so in an error.
        command: Measures anew.

    Raises:
        StoreError: A damaged file.
    """
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            found.append(kind.model_validate_json(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, ValidationError) as error:
            raise StoreError(f"not a readable {what}: {error}", file=path, hint=command) from None
    return found
