"""The record of a run as it starts, and what a reader of its numbers should know."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer_bench import datasets, methods
from fer_bench.data.audit.leaks import known_leaks
from fer_bench.data.card import Protocol
from fer_bench.data.loading.union import UnionDataset
from fer_bench.data.protocols import find_protocol, folds_of, member_protocol
from fer_bench.datasets import members_of
from fer_bench.results.record import GENERATOR, Exposure, Record, TargetData, TrainingData
from fer_bench.runs.keys import method_blind_spots
from fer_bench.runs.resolve import input_spec, method_settings
from fer_bench.runs.start import start_exposure, start_of, start_warnings
from fer_bench.workspace.sources import Source
from fer_bench.workspace.unions import seen_note

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fer_bench.config import RunConfig
    from fer_bench.data.batch import Task
    from fer_bench.runs.plan import PlannedRun
    from fer_bench.workspace.workspace import Workspace

BATCH_RULE = "train.batch_size counts the rows of a step over all processes; the learning rate is not scaled"
NO_FACE = "no face was found in"
BY_CASCADE = "were found by the weak cascade"
IN_PART = "decode only in part, and decoders filled in the rest"


def first_record(planned: PlannedRun, system: dict[str, Any]) -> Record:
    """Return the record of a run that starts: what the plan decides, nothing measured.

    Args:
        planned: The run.
        system: See `environment.describe`.
    """
    config = planned.config
    protocol = Protocol.model_validate(planned.key_fields["protocol"])
    return Record(
        status="running",
        key=planned.key,
        method=config.method,
        dataset=config.dataset,
        protocol=config.protocol,
        fold=config.fold,
        folds=len(folds_of(protocol)),
        seed=config.seed,
        profile=config.profile,
        data_kind=planned.data_kind,
        classes=tuple(e.value for e in protocol.label_set),
        settings={
            "method": config.method_settings,
            "train": config.train.model_dump(mode="json"),
            "precision": config.precision,
            "tf32": config.tf32,
            "compile": config.compile,
            "portable": config.portable,
            "device": config.device,
            "devices": config.devices,
            "nodes": config.nodes,
            "batch_rule": BATCH_RULE,
        },
        varied=dict(planned.changed),
        key_fields=planned.key_fields,
        environment=system,
    )


def pretraining(planned: PlannedRun) -> dict[str, TrainingData]:
    """Return what the weights that a run starts from were trained on, by part of the network.

    Args:
        planned: The run.
    """
    config, weights = planned.config, planned.key_fields["weights"]
    if (start := start_of(config)) is not None:
        return start_exposure(start, planned.data_kind, planned.key_fields["fingerprint"])
    from fer_bench.methods.weights import learned_drawn_labels  # it needs torch, and outside models do not

    told = methods.get(config.method).pretraining(method_settings(config))
    found = {}
    for part, sha256 in weights.items():
        text = told.get(part, "unknown data")
        exposure: dict[str, Exposure] = dict.fromkeys(datasets.named_in(text), "in training")
        if learned_drawn_labels(sha256):
            exposure[GENERATOR] = "in training"
        found[part] = TrainingData(text=text, exposure=exposure)
    return found


def leak_warnings(source: Source, protocol_name: str) -> list[str]:
    """Return the leaks that `data verify` found in the rows of a source, as far as it has checked them.

    Args:
        source: What is trained on; of a union, every member.
        protocol_name: Protocol of the run.
    """
    dataset = source.dataset
    if source.kind != "real":
        return []  # drawn faces are alike by nature
    if not isinstance(dataset, UnionDataset):
        return [f"{dataset.card.name}: {leak}" for leak in known_leaks(dataset, protocol_name)]
    protocol = find_protocol(dataset.card, protocol_name)
    return [
        f"{member.card.name}: {leak}"
        for member in dataset.members
        for leak in known_leaks(member, member_protocol(member.card, protocol).name)
    ]


def run_warnings(config: RunConfig, workspace: Workspace) -> Iterator[str]:
    """Yield what is known before training: notes of the reader, damage, caveats of settings, unseen code.

    Args:
        config: Settings of the run.
        workspace: Its datasets and packs.
    """
    source = workspace.source(config.dataset)
    dataset = source.dataset
    damaged = int(workspace.pack(config.dataset, input_spec(config).size).damaged.sum())
    if damaged:
        yield _damage_note(config.dataset, damaged, f"{len(dataset.index):,} pictures")
    # What a reader says of the official download (such as missing sequences) says nothing about drawn data.
    notes = (*dataset.warnings, *dataset.notes) if source.kind == "real" else dataset.left_out
    yield from (f"{dataset.card.name}: {note}" for note in notes)
    if (start := start_of(config)) is None:
        yield from methods.get(config.method).caveats(method_settings(config))
    else:
        fingerprint = workspace.pack(config.dataset, input_spec(config).size).fingerprint
        yield from start_warnings(start, config, source.kind, fingerprint)
    yield from (f"not covered by the run key: {what}" for what in method_blind_spots(config.method))
    if config.precision == "bf16-true":
        yield "the weights themselves were trained in bfloat16, which loses small steps of the optimiser"
    if config.world_size > 1:
        yield f"batch statistics are of each of the {config.world_size} processes' own rows"


def label_warnings(fraction: float, task: Task, hidden: NDArray[np.bool_]) -> Iterator[str]:
    """Yield how many labels `label_fraction` left: whole subjects or videos can miss what was asked for.

    Args:
        fraction: Share of the training labels that was asked for.
        task: What the training rows offer.
        hidden: bool [N], training rows whose label is hidden.
    """
    if fraction < 1:
        shown = sum(task.class_counts)
        total = shown + int(hidden.sum())
        yield (
            f"label_fraction {fraction:g}: {shown} of {total} training labels are shown "
            f"({100 * shown / total:.0f} %)"
        )


def loss_warnings(history: Path) -> Iterator[str]:
    """Yield which logged losses were exactly 0 over whole epochs: they taught the network nothing there.

    Args:
        history: The run's `metrics.csv`, with a mean per epoch and loss.
    """
    with history.open(encoding="utf-8", newline="") as file:
        epochs = list(csv.DictReader(file))
    for name in epochs[0] if epochs else ():
        means = [float(epoch[name]) for epoch in epochs if name.startswith("train/") and epoch[name]]
        if means and not any(means):
            yield f"{name} was 0 in every epoch"
        elif 0.0 in means:
            yield f"{name} was 0 in some epochs"


def with_target_warnings(record: Record, data: Mapping[str, TargetData]) -> tuple[str, ...]:
    """Return a record's warnings and those about its targets: how faces were found, pictures seen, copies.

    Args:
        record: The record so far.
        data: What each target's predictions were made on.
    """
    seen = [note for name in sorted(data) if (note := seen_note(name, record.dataset)) is not None]
    noted = picture_notes(data)
    known = [
        text
        for text in record.warnings
        if not any(mark in text for mark in (NO_FACE, BY_CASCADE))
        and text not in seen
        and not (IN_PART in text and "scored" in text)
    ]
    return tuple(dict.fromkeys((*known, *seen, *noted)))


def picture_notes(data: Mapping[str, TargetData]) -> list[str]:
    """Return notes on targets with faces that were not found, or weakly, and on damaged or repackaged ones.

    Args:
        data: What each target's predictions were made on.
    """
    faces = [note for name, d in sorted(data.items()) for note in _face_notes(name, d)]
    damage = [
        _damage_note(name, d.damaged, "the scored pictures") for name, d in sorted(data.items()) if d.damaged
    ]
    return [*faces, *damage, *(f"{name}: {d.copy_note}" for name, d in sorted(data.items()) if d.copy_note)]


def _face_notes(name: str, data: TargetData) -> Iterator[str]:
    missed = data.faces_missed or 0.0
    if missed:
        yield (
            f"{name}: {NO_FACE} {missed:.1%} of the scored pictures, so their central square was cut "
            f"({data.recipe})"
        )
    if data.faces_weak > missed:
        yield f"{name}: {data.faces_weak - missed:.1%} of the scored faces {BY_CASCADE} ({data.recipe})"


def _damage_note(dataset: str, count: int, among: str) -> str:
    names = " and ".join(f"fer-bench data verify --dataset {name}" for name in members_of(dataset))
    return f"{dataset}: {count} of {among} {IN_PART}; {names} names them"
