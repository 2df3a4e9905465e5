"""What a training needs of Lightning besides selection: several processes, bfloat16 weights, whole files."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.pytorch.plugins import TorchCheckpointIO
from torch import Tensor

from fer_bench.files import write_atomic
from fer_bench.runs.distributed import Place

OnStep = Callable[[int, int, float | None], None]


class EqualRows(Callback):
    """Give every row of a step the same weight, however the rows are dealt to processes.

    Processes average their gradients, each of which is that of a mean over the process's own rows. Where the
    rows of a step do not divide evenly, one process has fewer rows than another, and each of these would
    count for more.
    """

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Agree on this process's part of the rows."""
        mine = torch.tensor(float(len(batch["row"])), device=pl_module.device)
        everybody = mine.clone()
        torch.distributed.all_reduce(everybody)
        self.weight = mine * trainer.world_size / everybody

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        """Scale the gradient of the loss, not the loss that is logged."""
        weight = self.weight
        if loss.requires_grad:
            loss.register_hook(lambda gradient: gradient * weight)  # type: ignore[no-untyped-call]


class BatchType(Callback):
    """Give pictures the type of the weights, for trainings whose weights are bfloat16."""

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Convert a training batch."""
        self._convert(pl_module, batch)

    def on_validation_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Convert a validation batch."""
        self._convert(pl_module, batch)

    def _convert(self, module: LightningModule, batch: dict[str, Tensor]) -> None:
        kind = next(module.parameters()).dtype
        for name in ("image", "strong", "reference"):
            if name in batch:
                batch[name] = batch[name].to(kind)


class Pulse(Callback):
    """Tell now and then how far an epoch is and how many images a second go through.

    Args:
        on_step: Called with steps done, steps of the epoch and images per second over all processes; without
            the latter while validating.
    """

    EVERY = 1.0
    """Seconds between two calls at least."""

    def __init__(self, on_step: OnStep) -> None:
        self.on_step, self.rows, self.since = on_step, 0, time.monotonic()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start counting."""
        self.rows, self.since = 0, time.monotonic()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count, and tell when it is time."""
        self.rows += len(batch["row"])
        passed = time.monotonic() - self.since
        if passed >= self.EVERY:
            rate = self.rows * trainer.world_size / passed
            self.on_step(batch_idx + 1, int(trainer.num_training_batches), rate)
            self.rows, self.since = 0, time.monotonic()

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Show that validation goes on."""
        if time.monotonic() - self.since >= self.EVERY:
            steps = int(trainer.num_training_batches)
            self.on_step(steps, steps, None)
            self.since = time.monotonic()


class WholeFiles(TorchCheckpointIO):
    """Write checkpoints as everything else in a store: whole or not at all.

    Lightning's own writer goes through the system's folder for temporary files, and what it writes is whole
    only where that is on the file system of the store.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint."""
        write_atomic(Path(path), lambda temporary: torch.save(checkpoint, temporary))


class Surroundings(ClusterEnvironment):
    """Tell Lightning where this process stands in its run's group.

    Args:
        place: Where.
    """

    def __init__(self, place: Place) -> None:
        self.place = place

    @property
    def creates_processes_externally(self) -> bool:
        """Return that Lightning shall start none."""
        return True

    @property
    def main_address(self) -> str:
        """Return where the leader listens."""
        return self.place.host

    @property
    def main_port(self) -> int:
        """Return on which port."""
        return self.place.port

    @staticmethod
    def detect() -> bool:
        """Return that it must be named."""
        return False

    def world_size(self) -> int:
        """Return how many processes there are."""
        return self.place.world

    def set_world_size(self, size: int) -> None:
        """Know better."""

    def global_rank(self) -> int:
        """Return the number of this process."""
        return self.place.rank

    def set_global_rank(self, rank: int) -> None:
        """Know better."""

    def local_rank(self) -> int:
        """Return its number on this machine."""
        return self.place.local_rank

    def node_rank(self) -> int:
        """Return the number of this machine."""
        return self.place.node
