"""Measure training on a GPU: precisions, memory, input pipeline, waits of the host, and runs side by side.

Networks of `paper` with random weights, as time does not depend on them, on drawn faces. Without a GPU the
table says that nothing was measured.
"""

from __future__ import annotations

import multiprocessing
import statistics
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Literal

import torch
from lightning import Callback, Trainer

from benchmarks.speed.harness import Ratio, Report, run_benchmark
from benchmarks.speed.steps import BARE
from fer_bench import methods
from fer_bench.data.loading.datamodule import FaceDataModule
from fer_bench.data.loading.union_module import make_datamodule
from fer_bench.data.packs.pack import open_pack
from fer_bench.methods.base import Method
from fer_bench.runs.resolve import resolve_settings
from fer_bench.workspace.sources import find_roots
from fer_bench.workspace.workspace import Workspace

FACES = "oulu"
"""Has neutral frames of the same person, with which gcn does most."""
WAYS: dict[str, tuple[Literal["32-true", "bf16-mixed"], bool, bool]] = {
    "fp32": ("32-true", False, False),
    "TF32": ("32-true", True, False),
    "bf16": ("bf16-mixed", True, False),
    "bf16, compiled": ("bf16-mixed", True, True),
}
"""Precision, whether products round their inputs to TF32, and whether the network is compiled."""
COLUMNS = ("method", "precision", "images/s", "GiB", "largest change of a probability", "waits per step")
NOT_MEASURED = "not measured"
WARM = 5
"""Steps that do not count."""


@dataclass(frozen=True)
class Trained:
    """What training some steps took.

    Attributes:
        rate: Images per second.
        memory: Largest memory of the GPU in GiB.
        waits: Times per step that the host waited for the GPU.
        probability: Of validation rows after training, [N, C].
    """

    rate: float
    memory: float
    waits: float
    probability: torch.Tensor


class StepClock(Callback):
    """Takes the wall time of training steps, waiting for the GPU before and after all that count."""

    def __init__(self, steps: int) -> None:
        self.steps, self.began, self.seconds, self.waits = steps, 0.0, 0.0, 0

    def on_train_batch_end(self, trainer: Trainer, module: Any, outputs: Any, batch: Any, index: int) -> None:
        """Start after the warm-up and stop at the last step."""
        if trainer.global_step == WARM:
            _wait()
            self.began = time.perf_counter()
            _count_waits(True)
        if trainer.global_step == WARM + self.steps:
            _count_waits(False)
            _wait()
            self.seconds = time.perf_counter() - self.began


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _count_waits(wanted: bool) -> None:
    if torch.cuda.is_available():
        torch.cuda.set_sync_debug_mode("warn" if wanted else "default")


def prepared(name: str, profile: str, workspace: Workspace) -> tuple[Method, FaceDataModule]:
    """Return a fresh method and its data."""
    settings, train = resolve_settings(name, profile)
    kind, source = methods.get(name), workspace.source(FACES)
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
    name: str, way: str, workspace: Workspace, *, steps: int, profile: str = "paper", on_device: bool = True
) -> Trained:
    """Train a method some steps.

    Args:
        name: Of the method.
        way: Of `WAYS`.
        workspace: Where the faces are.
        steps: Steps that count.
        profile: Of the method.
        on_device: Take the same batch each time, finished and on the device, instead of reading the pack.
    """
    precision, tf32, compiled = WAYS[way]
    gpu = torch.cuda.is_available()
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    method, data = prepared(name, profile, workspace)
    if compiled:
        method.get_submodule("network").compile()
    clock = StepClock(steps)
    if gpu:
        torch.cuda.reset_peak_memory_stats()
    trainer = Trainer(
        max_epochs=-1,
        max_steps=WARM + steps,
        accelerator="gpu" if gpu else "cpu",
        devices=1,
        precision=precision,
        callbacks=[clock],
        **BARE,
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if on_device:
            batches = _resident(method, data, WARM + steps, "cuda" if gpu else "cpu")
            trainer.fit(method, train_dataloaders=batches)
        else:
            trainer.fit(method, datamodule=data)
    waits = sum("synchronizing" in str(each.message) for each in caught)
    memory = torch.cuda.max_memory_allocated() / 2**30 if gpu else 0.0
    return Trained(
        rate=steps * data.batch_size / clock.seconds,
        memory=memory,
        waits=waits / steps,
        probability=_answers(method, data, precision),
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


def _resident(method: Method, data: FaceDataModule, steps: int, device: str) -> Resident:
    """Return the method's first training batch, finished and on the device."""
    data.setup("fit")
    batch = data.on_after_batch_transfer(next(iter(method.train_loader(data))), 0)
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
    context = multiprocessing.get_context("spawn")
    with context.Pool(count) as pool:
        return sum(pool.starmap(_rate_alone, [(name, steps)] * count))


def _rate_alone(name: str, steps: int) -> float:
    return train(name, "bf16", _workspace(), steps=steps).rate


def _workspace() -> Workspace:
    return Workspace(find_roots(None), size="quick")


def measure(rounds: int) -> Report:
    """Measure on the GPU if there is one."""
    title, text = "Training on a GPU", "Networks of `paper`, wall time."
    if not torch.cuda.is_available():
        rows = [[name, way, *[NOT_MEASURED] * 4] for name in methods.BUILT_IN for way in WAYS]
        return Report(title, text + " No GPU was at hand.", tables=[("Precisions", COLUMNS, rows)])
    workspace, steps, rows, ratios = _workspace(), 10 * rounds, [], []
    for name in methods.BUILT_IN:
        found = {way: train(name, way, workspace, steps=steps) for way in WAYS}
        base = found["fp32"].probability
        for way, each in found.items():
            changed = float((each.probability - base).abs().max())
            rows.append(
                [name, way, f"{each.rate:,.0f}", f"{each.memory:.2f}", f"{changed:.3f}", f"{each.waits:g}"]
            )
        pairs = [
            train(name, "bf16", workspace, steps=steps, on_device=False).rate
            / train(name, "bf16", workspace, steps=steps).rate
            for _ in range(min(rounds, 3))
        ]
        ratios.append(
            Ratio(f"{name}, bf16: from the pack / from a tensor on the GPU", statistics.median(pairs), 0.9)
        )
    for name in methods.BUILT_IN:
        gain = side_by_side(name, 2, steps) / side_by_side(name, 1, steps)
        ratios.append(Ratio(f"{name}, bf16: two runs at once / one", gain))
    return Report(title, text, ratios, tables=[("Precisions", COLUMNS, rows)], device="cuda")


if __name__ == "__main__":
    run_benchmark(__doc__, measure)
