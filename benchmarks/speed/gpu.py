"""Measure training on GPUs: precisions, memory, scores, the input pipeline, waits of the host, DDP.

Networks of `paper` with random weights, as time does not depend on them, on drawn faces. Profiles of the
kernels are kept as text. Without a GPU the table says that nothing was measured.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import socket
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from typing import Any, Literal
from unittest.mock import patch

import torch
from lightning import Callback, Trainer
from lightning.pytorch.strategies import DDPStrategy
from torch.profiler import ProfilerActivity, profile

from benchmarks.speed.harness import Ratio, Report, run_benchmark
from benchmarks.speed.runner import CASES
from benchmarks.speed.steps import BARE, shares_of
from fer_bench import methods
from fer_bench.data.loading.datamodule import FaceDataModule
from fer_bench.data.loading.union_module import make_datamodule
from fer_bench.data.packs.pack import open_pack
from fer_bench.methods.base import Method
from fer_bench.runs.distributed import ALONE, Group, Place
from fer_bench.runs.resolve import resolve_settings
from fer_bench.runs.training.callbacks import PlaceEnvironment
from fer_bench.workspace.sources import find_roots
from fer_bench.workspace.workspace import Workspace

WAYS: dict[str, tuple[Literal["32-true", "bf16-mixed"], bool, bool]] = {
    "fp32": ("32-true", False, False),
    "TF32": ("32-true", True, False),
    "bf16": ("bf16-mixed", True, False),
    "bf16, compiled": ("bf16-mixed", True, True),
}
"""Precision, whether products round their inputs to TF32, and whether the network is compiled."""
COLUMNS = (
    "method",
    "precision",
    "images/s",
    "GiB",
    "largest change of a probability",
    "waits per step",
    "points of UAR beside fp32",
)
NOT_MEASURED = "not measured"
NO_GPU = (
    "No GPU was at hand. Not measured either: rows of the pack against a tensor that is on the GPU already, "
    "two runs at once on one GPU, and a run on several (DDP). The command measures them where there is one."
)
FINISH = "on_after_batch_transfer"
WARM = 5
"""Steps that do not count."""
PATIENCE = 600.0
"""Seconds that a run waits for those beside it to have warmed up."""
_TOGETHER: list[Any] = []
"""In a process beside others: what they wait at before the steps that count."""
SCORED_AFTER = 200
"""Steps on rows of the pack before the validation rows are scored."""
SCORES = (
    f"Scores are those of {{rows}} validation rows after {SCORED_AFTER} steps of one seed: some points lie "
    "between two seeds as well. Changes of a probability are those of two trainings on one batch."
)


@dataclass(frozen=True)
class Trained:
    """What training some steps took.

    Attributes:
        rate: Images per second of this process.
        memory: Largest memory of the GPU in GiB.
        waits: Times per step that the host waited for the GPU.
        probability: Of one batch of validation rows after training, [N, C].
        uar: Of all validation rows in %, where that was asked for.
        scored: Validation rows.
        profile: Where the time of the steps went, where that was asked for.
    """

    rate: float
    memory: float
    waits: float
    probability: torch.Tensor
    uar: float
    scored: int
    profile: str


class StepClock(Callback):
    """Takes the wall time of training steps, waiting for the GPU before and after all that count.

    Args:
        steps: Steps that count.
        profiler: Records them; None records nothing.
    """

    def __init__(self, steps: int, profiler: profile | None = None) -> None:
        self.steps, self.profiler, self.began, self.seconds, self.rows = steps, profiler, 0.0, 0.0, 0

    def on_train_batch_end(self, trainer: Trainer, module: Any, outputs: Any, batch: Any, index: int) -> None:
        """Start after the warm-up, together with the runs beside this one, and stop at the last step."""
        if trainer.global_step > WARM:
            self.rows += len(batch["image"])
        if trainer.global_step == WARM:
            _wait()
            if _TOGETHER:
                _TOGETHER[0].wait(PATIENCE)
            if self.profiler is not None:
                self.profiler.start()
            self.began = time.perf_counter()
            _count_waits(True)
        if trainer.global_step == WARM + self.steps:
            _count_waits(False)
            _wait()
            self.seconds = time.perf_counter() - self.began
            if self.profiler is not None:
                self.profiler.stop()


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _count_waits(wanted: bool) -> None:
    if torch.cuda.is_available():
        torch.cuda.set_sync_debug_mode("warn" if wanted else "default")


def prepared(name: str, profile: str, workspace: Workspace) -> tuple[Method, FaceDataModule]:
    """Return a fresh method and its data."""
    settings, train = resolve_settings(name, profile)
    kind, source = methods.get(name), workspace.source(CASES[name])
    spec = kind.input_spec(settings)
    data = make_datamodule(
        source.dataset,
        spec=spec,
        protocol=source.dataset.card.quick_protocol,
        batch_size=train.batch_size,
        augmentation=train.augmentation,
        with_reference=kind.needs_reference,
        with_unlabelled=kind.uses_unlabelled,
        with_strong=kind.needs_strong,
        with_affect=kind.predicts_affect,
        pack=open_pack(source.dataset, spec.size),
    )
    torch.manual_seed(0)
    return kind(data.task, settings, train), data


def train(
    name: str,
    way: str,
    workspace: Workspace,
    *,
    steps: int,
    profile_name: str = "paper",
    on_device: bool = True,
    scored: bool = False,
    profiled: bool = False,
    group: Group | None = None,
) -> Trained:
    """Train a method some steps.

    Args:
        name: Of the method.
        way: Of `WAYS`.
        workspace: Where the faces are.
        steps: Steps that count.
        profile_name: Profile of the method.
        on_device: Take the same batch each time, finished and on the device, instead of reading the pack.
        scored: Score all validation rows afterwards.
        profiled: Record where the time of the steps goes.
        group: The processes that share the training, each with batches as large as those of one process.
    """
    precision, tf32, compiled = WAYS[way]
    gpu = torch.cuda.is_available()
    place = ALONE if group is None else group.place
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    method, data = prepared(name, profile_name, workspace)
    if compiled:
        method.get_submodule("network").compile()
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if gpu else [])]
    clock = StepClock(steps, profile(activities=activities) if profiled else None)
    gc.collect()  # what an earlier training leaves in cycles would count as this one's memory
    if gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    trainer = Trainer(
        max_epochs=-1,
        max_steps=WARM + steps,
        accelerator="gpu" if gpu else "cpu",
        devices=place.devices,
        strategy="auto" if group is None else DDPStrategy(process_group_backend=group.backend),
        plugins=[PlaceEnvironment(place)],
        use_distributed_sampler=False,
        precision=precision,
        callbacks=[clock],
        **BARE | {"limit_val_batches": 1.0 if scored else 0},
        check_val_every_n_epoch=None,
        val_check_interval=WARM + steps + 1,  # never while it trains
        num_sanity_val_steps=0,
    )
    with warnings.catch_warnings(record=True) as caught, contextlib.ExitStack() as changed:
        warnings.simplefilter("always")
        if on_device:
            device = f"cuda:{place.local_rank}" if gpu else "cpu"
            loader = partial(_resident, method, steps=WARM + steps, device=device)
            # What is finished is neither made nor finished again; the thresholds of ssmfar ask for the data.
            changed.enter_context(patch.object(method, "train_loader", loader))
            changed.enter_context(patch.object(data, FINISH, _as_it_is))
        trainer.fit(method, datamodule=data)
    waits = sum("called a synchronizing" in str(each.message) for each in caught)
    return Trained(
        rate=clock.rows / clock.seconds,
        memory=torch.cuda.max_memory_allocated() / 2**30 if gpu else 0.0,
        waits=waits / steps,
        uar=100 * trainer.validate(method, datamodule=data, verbose=False)[0]["val/uar"] if scored else 0.0,
        scored=len(data.rows("val")),
        probability=_answers(method, data, precision) if group is None else torch.empty(0),
        profile=""
        if clock.profiler is None
        else shares_of(f"{name}, {way}", clock.profiler, steps, device="cuda" if gpu else "cpu"),
    )


class Resident:
    """One finished batch on the device, over and over."""

    def __init__(self, batch: dict[str, torch.Tensor], steps: int) -> None:
        self.batch, self.steps = batch, steps

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        """Yield the batch as often as steps are wanted."""
        return repeat(self.batch, self.steps)

    def __len__(self) -> int:
        """Return the number of steps."""
        return self.steps


def _as_it_is(batch: dict[str, torch.Tensor], dataloader_idx: int) -> dict[str, torch.Tensor]:
    return batch


def _resident(method: Method, data: FaceDataModule, *, steps: int, device: str) -> Resident:
    """Return the method's first training batch, finished and on the device."""
    batch = type(data).on_after_batch_transfer(data, next(iter(type(method).train_loader(method, data))), 0)
    return Resident({name: value.to(device) for name, value in batch.items()}, steps)


