"""Start a method from the weights of a checkpoint, also where its classes are others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from fer_bench.data.batch import Task
from fer_bench.errors import UsageError
from fer_bench.methods.base import Method
from fer_bench.methods.plain_file import mismatch, shown
from fer_bench.runs.training.checkpoints import load_weights

Build = Callable[[Task], Method]
"""Return a fresh method of the run's settings for a task; every call draws the same random weights."""


def start_from(method: Method, file: Path, weights: str, build: Build) -> list[str]:
    """Give a fresh method the weights of a checkpoint.

    Parameters with a row per class are taken row by row: those of classes that both know are copied, whatever
    their place, those of new classes stay random. Buffers that are made of the training rows (class weights)
    stay those of the run.

    Args:
        method: A fresh method, changed in place.
        file: The checkpoint.
        weights: The `state_hash` that it must have.
        build: See `Build`.

    Returns:
        What was taken over and what is new, in sentences.

    Raises:
        StoreError: The checkpoint is absent, unreadable, or holds other weights.
        UsageError: It is of another method, or of a network that these settings do not make.
    """
    old = load_weights(file, expected=weights)
    if old.name != method.name:
        raise UsageError(
            f"the checkpoint is of {old.name}, and the run trains {method.name}", value=str(file)
        )
    given = old.state_dict()
    own = {name: value.clone() for name, value in method.state_dict().items()}
    twin = build(old.task).state_dict()
    if differ := mismatch(given, twin):
        raise UsageError(
            f"the run's settings make another network than the checkpoint's: {differ}",
            value=str(file),
            hint="leave out --set of what decides the network, such as its backbone or size",
        )
    before, after = old.task.classes, method.task.classes
    wider = build(_with_one_more(method.task)).state_dict()
    buffers = {name for name, _ in method.named_buffers()}
    fresh: list[str] = []
    rows: list[str] = []
    for name, value in own.items():
        axis = _class_axis(value, wider[name], len(after))
        if name not in given or (name in buffers and (axis is not None or not _same(twin[name], value))):
            fresh.append(name)
        elif axis is not None:
            _copy_rows(given[name], value, axis, before, after)
            rows.append(name)
        elif given[name].shape == value.shape:
            value.copy_(given[name])
        else:
            fresh.append(name)
    method.load_state_dict(own)
    left = [name for name in given if name not in own]
    return list(_sentences(before, after, rows, fresh, left))


def _with_one_more(task: Task) -> Task:
    return replace(task, classes=(*task.classes, "one more"), class_counts=(*task.class_counts, 1))


def _class_axis(value: Tensor, wider: Tensor, classes: int) -> int | None:
    """Return the axis of a tensor that has a place per class, None where it has none.

    Args:
        value: The tensor.
        wider: The same of a network with one more class.
        classes: Number of classes.
    """
    if value.dim() != wider.dim():
        return None
    grown = [axis for axis, (a, b) in enumerate(zip(value.shape, wider.shape, strict=True)) if a != b]
    if len(grown) == 1 and (value.shape[grown[0]], wider.shape[grown[0]]) == (classes, classes + 1):
        return grown[0]
    return None


def _copy_rows(
    source: Tensor, target: Tensor, axis: int, before: Sequence[str], after: Sequence[str]
) -> None:
    with torch.no_grad():
        for place, name in enumerate(after):
            if name in before:
                target.select(axis, place).copy_(source.select(axis, list(before).index(name)))


def _same(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and bool(torch.equal(one, other))


def _sentences(
    before: Sequence[str], after: Sequence[str], rows: list[str], fresh: list[str], left: list[str]
) -> list[str]:
    shared = [name for name in after if name in before]
    new = [name for name in after if name not in before]
    lost = [name for name in before if name not in after]
    found = []
    if tuple(before) != tuple(after):
        kept = "no class of it is known to the checkpoint"
        if rows and shared:
            kept = f"its rows for {', '.join(shared)} are the checkpoint's"
        found.append(f"the head was rebuilt for the classes of the data: {kept}")
        if new and shared:
            found.append(f"new in the head: {', '.join(new)}")
        if lost:
            found.append(f"the checkpoint's {', '.join(lost)} cannot be answered any more")
    if fresh:
        found.append(f"not taken from the checkpoint: {shown(fresh)}")
    if left:
        found.append(f"left out of the checkpoint: {shown(left)}")
    return found
