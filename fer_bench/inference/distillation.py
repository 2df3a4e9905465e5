"""Prepare the training of a small network that learns from a trained one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import torch

from fer_bench.data.crops.choice import EVERY
from fer_bench.datasets import members_of
from fer_bench.errors import UsageError
from fer_bench.files import write_atomic
from fer_bench.inference.checkpoint import CheckpointModel
from fer_bench.inference.source_rows import record_of
from fer_bench.methods.distilled.teacher import ORIGIN
from fer_bench.results.record import Record, method_with
from fer_bench.results.store import Store
from fer_bench.runs.resolve import resolve_settings

METHOD = "distilled"
TEACHERS = "teachers"
"""Folder of the store that keeps what students learned from, so that they can be trained again."""
STUDENTS = ("mobilenetv3_small_050", "mobilenetv4_conv_small_050")
"""Networks of timm with 0.57 million parameters, and with 0.96 million, as many as MobileFaceNet."""


@dataclass(frozen=True)
class Lessons:
    """A student's training that is ready to be planned.

    Attributes:
        teacher: Record of the run that trained the teacher.
        file: The teacher, as students read it.
        fields: Fields of the sweep that trains the student on the teacher's own rows.
    """

    teacher: Record
    file: Path
    fields: dict[str, Any]


def prepare_lessons(
    model: CheckpointModel,
    store: Store,
    student: str,
    *,
    size: int | None = None,
    changes: Sequence[str] = (),
) -> Lessons:
    """Write a teacher into the store, and return how its student is trained.

    The student trains on the rows that the teacher was trained on: those of its source, protocol and fold;
    any other division would let the teacher tell about the student's test rows.

    Args:
        model: The teacher.
        store: The run store.
        student: A network of timm, or `small` or `narrow` of this package.
        size: Height and width of the student's input, the teacher's by default.
        changes: Further settings, as on the command line.

    Raises:
        UsageError: Imported weights, whose training rows are unknown; or no such
            network, or one that does not take pictures of this size.
        StoreError: The store cannot be written.
    """
    record = record_of(model)
    if record is None:
        raise UsageError(
            "these weights were imported: nobody knows which rows they saw, and a teacher that saw test rows "
            "would tell the student",
            file=model.path,
        )
    name = method_with(record.method, record.varied).replace("/", "_")
    file = store.root.absolute() / TEACHERS / model.sha256[:16] / f"{name}.ckpt"
    if not file.exists():
        write_teacher(model, record, file)
    settings = (
        f"method.teacher={file}",
        f"method.backbone={student}",
        f"method.size={size or model.spec.size}",
        *changes,
    )
    resolve_settings(METHOD, record.profile, settings)
    own = members_of(record.dataset)
    crops = dict(record.key_fields.get("crops", {}))
    options = {name: crops.pop(name) for name in ("faces", "detector") if name in crops}
    fields = {
        "methods": [METHOD],
        "datasets": [record.dataset],
        "protocols": {record.dataset: record.protocol},
        "folds": [record.fold],
        "seeds": [record.seed],
        "profile": record.profile,
        "targets": [target for target in record.targets if target not in own] or "none",
        "crop": [recipe if name == EVERY else f"{name}={recipe}" for name, recipe in crops.items()],
        "classes": record.class_map,
        "set": list(settings),
        **options,
    }
    return Lessons(record, file, {name: value for name, value in fields.items() if value not in ({}, [])})


def write_teacher(model: CheckpointModel, record: Record, file: Path) -> None:
    """Write a teacher with all of its weights, and with where it comes from, as plain values.

    Args:
        model: The teacher.
        record: Record of the run that trained it.
        file: The file, in the layout of Lightning's checkpoints.

    Raises:
        StoreError: It cannot be written.
    """
    method = model.method
    content = {
        "pytorch-lightning_version": lightning.__version__,
        "state_dict": {name: value.detach().cpu() for name, value in method.state_dict().items()},
        method.CHECKPOINT_HYPER_PARAMS_KEY: dict(method.hparams),
        ORIGIN: {
            "name": f"{record.name} (run {record.key})",
            "weights": dict(record.key_fields.get("weights", {})),
            "pretrained": {part: told.text for part, told in record.pretrained.items()},
        },
    }
    write_atomic(file, lambda temporary: torch.save(content, temporary))
