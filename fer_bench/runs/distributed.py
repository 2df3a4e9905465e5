"""The processes that share the steps of one run: how they meet, and what their leader asks of them.

The leader (rank 0) holds the run's lock, writes the store and decides; the others follow: they train beside
it and predict their share of each target. On one machine the leader starts them itself. On several, whatever
started the processes says who is who in `RANK`, `WORLD_SIZE`, `LOCAL_RANK`, `MASTER_ADDR` and `MASTER_PORT`,
as the slurm launcher, torchrun and most others do.
"""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer_bench.errors import DivergedError, FerBenchError, RunFailedError, UsageError
from fer_bench.results.store import RunDir
from fer_bench.runs.supervision import record_death

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

    import numpy as np
    from numpy.typing import NDArray
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    from fer_bench.runs.plan import PlannedRun
    from fer_bench.workspace.workspace import Workspace

PATIENCE = timedelta(minutes=30)
"""How long a process waits for the others, for example while one of them packs a target."""
GRACE = 20.0
"""Seconds that the leader has to notice by itself that a follower is gone."""
VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


# A forked process never collects what it has of its parent. A destructor may wait for a thread, as that of a
# store on which the parent listened, and threads are not forked: collecting such an object would hang.
os.register_at_fork(after_in_child=gc.freeze)


@dataclass(frozen=True)
class Place:
    """Which of a run's processes this one is.

    Attributes:
        rank: Its number from 0; 0 leads.
        devices: Processes per machine.
        nodes: Machines.
        host: Where the leader listens.
        port: On which port.
    """

    rank: int
    devices: int
    nodes: int
    host: str
    port: int

    @property
    def world(self) -> int:
        """Return how many processes there are."""
        return self.devices * self.nodes

    @property
    def local_rank(self) -> int:
        """Return the number of this process on its machine, which is that of its GPU."""
        return self.rank % self.devices

    @property
    def node(self) -> int:
        """Return the number of this machine."""
        return self.rank // self.devices


@dataclass(frozen=True)
class Fit:
    """Ask for training.

    Attributes:
        resume: Whether there is a checkpoint to go on from; decided by the leader for all.
    """

    resume: bool


@dataclass(frozen=True)
class Predict:
    """Ask for predictions.

    Attributes:
        checkpoint: Weights, on a disk that all processes see.
        target: Dataset.
        rows: Index positions.
    """

    checkpoint: Path
    target: str
    rows: NDArray[np.int64]


Task = Fit | Predict | None


class Group:
    """The processes of one run, seen from one of them.

    Args:
        place: Which one this is.
        device: `cpu` or `cuda`.
        store: What the leader listens with; None connects to it.
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

    def tell(self, task: Task) -> None:
        """Say what comes next; called by the leader only."""
        from torch import distributed

        distributed.broadcast_object_list([task], src=0)

    def hear(self) -> Task:
        """Wait for what comes next; called by followers only."""
        from torch import distributed

        box: list[Task] = [None]
        distributed.broadcast_object_list(box, src=0)
        return box[0]

    def gather(self, share: Any) -> list[Any] | None:
        """Bring everybody's share to the leader, in the order of ranks; the others get None."""
        from torch import distributed

        shares: list[Any] | None = [None] * self.place.world if self.place.rank == 0 else None
        distributed.gather_object(share, shares, dst=0)
        return shares

    def complain(self, error: Exception) -> None:
        """Leave word of why this process cannot go on; called by followers before they go."""
        with suppress(Exception):
            assert self.store is not None
            self.store.set(f"complaint/{self.place.rank}", f"{type(error).__name__}\n{error}")

    def complaint(self) -> Exception | None:
        """Return why a follower could not go on, as an error of its kind; called by the leader only."""
        with suppress(Exception):
            assert self.store is not None
            for rank in range(1, self.place.world):
                if self.store.check([f"complaint/{rank}"]):
                    kind, _, message = self.store.get(f"complaint/{rank}").decode().partition("\n")
                    return _error_of(kind, f"process {rank}: {message or kind}")
        return None

    def close(self) -> None:
        """Leave the group."""
        from torch import distributed

        distributed.destroy_process_group()
        self.store = None  # its listener ends here, not whenever this object happens to be collected


def given_place(devices: int, nodes: int) -> Place | None:
    """Return this process's place as its environment says, None where it says nothing.

    Raises:
        UsageError: The environment is of another number of processes.
    """
    if devices * nodes == 1 or "RANK" not in os.environ:
        return None
    missing = [name for name in VARIABLES if name not in os.environ]
    if missing or int(os.environ["WORLD_SIZE"]) != devices * nodes:
        raise UsageError(
            "RANK is set, but not for this run",
            value={name: os.environ.get(name) for name in VARIABLES},
            hint=f"--devices {devices} --nodes {nodes} takes {devices * nodes} processes; "
            "unset RANK to let the run start them",
        )
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    return Place(int(os.environ["RANK"]), devices, nodes, host, port)


def refuse_alone(devices: int, nodes: int) -> None:
    """Refuse several machines where nothing has started processes on them.

    Raises:
        UsageError: Nothing has, or for another number of processes.
    """
    if nodes > 1 and given_place(devices, nodes) is None:
        raise UsageError(
            "several machines need something that starts a process on each",
            value=f"--nodes {nodes}",
            hint="--launcher slurm, or srun or torchrun with RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and "
            "MASTER_PORT set",
        )


