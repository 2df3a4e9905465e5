"""Named subsets of a dataset's rows in a run store: `subsets/<dataset>/<name>.json`, scored in every run."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from fer_bench.errors import StoreError, UsageError
from fer_bench.files import write_json
from fer_bench.schema import Frozen

FOLDER = "subsets"
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")


class Subset(Frozen):
    """Rows of a dataset that are also scored on their own.

    Attributes:
        schema_version: Version of this layout.
        dataset: Dataset whose rows they are.
        name: What they are called.
        rows: Sample ids, sorted.
        file: Name of the list that they were read from.
        repeated: Lines of the list that named a row again.
    """

    schema_version: Literal[1] = 1
    dataset: str
    name: str
    rows: tuple[str, ...] = Field(min_length=1)
    file: str = ""
    repeated: int = 0

    @property
    def hash(self) -> str:
        """Hash of the sample ids: equal for equal rows, however a list names and orders them."""
        return hashlib.sha256("\n".join(self.rows).encode()).hexdigest()[:16]


def check_subset_name(name: str) -> None:
    """Refuse a name that cannot be that of a file.

    Raises:
        UsageError: It has characters other than lower-case letters, digits, dots, hyphens and underscores.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            "a subset's name has small letters, digits, - and _",
            value=name,
            hint="example: pose-45",
        )


def add_subset(root: Path, subset: Subset) -> bool:
    """Store a subset; return whether it was not stored yet.

    Args:
        root: Folder of the run store.
        subset: The subset.

    Raises:
        UsageError: Another subset of the dataset has this name.
        StoreError: The file of that name is damaged.
    """
    file = root / FOLDER / subset.dataset / f"{subset.name}.json"
    if file.exists():
        known = _read(file, file.stat().st_mtime_ns)
        if known.hash != subset.hash:
            named = f"{subset.dataset}:{subset.name}"
            raise UsageError(
                f"{named} is the name of {len(known.rows)} other rows, of {known.file}",
                file=file,
                value=f"{len(subset.rows)} rows from {subset.file}",
                hint="another name; or delete that file, and `fer-bench score` removes its scores",
            )
        return False
    write_json(file, subset.model_dump(mode="json"))
    return True


def subsets_of(root: Path, dataset: str) -> tuple[Subset, ...]:
    """Return the subsets of a dataset in a store, by name.

    Raises:
        StoreError: A file is damaged.
    """
    return tuple(_read(file, file.stat().st_mtime_ns) for file in subset_files(root, dataset))


def subset_files(root: Path, dataset: str) -> Sequence[Path]:
    """Return the files of a dataset's subsets in a store."""
    return sorted((root / FOLDER / dataset).glob("*.json"))


@lru_cache(maxsize=256)
def _read(file: Path, written: int) -> Subset:
    try:
        return Subset.model_validate_json(file.read_bytes())
    except (OSError, ValidationError) as error:
        raise StoreError(f"not a readable subset: {error}", file=file) from None
