"""Two processes that train together, started as a launcher would start them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from fer_bench.methods.base import Batch, Method


class Step(nn.Module):
    """A training step as a forward pass, which is what DDP synchronises."""

    def __init__(self, method: Method) -> None:
        super().__init__()
        self.method = method

    def forward(self, batch: Batch) -> torch.Tensor:
        return self.method.training_step(batch, 0)


@contextmanager
def joined(rank: int, folder: str) -> Iterator[None]:
    """Belong to a group of two that meets in a folder."""
    from torch import distributed

    torch.set_num_threads(1)
    store = distributed.FileStore(f"{folder}/store", 2)
    distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
    yield
    distributed.destroy_process_group()


def run_two(module: str, folder: Path, *, seconds: float) -> None:
    """Call `ddp_worker(rank, folder)` of a test module in two processes; both must end well."""
    command = f"import sys; from {module} import ddp_worker; ddp_worker(int(sys.argv[1]), sys.argv[2])"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    workers = [
        subprocess.Popen([sys.executable, "-c", command, str(rank), str(folder)], env=env) for rank in (0, 1)
    ]
    try:
        assert [worker.wait(timeout=seconds) for worker in workers] == [0, 0]
    finally:
        for worker in workers:
            worker.kill()