def _answers(method: Method, data: FaceDataModule, precision: str) -> torch.Tensor:
    """Return a trained method's probabilities of a validation batch, computed in that precision."""
    batch = next(iter(data.val_dataloader()))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    finished = data.on_after_batch_transfer(batch, 0)
    moved = {name: value.to(device) for name, value in finished.items()}
    method.to(device).eval()
    with torch.no_grad(), torch.autocast(device, torch.bfloat16, enabled="bf16" in precision):
        return torch.softmax(method(moved["image"]).logits.float(), dim=1).cpu()


def side_by_side(name: str, count: int, steps: int) -> float:
    """Return the images per second of several runs on one GPU at once, all together."""
    return _together(_rate_alone, [(name, steps)] * count)


def shared(name: str, count: int, steps: int, profile_name: str = "paper", size: str = "quick") -> float:
    """Return the images per second of one training that several GPUs share (DDP), all together.

    Args:
        name: Of the method.
        count: GPUs; without any, processes on a CPU.
        steps: Steps that count.
        profile_name: Profile of the method.
        size: Of the drawn data.
    """
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as found:
        port = found.getsockname()[1]
    places = [Place(rank, count, 1, "127.0.0.1", port) for rank in range(count)]
    return _together(_rate_shared, [(name, place, steps, profile_name, size) for place in places])