@contextmanager
def gathered(planned: PlannedRun, workspace: Workspace, folder: Path) -> Iterator[Group | None]:
    """Yield the group that works on a run, as its leader sees it; None where a run has one process.

    Args:
        planned: The run.
        workspace: Datasets and packs.
        folder: Where the run's checkpoints stand.

    Raises:
        UsageError: Several machines, and nothing that started processes on them.
    """
    config = planned.config
    if config.world_size == 1:
        yield None
        return
    place = given_place(config.devices, config.nodes)
    if place is not None:
        with _led(Group(place, config.device)) as group:
            yield group
        return
    refuse_alone(config.devices, config.nodes)
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    store = TCPStore("127.0.0.1", 0, config.world_size, is_master=True, wait_for_workers=False)
    places = [Place(rank, config.devices, 1, "127.0.0.1", store.port) for rank in range(config.world_size)]
    context = multiprocessing.get_context("spawn" if config.device == "cuda" else "fork")
    followers: list[BaseProcess] = [
        context.Process(  # type: ignore[attr-defined]
            target=_follower, args=(planned, workspace, place, folder, os.getpid())
        )
        for place in places[1:]
    ]
    gc.collect()  # here, where what is left of an earlier group can be taken apart
    for follower in followers:
        follower.start()
    over = threading.Event()
    try:
        with _led(Group(places[0], config.device, store)) as group:
            guard = threading.Thread(target=_guard, args=(followers, group, over, folder), daemon=True)
            guard.start()
            yield group
    finally:
        over.set()
        deadline = time.monotonic() + 10
        for follower in followers:
            follower.join(max(0.1, deadline - time.monotonic()))
            if follower.is_alive():
                follower.kill()


def _guard(followers: list[BaseProcess], group: Group, over: threading.Event, folder: Path) -> None:
    """End the run when a follower is gone and the leader does not notice.

    On CPUs it is told at once. On GPUs it waits for the follower's part of a sum, where nothing but the end
    of the process ends the waiting.
    """
    while not over.wait(1.0):
        if (lost := next((f for f in followers if f.exitcode), None)) is None or over.wait(GRACE):
            continue
        complaint = group.complaint()
        reason = str(complaint or f"another process of the run ended with exit code {lost.exitcode}")
        logging.getLogger("fer_bench").error("%s", reason)
        with suppress(FerBenchError):
            record_death(RunDir(folder.parent), reason, status="oom" if _is_oom(complaint) else "failed")
        os._exit(1)


def _is_oom(error: Exception | None) -> bool:
    return type(error).__name__ == "OutOfMemoryError"


@contextmanager
def _led(group: Group) -> Iterator[Group]:
    """Send the followers home when the leader is done; when it fails they notice that it is gone."""
    try:
        yield group
        group.tell(None)
    except FerBenchError:
        raise
    except Exception as error:  # a lost connection, most often; the reason is what the other said
        if (reason := group.complaint()) is not None:
            raise reason from error
        raise
    finally:
        group.close()


def _error_of(kind: str, message: str) -> Exception:
    """Return an error of another process as one that ends a run in the same way."""
    import torch

    if kind == "OutOfMemoryError":
        return torch.OutOfMemoryError(message)
    return DivergedError(message) if kind == "DivergedError" else RunFailedError(f"{kind}: {message}")


def follow(planned: PlannedRun, workspace: Workspace, place: Place, folder: Path) -> None:
    """Work on a run beside its leader until that is done.

    Args:
        planned: The run.
        workspace: Datasets and packs.
        place: Which process this is.
        folder: Where the run's checkpoints stand.
    """
    from fer_bench.runs.evaluate import choose_float32, predict_share
    from fer_bench.runs.training.fit import build_data, build_method, fit, load_weights

    config = planned.config
    choose_float32(config.device, config.tf32)
    group = Group(place, config.device)
    loaded: dict[Path, Any] = {}
    try:
        while (task := group.hear()) is not None:
            if isinstance(task, Fit):
                data = build_data(config, workspace)
                fit(build_method(config, data.task), data, config, folder, group=group, resume=task.resume)
            else:
                if task.checkpoint not in loaded:
                    loaded[task.checkpoint] = load_weights(task.checkpoint)
                method = loaded[task.checkpoint]
                pack = workspace.pack(task.target, method.input_spec(method.settings).size)
                dataset = workspace.source(task.target).dataset
                group.gather(
                    predict_share(method, dataset, pack, task.rows, device=config.device, place=place)
                )
    except Exception as error:
        group.complain(error)
        raise
    finally:
        group.close()


def _follower(planned: PlannedRun, workspace: Workspace, place: Place, folder: Path, leader: int) -> None:
    import torch

    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the leader is asked to stop, and we go with it
    threading.Thread(target=die_with, args=(leader,), daemon=True).start()
    if planned.config.device == "cpu":
        torch.set_num_threads(1)
    with suppress(FerBenchError):  # the leader meets the same and says so
        follow(planned, workspace, place, folder)


def die_with(parent: int) -> None:
    """Stop cleanly when the process that started us is gone."""
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)
