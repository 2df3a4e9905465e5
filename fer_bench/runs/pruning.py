"""Runs that other code made than is installed, and how to delete them."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Literal

from fer_bench.errors import UsageError
from fer_bench.files import canonical
from fer_bench.results.record import Record
from fer_bench.results.store import Store
from fer_bench.runs.keys import code_fields, union_code_hash
from fer_bench.runs.listing import ListedRun

CODE = ("method_code", "training_code")
"""Fields of a run key that are hashes of code."""
Code = Literal["current", "other", "unknown"]


@dataclass(frozen=True)
class OldRun:
    """A run that other code made than is installed.

    Attributes:
        listed: The run.
        size: Bytes of its files.
        replaced_by: Key of a finished run of today's code that is the same otherwise, None if there is none.
    """

    listed: ListedRun
    size: int
    replaced_by: str | None


def runs_of_other_code(store: Store, chosen: Sequence[ListedRun]) -> tuple[list[OldRun], list[ListedRun]]:
    """Return the runs that other code made, and those of methods that are not installed.

    Args:
        store: The store.
        chosen: Some of its runs.
    """
    state = cache(_today)
    done = {
        _without_code(record): record.key
        for record in store.scan()[0]
        if record.status == "done" and _code_of(record, state(record.method)) == "current"
    }
    trained_here = [one for one in chosen if not one.record.is_outside]
    codes = [(one, _code_of(one.record, state(one.record.method))) for one in trained_here]
    old = [
        OldRun(one, one.size, done.get(_without_code(one.record))) for one, code in codes if code == "other"
    ]
    return old, [one for one, code in codes if code == "unknown"]


def _today(method: str) -> dict[str, str] | None:
    try:
        return code_fields(method)
    except UsageError:
        return None


def _code_of(record: Record, today: Mapping[str, str] | None) -> Code:
    if today is None:
        return "unknown"
    fields = record.key_fields
    union = fields.get("union", {}).get("code")
    same = all(fields.get(name) == today[name] for name in CODE) and union in (None, union_code_hash())
    return "current" if same else "other"


def _without_code(record: Record) -> str:
    fields = {name: value for name, value in record.key_fields.items() if name not in CODE}
    if "union" in fields:
        fields["union"] = {**fields["union"], "code": None}
    return canonical([record.dataset, fields])


def remove_runs(runs: Iterable[ListedRun]) -> tuple[list[ListedRun], list[ListedRun]]:
    """Delete runs; return those that were deleted, and those that a process works on, which are kept."""
    gone: list[ListedRun] = []
    kept: list[ListedRun] = []
    for one in runs:
        if not one.run.lock().acquire():
            kept.append(one)
            continue
        shutil.rmtree(one.run.path)
        for parent in one.run.path.parents[:2]:
            with suppress(OSError):  # other runs are in it
                parent.rmdir()
        gone.append(one)
    return gone, kept
