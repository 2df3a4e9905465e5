"""Work on a run with several processes: the leader starts its followers, which train and predict with it."""

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
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING

from fer_bench.errors import FerBenchError
from fer_bench.results.store import RunDir
from fer_bench.runs.distributed import (
    Fit,
    Group,
    Place,
    place_from_environment,
    require_started_processes,
)
from fer_bench.runs.failures import message_of
from fer_bench.runs.plan import PlannedRun
from fer_bench.runs.processes import configure_torch, stop_with_parent
from fer_bench.runs.supervision import record_lost_run
from fer_bench.workspace.workspace import Workspace

if TYPE_CHECKING:
    from fer_bench.methods.base import Method

GRACE = 20.0
"""Seconds in which the leader may notice by itself that a follower is gone."""


@contextmanager
def open_group(planned: PlannedRun, workspace: Workspace, checkpoints: Path) -> Iterator[Group | None]:
    """Yield the processes of a run to their leader, starting them where necessary; None for one process.

    Args:
        planned: The run.
        workspace: Datasets and packs.
        checkpoints: The run's folder of checkpoints.

    Raises:
        UsageError: The run is on several machines, and nothing started processes on them.
    """
    config = planned.config
    if config.world_size == 1:
        yield None
        return
    place = place_from_environment(config.devices, config.nodes)
    if place is not None:
        with _lead(Group(place, config.device)) as group:
            yield group
        return
    require_started_processes(config.devices, config.nodes)
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    store = TCPStore("127.0.0.1", 0, config.world_size, is_master=True, wait_for_workers=False)
    places = [Place(rank, config.devices, 1, "127.0.0.1", store.port) for rank in range(config.world_size)]
    context = multiprocessing.get_context("spawn" if config.device == "cuda" else "fork")
    followers: list[BaseProcess] = [
        context.Process(  # type: ignore[attr-defined]
            target=_follower, args=(planned, workspace, place, checkpoints, os.getpid())
        )
        for place in places[1:]
    ]
    gc.collect()  # in this process, where the threads of an earlier group can still be joined
    for follower in followers:
        follower.start()
    over = threading.Event()
    try:
        with _lead(Group(places[0], config.device, store)) as group:
            arguments = (followers, group, over, RunDir(checkpoints.parent))
            threading.Thread(target=_guard, args=arguments, daemon=True).start()
            yield group
    finally:
        over.set()
        deadline = time.monotonic() + 10
        for follower in followers:
            follower.join(max(0.1, deadline - time.monotonic()))
            if follower.is_alive():
                follower.kill()


def follow(planned: PlannedRun, workspace: Workspace, place: Place, checkpoints: Path) -> None:
    """Do what the leader of a run asks for until it is done.

    Args:
        planned: The run.
        workspace: Datasets and packs.
        place: Place of this process.
        checkpoints: The run's folder of checkpoints.
    """
    from fer_bench.runs.evaluate import predict_share
    from fer_bench.runs.training.checkpoints import load_weights
    from fer_bench.runs.training.fit import build_data, build_method, fit

    config = planned.config
    configure_torch(config)
    group = Group(place, config.device)
    loaded: dict[Path, Method] = {}
    try:
        while (message := group.receive()) is not None:
            if isinstance(message, Fit):
                data = build_data(config, workspace)
                method = build_method(config, data.task)
                fit(method, data, config, checkpoints, group=group, resume=message.resume)
            else:
                if message.checkpoint not in loaded:
                    loaded[message.checkpoint] = load_weights(message.checkpoint)
                method = loaded[message.checkpoint]
                pack = workspace.pack(message.target, method.input_spec(method.settings).size)
                dataset = workspace.source(message.target).dataset
                share = predict_share(method, dataset, pack, message.rows, device=config.device, place=place)
                group.gather(share)
    except Exception as error:
        reason = message_of(error, config.method).removeprefix(f"{type(error).__name__}: ")
        group.report_error(error, reason)
        raise
    finally:
        group.close()


@contextmanager
def _lead(group: Group) -> Iterator[Group]:
    """Dismiss the followers when the leader is done; when it fails they notice that it is gone."""
    try:
        yield group
        group.send(None)
    except FerBenchError:
        raise
    except Exception as error:  # most often a lost connection; the reason is what the follower reported
        if (reason := group.reported_error()) is not None:
            raise reason from error
        raise
    finally:
        group.close()


def _guard(followers: list[BaseProcess], group: Group, over: threading.Event, run: RunDir) -> None:
    """End the run when a follower is gone and the leader does not notice.

    On CPUs the leader gets an error at once. On GPUs it waits for the follower's part of a sum, and only the
    end of the process ends this wait.
    """
    while not over.wait(1.0):
        if (lost := next((f for f in followers if f.exitcode), None)) is None or over.wait(GRACE):
            continue
        error = group.reported_error()
        reason = str(error or f"another process of the run ended with exit code {lost.exitcode}")
        logging.getLogger("fer_bench").error("%s", reason)
        record_lost_run(run, reason, "oom" if type(error).__name__ == "OutOfMemoryError" else "failed")
        os._exit(1)


def _follower(
    planned: PlannedRun, workspace: Workspace, place: Place, checkpoints: Path, leader: int
) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the leader stops, and this process ends with it
    stop_with_parent(leader)
    with suppress(FerBenchError):  # the leader gets the same error and reports it
        follow(planned, workspace, place, checkpoints)
