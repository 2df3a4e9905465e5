"""Train one run with Lightning: build its method and data, fit, and resume after the last epoch written."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from lightning import Callback, Trainer
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities import rank_zero_only

from fer_bench import methods
from fer_bench.config import RunConfig
from fer_bench.data.batch import Task
from fer_bench.data.loading.datamodule import FaceDataModule
from fer_bench.data.loading.union_module import make_datamodule
from fer_bench.methods.base import Method
from fer_bench.runs.distributed import ALONE, Fit, Group
from fer_bench.runs.spent import SpentClock
from fer_bench.runs.training.callbacks import (
    EpochSeeds,
    InputDtypeCallback,
    NoProfiler,
    OnStep,
    PlaceEnvironment,
    RowWeightingCallback,
    ThroughputCallback,
)
from fer_bench.runs.training.checkpoints import LAST_STATE, AtomicCheckpointIO
from fer_bench.runs.training.initial import start_from
from fer_bench.runs.training.selection import EpochSelection, FitResult, OnEpoch, Peek
from fer_bench.workspace.workspace import Workspace


def build_method(config: RunConfig, task: Task, on_note: Callable[[str], None] | None = None) -> Method:
    """Return a fresh method with the weights it starts from; the same seed gives the same weights.

    These are those of the checkpoint that the run starts from, else the pretrained ones that it names.

    Args:
        config: Settings of the run.
        task: What the training rows offer.
        on_note: Called with what a checkpoint gave and what is new.
    """
    kind = methods.get(config.method)

    def build(task: Task) -> Method:
        torch.manual_seed(config.seed)
        return kind(task, config.method_settings, config.train)

    method = build(task)
    if config.init is None:
        method.load_pretrained()
        return method
    for note in start_from(method, Path(config.init.file), config.init.weights, build):
        if on_note is not None:
            on_note(note)
    return method


def build_data(config: RunConfig, workspace: Workspace) -> FaceDataModule:
    """Return the training, validation and test batches of a run; packs its pictures on first use."""
    kind = methods.get(config.method)
    settings = kind.build_settings(config.method_settings)
    spec = kind.input_spec(settings)
    return make_datamodule(
        workspace.source(config.dataset).dataset,
        spec=spec,
        pack=workspace.pack(config.dataset, spec.size),
        protocol=config.protocol,
        fold=config.fold,
        seed=config.seed,
        batch_size=config.train.batch_size,
        epoch_rows=config.train.epoch_rows,
        augmentation=config.train.augmentation,
        with_reference=kind.needs_reference,
        enrolled=settings.enrolled,
        with_unlabelled=kind.uses_unlabelled and config.train.unlabelled,
        with_strong=kind.needs_strong,
        with_affect=kind.predicts_affect,
        label_fraction=config.train.label_fraction,
        soft_labels=config.train.soft_labels,
    )


def fit(
    method: Method,
    data: FaceDataModule,
    config: RunConfig,
    folder: Path,
    *,
    on_epoch: OnEpoch | None = None,
    on_step: OnStep | None = None,
    group: Group | None = None,
    resume: bool | None = None,
    frozen: Path | None = None,
    clock: SpentClock | None = None,
    peek: Peek | None = None,
) -> FitResult:
    """Train a method, resuming after the last epoch that was written if there is one.

    Args:
        method: Freshly initialised.
        data: Training and validation rows.
        config: Device, precision, epochs and seed.
        folder: Where checkpoints go; the history goes into its parent.
        on_epoch: Called after each epoch, see `EpochSelection`.
        on_step: Called within epochs, see `ThroughputCallback`.
        group: The run's processes if there are several.
        resume: Whether to resume; None resumes if there is a checkpoint.
        frozen: Folder for weights that are never trained, see `save_weights`.
        clock: Counts CPU time.
        peek: Scores each epoch's weights on the test rows, see `EpochSelection`.

    Returns:
        Which epochs were selected; `folder` then holds `last.pt`, `val.pt` where there is validation,
        `val_abaw.pt` where the ABAW sum is defined, and `peek.pt` with `peek`.

    Raises:
        DivergedError: The loss became NaN or infinite.
    """
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / LAST_STATE
    resume = checkpoint.exists() if resume is None else resume
    if group is not None and group.place.rank == 0:
        group.send(Fit(resume))
    if config.compile:
        method.get_submodule("network").compile()
    validates = len(data.rows("val")) > 0
    selection = EpochSelection(
        folder,
        validates=validates,
        train=config.train,
        on_epoch=on_epoch,
        frozen=frozen,
        clock=clock,
        peek=peek,
    )
    callbacks: list[Callback] = [EpochSeeds(config.seed), selection]
    place = ALONE if group is None else group.place
    # Lightning took it from the variables of a cluster when it was imported.
    rank_zero_only.rank = place.rank  # type: ignore[attr-defined]
    if on_step is not None:
        callbacks.append(ThroughputCallback(on_step))
    if config.precision == "bf16-true":
        callbacks.append(InputDtypeCallback())
    if group is not None:
        callbacks.append(RowWeightingCallback())
    with without_trainer_variables():
        trainer = Trainer(
            accelerator="gpu" if config.device == "cuda" else "cpu",
            devices=config.devices,
            num_nodes=config.nodes,
            strategy="auto" if group is None else DDPStrategy(process_group_backend=group.backend),
            precision="32-true" if config.precision == "32" else config.precision,
            max_epochs=config.train.max_epochs,
            callbacks=callbacks,
            plugins=[AtomicCheckpointIO(), PlaceEnvironment(place)],
            profiler=NoProfiler(),
            logger=False,
            enable_checkpointing=True,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            limit_val_batches=None if validates else 0,
            use_distributed_sampler=False,
            default_root_dir=str(folder),
        )
    trainer.fit(method, datamodule=data, ckpt_path=str(checkpoint) if resume else None, weights_only=True)
    return selection.finish(method, write=trainer.is_global_zero)


@contextmanager
def without_trainer_variables() -> Iterator[None]:
    """Hide the variables that change arguments of Lightning's trainer: a run's key does not know them."""
    hidden = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("PL_TRAINER_")}
    try:
        yield
    finally:
        os.environ.update(hidden)
