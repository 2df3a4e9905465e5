"""Measure how many faces a second of one core each method trains and predicts, for `sweep --dry-run`.

    python benchmarks/speed/rates.py                  # every method and profile
    python benchmarks/speed/rates.py --method gcn     # the others stay, scaled to this processor

Seconds are those that the CPU spent, so that other work on the machine counts little. Weights are random, as
time does not depend on them. Writes fer_bench/runs/rates.json, with the processor and its calibration.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, Trainer

from fer_bench import allocator, methods
from fer_bench.config import PROFILES
from fer_bench.data.batch import Batch
from fer_bench.data.loading.features import encode, enumerable
from fer_bench.data.loading.union_module import make_datamodule
from fer_bench.data.packs.pack import open_pack
from fer_bench.files import write_json
from fer_bench.methods.base import Method
from fer_bench.runs import rates
from fer_bench.runs.environment import describe_without_torch
from fer_bench.runs.resolve import resolve_settings
from fer_bench.workspace.sources import find_roots
from fer_bench.workspace.workspace import Workspace

sys.path.insert(0, str(Path(__file__).parents[1]))
from readme_section import figure_table, write_section

FACES = "oulu"
"""Has neutral frames of the same person, with which gcn does most."""
LARGEST = 16
"""Rows of a batch at most: larger ones are not faster on a core."""
STEPS = 6
FER2013 = {"train": 28_709, "val": 3_589, "tested": 3_589}
PAGE = Path(__file__).parents[2] / "docs" / "small.md"


class Clock(Callback):
    """Takes the CPU time of training steps, with what comes before them: loading and augmentation."""

    def __init__(self) -> None:
        self.last: float | None = None
        self.seconds: list[float] = []

    def on_train_batch_end(self, trainer: Trainer, module: Any, outputs: Any, batch: Any, index: int) -> None:
        """Note what the step took."""
        now = time.process_time()
        if self.last is not None:
            self.seconds.append(now - self.last)
        self.last = now


def rate_of(name: str, profile: str, workspace: Workspace) -> rates.Rate:
    """Train a method a few steps under a profile and predict a few batches."""
    settings, train = resolve_settings(name, profile)
    kind = methods.get(name)
    spec, size = kind.input_spec(settings), min(LARGEST, train.batch_size)
    data = make_datamodule(
        workspace.source(FACES).dataset,
        spec=spec,
        protocol=workspace.source(FACES).dataset.card.quick_protocol,
        batch_size=size,
        augmentation=train.augmentation,
        with_reference=kind.needs_reference,
        pack=open_pack(workspace.source(FACES).dataset, spec.size),
    )
    method = kind(data.task, settings, train)
    encoder = _frozen(method)
    image = next(iter(data.val_dataloader()))["image"][:size]
    clock = Clock()
    Trainer(
        max_epochs=train.max_epochs,
        max_steps=STEPS + 1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
        callbacks=[clock],
    ).fit(method, datamodule=data)
    method.eval()
    batch: Batch = {"image": image, "row": torch.zeros(len(image), dtype=torch.int64)}
    known = encoder is not None
    if encoder is not None:
        encoding = len(image) / _seconds(lambda: encode(encoder, image))
        method.use_pack(data.pack, data.rows("val")[:1])
        batch["row"][:] = int(data.rows("val")[0])
    with torch.no_grad():
        predicted = len(image) / _seconds(lambda: method.predict_batch(batch))
    found = rates.Rate(
        work=rates.work_of(name, settings),
        train=round(size / statistics.median(clock.seconds), 2),
        predict=round(predicted, 2),
        encode=round(encoding, 2) if known else None,
    )
    assert not known or enumerable(train.augmentation) or profile == "paper"
    return found


def _frozen(method: Method[Any]) -> torch.nn.Module | None:
    cached = getattr(method, "_cache", None)
    return None if cached is None else cached.encoder


def _seconds(work: Any) -> float:
    work()
    found = []
    for _ in range(3):
        start = time.process_time()
        work()
        found.append(time.process_time() - start)
    return statistics.median(found)


def main() -> None:
    """Measure and write the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--method", choices=list(methods.BUILT_IN), action="append")
    given = parser.parse_args()
    torch.set_num_threads(1)
    allocator.keep_memory()
    workspace = Workspace(find_roots(None), size="tiny")
    speed = rates.calibration()
    found: dict[str, Any] = {}
    if rates.FILE.exists():
        scale = speed / rates.measured().speed
        for name, profiles in rates.measured().rates.items():
            found[name] = {profile: _scaled(rate, scale) for profile, rate in profiles.items()}
    for name in given.method or methods.BUILT_IN:
        found[name] = {}
        for profile in PROFILES:
            found[name][profile] = rate = rate_of(name, profile, workspace).model_dump(exclude_none=True)
            print(name, profile, rate, flush=True)
    processor = describe_without_torch()["cpu"]
    write_json(rates.FILE, {"processor": processor, "speed": round(speed), "rates": found})
    write_section(PAGE, "rates", page(rates.Measured(processor=processor, speed=speed, rates=found)))


def page(known: rates.Measured) -> str:
    """Return the rates as a table, with the core-hours of a run on FER2013."""
    lines = [
        f"Faces per second of one core of {known.processor}, and core-hours of a run on FER2013 "
        f"({FER2013['train']:,} rows to learn",
        f"from, {FER2013['val']:,} each to validate and test) without targets. Written by "
        "`python benchmarks/speed/rates.py`.",
        "",
    ]
    rows = []
    for name, profiles in known.rates.items():
        for profile, rate in profiles.items():
            seconds = sum(rates.seconds_at(rate, resolve_settings(name, profile)[1], **FER2013))
            figures = (
                *(f"{float(f'{v:.2g}'):,g}" for v in (rate.train, rate.predict)),
                f"{seconds / 3600:.2g}",
            )
            rows.append((f"{name}, {profile}", *figures))
    return "\n".join([*lines, *figure_table(("method, profile", "trained", "predicted", "core-hours"), rows)])


def _scaled(rate: rates.Rate, factor: float) -> dict[str, Any]:
    fields = rate.model_dump(exclude_none=True)
    return {name: value if name == "work" else round(value * factor, 2) for name, value in fields.items()}


if __name__ == "__main__":
    main()
