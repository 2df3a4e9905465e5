"""How much memory a trained model takes to predict."""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch

from fer_bench.errors import FerBenchError, StoreError
from fer_bench.inference.checkpoint import CheckpointModel
from fer_bench.inference.face_model import Crops
from fer_bench.results.efficiency import BATCHES


def random_crops(model: CheckpointModel, count: int) -> Crops:
    """Return random crops of the size that a model takes, uint8 [count, S, S, 3]."""
    side = model.spec.size
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), np.uint8)


def peak_on_gpu(file: Path) -> dict[int, int]:
    """Return the most bytes of GPU memory that predicting takes, weights included, by batch size.

    Args:
        file: A checkpoint.
    """
    before = torch.cuda.memory_allocated()
    model = CheckpointModel(file, "cuda")
    found = {}
    for size in BATCHES:
        torch.cuda.reset_peak_memory_stats()
        model.answer(random_crops(model, size))
        found[size] = torch.cuda.max_memory_allocated() - before
    return found


def peak_in_child(file: Path) -> dict[int, int]:
    """Return `peak_memory` as a forked process measures it, which holds no other model.

    Args:
        file: A checkpoint.

    Returns:
        Nothing where the system does not tell.

    Raises:
        StoreError: The file cannot be read, or its network takes more memory than there is.
    """
    context = multiprocessing.get_context("fork")  # nothing has computed on several threads or on a GPU yet
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send_peaks, args=(file, sender))
    process.start()
    sender.close()
    try:
        found = receiver.recv()
    except EOFError:
        found = "the process that measured its memory was killed"
    process.join()
    if isinstance(found, str):
        raise StoreError(found, file=file)
    peaks: dict[int, int] = found
    return peaks


def _send_peaks(file: Path, sender: Connection) -> None:
    try:
        sender.send(peak_memory(file))
    except FerBenchError as error:
        sender.send(error.message)
    except Exception as error:
        sender.send(repr(error))


def peak_memory(file: Path) -> dict[int, int]:
    """Return the most bytes that predicting takes in this process, by batch size, from opening the model on.

    What opening alone takes for a moment, the file's bytes beside the weights, is not counted.

    Args:
        file: A checkpoint.

    Returns:
        Nothing where the system does not tell.
    """
    torch.set_num_threads(1)
    first = CheckpointModel(file, "cpu")  # loads the libraries that it needs, which are not the model's own
    first.answer(random_crops(first, 1))
    del first
    _give_back_free_memory()  # which the model would take without a trace
    before = _resident("VmRSS")
    model = CheckpointModel(file, "cpu")
    found = {}
    for size in BATCHES:
        crops = random_crops(model, size)
        _give_back_free_memory()  # that opening took for a moment
        try:
            Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        except OSError:
            return {}
        model.answer(crops)
        found[size] = max(0, _resident("VmHWM") - before)
    return found


def _give_back_free_memory() -> None:
    gc.collect()
    with suppress(OSError, AttributeError):  # other C libraries than glibc do not have it
        ctypes.CDLL(None).malloc_trim(0)


def _resident(name: str) -> int:
    """Return bytes of this process from the system's table; 0 where there is none."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return 1024 * int(line.split()[1])
    return 0
