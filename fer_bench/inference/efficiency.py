"""Measure what predicting costs trained models: parameters, time and memory. Nothing is trained or scored."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from fer_bench.errors import FerBenchError, UsageError
from fer_bench.inference.checkpoint import CheckpointModel, usable_device
from fer_bench.inference.opening import find_file
from fer_bench.inference.peak_memory import peak_in_child, peak_on_gpu, random_crops
from fer_bench.leaderboard.tables import section_key
from fer_bench.leaderboard.variants import variants
from fer_bench.results.efficiency import BATCHES, Efficiency, Predicting
from fer_bench.results.record import Record
from fer_bench.results.store import Store
from fer_bench.runs import environment

ROUNDS = 30
LEAST_ROUNDS = 5
SECONDS = 10.0
"""Seconds per model and number of pictures after which no further round begins, once there were a few."""


@dataclass(frozen=True)
class Row:
    """A row of the board: a method with some settings.

    Attributes:
        label: What the board calls it.
        records: Its finished runs, any of which costs the same.
    """

    label: str
    records: tuple[Record, ...]


def rows_of(store: Store) -> list[Row]:
    """Return the rows of a store's board, without models that were trained elsewhere.

    Raises:
        UsageError: None has a finished run.
    """
    sections: dict[tuple[str, ...], list[Record]] = {}
    for record in store.scan()[0]:
        if record.status == "done" and not record.is_outside:
            sections.setdefault(section_key(record), []).append(record)
    found: dict[tuple[object, str], tuple[Record, ...]] = {}
    for key, records in sorted(sections.items()):
        for label, _, group in variants(records):
            found[key, label] = (*found.get((key, label), ()), *group)
    if not found:
        raise UsageError(
            "the store has no finished run", file=store.root, hint="what there is: fer-bench runs"
        )
    return [Row(label, records) for (_, label), records in found.items()]


def measure(store: Store, rows: Sequence[Row], *, device: str = "cpu") -> Efficiency:
    """Measure one trained model per row, all in turn, so that whatever else the machine does hits all alike.

    Models get random crops: what they answer does not change the time. On a CPU one thread computes.

    Args:
        store: The run store.
        rows: From `rows_of`.
        device: `cpu` or `cuda`.

    Raises:
        UsageError: There is no such device.
    """
    device = usable_device(device)
    failed: dict[str, str] = {}
    with _one_thread():
        found = [one for row in rows if (one := _first_readable(store, row, device, failed)) is not None]
        # Opened after memory was measured, which they would count in.
        models = [CheckpointModel(one.file, device) for one in found]
        clock = time.perf_counter if device == "cuda" else time.process_time
        times = {size: alternate([_call(model, size) for model in models], clock) for size in BATCHES}
        read = [parameters_read(model.method, model.images(random_crops(model, 1))) for model in models]
    system = environment.describe()
    return Efficiency(
        device="cuda" if device == "cuda" else "cpu",
        processor=str(system["gpu"] if device == "cuda" else system["cpu"]),
        threads=1,
        rounds={size: min(map(len, of_size), default=0) for size, of_size in times.items()},
        environment=system,
        models=tuple(
            Predicting(
                key=one.key,
                checkpoint=models[place].sha256,
                size=models[place].spec.size,
                parameters=read[place],
                seconds={size: median(of_size[place]) for size, of_size in times.items()},
                memory=one.memory,
            )
            for place, one in enumerate(found)
        ),
        failed=failed,
    )


@dataclass(frozen=True)
class _Readable:
    """A run whose checkpoint can be read: its key, the file, and the memory that it takes by batch size."""

    key: str
    file: Path
    memory: dict[int, int]


def _first_readable(store: Store, row: Row, device: str, failed: dict[str, str]) -> _Readable | None:
    """Return the first run of a row that can be read; None if none can, the first reason in `failed`."""
    reasons: dict[str, str] = {}
    for record in row.records:
        try:
            file = find_file(store.run_dir(record.method, record.dataset, record.key).path)
            memory = (peak_on_gpu if device == "cuda" else peak_in_child)(file)
            return _Readable(record.key, file, memory)
        except FerBenchError as error:
            reasons[record.key] = f"{row.label}: {error.message}"
    failed |= dict(list(reasons.items())[:1])
    return None


def alternate(calls: Sequence[Callable[[], object]], clock: Callable[[], float]) -> list[list[float]]:
    """Return the times of each call, made in turn; the first of a round is another one each time.

    Args:
        calls: What is timed; two calls of each come before that are not counted.
        clock: Seconds of any start.
    """
    times: list[list[float]] = [[] for _ in calls]
    for call in calls:
        call()
        call()
    started = time.monotonic()
    for number in range(ROUNDS):
        if number >= LEAST_ROUNDS and time.monotonic() - started > SECONDS * len(calls):
            break
        for step in range(len(calls)):
            place = (number + step) % len(calls)
            before = clock()
            calls[place]()
            times[place].append(clock() - before)
    return times


def _call(model: CheckpointModel, size: int) -> Callable[[], object]:
    crops = random_crops(model, size)
    return lambda: model.answer(crops)  # the answer is on the CPU, so a GPU has finished


class _Read(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Note the memory of every tensor that an operation takes."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.places: set[int] = set()

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: object, args: Iterable[Any] = (), kwargs: Any = None
    ) -> Any:
        for value in tree_leaves((args, kwargs or {})):
            if isinstance(value, Tensor):
                self.places.add(value.untyped_storage().data_ptr())
        return func(*args, **(kwargs or {}))


def parameters_read(network: nn.Module, images: Tensor) -> int:
    """Return how many parameters a forward pass reads, frozen ones too.

    Args:
        network: In evaluation mode.
        images: Its input.
    """
    with torch.no_grad(), _Read() as read:
        network(images)
    return sum(p.numel() for p in network.parameters() if p.untyped_storage().data_ptr() in read.places)


@contextmanager
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
