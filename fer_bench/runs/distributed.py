"""The processes that share the steps of one run: their places and the messages between them.

The leader (rank 0) holds the run's lock, writes the store and decides; the others follow, see
`fer_bench.runs.follow`. On one machine the leader starts them. On several, the program that started the
processes sets `RANK`, `WORLD_SIZE`, `LOCAL_RANK`, `MASTER_ADDR` and `MASTER_PORT`, as the slurm launcher,
torchrun and most others do.
"""

from __future__ import annotations

import gc
import os
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer_bench.errors import DivergedError, RunFailedError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

PATIENCE = timedelta(minutes=30)
"""How long a process waits for the others, for example while one of them packs a target."""
VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


# A forked process must not collect garbage of its parent. A destructor may wait for a thread, as that of a
# store on which the parent listened does, and threads are not forked: collecting such an object would hang.
os.register_at_fork(after_in_child=gc.freeze)


@dataclass(frozen=True)
class Place:
    """The place of a process among the processes of its run.

    Attributes:
        rank: Number of the process, from 0; 0 leads.
        devices: Processes per machine.
        nodes: Machines.
        host: Host on which the leader listens.
        port: Port on which it listens.
    """

    rank: int
    devices: int
    nodes: int
    host: str
    port: int

    @property
    def world(self) -> int:
        """Return the number of processes."""
        return self.devices * self.nodes

    @property
    def local_rank(self) -> int:
        """Return the number of this process on its machine, which is that of its GPU."""
        return self.rank % self.devices

    @property
    def node(self) -> int:
        """Return the number of this machine."""
        return self.rank // self.devices


ALONE = Place(rank=0, devices=1, nodes=1, host="127.0.0.1", port=0)
"""The place of the only process of a run."""


@dataclass(frozen=True)
class Fit:
    """Tell followers to train.

    Attributes:
        resume: Whether to resume from a checkpoint; the leader decides for all.
    """

    resume: bool


@dataclass(frozen=True)
class Predict:
    """Tell followers to predict their share of a target.

    Attributes:
        checkpoint: Weights, on a disk that all processes see.
        target: Dataset.
        rows: Index positions.
    """

    checkpoint: Path
    target: str
    rows: NDArray[np.int64]


Message = Fit | Predict | None
"""What the leader tells the others to do; None ends their work."""


class Group:
    """The processes of one run, as one of them sees it.

    Args:
        place: Place of this process.
        device: `cpu` or `cuda`.
        store: The store on which the leader listens; None connects to it.
    """

    def __init__(self, place: Place, device: str, store: TCPStore | None = None) -> None:
        from torch import distributed

        self.place = place
        if store is None:
            store = distributed.TCPStore(  # type: ignore[attr-defined]
                place.host, place.port, place.world, is_master=place.rank == 0, timeout=PATIENCE
            )
        self.store: TCPStore | None = store
        self.backend = "cpu:gloo,cuda:nccl" if device == "cuda" else "gloo"
        distributed.init_process_group(
            self.backend, store=store, rank=place.rank, world_size=place.world, timeout=PATIENCE
        )

    def send(self, message: Message) -> None:
        """Tell the followers what to do next; called by the leader only."""
        from torch import distributed

        distributed.broadcast_object_list([message], src=0)

    def receive(self) -> Message:
        """Wait for what to do next; called by followers only."""
        from torch import distributed

        box: list[Message] = [None]
        distributed.broadcast_object_list(box, src=0)
        return box[0]

    def gather(self, share: Any) -> list[Any] | None:
        """Return the shares of all processes in the order of ranks to the leader, None to the others."""
        from torch import distributed

        shares: list[Any] | None = [None] * self.place.world if self.place.rank == 0 else None
        distributed.gather_object(share, shares, dst=0)
        return shares

    def report_error(self, error: Exception, message: str) -> None:
        """Leave the reason why this process ends; called by followers only.

        Args:
            error: The error.
            message: What it says.
        """
        with suppress(Exception):
            assert self.store is not None
            self.store.set(f"error/{self.place.rank}", f"{type(error).__name__}\n{message}")

    def reported_error(self) -> Exception | None:
        """Return the error that a follower reported, as one of its kind; called by the leader only."""
        with suppress(Exception):
            assert self.store is not None
            for rank in range(1, self.place.world):
                if self.store.check([f"error/{rank}"]):
                    kind, _, message = self.store.get(f"error/{rank}").decode().partition("\n")
                    return _error_of(kind, f"process {rank}: {message or kind}")
        return None

    def close(self) -> None:
        """Leave the group."""
        from torch import distributed

        distributed.destroy_process_group()
        self.store = None  # its listener ends here, not whenever this object happens to be collected


def place_from_environment(devices: int, nodes: int) -> Place | None:
    """Return the place that the environment gives this process, None without one.

    Raises:
        UsageError: The environment is for another number of processes.
    """
    if devices * nodes == 1 or "RANK" not in os.environ:
        return None
    missing = [name for name in VARIABLES if name not in os.environ]
    if missing or int(os.environ["WORLD_SIZE"]) != devices * nodes:
        raise UsageError(
            "RANK is set, but not for this run",
            value={name: os.environ.get(name) for name in VARIABLES},
            hint=f"--devices {devices} --nodes {nodes} needs {devices * nodes} processes; "
            "unset RANK to let the run start them",
        )
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    return Place(int(os.environ["RANK"]), devices, nodes, host, port)


def require_started_processes(devices: int, nodes: int) -> None:
    """Refuse several machines unless this process is one of those started on them.

    Raises:
        UsageError: It is not, or it is one of another number of processes.
    """
    if nodes > 1 and place_from_environment(devices, nodes) is None:
        raise UsageError(
            "several machines need something that starts a process on each",
            value=f"--nodes {nodes}",
            hint="--launcher slurm, or srun or torchrun with RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and "
            "MASTER_PORT set",
        )


def _error_of(kind: str, message: str) -> Exception:
    """Return the error of another process as one with which a run ends in the same way."""
    import torch

    if kind == "OutOfMemoryError":
        return torch.OutOfMemoryError(message)
    return DivergedError(message) if kind == "DivergedError" else RunFailedError(f"{kind}: {message}")