def _together(rate: Callable[..., float], calls: list[tuple[Any, ...]]) -> float:
    """Return the sum of what calls return that each have a fresh process, all at once."""
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(len(calls))
    with context.Pool(len(calls), _TOGETHER.append, (start,)) as pool:
        return sum(pool.starmap(rate, calls, chunksize=1))


def _rate_alone(name: str, steps: int) -> float:
    return train(name, "bf16", _workspace(), steps=steps).rate


def _rate_shared(name: str, place: Place, steps: int, profile_name: str, size: str) -> float:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda":
        torch.cuda.set_device(place.local_rank)
    group = Group(place, device)
    try:
        found = train(name, "bf16", _workspace(size), steps=steps, profile_name=profile_name, group=group)
    finally:
        group.close()
    return found.rate


def _workspace(size: str = "quick") -> Workspace:
    return Workspace(find_roots(None), size=size)


def measure(rounds: int) -> Report:
    """Measure on the GPUs if there are any."""
    title, text = "Training on a GPU", "Networks of `paper`, wall time."
    if not torch.cuda.is_available():
        ways = "; ".join(WAYS)
        blank = [[name, ways, *[NOT_MEASURED] * (len(COLUMNS) - 2)] for name in methods.BUILT_IN]
        return Report(title, f"{text} {NO_GPU}", tables=[("Precisions", COLUMNS, blank)])
    workspace, steps, rows, profiles, counted = _workspace(), 10 * rounds, [], [], 0
    ratios: list[Ratio] = []
    for name in methods.BUILT_IN:
        found = {way: train(name, way, workspace, steps=steps) for way in WAYS}
        read = {
            way: train(name, way, workspace, steps=SCORED_AFTER, on_device=False, scored=True) for way in WAYS
        }
        base = found["fp32"].probability
        for way, each in found.items():
            changed = float((each.probability - base).abs().max())
            gain = read[way].uar - read["fp32"].uar
            cells = (
                f"{each.rate:,.0f}",
                f"{each.memory:.2f}",
                f"{changed:.3f}",
                f"{read[way].waits:g}",
                f"{gain:+.1f}",
            )
            rows.append([name, way, *cells])
        profiles.append(train(name, "bf16", workspace, steps=10, on_device=False, profiled=True).profile)
        counted = max(counted, read["fp32"].scored)
        pairs = [
            train(name, "bf16", workspace, steps=steps, on_device=False).rate
            / train(name, "bf16", workspace, steps=steps).rate
            for _ in range(min(rounds, 3))
        ]
        ratios.append(
            Ratio(f"{name}, bf16: from the pack / from a tensor on the GPU", statistics.median(pairs), 0.9)
        )
    devices = torch.cuda.device_count()
    for name in methods.BUILT_IN:
        alone = side_by_side(name, 1, steps)
        ratios.append(Ratio(f"{name}, bf16: two runs at once / one", side_by_side(name, 2, steps) / alone))
        if devices > 1:
            rate = shared(name, devices, steps)
            ratios.append(Ratio(f"{name}, bf16: a run on {devices} GPUs (DDP) / on one", rate / alone))
    parts = [
        text,
        SCORES.format(rows=counted),
        *(["DDP needs two GPUs: not measured."] if devices < 2 else []),
    ]
    return Report(
        title,
        " ".join(parts),
        ratios,
        tables=[("Precisions", COLUMNS, rows)],
        profile="\n".join(profiles),
        device="cuda",
    )


if __name__ == "__main__":
    run_benchmark(__doc__, measure)
