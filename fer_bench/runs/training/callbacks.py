"""Lightning callbacks and plugins for runs: seeds, several processes, bfloat16 weights, throughput."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.pytorch.profilers import PassThroughProfiler
from torch import Tensor

from fer_bench.data.loading.brought import seed_epoch
from fer_bench.runs.distributed import Place

OnStep = Callable[[int, int, float | None], None]


class EpochSeeds(Callback):
    """Derive every draw of an epoch from (seed, epoch), so that resuming changes nothing."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Seed the generators for the epoch that starts."""
        seed_epoch(self.seed, trainer.current_epoch, trainer.global_rank)


class RowWeightingCallback(Callback):
    """Give every row of a step the same weight, however the rows are split between processes.

    Each process computes the gradient of the mean over its own rows, and the gradients are averaged. Where
    the rows of a step do not divide evenly, the rows of a process with fewer of them would count for more.
    Means over some of the rows, such as those with a label: `fer_bench.methods.shared_step`.
    """

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Compute the share of the rows that this process has."""
        own = torch.tensor(float(len(batch["image"])), device=pl_module.device)
        total = own.clone()
        torch.distributed.all_reduce(total)
        self.weight = own * trainer.world_size / total

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        """Scale the gradient of the loss, not the loss that is logged."""
        weight = self.weight
        if loss.requires_grad:
            loss.register_hook(lambda gradient: gradient * weight)  # type: ignore[no-untyped-call]


class InputDtypeCallback(Callback):
    """Convert images to the dtype of the weights, for training with bfloat16 weights."""

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
        dtype = next(module.parameters()).dtype
        for name in ("image", "strong", "reference", "generated"):
            if name in batch:
                batch[name] = batch[name].to(dtype)


class ThroughputCallback(Callback):
    """Report the steps done in an epoch and the images per second.

    Args:
        on_step: Called with steps done, steps of the epoch and images per second over all processes, None
            during validation.
    """

    EVERY = 1.0
    """Seconds between two calls, at least."""

    def __init__(self, on_step: OnStep) -> None:
        self.on_step, self.rows, self.since = on_step, 0, time.monotonic()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start counting."""
        self.rows, self.since = 0, time.monotonic()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count rows, and report when it is time."""
        self.rows += len(batch["image"])
        passed = time.monotonic() - self.since
        if passed >= self.EVERY:
            rate = self.rows * trainer.world_size / passed
            self.on_step(batch_idx + 1, self._steps(trainer, batch_idx + 1), rate)
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
        """Report that validation makes progress."""
        if time.monotonic() - self.since >= self.EVERY:
            steps = self._steps(trainer, 1)
            self.on_step(steps, steps, None)
            self.since = time.monotonic()

    def _steps(self, trainer: Trainer, done: int) -> int:
        """Return the steps of an epoch; those done where a method's own loader does not tell its length."""
        return int(trainer.num_training_batches) if math.isfinite(trainer.num_training_batches) else done


class NoProfiler(PassThroughProfiler):
    """Time nothing: Lightning's own makes a context for each of the hundred hooks of a step."""

    NOTHING = nullcontext()

    def profile(self, action_name: str) -> nullcontext[None]:  # type: ignore[override]
        """Return a context that does nothing."""
        return self.NOTHING


class PlaceEnvironment(ClusterEnvironment):
    """Tell Lightning this process's place among the processes of its run, whatever a cluster says.

    Without it Lightning takes the place from the variables of Slurm, LSF, MPI or torchrun, although the job
    in which a run was started does not say how many processes share the run.

    Args:
        place: The place.
    """

    def __init__(self, place: Place) -> None:
        self.place = place

    @property
    def creates_processes_externally(self) -> bool:
        """Return True: Lightning must not start processes."""
        return True

    @property
    def main_address(self) -> str:
        """Return the host on which the leader listens."""
        return self.place.host

    @property
    def main_port(self) -> int:
        """Return the port on which the leader listens."""
        return self.place.port

    @staticmethod
    def detect() -> bool:
        """Return False: Lightning must not choose this environment by itself."""
        return False

    def world_size(self) -> int:
        """Return the number of processes."""
        return self.place.world

    def set_world_size(self, size: int) -> None:
        """Ignore Lightning's value: the place is fixed."""

    def global_rank(self) -> int:
        """Return the number of this process."""
        return self.place.rank

    def set_global_rank(self, rank: int) -> None:
        """Ignore Lightning's value: the place is fixed."""

    def local_rank(self) -> int:
        """Return the number of this process on its machine."""
        return self.place.local_rank

    def node_rank(self) -> int:
        """Return the number of this machine."""
        return self.place.node
