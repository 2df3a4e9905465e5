"""Training steps of the methods outside a Trainer, on random pictures: what the speed benchmarks time."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from fer_bench import methods
from fer_bench.config import ProfileName
from fer_bench.data.batch import Batch, Task
from fer_bench.emotions import ACTION_UNITS, Emotion
from fer_bench.methods.base import Method
from fer_bench.runs.resolve import resolve_settings

EIGHT = tuple(str(name) for name in Emotion if name != Emotion.CONTEMPT)
SEVEN = tuple(name for name in EIGHT if name != Emotion.OTHER)
UNLABELLED = 51_688 / 142_333
"""Share of the rows without an expression among those that ssmfar's authors train on."""

BARE: dict[str, Any] = {
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "limit_val_batches": 0,
}
"""Options of a Trainer that does nothing beside training."""


class TrainingStep:
    """A method, a batch of random pictures, and the step that its run would take.

    ssmfar gets all three kinds of labels, gcn a neutral frame per row, and cafe the features of its tower as
    if they came from the cache.

    Args:
        name: Of the method.
        profile: Its profile.
        rows: Rows of the batch, those of the profile by default.
        bf16: Compute in bfloat16 where autocast does.
        settings: Settings that differ from the profile's.
    """

    def __init__(
        self, name: str, profile: str, *, rows: int | None = None, bf16: bool = False, **settings: Any
    ) -> None:
        usual, train = resolve_settings(name, cast(ProfileName, profile))
        chosen, kind = usual.model_copy(update=settings), methods.get(name)
        torch.manual_seed(0)
        self.method: Method[Any] = kind(task_of(name), chosen, train).train()
        self.method._trainer = cast(Any, SimpleNamespace(estimated_stepping_batches=10_000, current_epoch=0))
        self.method.on_train_epoch_start()
        found = self.method.configure_optimizers()
        self.optimizer: torch.optim.Optimizer = found["optimizer"] if isinstance(found, dict) else found
        self.rows = rows or train.batch_size
        self.batch = self._batch(kind.input_spec(chosen).size)
        self.bf16 = bf16
        if name == "cafe" and cast(Any, self.method)._cache is not None:
            with torch.no_grad():
                features = cast(Any, self.method.network).tower(self.batch["image"])
            cast(Any, self.method)._cache.look_up_training = lambda batch, method: features

    def _batch(self, size: int) -> Batch:
        name, rows = self.method.name, self.rows

        def pictures() -> Tensor:
            return torch.randn(rows, 3, size, size)

        label = torch.randint(len(self.method.task.classes), (rows,))
        batch: dict[str, Tensor] = {"image": pictures(), "label": label, "row": torch.arange(rows)}
        if name == "gcn":
            batch |= {"reference": pictures(), "has_reference": torch.ones(rows, dtype=torch.bool)}
            if cast(Any, self.method.settings).keeps_generator:
                batch["generated"] = pictures()
        if name == "ssmfar":
            halves = cast(Any, self.method.settings).batches == "separate"
            label[-max(2, rows // 2 if halves else round(rows * UNLABELLED)) :] = -1
            batch |= {"strong": pictures(), "va": torch.rand(rows, 2) * 2 - 1}
            batch["au"] = torch.randint(2, (rows, len(ACTION_UNITS)))
        return cast(Batch, batch)

    def loss(self) -> Tensor:
        """Return the loss of the step."""
        precision = torch.autocast("cpu", torch.bfloat16) if self.bf16 else contextlib.nullcontext()
        with precision:
            return cast(Tensor, self.method.training_step(self.batch, 0))

    def __call__(self) -> None:
        """Take the step."""
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(self.loss())
        self.method.on_before_optimizer_step(self.optimizer)
        self.optimizer.step()

    def predict(self, at_once: int | None = None) -> None:
        """Predict the pictures, some at a time or all at once."""
        self.method.eval()
        with torch.inference_mode():
            for part in self.batch["image"].split(at_once or self.rows):
                self.method(part)


def task_of(name: str) -> Task:
    """Return a task with what the method can learn from."""
    if name == "ssmfar":
        units = ((90, 10),) * len(ACTION_UNITS)
        return Task(EIGHT, (100,) * 8, has_va=True, has_au=True, au_counts=units, unlabelled=400)
    return Task(SEVEN, (100,) * 7, has_reference=name == "gcn")


def multiply_adds(work: Callable[[], object]) -> int:
    """Return the multiply-adds of what a call computes."""
    counter = FlopCounterMode(display=False)
    with counter:
        work()
    return int(counter.get_total_flops()) // 2


def profiled(step: TrainingStep, steps: int) -> profile:
    """Return a profile of steps after one that does not count."""
    step()
    with profile(activities=[ProfilerActivity.CPU]) as found:
        for _ in range(steps):
            step()
    return found


def profile_of(title: str, step: TrainingStep, steps: int = 8) -> str:
    """Return where the time of a step goes: the share of each operation, and how often it is called."""
    return shares_of(title, profiled(step, steps), steps)


def shares_of(title: str, found: profile, steps: int, *, device: str = "cpu", lines: int = 12) -> str:
    """Return the operations that take most time as lines: share of the time, calls per step, name.

    Args:
        title: First line.
        found: A profile that has ended.
        steps: Steps in it.
        device: Whose time counts; `cuda` for that of kernels and copies.
        lines: Operations that are named.
    """

    def taken(event: Any) -> float:
        return float(event.self_device_time_total if device == "cuda" else event.self_cpu_time_total)

    events = list(found.key_averages())
    if device == "cuda":  # an operation of the host has its kernels' time as well
        events = [e for e in events if e.device_type == DeviceType.CUDA and not e.is_user_annotation]
    known = sorted(events, key=taken, reverse=True)
    whole = sum(map(taken, known)) or 1.0
    rows = [f"{taken(event) / whole:6.1%} {event.count / steps:7.1f}  {event.key}" for event in known[:lines]]
    return "\n".join([title, " share   calls  operation", *rows, ""])
